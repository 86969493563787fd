// SPDX-License-Identifier: Apache-2.0

#include "engine/cutover_plan.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "base/clock.hpp"
#include "base/cutover_json.hpp"
#include "base/random.hpp"
#include "engine/body_pool.hpp"
#include "engine/reference_outcome.hpp"
#include "engine/reference_pass.hpp"
#include "engine/transfer.hpp"
#include "engine/value_probe.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_runs = 1000;
constexpr size_t most_read = 1000;
constexpr uint64_t no_bodies = uint64_t{8} << 20;

Gate gate(const char* name, int64_t against, std::string passed, std::string refused) {
  return {name, against == 0, against, against == 0 ? std::move(passed) : std::move(refused)};
}

std::string counted(int64_t count, const char* what) { return std::to_string(count) + " " + what; }

// Each reason with its count, the most first would need a sort that nobody misses: they are few.
std::string listed(const std::map<std::string, int64_t>& reasons) {
  std::string text;
  for (const auto& [reason, count] : reasons) text += (text.empty() ? "" : "; ") + std::to_string(count) + ": " + reason;
  return text;
}

class Planner {
 public:
  explicit Planner(const PlanJob& job)
      : job_(job),
        bodies_(no_bodies),
        scope_{cancel_, bodies_, job.migration, job.epoch, [](LogLevel, std::string_view) {}, [](std::string_view, uint64_t) {}},
        retry_(Options{}),
        can_(job.catalog.capabilities()),
        probes_(job.options.probe_as, job.destination, scope_, retry_) {}

  CutoverPlan make() {
    resolve();
    PassJob pass{job_.catalog, job_.source, job_.tracker, scope_, retry_, rules(job_.epoch),
                 [](const Error&, int) {}};
    const PassResult found = run_pass(pass, [this](std::vector<ReferenceChange> changes) {
      Batch batch;
      batch.references = std::move(changes);
      return commit(std::move(batch));
    });
    CutoverPlan plan;
    plan.hash = found.hash;
    plan.pass = pass.rules.pass;
    plan.references = found.references;
    plan.items = found.items;
    plan.conditional = can_.conditional;
    plan.examples = found.examples;
    plan.unswitched = found.unswitched;
    look_at_copy(plan);
    look_at_references(found, plan);
    plan.gates.push_back(urls_gate(found.references.pending, pass.rules.pass));
    plan.gates.push_back(rights_gate());
    plan.gates.push_back(window_gate());
    plan.is_ready = true;
    for (const Gate& one : plan.gates) plan.is_ready = plan.is_ready && one.is_passed;
    keep(plan);
    return plan;
  }

 private:
  ReferenceRules rules(uint64_t pass) const {
    ReferenceRules rules;
    rules.make_value = job_.make_value;
    rules.new_place = job_.new_place;
    rules.partitions.insert(job_.options.partitions.begin(), job_.options.partitions.end());
    rules.records.insert(job_.options.records.begin(), job_.options.records.end());
    if (job_.options.max_verified_age_ms > 0) rules.verified_since_ms = now_ms() - job_.options.max_verified_age_ms;
    rules.max_value_length = can_.max_value_length;
    rules.pass = pass;
    return rules;
  }

  // With the heart's beat, so that others see that somebody is here.
  bool commit(Batch batch) {
    batch.live = LiveState{};
    job_.tracker.commit(job_.epoch, batch);
    return true;
  }

  void resolve() {
    const auto read = [this](std::span<const ReferenceId> ids) {
      CallContext context(scope_);
      return job_.catalog.read(ids, context);
    };
    const auto write = [this](std::vector<ReferenceChange> changes, std::vector<JournalRecord> journal) {
      Batch batch;
      batch.references = std::move(changes);
      batch.journal = std::move(journal);
      return commit(std::move(batch));
    };
    resolve_intended(job_.tracker, std::min<size_t>(can_.max_batch, most_read), false, 0, read, write);
  }

  void look_at_copy(CutoverPlan& plan) {
    const RunRecord* copy = nullptr;
    const std::vector<RunRecord> runs = job_.tracker.runs(most_runs);
    for (const RunRecord& run : runs) {
      if (copy == nullptr && run.phase == Phase::copy) copy = &run;
    }
    const std::string name = copy == nullptr ? "" : "copy run " + std::to_string(copy->run);
    const bool is_over = copy != nullptr && is_ended(copy->state) && copy->state != RunState::failed;
    plan.gates.push_back(gate("copy", is_over ? 0 : 1, name + (is_over ? std::string(" ended ") + to_string(copy->state) : ""),
                              copy == nullptr ? "nothing has been copied; begin with: waybill run" : name + " did not come to its end; carry on with: waybill run"));
    const Snapshot now = job_.tracker.snapshot();
    const ItemAccounts& items = now.migration_items;
    const int64_t open = items.pending + items.in_progress + items.failed;
    plan.gates.push_back(gate("items", open,
                              counted(items.done, "done, ") + counted(items.waived, "waived, ") + counted(items.vanished, "vanished, ") +
                                  counted(items.excluded, "excluded"),
                              counted(items.pending + items.in_progress, "pending and ") + counted(items.failed, "failed; see waybill failed, then retry or waive them")));
  }

  void look_at_references(const PassResult& found, CutoverPlan& plan) {
    const auto against = [&](Obstacle obstacle, const char* name, const char* passed) {
      const auto reasons = found.blocked.find(obstacle);
      int64_t count = 0;
      if (reasons != found.blocked.end()) {
        for (const auto& [reason, n] : reasons->second) count += n;
      }
      plan.gates.push_back(gate(name, count, passed, count == 0 ? "" : listed(reasons->second)));
    };
    against(Obstacle::delta, "delta", "every reference's item was seen by a copy");
    against(Obstacle::item, "failed", "no reference points at an item that failed");
    against(Obstacle::verified, "verified", "every reference's item is verified by checksum or content");
    against(Obstacle::value, "values", "every new value can be made, and fits its field");
    against(Obstacle::unresolved, "journal", "no earlier switch is open");
    plan.gates.push_back(references_gate(found));
  }

  // What other gates hold back is theirs to tell.
  static Gate references_gate(const PassResult& found) {
    const ReferenceAccounts& references = found.references;
    int64_t held_back = 0;
    for (const auto& [obstacle, reasons] : found.blocked) {
      for (const auto& [reason, n] : reasons) held_back += n;
    }
    std::string evidence = counted(references.pending, "to be switched");
    if (references.updated > 0) evidence += ", " + counted(references.updated, "switched already");
    if (held_back > 0) evidence += ", " + counted(held_back, "held back by other gates");
    const bool is_something = references.pending + references.updated + held_back > 0;
    if (is_something) return {"references", true, references.pending, std::move(evidence)};
    if (references.total == 0) return {"references", false, 0, "the catalog has no references"};
    return {"references", false, references.total,
            "there is nothing to switch: " + counted(references.total, "references, and each is to stay as it is")};
  }

  Gate urls_gate(int64_t pending, uint64_t pass) {
    if (job_.options.probes == 0) return {"urls", true, 0, "not asked for, as you wished: nobody knows whether the new values answer"};
    if (pending == 0) return gate("urls", 0, "there is no new value to ask for", "");
    draw(pending, pass);
    const std::string asked = (probes_.asked() == pending ? "all " : "") + counted(probes_.asked(), "new values");
    const std::string whom = probes_.whom();
    return gate("urls", probes_.failed(), asked + " were asked for " + whom + ", and answered with the right size",
                counted(probes_.failed(), "of ") + counted(probes_.asked(), "new values") +
                    (whom.empty() ? "" : ", asked for " + whom + ",") + " do not answer as they should; one of them: " + probes_.example());
  }

  // Each of the pending ones has the same chance, and none is kept. Selection sampling: Knuth, "The Art of Computer
  // Programming", 3.4.2, algorithm S.
  void draw(int64_t pending, uint64_t pass) {
    Random random(pass);
    auto left = static_cast<uint64_t>(pending);
    uint64_t wanted = std::min(job_.options.probes, left);
    ReferenceQuery query;
    query.states = {ReferenceState::pending};
    std::string resume;
    while (wanted > 0) {
      ReferenceRecordPage page = job_.tracker.scan_references(query, resume, most_read);
      std::vector<ItemId> items;
      std::vector<Probe> probes;
      for (ReferenceRecord& record : page.references) {
        if (left == 0 || random.below(left--) >= wanted) continue;
        --wanted;
        items.push_back(std::move(record.item));
        probes.push_back({*std::move(record.intended), std::nullopt});
      }
      const auto rows = job_.tracker.lookup(items);
      for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i]) probes[i].size = rows[i]->stored ? rows[i]->stored->size : rows[i]->stamp.size;
      }
      probes_.ask(probes);
      commit(Batch{});
      if (page.is_last) return;
      resume = page.resume;
    }
  }

  Gate rights_gate() {
    try {
      CallContext context(scope_);
      job_.catalog.check(CatalogAccess::update, context);
      return gate("rights", 0, "the catalog lets us update", "");
    } catch (...) {
      return gate("rights", 1, "", current_error().message());
    }
  }

  Gate window_gate() const {
    if (can_.conditional == Catalog::Conditional::exact) {
      return gate("window", 0, "the catalog replaces a value only where it is still the one we read", "");
    }
    const std::string what = can_.conditional == Catalog::Conditional::weak
                                 ? "the catalog only tells edits by a coarse revision: one that falls between our look and our write may be lost"
                                 : "the catalog knows no condition: an edit that falls between our look and our write is lost";
    return gate("window", job_.options.accept_window ? 0 : 1, what + "; accepted", what + "; accept that with --accept-window");
  }

  void keep(const CutoverPlan& plan) {
    CutoverPlanRecord record;
    record.hash = plan.hash;
    record.pass = plan.pass;
    record.at_ms = now_ms();
    record.references = plan.references.pending;
    record.is_ready = plan.is_ready;
    record.gates = gates_json(plan.gates);
    const std::vector<RunRecord> runs = job_.tracker.runs(1);
    record.options = with_member(internal::to_json(job_.options, job_.catalog_url), last_run_member, std::to_string(runs.empty() ? 0 : runs.front().run));
    Batch batch;
    batch.plan = std::move(record);
    Event event;
    event.at_ms = now_ms();
    event.kind = EventKind::log;
    event.text = "plan " + plan.hash + ": " + counted(plan.references.pending, "references to be switched") + (plan.is_ready ? "" : ", not ready");
    batch.events.push_back(std::move(event));
    commit(std::move(batch));
  }

  const PlanJob& job_;
  CancelSource cancel_;
  BodyPool bodies_;
  const RunScope scope_;
  RetryPolicy retry_;
  const Catalog::Capabilities can_;
  ValueProbes probes_;
};

}  // namespace

CutoverPlan make_cutover_plan(const PlanJob& job) { return Planner(job).make(); }

}  // namespace waybill::internal
