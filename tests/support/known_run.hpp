// SPDX-License-Identifier: Apache-2.0
//
// The run that a tool once called "running, 95 %" for ever: what it had really done, acted out by a Source and a
// Destination of known behaviour through the public interfaces. The accounts come out of the run; nothing sets them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "waybill/waybill.hpp"

namespace waybill::testing {

/// What is to happen: of `discovered` items some are excluded by a rule, some fail at their only attempt, some succeed
/// at their second, and all others at their first.
struct KnownRun {
  uint64_t discovered = 1'344'712;
  uint64_t excluded = 274;
  uint64_t failed = 44'070;
  uint64_t retried = 27'222;

  /// The same proportions, with 1 of `by` items.
  static KnownRun divided(uint64_t by) {
    const KnownRun full;
    const auto part = [by](uint64_t number) { return (number + by / 2) / by; };
    return {part(full.discovered), part(full.excluded), part(full.failed), part(full.retried)};
  }

  uint64_t eligible() const { return discovered - excluded; }
  uint64_t done() const { return eligible() - failed; }
  uint64_t attempts_failed() const { return failed + retried; }
  uint64_t attempts() const { return done() + attempts_failed(); }

  enum class Fate { excluded, failed, retried, moved };
  /// Spread over all items: 7919 is a prime that divides no number of items used here.
  Fate fate(uint64_t n) const {
    const uint64_t place = n * 7919 % discovered;
    if (place < excluded) return Fate::excluded;
    if (place < excluded + failed) return Fate::failed;
    return place < excluded + failed + retried ? Fate::retried : Fate::moved;
  }
  std::string key(uint64_t n) const {
    char text[40];
    std::snprintf(text, sizeof text, "records/%07llu.%s", static_cast<unsigned long long>(n),
                  fate(n) == Fate::excluded ? "lock" : "pdf");
    return text;
  }
  static uint64_t number(const Key& key) { return std::strtoull(key.c_str() + std::strlen("records/"), nullptr, 10); }
  static Options options() {
    Options options;
    options.exclude = {"**.lock"};
    return options;
  }
};

class KnownSource final : public Source {
 public:
  explicit KnownSource(KnownRun run) : run_(run) {}

  Capabilities capabilities() const override { return {.positioned = true, .order = Order::byte_key, .lists_stamps = true}; }
  std::string identity() const override { return "known://records/"; }
  std::string endpoint() const override { return "known"; }
  std::unique_ptr<Lister> list(const ListRequest&, Context&) override { return std::make_unique<Listing>(run_); }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context&) override {
    ReadResult result;
    result.total_size = *item.stamp.size;
    result.count = static_cast<size_t>(std::min<uint64_t>(out.size(), *item.stamp.size - std::min(offset, *item.stamp.size)));
    std::memset(out.data(), 'x', result.count);
    result.stamp = item.stamp;
    return result;
  }

 private:
  class Listing final : public Lister {
   public:
    explicit Listing(KnownRun run) : run_(run) {}
    Page next(Context& context) override {
      context.check();
      Page page;
      for (; next_ < run_.discovered && page.items.size() < 1000; ++next_) {
        Item item;
        item.id.key = run_.key(next_);
        item.stamp.size = 100 + next_ % 100;
        page.items.push_back(std::move(item));
      }
      page.is_last = next_ >= run_.discovered;
      return page;
    }

   private:
    KnownRun run_;
    uint64_t next_ = 0;
  };

  KnownRun run_;
};

/// Keeps nothing; refuses what is to fail, and what is to be retried once.
class KnownDestination final : public Destination {
 public:
  explicit KnownDestination(KnownRun run) : run_(run), was_refused_(run.discovered) {}

  Capabilities capabilities() const override {
    Capabilities can;
    can.order = Order::byte_key;
    can.conditional = true;
    return can;
  }
  std::string identity() const override { return "known://copies/"; }
  std::string endpoint() const override { return "known copies"; }
  std::unique_ptr<Lister> list(const ListRequest&, Context&) override { return std::make_unique<Nothing>(); }
  std::optional<Item> stat(const Key&, Context&) override { return std::nullopt; }
  Stored put(const Key& key, const Body& body, const WriteOptions&, Context&) override {
    const uint64_t n = KnownRun::number(key);
    const KnownRun::Fate fate = run_.fate(n);
    if (fate == KnownRun::Fate::failed) throw Error(ErrorCode::out_of_range, ErrorClass::too_large, "more than is taken here");
    if (fate == KnownRun::Fate::retried) {
      std::scoped_lock lock(mutex_);
      if (!was_refused_[n]) {
        was_refused_[n] = true;
        throw Error(ErrorCode::unavailable, ErrorClass::server, "busy, try again").set_retryable();
      }
    }
    Stored stored;
    stored.size = body.size();
    stored.digest = body.digest();
    return stored;
  }

 private:
  class Nothing final : public Lister {
   public:
    Page next(Context&) override {
      Page page;
      page.is_last = true;
      return page;
    }
  };

  KnownRun run_;
  std::mutex mutex_;
  std::vector<bool> was_refused_;  // guarded by mutex_
};

/// Every number of `snapshot` that is not what `run` has to come to, by its name: {name, {found, expected}}.
inline std::map<std::string, std::pair<double, double>> differences(const KnownRun& run, const Snapshot& snapshot) {
  std::map<std::string, std::pair<double, double>> found;
  const auto compare = [&](const char* name, double is, double expected) {
    if (is != expected) found[name] = {is, expected};
  };
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  const auto& items = snapshot.items;
  compare("discovered", static_cast<double>(items.discovered), number(run.discovered));
  compare("excluded", static_cast<double>(items.excluded), number(run.excluded));
  compare("eligible", static_cast<double>(items.eligible), number(run.eligible()));
  compare("done", static_cast<double>(items.done), number(run.done()));
  compare("failed", static_cast<double>(items.failed), number(run.failed));
  compare("outstanding", static_cast<double>(items.outstanding), number(run.failed));
  compare("attempts", number(snapshot.attempts_total), number(run.attempts()));
  compare("attempts failed", number(snapshot.attempts_failed), number(run.attempts_failed()));
  compare("progress", snapshot.progress().value_or(-1), 1);
  compare("success", snapshot.success().value_or(-1), number(run.done()) / number(run.attempts()));
  compare("completeness", snapshot.completeness().value_or(-1), number(run.done()) / number(run.eligible()));
  compare("state", static_cast<double>(snapshot.state), static_cast<double>(RunState::completed_with_differences));
  return found;
}

}  // namespace waybill::testing
