// SPDX-License-Identifier: Apache-2.0
//
// The JSON forms of a snapshot (the fields of `waybill status --json`), an event, the options and a plan of deletions, and the
// check of the options' ranges. Times are RFC 3339 with Z, keys are shown_key(), what is not known is null. One line, UTF-8:
// text that is not valid UTF-8 gets replacement characters rather than an exception, and nothing in it moves a terminal's
// cursor or turns the reading direction.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <string>

#include "base/json.hpp"
#include "base/options.hpp"
#include "base/references.hpp"
#include "base/text.hpp"
#include "waybill/migration.hpp"
#include "waybill/options.hpp"
#include "waybill/progress.hpp"
#include "waybill/redaction.hpp"

namespace waybill {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return internal::printable_json(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json time_or_null(const std::optional<int64_t>& ms) { return ms ? Json(internal::format_rfc3339(*ms)) : Json(nullptr); }

Json run_json(const Snapshot& snapshot) {
  const bool is_known = snapshot.run != 0;
  Json owner = nullptr;
  if (snapshot.owner) {
    owner = {{"host", snapshot.owner->host},
             {"pid", snapshot.owner->pid},
             {"boot_id", snapshot.owner->boot_id},
             {"process_start", snapshot.owner->process_start},
             {"epoch", snapshot.owner->epoch}};
  }
  Json run;
  run["id"] = is_known ? Json(snapshot.run) : Json(nullptr);
  run["phase"] = is_known ? Json(to_string(snapshot.phase)) : Json(nullptr);
  run["state"] = is_known ? Json(to_string(snapshot.state)) : Json(nullptr);
  run["reason"] = snapshot.reason.empty() ? Json(nullptr) : Json(snapshot.reason);
  run["started_at"] = time_or_null(snapshot.started_at_ms);
  run["ended_at"] = time_or_null(snapshot.ended_at_ms);
  run["active_seconds"] = is_known ? Json(snapshot.active_seconds) : Json(nullptr);
  run["heartbeat_at"] = time_or_null(snapshot.heartbeat_at_ms);
  run["expected_items"] = or_null(snapshot.expected_items);
  run["owner"] = std::move(owner);
  return run;
}

Json items_json(const ItemAccounts& items) {
  return {{"discovered", items.discovered},
          {"excluded", items.excluded},
          {"eligible", items.eligible},
          {"pending", items.pending},
          {"in_progress", items.in_progress},
          {"done", items.done},
          {"new", items.created},
          {"updated", items.updated},
          {"unchanged", items.unchanged},
          {"failed", items.failed},
          {"waived", items.waived},
          {"vanished", items.vanished},
          {"outstanding", items.outstanding}};
}

Json references_json(const ReferenceAccounts& references) {
  return {{"total", references.total},       {"original", references.original}, {"pending", references.pending},
          {"intended", references.intended}, {"updated", references.updated},   {"restored", references.restored},
          {"conflict", references.conflict}, {"failed", references.failed},     {"vanished", references.vanished},
          {"excluded", references.excluded}};
}

Json in_flight_json(const std::vector<InFlight>& in_flight) {
  Json list = Json::array();
  for (const InFlight& item : in_flight) {
    list.push_back({{"partition", printable(item.partition)},
                    {"key", shown_key(item.key)},
                    {"bytes_done", item.bytes_done},
                    {"bytes_total", or_null(item.bytes_total)},
                    {"attempt", item.attempt},
                    {"started_at", internal::format_rfc3339(item.started_at_ms)}});
  }
  return list;
}

const char* word(Overwrite overwrite) noexcept {
  switch (overwrite) {
    case Overwrite::own:
      return "own";
    case Overwrite::never:
      return "never";
    case Overwrite::always:
      return "always";
  }
  return "unknown";
}

const char* word(DigestChoice digest) noexcept {
  switch (digest) {
    case DigestChoice::crc64nvme:
      return "crc64nvme";
    case DigestChoice::sha256:
      return "sha256";
  }
  return "unknown";
}

template <typename T>
void check_range(const char* name, T value, T lowest, T highest) {
  if (value >= lowest && value <= highest) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              std::string(name) + " is " + std::to_string(value) + "; it must be from " + std::to_string(lowest) +
                  " to " + std::to_string(highest));
}

}  // namespace

std::string to_json(const Snapshot& snapshot) {
  Json eta = nullptr;
  if (snapshot.live.eta_low_seconds && snapshot.live.eta_high_seconds) {
    eta = {{"low", *snapshot.live.eta_low_seconds}, {"high", *snapshot.live.eta_high_seconds}};
  }
  Json phases = Json::array();
  if (snapshot.run != 0) {
    phases.push_back({{"phase", to_string(snapshot.phase)}, {"state", to_string(snapshot.state)}});
  }
  Json json;
  json["schema_version"] = Snapshot::schema_version;
  json["migration"] = {{"id", snapshot.migration.empty() ? Json(nullptr) : Json(snapshot.migration)},
                       {"name", snapshot.name},
                       {"source", snapshot.source},
                       {"destination", snapshot.destination}};
  json["run"] = run_json(snapshot);
  json["phases"] = std::move(phases);
  json["items"] = items_json(snapshot.items);
  json["references"] = references_json(snapshot.references);
  json["references"]["run"] =
      internal::switches_references(snapshot.phase) ? references_json(snapshot.run_references) : Json(nullptr);
  json["findings"] = Json(snapshot.findings);
  json["bytes"] = {{"total", snapshot.bytes_total}, {"done", snapshot.bytes_done}};
  json["attempts"] = {{"total", snapshot.attempts_total}, {"failed", snapshot.attempts_failed}};
  json["ratios"] = {{"progress", or_null(snapshot.progress())},
                    {"completeness", or_null(snapshot.completeness())},
                    {"success", or_null(snapshot.success())}};
  json["rate"] = {{"items_per_second", snapshot.live.items_per_second},
                  {"bytes_per_second", snapshot.live.bytes_per_second}};
  json["eta_seconds"] = std::move(eta);
  json["listing_complete"] = snapshot.listing_complete;
  json["last_event_at"] = time_or_null(snapshot.last_event_at_ms);
  json["stalled_since"] = time_or_null(snapshot.live.stalled_since_ms);
  json["in_flight"] = in_flight_json(snapshot.live.in_flight);
  json["seq"] = snapshot.seq;
  return dump(json);
}

std::string to_json(const Event& event) {
  Json json;
  json["seq"] = event.seq;
  json["at"] = internal::format_rfc3339(event.at_ms);
  json["run"] = event.run;
  json["kind"] = to_string(event.kind);
  json["level"] = to_string(event.level);
  json["text"] = event.text;
  Json data = event.data.empty() ? Json(nullptr) : Json::parse(event.data, nullptr, false);
  json["data"] = data.is_discarded() ? Json(nullptr) : std::move(data);
  return dump(json);
}

std::string to_json(const Options& options) {
  Json json;
  json["concurrency"] = options.concurrency;
  json["max_concurrency"] = options.max_concurrency;
  json["body_budget_bytes"] = options.body_budget_bytes;
  json["part_size_bytes"] = options.part_size_bytes;
  json["part_threshold_bytes"] = options.part_threshold_bytes;
  json["max_attempts"] = options.max_attempts;
  json["retry_base_ms"] = options.retry_base_ms;
  json["retry_cap_ms"] = options.retry_cap_ms;
  json["overwrite"] = word(options.overwrite);
  json["digest"] = word(options.digest);
  json["server_side_copy"] = options.server_side_copy;
  json["include"] = options.include;
  json["exclude"] = options.exclude;
  json["max_size_bytes"] = options.max_size_bytes;
  json["min_size_bytes"] = options.min_size_bytes;
  json["modified_since_ms"] = or_null(options.modified_since_ms);
  json["modified_before_ms"] = or_null(options.modified_before_ms);
  json["extensions"] = options.extensions;
  json["partitions"] = options.partitions;
  json["limit"] = options.limit;
  json["keys"] = options.keys;
  json["failed_only"] = options.failed_only;
  json["error_classes"] = options.error_classes;
  json["findings_of"] = options.findings_of;
  json["force"] = options.force;
  json["sample_part"] = options.sample_part;
  json["sample_of"] = options.sample_of;
  json["commit_interval_ms"] = options.commit_interval_ms;
  json["lease_ms"] = options.lease_ms;
  json["heartbeat_ms"] = options.heartbeat_ms;
  json["take_over"] = options.take_over;
  json["resume_paused"] = options.resume_paused;
  json["tracker_patience_ms"] = options.tracker_patience_ms;
  json["drain_ms"] = options.drain_ms;
  return dump(json);
}

std::string to_json(const RemovalPlan& plan) {
  Json kept = Json::object();
  for (const auto& [why, count] : plan.kept) kept[why] = count;
  Json examples = Json::array();
  for (const RemovalPlan::Example& example : plan.examples) {
    examples.push_back({{"partition", printable(example.id.partition)},
                        {"key", shown_key(example.id.key)},
                        {"version", printable(example.id.version)},
                        {"detail", example.detail}});
  }
  Json json;
  json["kind"] = to_string(plan.kind);
  json["verify_run"] = plan.verify_run;
  json["hash"] = plan.hash;
  json["items"] = plan.items;
  json["bytes"] = plan.kind == RemovalKind::source ? Json(plan.bytes) : Json(nullptr);
  json["at_destination"] = plan.kind == RemovalKind::extra ? Json(plan.at_destination) : Json(nullptr);
  json["kept"] = std::move(kept);
  json["refusal"] = plan.refusal.empty() ? Json(nullptr) : Json(plan.refusal);
  json["examples"] = std::move(examples);
  return dump(json);
}

void validate(const Options& options) {
  constexpr uint64_t mib = uint64_t{1} << 20;
  constexpr int64_t day_ms = 86'400'000;
  check_range("concurrency", options.concurrency, 0, 512);
  check_range("max_concurrency", options.max_concurrency, 1, 512);
  check_range("body_budget_bytes", options.body_budget_bytes, 8 * mib, UINT64_MAX);
  check_range("part_size_bytes", options.part_size_bytes, 5 * mib, 5 * 1024 * mib);
  check_range("part_threshold_bytes", options.part_threshold_bytes, uint64_t{0}, 64 * mib);
  check_range("max_attempts", options.max_attempts, 1, 100);
  check_range("retry_base_ms", options.retry_base_ms, int64_t{0}, day_ms);
  check_range("retry_cap_ms", options.retry_cap_ms, options.retry_base_ms, day_ms);
  check_range("overwrite", static_cast<int>(options.overwrite), 0, 2);
  check_range("digest", static_cast<int>(options.digest), 0, 1);
  check_range("sample_of", options.sample_of, 1, 1'000'000);
  check_range("sample_part", options.sample_part, 1, options.sample_of);
  check_range("commit_interval_ms", options.commit_interval_ms, int64_t{10}, int64_t{10'000});
  check_range("lease_ms", options.lease_ms, int64_t{30}, day_ms);
  check_range("heartbeat_ms", options.heartbeat_ms, int64_t{10}, options.lease_ms / 3);
  check_range("tracker_patience_ms", options.tracker_patience_ms, int64_t{0}, day_ms);
  check_range("drain_ms", options.drain_ms, int64_t{0}, int64_t{60'000});
  const auto refuse = [](const std::string& why) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, why);
  };
  const auto has_empty = [](const std::vector<std::string>& words) {
    return std::find(words.begin(), words.end(), "") != words.end();
  };
  if (has_empty(options.include)) refuse("include has an empty glob");
  if (has_empty(options.exclude)) refuse("exclude has an empty glob");
  if (has_empty(options.extensions)) refuse("extensions has an empty one");
  if (has_empty(options.keys)) refuse("keys has an empty one");
  for (const std::string& word : options.error_classes) {
    if (!error_class_from(word)) refuse("error_classes: \"" + printable(word) + "\" is no error class");
  }
  if (options.max_size_bytes != 0 && options.min_size_bytes > options.max_size_bytes) {
    refuse("min_size_bytes is above max_size_bytes: every item would be excluded");
  }
  if (options.modified_since_ms && options.modified_before_ms &&
      *options.modified_since_ms >= *options.modified_before_ms) {
    refuse("modified_since_ms is not before modified_before_ms: every item would be excluded");
  }
  const int ways = (options.keys.empty() ? 0 : 1) + (options.failed_only ? 1 : 0) + (options.findings_of != 0 ? 1 : 0);
  if (ways > 1) refuse("keys, failed_only and findings_of exclude each other");
  if (!options.error_classes.empty() && !options.failed_only) refuse("error_classes needs failed_only");
  if (options.force && options.keys.empty() && !options.failed_only) refuse("force needs keys or failed_only");
}

namespace internal {
namespace {

constexpr std::array verify_levels = {VerifyLevel::listing, VerifyLevel::checksum, VerifyLevel::content};

const char* level_word(VerifyLevel level) noexcept {
  constexpr std::array words = {"listing", "checksum", "content"};
  return words.at(static_cast<size_t>(level));
}

}  // namespace

std::optional<std::string> first_difference(const Options& one, const Options& other) {
  const Json ours = Json::parse(to_json(one));
  const Json theirs = Json::parse(to_json(other));
  for (const auto& [name, value] : ours.items()) {
    if (theirs.at(name) != value) return name;
  }
  return std::nullopt;
}

bool selects_items(const Options& options) noexcept {
  return !options.keys.empty() || options.failed_only || options.findings_of != 0;
}

bool selected_items(const std::string& recorded) {
  const Json json = Json::parse(recorded, nullptr, false);
  if (!json.is_object()) return false;
  const Json keys = json.value("keys", Json::array());
  return !keys.empty() || json.value("failed_only", false) || json.value("findings_of", 0) != 0;
}

std::string json_object(std::span<const std::pair<std::string_view, std::string>> fields) {
  Json json = Json::object();
  for (const auto& [name, value] : fields) json[std::string(name)] = value;
  return dump(json);
}

std::string json_object(std::initializer_list<std::pair<std::string_view, std::string>> fields) {
  return json_object(std::span(fields.begin(), fields.size()));
}

std::optional<std::string> normal_json_object(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return dump(json);
}

std::string to_json(const Options& options, VerifyLevel level) {
  Json json = Json::parse(waybill::to_json(options));
  json["level"] = level_word(level);
  return dump(json);
}

std::optional<VerifiedPart> verified_part(const std::string& recorded) {
  const Json json = Json::parse(recorded, nullptr, false);
  const std::string word = json.is_object() ? json.value("level", "") : "";
  for (const VerifyLevel level : verify_levels) {
    if (word != level_word(level)) continue;
    return VerifiedPart{level, json.value("sample_part", uint64_t{1}), json.value("sample_of", uint64_t{1})};
  }
  return std::nullopt;
}

}  // namespace internal

}  // namespace waybill
