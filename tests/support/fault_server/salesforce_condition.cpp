// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_condition.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/text.hpp"

namespace waybill::testing::fault {

namespace {

// '%' any, '_' one, a backslash before either makes it a character.
bool is_like(std::string_view text, std::string_view pattern) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '%') {
    for (size_t skipped = 0; skipped <= text.size(); ++skipped) {
      if (is_like(text.substr(skipped), pattern.substr(1))) return true;
    }
    return false;
  }
  if (text.empty()) return false;
  const bool is_escaped = pattern[0] == '\\' && pattern.size() > 1;
  const char wanted = is_escaped ? pattern[1] : pattern[0];
  if (wanted != text[0] && (is_escaped || wanted != '_')) return false;
  return is_like(text.substr(1), pattern.substr(is_escaped ? 2 : 1));
}

bool orders(const std::string& comparison, int order) {
  if (comparison == "<") return order < 0;
  if (comparison == "<=") return order <= 0;
  if (comparison == ">") return order > 0;
  return order >= 0;
}

template <class Value>
int order_of(const Value& left, const Value& right) {
  return left < right ? -1 : right < left ? 1 : 0;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& letter : lower) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return lower;
}

FieldValue BoundPath::value(uint64_t number) const {
  for (size_t at = 0;; ++at) {
    FieldValue value = steps[at].first->value(number, steps[at].second);
    if (at + 1 == steps.size() || !value) return value;
    const auto next = steps[at + 1].first->number(*value);
    if (!next) return std::nullopt;
    number = *next;
  }
}

BoundCondition::BoundCondition(const SoqlCondition& condition, const FindPath& find, const std::string& query)
    : kind_(condition.kind), comparison_(condition.comparison) {
  for (const SoqlCondition& part : condition.parts) parts_.emplace_back(part, find, query);
  if (kind_ != SoqlCondition::Kind::compare) return;
  path_ = find(condition.path);
  const SalesforceField& field = path_.field();
  if (!field.is_filterable) {
    throw soql_error("INVALID_FIELD", query, condition.path.offset,
                     "field '" + field.name + "' can not be filtered in a query call");
  }
  if (field.type == "id" || field.type == "reference") form_ = Form::id;
  if (field.type == "datetime") form_ = Form::time;
  if (field.type == "boolean") form_ = Form::boolean;
  if (field.type == "int" || field.type == "double") form_ = Form::number;
  const bool is_ordering = comparison_[0] == '<' || comparison_[0] == '>';
  if ((comparison_ == "LIKE" && form_ != Form::text) || (is_ordering && form_ == Form::boolean)) {
    throw SalesforceError{400, "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on " + field.type + " field"};
  }
  for (const SoqlLiteral& literal : condition.values) wanted_.push_back(wanted(literal, condition.path, query));
}

BoundCondition::Wanted BoundCondition::wanted(const SoqlLiteral& literal, const SoqlPath& path,
                                              const std::string& query) const {
  using Kind = SoqlLiteral::Kind;
  Wanted wanted;
  const SalesforceField& field = path_.field();
  const auto require = [&](Kind kind, const char* type, const char* how) {
    if (literal.kind == kind) return;
    throw soql_error("INVALID_FIELD", query, path.offset,
                     "value of filter criterion for field '" + field.name + "' must be of type " + type + how);
  };
  if (literal.kind == Kind::null) {
    wanted.is_null = true;
    return wanted;
  }
  switch (form_) {
    case Form::text:
      require(Kind::text, "string", " and should be enclosed in quotes");
      wanted.text = lower_case(literal.text);
      break;
    case Form::id: {
      require(Kind::text, "string", " and should be enclosed in quotes");
      const auto id = salesforce_id_15(literal.text);
      if (!id) throw SalesforceError{400, "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: " + literal.text};
      wanted.text = *id;
      break;
    }
    case Form::number:
      require(Kind::number, "double", " and should not be enclosed in quotes");
      wanted.number = std::strtod(literal.text.c_str(), nullptr);
      break;
    case Form::time: {
      require(Kind::time, "dateTime", " and should not be enclosed in quotes");
      const auto ms = internal::parse_rfc3339(literal.text);
      if (!ms) throw soql_error("MALFORMED_QUERY", query, path.offset, "Invalid datetime: " + literal.text);
      wanted.ms = *ms;
      break;
    }
    case Form::boolean:
      require(Kind::boolean, "boolean", " and should not be enclosed in quotes");
      wanted.text = literal.text;
      break;
  }
  return wanted;
}

bool BoundCondition::is_equal(const FieldValue& value, const Wanted& wanted) const {
  if (wanted.is_null || !value) return wanted.is_null && !value;
  switch (form_) {
    case Form::text:
      return lower_case(*value) == wanted.text;
    case Form::id:
      return std::string_view(*value).substr(0, 15) == wanted.text;
    case Form::boolean:
      return *value == wanted.text;
    case Form::number:
      return std::strtod(value->c_str(), nullptr) == wanted.number;
    case Form::time:
      return internal::parse_rfc3339(*value) == wanted.ms;
  }
  return false;
}

bool BoundCondition::matches(const FieldValue& value, const Wanted& wanted) const {
  if (comparison_ == "=") return is_equal(value, wanted);
  if (comparison_ == "!=") return !is_equal(value, wanted);
  if (wanted.is_null || !value) return false;
  if (comparison_ == "LIKE") return is_like(lower_case(*value), wanted.text);
  switch (form_) {
    case Form::text:
      return orders(comparison_, order_of(lower_case(*value), wanted.text));
    case Form::id:
      return orders(comparison_, order_of(value->substr(0, 15), wanted.text));
    case Form::number:
      return orders(comparison_, order_of(std::strtod(value->c_str(), nullptr), wanted.number));
    case Form::time:
      return orders(comparison_, order_of(internal::parse_rfc3339(*value).value_or(0), wanted.ms));
    case Form::boolean:
      break;
  }
  return false;
}

bool BoundCondition::holds(uint64_t number) const {
  const auto part_holds = [&](const BoundCondition& part) { return part.holds(number); };
  switch (kind_) {
    case SoqlCondition::Kind::all_of:
      return std::all_of(parts_.begin(), parts_.end(), part_holds);
    case SoqlCondition::Kind::any_of:
      return std::any_of(parts_.begin(), parts_.end(), part_holds);
    case SoqlCondition::Kind::negation:
      return !parts_[0].holds(number);
    case SoqlCondition::Kind::compare:
      break;
  }
  // Stamps without the way over their text, because conditions on them are tried on many records.
  const bool is_stamp =
      path_.is_own(SalesforceObject::system_modstamp) || path_.is_own(SalesforceObject::last_modified_date);
  if (is_stamp && !comparison_.ends_with("IN") && !wanted_[0].is_null) {
    const int64_t ms = path_.steps[0].first->stamp_s(number) * 1000;
    if (comparison_ == "=") return ms == wanted_[0].ms;
    if (comparison_ == "!=") return ms != wanted_[0].ms;
    return orders(comparison_, order_of(ms, wanted_[0].ms));
  }
  const FieldValue value = path_.value(number);
  if (!comparison_.ends_with("IN")) return matches(value, wanted_[0]);
  const bool is_one =
      std::any_of(wanted_.begin(), wanted_.end(), [&](const Wanted& wanted) { return is_equal(value, wanted); });
  return is_one == (comparison_ == "IN");
}

// An id that is of no record stands between those that are: the first number whose id is not less.
uint64_t BoundCondition::number_of(const Wanted& wanted) const {
  const SalesforceObject& object = *path_.steps[0].first;
  uint64_t low = 0;
  uint64_t high = object.count();
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (object.id(middle).substr(0, 15) < wanted.text) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::pair<uint64_t, uint64_t> BoundCondition::numbers() const {
  std::pair<uint64_t, uint64_t> all{0, UINT64_MAX};
  if (kind_ == SoqlCondition::Kind::all_of) {
    for (const BoundCondition& part : parts_) {
      const auto own = part.numbers();
      all = {std::max(all.first, own.first), std::min(all.second, own.second)};
    }
  } else if (kind_ == SoqlCondition::Kind::any_of) {
    all = parts_[0].numbers();
    for (const BoundCondition& part : parts_) {
      const auto own = part.numbers();
      all = {std::min(all.first, own.first), std::max(all.second, own.second)};
    }
  } else if (kind_ == SoqlCondition::Kind::compare && path_.is_own(SalesforceObject::id_field) && !wanted_[0].is_null) {
    const uint64_t place = number_of(wanted_[0]);
    if (comparison_[0] == '>') all.first = place;
    if (comparison_[0] == '<') all.second = place + 1;
  }
  return all;
}

StampPlace BoundCondition::first_place() const {
  StampPlace first{INT64_MIN, 0};
  if (kind_ == SoqlCondition::Kind::all_of) {
    for (const BoundCondition& part : parts_) first = std::max(first, part.first_place());
    // SystemModstamp = X AND Id > Y begins behind Y.
    for (const BoundCondition& part : parts_) {
      const bool is_exact = part.kind_ == SoqlCondition::Kind::compare && part.comparison_ == "=" &&
                            part.first_place() == StampPlace{first.first, 0};
      if (is_exact && first.first > INT64_MIN) first.second = std::max(first.second, numbers().first);
    }
  } else if (kind_ == SoqlCondition::Kind::any_of) {
    first = parts_[0].first_place();
    for (const BoundCondition& part : parts_) first = std::min(first, part.first_place());
  } else if (kind_ == SoqlCondition::Kind::compare && path_.is_own(SalesforceObject::system_modstamp) &&
             !wanted_[0].is_null) {
    // Stamps are whole seconds.
    const int64_t ms = wanted_[0].ms;
    const int64_t floor_s = ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
    if (comparison_ == ">") first.first = floor_s + 1;
    if (comparison_ == ">=" || comparison_ == "=") first.first = floor_s * 1000 == ms ? floor_s : floor_s + 1;
  }
  return first;
}

int64_t BoundCondition::last_stamp() const {
  int64_t last = INT64_MAX;
  if (kind_ == SoqlCondition::Kind::all_of) {
    for (const BoundCondition& part : parts_) last = std::min(last, part.last_stamp());
  } else if (kind_ == SoqlCondition::Kind::any_of) {
    last = parts_[0].last_stamp();
    for (const BoundCondition& part : parts_) last = std::max(last, part.last_stamp());
  } else if (kind_ == SoqlCondition::Kind::compare && path_.is_own(SalesforceObject::system_modstamp) &&
             !wanted_[0].is_null && (comparison_[0] == '<' || comparison_ == "=")) {
    last = wanted_[0].ms / 1000;
  }
  return last;
}

std::optional<std::vector<uint64_t>> BoundCondition::named() const {
  if (kind_ == SoqlCondition::Kind::all_of) {
    for (const BoundCondition& part : parts_) {
      if (auto own = part.named()) return own;
    }
    return std::nullopt;
  }
  if (kind_ != SoqlCondition::Kind::compare || !path_.is_own(SalesforceObject::id_field)) return std::nullopt;
  if (comparison_ != "=" && comparison_ != "IN") return std::nullopt;
  std::vector<uint64_t> numbers;
  for (const Wanted& wanted : wanted_) {
    if (const auto number = path_.steps[0].first->number(wanted.text)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

bool BoundCondition::pins(const std::vector<size_t>& fields) const {
  if (kind_ == SoqlCondition::Kind::all_of) {
    return std::any_of(parts_.begin(), parts_.end(), [&](const BoundCondition& part) { return part.pins(fields); });
  }
  if (kind_ != SoqlCondition::Kind::compare || (comparison_ != "=" && comparison_ != "IN")) return false;
  return std::any_of(fields.begin(), fields.end(), [&](size_t field) { return path_.is_own(field); });
}

}  // namespace waybill::testing::fault
