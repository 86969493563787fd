// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/rules.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

template <class Enum>
Enum named(const std::map<std::string, Enum>& names, const json& value, const char* what) {
  const auto found = names.find(value.get<std::string>());
  if (found == names.end()) throw std::invalid_argument(std::string("no such ") + what + ": " + value.dump());
  return found->second;
}

const std::map<std::string, Action>& actions() {
  static const std::map<std::string, Action> names = {
      {"status", Action::status},
      {"error_in_200", Action::error_in_200},
      {"delay", Action::delay},
      {"cut", Action::cut},
      {"reset", Action::reset},
      {"stall", Action::stall},
      {"slice", Action::slice},
      {"bandwidth", Action::bandwidth},
      {"wrong_checksum", Action::wrong_checksum},
      {"wrong_length", Action::wrong_length},
      {"swap", Action::swap},
      {"flip", Action::flip},
      {"whitespace", Action::whitespace},
  };
  return names;
}

void set_field(Rule& rule, const std::string& name, const json& value) {
  static const std::map<std::string, Place> places = {
      {"request", Place::request}, {"answer", Place::answer}, {"body", Place::body}};
  using Setter = void (*)(Rule&, const json&);
  static const std::map<std::string, Setter> setters = {
      {"op", [](Rule& r, const json& v) { r.op = v; }},
      {"scope", [](Rule& r, const json& v) { r.scope = v; }},
      {"bucket", [](Rule& r, const json& v) { r.scope = v; }},
      {"key", [](Rule& r, const json& v) { r.key = v; }},
      {"part", [](Rule& r, const json& v) { r.part = v; }},
      {"offset", [](Rule& r, const json& v) { r.offset = v.get<uint64_t>(); }},
      {"nth", [](Rule& r, const json& v) { r.nth = v; }},
      {"first", [](Rule& r, const json& v) { r.first = v; }},
      {"from", [](Rule& r, const json& v) { r.from = v; }},
      {"every", [](Rule& r, const json& v) { r.every = v; }},
      {"times", [](Rule& r, const json& v) { r.times = v; }},
      {"probability", [](Rule& r, const json& v) { r.probability = v; }},
      {"seed", [](Rule& r, const json& v) { r.seed = v; }},
      {"action", [](Rule& r, const json& v) { r.action = named(actions(), v, "action"); }},
      {"status", [](Rule& r, const json& v) { r.status = v; }},
      {"code", [](Rule& r, const json& v) { r.code = v; }},
      {"body", [](Rule& r, const json& v) { r.body = v.get<std::string>(); }},
      {"headers",
       [](Rule& r, const json& v) {
         for (const auto& [header, text] : v.items()) r.headers.emplace_back(header, text.get<std::string>());
       }},
      {"apply", [](Rule& r, const json& v) { r.apply = v; }},
      {"delay_ms", [](Rule& r, const json& v) { r.delay_ms = v; }},
      {"place", [](Rule& r, const json& v) { r.place = named(places, v, "place"); }},
      {"after", [](Rule& r, const json& v) { r.after = v; }},
      {"bytes", [](Rule& r, const json& v) { r.bytes = v; }},
      {"pause_ms", [](Rule& r, const json& v) { r.pause_ms = v; }},
      {"length_delta", [](Rule& r, const json& v) { r.length_delta = v; }},
  };
  const auto found = setters.find(name);
  if (found == setters.end()) throw std::invalid_argument("a rule has no field " + name);
  found->second(rule, value);
}

std::chrono::microseconds micros(double ms) { return std::chrono::microseconds(static_cast<int64_t>(ms * 1000)); }

Ending ending_of(const Rule& rule) {
  switch (rule.action) {
    case Action::cut:
      return Ending::cut;
    case Action::reset:
      return Ending::reset;
    case Action::stall:
      return Ending::stall;
    default:
      return Ending::none;
  }
}

// Where the rule strikes, in bytes of the body of this call.
uint64_t strike_at(const Rule& rule, const CallName& call) {
  return rule.offset ? *rule.offset - call.begin + rule.after : rule.after;
}

std::optional<Pace> pace_of(const Rule& rule) {
  if (rule.action == Action::slice) return Pace{std::max<uint64_t>(rule.bytes, 1), micros(rule.pause_ms)};
  if (rule.action != Action::bandwidth) return std::nullopt;
  // Fifty portions a second, fewer where they would be less than a byte.
  const uint64_t portion = std::max<uint64_t>(rule.bytes / 50, 1);
  const double seconds = static_cast<double>(portion) / static_cast<double>(std::max<uint64_t>(rule.bytes, 1));
  return Pace{portion, micros(seconds * 1000)};
}

void spoil_checksums(Answer& answer) {
  bool has_any = false;
  for (auto& [name, value] : answer.headers) {
    if (!name.starts_with("x-amz-checksum-") || name == "x-amz-checksum-type") continue;
    value.front() = value.front() == 'A' ? 'B' : 'A';
    has_any = true;
  }
  if (!has_any) answer.headers.emplace_back("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=");
}

void flip_byte(Answer& answer, uint64_t at) {
  if (at >= answer.body_size()) return;
  if (answer.content) {
    answer.content = flipped_content(answer.content, answer.content_begin + at);
  } else {
    answer.text[at] = static_cast<char>(~answer.text[at]);
  }
}

}  // namespace

Rule Rule::from_json(const json& object) {
  if (!object.is_object() || !object.contains("action"))
    throw std::invalid_argument("a rule is an object with an action");
  Rule rule;
  try {
    for (const auto& [name, value] : object.items()) set_field(rule, name, value);
  } catch (const json::exception& error) {
    throw std::invalid_argument(std::string("a rule: ") + error.what());
  }
  return rule;
}

uint64_t RuleSet::add(Rule rule) {
  if (rule.place == Place::request && rule.action == Action::flip) throw std::invalid_argument("requests do not flip");
  const std::lock_guard lock(mutex_);
  Entry entry{++last_id_, nullptr, Pattern(rule.op), Pattern(rule.scope), Pattern(rule.key)};
  entry.rule = std::make_shared<const Rule>(std::move(rule));
  entries_.push_back(std::move(entry));
  is_empty_ = false;
  return last_id_;
}

bool RuleSet::remove(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const size_t count = std::erase_if(entries_, [&](const Entry& entry) { return entry.id == id; });
  is_empty_ = entries_.empty();
  return count > 0;
}

void RuleSet::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
  is_empty_ = true;
}

uint64_t RuleSet::fired(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.id == id) return entry.fired;
  }
  return 0;
}

bool RuleSet::fires(Entry& entry) {
  const Rule& rule = *entry.rule;
  const uint64_t call = ++entry.seen;
  if (rule.nth > 0 && call != rule.nth) return false;
  if (rule.first > 0 && call > rule.first) return false;
  if (rule.from > 0 && call < rule.from) return false;
  if (rule.every > 0 && call % rule.every != 0) return false;
  if (rule.times > 0 && entry.fired >= rule.times) return false;
  if (rule.probability < 1) {
    const double draw = static_cast<double>(mix(mix(rule.seed) + call) >> 11) * 0x1.0p-53;
    if (draw >= rule.probability) return false;
  }
  ++entry.fired;
  return true;
}

std::vector<RulePtr> RuleSet::match(const CallName& call) {
  std::vector<RulePtr> fired;
  if (is_empty_) return fired;
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    const Rule& rule = *entry.rule;
    if (rule.part > 0 && rule.part != call.part) continue;
    if (rule.offset && (*rule.offset < call.begin || *rule.offset >= call.end)) continue;
    if (!entry.op.matches(call.op) || !entry.scope.matches(call.scope) || !entry.key.matches(call.key)) continue;
    if (fires(entry)) fired.push_back(entry.rule);
  }
  return fired;
}

Intake intake_of(const std::vector<RulePtr>& rules, const CallName& call) {
  Intake intake;
  for (const RulePtr& rule : rules) {
    if (rule->place != Place::request) continue;
    if (const auto pace = pace_of(*rule)) intake.pace = *pace;
    if (intake.ending != Ending::none || ending_of(*rule) == Ending::none) continue;
    intake.ending = ending_of(*rule);
    intake.after = strike_at(*rule, call);
  }
  return intake;
}

void deliver_by(const std::vector<RulePtr>& rules, const CallName& call, Delivery& delivery) {
  for (const RulePtr& rule : rules) {
    if (rule->action == Action::delay) delivery.delay += micros(rule->delay_ms);
    if (rule->place == Place::request) continue;
    if (const auto pace = pace_of(*rule)) delivery.pace = *pace;
    if (delivery.ending != Ending::none || ending_of(*rule) == Ending::none) continue;
    delivery.ending = ending_of(*rule);
    delivery.after = strike_at(*rule, call);
    delivery.counts_head = rule->place == Place::answer;
  }
}

void spoil(const std::vector<RulePtr>& rules, const CallName& call, Answer& answer) {
  for (const RulePtr& rule : rules) {
    switch (rule->action) {
      case Action::wrong_checksum:
        spoil_checksums(answer);
        break;
      case Action::wrong_length: {
        const auto claimed = static_cast<int64_t>(answer.body_size()) + rule->length_delta;
        answer.claimed_length = static_cast<uint64_t>(std::max<int64_t>(claimed, 0));
        break;
      }
      case Action::flip:
        flip_byte(answer, strike_at(*rule, call));
        break;
      case Action::whitespace:
        answer.text.insert(0, std::string(rule->bytes, ' '));
        break;
      default:
        break;
    }
  }
}

}  // namespace waybill::testing::fault
