// SPDX-License-Identifier: Apache-2.0

#include "engine/reference_pass.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "base/fault_point.hpp"
#include "base/hash.hpp"
#include "base/references.hpp"
#include "base/uri.hpp"
#include "engine/at_once.hpp"
#include "engine/decide.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_examples = 20;
constexpr size_t most_unswitched = 1000;
constexpr size_t most_reasons = 20;
constexpr size_t gone_page = 1000;
constexpr int most_page_failures = 8;
constexpr size_t most_asked_at_once = 8;
constexpr int most_looks = 4;

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
  Pass(const PassJob& job, const ReferenceSink& sink) : job_(job), sink_(sink) {}

  PassResult run() {
    result_.is_complete = list() && mark_gone();
    result_.hash = hash_.text();
    return std::move(result_);
  }

 private:
  bool list() {
    Since since;
    std::unique_ptr<ReferenceLister> lister;
    for (;;) {
      ReferencePage page = next_page(since, lister);
      if (!page.resume.empty()) since.resume = page.resume;
      const bool is_last = page.is_last;
      if (!take(std::move(page))) return false;
      if (is_last) return true;
    }
  }

  ReferencePage next_page(const Since& since, std::unique_ptr<ReferenceLister>& lister) {
    for (int failures = 0;;) {
      try {
        CallContext context(job_.scope, failures + 1);
        context.check();
        if (!lister) lister = job_.catalog.list(since, context);
        ReferencePage page = lister->next(context);
        WAYBILL_FAULT_POINT("listing_page");
        job_.retry.succeeded();
        return page;
      } catch (const Error& error) {
        // A quota of the day comes back; for anything else nobody should wait unasked.
        const bool is_quota = error.error_class() == ErrorClass::throttled;
        if (!error.retryable() || (++failures >= most_page_failures && !is_quota)) throw;
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

  using Known = std::vector<std::optional<ReferenceRecord>>;
  using Rows = std::vector<std::optional<ItemRecord>>;

  bool take(ReferencePage page) {
    const size_t n = page.references.size();
    if (n == 0) return true;
    std::vector<ReferenceId> ids;
    std::vector<ReferenceId> switched;  // before, and so with a journal
    ids.reserve(n);
    for (const ReferenceValue& now : page.references) ids.push_back(now.id);
    const auto known = job_.tracker.lookup_references(ids);
    for (const auto& record : known) {
      if (record && record->generation > 0) switched.push_back(record->id);
    }
    const auto journal = job_.tracker.lookup_journal(switched);
    std::vector<ReferenceFound> found;
    for (size_t i = 0, at = 0; i < n; ++i) {
      found.push_back({page.references[i], known[i] ? &*known[i] : nullptr, nullptr, std::nullopt, nullptr});
      if (!known[i] || known[i]->generation == 0) continue;
      const auto& entry = journal[at++];
      found[i].journal = entry ? &*entry : nullptr;
    }
    const Rows rows = find_items(found);
    ask_for_unknown(found);
    std::vector<ReferenceChange> changes;
    for (size_t i = 0; i < n; ++i) {
      const bool is_met = known[i] && known[i]->seen == job_.rules.pass;
      ReferenceDecision decision = decide_reference(found[i], job_.rules);
      if (!is_met) count(decision);
      ReferenceChange change;
      change.record = std::move(decision.record);
      changes.push_back(std::move(change));
    }
    return sink_(std::move(changes));
  }

  // Each one's item: in its record's own partition, or in none. Gives the rows, which must stay.
  Rows find_items(std::vector<ReferenceFound>& found) {
    constexpr size_t n_places = 3;
    Rows rows(n_places * found.size());
    std::vector<ItemId> wanted;
    std::vector<size_t> places;
    const auto want = [&](size_t place, ItemId id) {
      wanted.push_back(std::move(id));
      places.push_back(place);
    };
    for (size_t i = 0; i < found.size(); ++i) {
      const ReferenceValue& now = found[i].now;
      if (now.value && !now.value->empty()) found[i].item = job_.source.item_at(*now.value);
      if (!found[i].item) continue;
      ItemId& item = *found[i].item;
      want(n_places * i + 1, item);
      if (item.partition.empty()) item.partition = now.partition;
      want(n_places * i, item);
      if (has_moved(found[i])) want(n_places * i + 2, found[i].known->item);
    }
    Rows looked_up = job_.tracker.lookup(wanted);
    for (size_t k = 0; k < places.size(); ++k) rows[places[k]] = std::move(looked_up[k]);
    for (size_t i = 0; i < found.size(); ++i) choose(found[i], &rows[n_places * i]);
    return rows;
  }

  // The same value as when it was last met, of a record that has another partition since.
  static bool has_moved(const ReferenceFound& found) {
    if (found.known == nullptr || found.known->value != found.now.value) return false;
    const ItemId& before = found.known->item;
    return before.partition != found.item->partition && before.key == found.item->key && before.version == found.item->version;
  }

  // `rows` are those of the item in its record's partition, in none, and in the one where the record was before. What was
  // copied for it there is as good as long as nothing is here.
  static void choose(ReferenceFound& found, const std::optional<ItemRecord>* rows) {
    const std::optional<ItemRecord>& here = rows[0] || !rows[1] ? rows[0] : rows[1];
    const std::optional<ItemRecord>& before = rows[2];
    const bool is_before_done = before && (before->state == ItemState::copied || before->state == ItemState::verified);
    const bool is_nothing_here = !here || (!here->waived && (here->state == ItemState::failed || here->state == ItemState::vanished));
    const std::optional<ItemRecord>& row = is_before_done && is_nothing_here ? before : here;
    if (!row) return;
    found.row = &*row;
    found.item = row->id;
  }

  // Of what no copy has seen, the source can tell whether it is there at all.
  void ask_for_unknown(std::vector<ReferenceFound>& found) {
    std::vector<ReferenceFound*> unknown;
    for (ReferenceFound& one : found) {
      if (one.row == nullptr && depends_on_item(one, job_.rules)) unknown.push_back(&one);
    }
    each_at_once(unknown.size(), most_asked_at_once, [&](size_t i) { unknown[i]->gone = look_at_source(*unknown[i]->item); });
  }

  // As what it is not there; none where it is, or nobody can tell.
  ErrorClass look_at_source(const ItemId& id) {
    for (int failures = 0;;) {
      try {
        CallContext context(job_.scope, failures + 1);
        context.check();
        const bool is_there = job_.source.stat(id, context).has_value();
        job_.retry.succeeded();
        return is_there ? ErrorClass::none : ErrorClass::missing;
      } catch (const Error& error) {
        const ErrorClass what = error.error_class();
        if (what == ErrorClass::cancelled) throw;
        if (!error.retryable()) return is_dead_link(job_.source, error) ? what : ErrorClass::none;
        if (blames_endpoint(what)) job_.retry.endpoint_failed();
        if (++failures == most_looks) {
          // Of a link the host may be anybody's: that one does not answer says nothing of the others.
          if (blames_endpoint(what) && !job_.source.capabilities().links) throw;
          return ErrorClass::none;
        }
        if (!job_.scope.cancel.sleep(job_.retry.delay(failures, error))) {
          throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the look at the source was cancelled");
        }
      }
    }
  }

  void count(const ReferenceDecision& decision) {
    const ReferenceRecord& record = decision.record;
    add_references(result_.references, record.state, 1);
    if (record.state == ReferenceState::pending) {
      hash_.add(record);
      if (record.item != last_item_) ++result_.items;
      last_item_ = record.item;
      if (result_.examples.size() < most_examples) result_.examples.push_back(example_of(record));
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
};

}  // namespace

CutoverPlan::Example example_of(const ReferenceRecord& record) {
  return {record.id, record.partition, record.state, redact_url(record.value.value_or("")), redact_url(record.intended.value_or("")), record.reason};
}

PassResult run_pass(const PassJob& job, const ReferenceSink& sink) { return Pass(job, sink).run(); }

}  // namespace waybill::internal
