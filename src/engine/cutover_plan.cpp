// SPDX-License-Identifier: Apache-2.0

#include "engine/cutover_plan.hpp"

#include <map>
#include <utility>

#include "base/clock.hpp"
#include "base/cutover_json.hpp"
#include "base/uri.hpp"
#include "engine/body_pool.hpp"
#include "engine/reference_outcome.hpp"
#include "engine/reference_pass.hpp"
#include "engine/transfer.hpp"
#include "waybill/connectors.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_runs = 1000;
constexpr size_t most_read = 1000;
constexpr size_t most_origins = 16;
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
        can_(job.catalog.capabilities()) {}

  CutoverPlan make() {
    resolve();
    PassJob pass{job_.catalog, job_.source, job_.tracker, scope_, retry_, rules(job_.epoch), job_.options.probes,
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
    plan.gates.push_back(urls_gate(found.probes));
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
    const int64_t nothing = found.references.pending == 0 && found.references.updated == 0 ? 1 : 0;
    plan.gates.push_back(gate("references", nothing, counted(found.references.pending, "to be switched"), "there is nothing to switch"));
  }

  Gate urls_gate(const std::vector<Probe>& probes) {
    if (job_.options.probes == 0) return {"urls", true, 0, "not asked for, as you wished: nobody knows whether the new values answer"};
    int64_t failed = 0;
    std::string first;
    for (const Probe& probe : probes) {
      const std::string why = trouble_with(probe);
      if (why.empty()) continue;
      if (failed++ == 0) first = redact_url(probe.value) + ": " + why;
    }
    return gate("urls", failed, counted(static_cast<int64_t>(probes.size()), "of the new values were asked for, and answered with the right size"),
                counted(failed, "of ") + counted(static_cast<int64_t>(probes.size()), "new values do not answer as they should; the first: ") + first);
  }

  // Whoever follows the new value has no credentials of ours.
  std::string trouble_with(const Probe& probe) {
    try {
      const size_t authority = probe.value.find("://");
      if (authority == std::string::npos) return "it is not a URL";
      const size_t path = probe.value.find('/', authority + 3);
      const std::string origin = probe.value.substr(0, path == std::string::npos ? std::string::npos : path + 1);
      if (origins_.size() >= most_origins) origins_.clear();
      std::shared_ptr<Source>& source = origins_[origin];
      if (!source) source = open_source(origin);
      const std::optional<ItemId> id = source->item_at(probe.value);
      if (!id) return "no store can tell what it points at";
      CallContext context(scope_);
      const std::optional<Item> there = source->stat(*id, context);
      if (!there) return "nothing is there";
      if (probe.size && there->stamp.size && *probe.size != *there->stamp.size) {
        return std::to_string(*there->stamp.size) + " bytes are there, not " + std::to_string(*probe.size);
      }
      return {};
    } catch (...) {
      return current_error().message();
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
  std::map<std::string, std::shared_ptr<Source>> origins_;
};

}  // namespace

CutoverPlan make_cutover_plan(const PlanJob& job) { return Planner(job).make(); }

}  // namespace waybill::internal
