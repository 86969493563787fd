// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_object.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <stdexcept>

#include "base/text.hpp"
#include "support/fault_server/digests.hpp"
#include "support/fault_server/salesforce_jwt.hpp"

namespace waybill::testing::fault {

namespace {

// In the order of their bytes, so that ids sort as numbers do.
constexpr std::string_view base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view instance = "5g0";  // what follows the key prefix in every id
constexpr size_t digits = 9;

// The three characters that make an id safe where case is lost: which of its letters are capitals.
std::string id_suffix(std::string_view id) {
  std::string suffix;
  for (size_t chunk = 0; chunk < 15; chunk += 5) {
    unsigned bits = 0;
    for (size_t at = 0; at < 5; ++at) {
      if (id[chunk + at] >= 'A' && id[chunk + at] <= 'Z') bits |= 1U << at;
    }
    suffix += "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bits];
  }
  return suffix;
}

char lower(char letter) { return static_cast<char>(std::tolower(static_cast<unsigned char>(letter))); }

// "n%3", "n/3", "n:8", and the first two with "=2" ("true" or "false") or "+1" behind.
std::string computed(uint64_t n, const std::string& word) {
  const size_t more = word.find_first_of("=+");
  const bool is_computed = word.size() > 2 && word[0] == 'n' && std::string("%/:").find(word[1]) != std::string::npos;
  const uint64_t operand = is_computed ? internal::parse_uint(word.substr(2, more - 2)).value_or(0) : 0;
  const auto second = internal::parse_uint(more == std::string::npos ? "0" : word.substr(more + 1));
  if (operand == 0 || !second) throw std::invalid_argument("made: what is {" + word + "}?");
  const uint64_t result = word[1] == '%' ? n % operand : word[1] == '/' ? n / operand : n;
  if (more != std::string::npos && word[more] == '=') return result == *second ? "true" : "false";
  const std::string text = std::to_string(result + *second);
  const bool is_short = word[1] == ':' && text.size() < operand;
  return is_short ? std::string(operand - text.size(), '0') + text : text;
}

SalesforceField system_field(const char* name, const char* type, uint64_t length = 0) {
  return {.name = name,
          .type = type,
          .length = length,
          .is_updateable = false,
          .is_nillable = false,
          .refers_to = {},
          .relationship = {}};
}

}  // namespace

bool equals_ignoring_case(std::string_view left, std::string_view right) noexcept {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

std::string salesforce_id(std::string_view key_prefix, uint64_t number) {
  std::string id = std::string(key_prefix) + std::string(instance) + std::string(digits, '0');
  for (size_t at = id.size(); number > 0; number /= base62.size()) id[--at] = base62[number % base62.size()];
  return id + id_suffix(id);
}

std::optional<std::string> salesforce_id_15(std::string_view id) {
  if (id.size() != 15 && id.size() != 18) return std::nullopt;
  if (id.find_first_not_of(base62) != std::string_view::npos) return std::nullopt;
  if (id.size() == 15) return std::string(id);
  const std::string suffix = id_suffix(id);
  // With the suffix, case that was lost on the way comes back; here only what is right is taken.
  if (!equals_ignoring_case(suffix, id.substr(15))) return std::nullopt;
  return std::string(id.substr(0, 15));
}

SalesforceObject::SalesforceObject(std::string name, std::string key_prefix, std::vector<SalesforceField> fields)
    : name_(std::move(name)), key_prefix_(std::move(key_prefix)) {
  if (key_prefix_.size() != 3) throw std::invalid_argument("a key prefix has three characters: " + key_prefix_);
  fields_ = {system_field("Id", "id", 18),
             system_field("IsDeleted", "boolean"),
             system_field("CreatedDate", "datetime"),
             system_field("LastModifiedDate", "datetime"),
             system_field("LastModifiedById", "reference", 18),
             system_field("SystemModstamp", "datetime")};
  for (SalesforceField& field : fields) {
    // A field of that name changes what the object has anyway: whether it can be filtered, for instance.
    if (const auto known = this->field(field.name)) {
      fields_[*known] = std::move(field);
    } else {
      fields_.push_back(std::move(field));
    }
  }
}

std::optional<size_t> SalesforceObject::field(std::string_view name) const {
  for (size_t at = 0; at < fields_.size(); ++at) {
    if (equals_ignoring_case(fields_[at].name, name)) return at;
  }
  return std::nullopt;
}

std::optional<size_t> SalesforceObject::relationship(std::string_view name) const {
  for (size_t at = 0; at < fields_.size(); ++at) {
    if (!fields_[at].relationship.empty() && equals_ignoring_case(fields_[at].relationship, name)) return at;
  }
  return std::nullopt;
}

std::optional<size_t> SalesforceObject::body_field() const {
  for (size_t at = 0; at < fields_.size(); ++at) {
    if (fields_[at].type == "base64") return at;
  }
  return std::nullopt;
}

void SalesforceObject::generate(GeneratedRecords records) {
  if (records.per_second == 0) throw std::invalid_argument("per_second is at least 1");
  records_ = records;
  rows_.clear();
  moved_.clear();
  order_.clear();
  deleted_ = 0;
  is_moved_.assign(records_.count, false);
}

std::string SalesforceObject::id(uint64_t number) const { return salesforce_id(key_prefix_, number); }

std::optional<uint64_t> SalesforceObject::number(std::string_view id) const {
  const auto short_id = salesforce_id_15(id);
  if (!short_id || !short_id->starts_with(key_prefix_ + std::string(instance))) return std::nullopt;
  uint64_t number = 0;
  for (const char digit : short_id->substr(15 - digits)) number = number * base62.size() + base62.find(digit);
  return number < records_.count ? std::optional(number) : std::nullopt;
}

int64_t SalesforceObject::made_stamp_s(uint64_t number) const noexcept {
  return records_.first_stamp_s + static_cast<int64_t>(number / records_.per_second);
}

std::string SalesforceObject::made_value(uint64_t number, const std::string& made) const {
  std::string out;
  for (size_t at = 0; at < made.size();) {
    const size_t open = made.find('{', at);
    out.append(made, at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) break;
    const size_t close = made.find('}', open);
    if (close == std::string::npos) throw std::invalid_argument("made: '{' without '}' in " + made);
    const std::string word = made.substr(open + 1, close - open - 1);
    at = close + 1;
    if (word == "size") {
      out += std::to_string(body(number)->size());
    } else if (word == "md5") {
      out += to_hex(digest("md5", read_all(*body(number))));
    } else if (word == "n") {
      out += std::to_string(number);
    } else {
      out += computed(number, word);
    }
  }
  return out;
}

const SalesforceObject::Row* SalesforceObject::row(uint64_t number) const {
  const auto found = rows_.find(number);
  return found == rows_.end() ? nullptr : &found->second;
}

SalesforceObject::Row& SalesforceObject::touch(uint64_t number) {
  const auto [found, is_new] = rows_.try_emplace(number);
  if (is_new) found->second.stamp_s = made_stamp_s(number);
  return found->second;
}

int64_t SalesforceObject::stamp_s(uint64_t number, uint64_t at) const {
  const Row* const known = row(number);
  if (!known) return made_stamp_s(number);
  for (const FieldChange& change : known->history) {
    if (change.sequence > at) return change.stamp_before_s;
  }
  return known->stamp_s;
}

bool SalesforceObject::deleted(uint64_t number, uint64_t at) const {
  const Row* const known = row(number);
  if (!known) return records_.only_planted;
  for (const FieldChange& change : known->history) {
    if (change.sequence > at && change.field == is_deleted) return change.before == "true";
  }
  return known->is_deleted;
}

FieldValue SalesforceObject::value(uint64_t number, size_t field, uint64_t at) const {
  const auto time = [](int64_t seconds) { return internal::format_rfc3339(seconds * 1000); };
  const Row* const known = row(number);
  switch (field) {
    case id_field:
      return id(number);
    case is_deleted:
      return deleted(number, at) ? "true" : "false";
    case created_date:
      return time(made_stamp_s(number));
    case last_modified_date:
    case system_modstamp:
      return time(stamp_s(number, at));
    case last_modified_by:
      if (!known) return salesforce_id("005", 0);
      for (const FieldChange& change : known->history) {
        if (change.sequence > at) return change.user_before;
      }
      return known->user.empty() ? salesforce_id("005", 0) : known->user;
    default:
      break;
  }
  if (known) {
    for (const FieldChange& change : known->history) {
      if (change.sequence > at && change.field == field) return change.before;
    }
    const auto found = known->values.find(field);
    if (found != known->values.end()) return found->second;
  }
  const SalesforceField& known_field = fields_[field];
  if (known_field.made.empty()) return std::nullopt;
  const std::string made = made_value(number, known_field.made);
  if (known_field.type != "reference") return made;
  const auto other = internal::parse_uint(made);
  if (!other) throw std::invalid_argument("made: a reference's is a number, not " + made);
  return salesforce_id(known_field.refers_prefix, *other);
}

ContentPtr SalesforceObject::body(uint64_t number) const {
  const Row* const known = row(number);
  if (const auto field = known ? body_field() : std::nullopt) {
    const auto written = known->values.find(*field);
    if (written != known->values.end()) return held_content(from_base64(written->second.value_or(""), false).value_or(""));
  }
  const uint64_t seed = mix(records_.seed) ^ mix(number);
  const uint64_t spread =
      records_.body_size_most > records_.body_size ? records_.body_size_most - records_.body_size : 0;
  return generated_content(seed, records_.body_size + (spread > 0 ? mix(seed) % (spread + 1) : 0));
}

void SalesforceObject::move(uint64_t number, Row& row, int64_t stamp_s) {
  if (is_moved_[number]) moved_.erase({row.stamp_s, number});
  row.stamp_s = stamp_s;
  moved_.emplace(stamp_s, number);
  is_moved_[number] = true;
}

void SalesforceObject::plant(uint64_t number, size_t field, FieldValue value) {
  if (number >= records_.count) throw std::invalid_argument(name_ + " has no record " + std::to_string(number));
  Row& row = touch(number);
  if (field == system_modstamp) {
    const auto ms = value ? internal::parse_rfc3339(*value) : std::nullopt;
    if (!ms) throw std::invalid_argument("SystemModstamp is a time");
    move(number, row, *ms / 1000);
  } else if (field < own_fields) {
    throw std::invalid_argument("this field cannot be planted: " + fields_[field].name);
  } else {
    row.values[field] = std::move(value);
  }
}

void SalesforceObject::change(uint64_t number, const std::vector<std::pair<size_t, FieldValue>>& values,
                              const SalesforceAuthor& author, uint64_t sequence) {
  Row& row = touch(number);
  const std::string user_before = row.user.empty() ? salesforce_id("005", 0) : row.user;
  const int64_t stamp_before_s = row.stamp_s;
  for (const auto& [field, after] : values) {
    row.history.push_back({sequence, author, field, value(number, field), after, stamp_before_s, user_before});
    if (field == is_deleted) {
      deleted_ += after == "true" ? 1U : 0U;
      deleted_ -= row.is_deleted ? 1U : 0U;
      row.is_deleted = after == "true";
    } else {
      row.values[field] = after;
    }
  }
  row.user = author.user;
  // A later change never has an earlier stamp.
  move(number, row, std::max(author.at_s, stamp_before_s));
  order_.emplace_back(sequence, number);
}

void SalesforceObject::undo(uint64_t sequence) {
  while (!order_.empty() && order_.back().first > sequence) {
    const uint64_t number = order_.back().second;
    order_.pop_back();
    Row& row = rows_.at(number);
    while (!row.history.empty() && row.history.back().sequence > sequence) {
      const FieldChange change = std::move(row.history.back());
      row.history.pop_back();
      if (change.field == is_deleted) {
        deleted_ -= row.is_deleted && change.before != "true" ? 1U : 0U;
        row.is_deleted = change.before == "true";
      } else {
        row.values[change.field] = change.before;
      }
      row.user = change.user_before;
      move(number, row, change.stamp_before_s);
    }
  }
}

const std::vector<FieldChange>& SalesforceObject::history(uint64_t number) const {
  static const std::vector<FieldChange> none;
  const Row* const known = row(number);
  return known ? known->history : none;
}

std::vector<uint64_t> SalesforceObject::changed() const {
  std::vector<uint64_t> numbers;
  for (const auto& [number, row] : rows_) {
    if (!row.history.empty()) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

SalesforceObject::StampCursor::StampCursor(const SalesforceObject& object, int64_t stamp_s, uint64_t number)
    : object_(object), base_(0), moved_(object.moved_.lower_bound({stamp_s, number})) {
  const GeneratedRecords& records = object_.records_;
  if (stamp_s >= records.first_stamp_s) {
    const auto seconds = static_cast<uint64_t>(stamp_s - records.first_stamp_s);
    base_ = seconds > records.count ? records.count : std::min(records.count, seconds * records.per_second);
    // Among those of the same second, the number decides.
    if (number > base_) base_ = std::min({number, base_ + records.per_second, records.count});
  }
  settle();
}

void SalesforceObject::StampCursor::settle() {
  while (base_ < object_.records_.count && object_.is_moved_[base_]) ++base_;
}

bool SalesforceObject::StampCursor::takes_moved() const {
  if (moved_ == object_.moved_.end()) return false;
  if (base_ >= object_.records_.count) return true;
  return *moved_ < std::pair(object_.made_stamp_s(base_), base_);
}

bool SalesforceObject::StampCursor::is_at_end() const {
  return base_ >= object_.records_.count && moved_ == object_.moved_.end();
}

uint64_t SalesforceObject::StampCursor::number() const { return takes_moved() ? moved_->second : base_; }

void SalesforceObject::StampCursor::next() {
  if (takes_moved()) {
    ++moved_;
  } else {
    ++base_;
    settle();
  }
}

}  // namespace waybill::testing::fault
