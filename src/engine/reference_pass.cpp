// SPDX-License-Identifier: Apache-2.0

#include "engine/reference_pass.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "base/fault_point.hpp"
#include "base/hash.hpp"
#include "base/references.hpp"
#include "base/uri.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_examples = 20;
constexpr size_t most_unswitched = 1000;
constexpr size_t most_reasons = 20;
constexpr size_t gone_page = 1000;
constexpr int most_page_failures = 8;

/// A hash over a set: the same whatever the order it comes in. The sum of the hashes of its members, modulo 2^128.
class SetHash {
 public:
  void add(const ReferenceRecord& record) {
    for (const std::string* part : {&record.id.catalog, &record.id.record, &record.id.field}) append(part);
    append(record.value ? &*record.value : nullptr);
    append(record.intended ? &*record.intended : nullptr);
    const Sha256 digest = sha256(as_bytes(text_));
    text_.clear();
    std::array<uint64_t, 2> words{};
    std::memcpy(words.data(), digest.data(), sizeof words);
    const uint64_t low = low_ + words[0];
    high_ += words[1] + (low < low_ ? 1 : 0);
    low_ = low;
    ++count_;
  }

  std::string text() const {
    const std::array<uint64_t, 3> words{low_, high_, count_};
    const Sha256 digest = sha256(std::as_bytes(std::span(words)));
    return hex_encode(std::span(digest).first(8));
  }

 private:
  // Each with its length, so that no two lists of parts are one text.
  void append(const std::string* part) {
    text_ += part == nullptr ? "-" : std::to_string(part->size()) + ":" + *part;
  }

  std::string text_;
  uint64_t low_ = 0;
  uint64_t high_ = 0;
  uint64_t count_ = 0;
};

class Pass {
 public:
  Pass(const PassJob& job, const ReferenceSink& sink) : job_(job), sink_(sink), random_(job.rules.pass) {}

  PassResult run() {
    result_.is_complete = list() && mark_gone();
    result_.hash = hash_.text();
    return std::move(result_);
  }

 private:
  bool list() {
    Since since;
    std::unique_ptr<ReferenceLister> lister;
    for (int failures = 0;;) {
      try {
        CallContext context(job_.scope, failures + 1);
        context.check();
        if (!lister) lister = job_.catalog.list(since, context);
        ReferencePage page = lister->next(context);
        WAYBILL_FAULT_POINT("listing_page");
        job_.retry.succeeded();
        failures = 0;
        if (!page.resume.empty()) since.resume = page.resume;
        const bool is_last = page.is_last;
        if (!take(std::move(page))) return false;
        if (is_last) return true;
      } catch (const Error& error) {
        if (!error.retryable() || ++failures >= most_page_failures) throw;
        if (blames_endpoint(error.error_class())) job_.retry.endpoint_failed();
        job_.trouble(error, failures);
        // A listing that broke off begins behind what was taken, or again: rows that come twice are the same.
        lister.reset();
        if (!job_.scope.cancel.sleep(job_.retry.delay(failures, error))) {
          throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the listing of the catalog was cancelled");
        }
      }
    }
  }

  bool take(ReferencePage page) {
    const size_t n = page.references.size();
    if (n == 0) return true;
    std::vector<ReferenceId> ids;
    std::vector<ReferenceId> switched;  // before, and so with a journal
    std::vector<ItemId> wanted;          // of each, its item in its own partition, and in none
    std::vector<bool> points_somewhere(n);
    ids.reserve(n);
    for (size_t i = 0; i < n; ++i) {
      const ReferenceValue& now = page.references[i];
      ids.push_back(now.id);
      std::optional<ItemId> item;
      if (now.value && !now.value->empty()) item = job_.source.item_at(*now.value);
      points_somewhere[i] = item.has_value();
      if (!item) continue;
      wanted.push_back(*item);
      if (item->partition.empty()) item->partition = now.partition;
      wanted.push_back(std::move(*item));
    }
    const auto known = job_.tracker.lookup_references(ids);
    const auto rows = job_.tracker.lookup(wanted);
    for (const auto& record : known) {
      if (record && record->generation > 0) switched.push_back(record->id);
    }
    const auto journal = job_.tracker.lookup_journal(switched);

    std::vector<ReferenceChange> changes;
    size_t at_row = 0;
    size_t at_journal = 0;
    for (size_t i = 0; i < n; ++i) {
      ReferenceFound found{page.references[i], nullptr, nullptr, std::nullopt, nullptr};
      found.known = known[i] ? &*known[i] : nullptr;
      if (found.known != nullptr && found.known->generation > 0) {
        const auto& entry = journal[at_journal++];
        found.journal = entry ? &*entry : nullptr;
      }
      if (points_somewhere[i]) {
        const bool is_in_none = rows[at_row].has_value() && !rows[at_row + 1].has_value();
        const size_t at = is_in_none ? at_row : at_row + 1;
        found.row = rows[at] ? &*rows[at] : nullptr;
        found.item = wanted[at];
        at_row += 2;
      }
      const bool is_met = found.known != nullptr && found.known->seen == job_.rules.pass;
      ReferenceDecision decision = decide_reference(found, job_.rules);
      if (!is_met) count(decision, found.row);
      ReferenceChange change;
      change.record = std::move(decision.record);
      changes.push_back(std::move(change));
    }
    return sink_(std::move(changes));
  }

  void count(const ReferenceDecision& decision, const ItemRecord* row) {
    const ReferenceRecord& record = decision.record;
    add_references(result_.references, record.state, 1);
    if (record.state == ReferenceState::pending) {
      hash_.add(record);
      if (record.item != last_item_) ++result_.items;
      last_item_ = record.item;
      if (result_.examples.size() < most_examples) result_.examples.push_back(example_of(record));
      draw({*record.intended, row->stored ? row->stored->size : row->stamp.size});
    } else if (record.state != ReferenceState::updated) {
      if (decision.obstacle != Obstacle::none) block(decision.obstacle, record.reason);
      if (result_.unswitched.size() < most_unswitched) result_.unswitched.push_back(example_of(record));
    }
  }

  // Some reasons name what they are about: those beyond the first are told together.
  void block(Obstacle obstacle, const std::string& reason) {
    std::map<std::string, int64_t>& reasons = result_.blocked[obstacle];
    const bool is_known = reasons.contains(reason) || reasons.size() < most_reasons;
    ++reasons[is_known ? reason : "for other reasons"];
  }

  // Reservoir sampling: each has the same chance, whatever their number. Vitter, "Random Sampling with a Reservoir", 1985.
  void draw(Probe probe) {
    if (job_.probes == 0) return;
    ++drawn_from_;
    if (result_.probes.size() < job_.probes) {
      result_.probes.push_back(std::move(probe));
      return;
    }
    const uint64_t at = random_.below(drawn_from_);
    if (at < job_.probes) result_.probes[at] = std::move(probe);
  }

  // Those that the listing did not meet are gone with their records.
  bool mark_gone() {
    ReferenceQuery query;
    query.not_seen_since = job_.rules.pass;
    std::string resume;
    for (;;) {
      ReferenceRecordPage page = job_.tracker.scan_references(query, resume, gone_page);
      std::vector<ReferenceChange> changes;
      for (ReferenceRecord& record : page.references) {
        if (record.state != ReferenceState::vanished && record.state != ReferenceState::intended) {
          record.state = ReferenceState::vanished;
          record.error_class = ErrorClass::missing;
          record.reason = "its record is gone";
          record.intended.reset();
          changes.push_back(ReferenceChange{record});
        }
        add_references(result_.references, record.state, 1);
        if (result_.unswitched.size() < most_unswitched) result_.unswitched.push_back(example_of(record));
      }
      if (!changes.empty() && !sink_(std::move(changes))) return false;
      if (page.is_last) return true;
      resume = page.resume;
    }
  }

  const PassJob& job_;
  const ReferenceSink& sink_;
  PassResult result_;
  SetHash hash_;
  ItemId last_item_;
  Random random_;
  uint64_t drawn_from_ = 0;
};

}  // namespace

CutoverPlan::Example example_of(const ReferenceRecord& record) {
  return {record.id, record.partition, record.state, redact_url(record.value.value_or("")), redact_url(record.intended.value_or("")), record.reason};
}

PassResult run_pass(const PassJob& job, const ReferenceSink& sink) { return Pass(job, sink).run(); }

}  // namespace waybill::internal
