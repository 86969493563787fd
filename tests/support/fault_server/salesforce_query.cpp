// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_query.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/text.hpp"
#include "support/fault_server/salesforce_condition.hpp"
#include "support/fault_server/salesforce_store.hpp"

namespace waybill::testing::fault {

namespace {

class Binder {
 public:
  Binder(const SalesforceStore& store, const SalesforceUser& user, const SoqlQuery& query)
      : store_(store), user_(user), query_(query) {
    const SalesforceObject* const found = store.find(query.object);
    if (!found || !may_read(user, *found)) {
      throw soql_error("INVALID_TYPE", query.text, query.object_offset,
                       "sObject type '" + query.object +
                           "' is not supported. If you are attempting to use a custom object, be sure to append the "
                           "'__c' after the entity name. Please reference your WSDL or the describe call for the "
                           "appropriate names.");
    }
    object_ = found;
  }

  const SalesforceObject& object() const { return *object_; }

  BoundPath find(const SoqlPath& path) const {
    BoundPath bound;
    const SalesforceObject* object = object_;
    for (size_t at = 0; at < path.names.size(); ++at) {
      const std::string& name = path.names[at];
      // A path may begin with the object's own name.
      if (at == 0 && path.names.size() > 1 && equals_ignoring_case(name, object->name())) continue;
      const bool is_last = at + 1 == path.names.size();
      const auto field = is_last ? object->field(name) : object->relationship(name);
      const SalesforceField* const known = field ? &object->fields()[*field] : nullptr;
      if (!known || !may_read(user_, *object, known)) throw no_column(path, name, is_last, *object);
      bound.steps.emplace_back(object, *field);
      if (is_last) break;
      object = store_.find(known->refers_to);
      if (!object || !may_read(user_, *object)) throw no_column(path, name, false, *bound.steps.back().first);
    }
    return bound;
  }

  std::shared_ptr<SalesforceSelection> selection() const {
    auto whole = std::make_shared<SalesforceSelection>();
    whole->store = &store_;
    whole->object = object_;
    for (const SoqlPath& path : query_.select) {
      const BoundPath bound = find(path);
      SalesforceSelection* into = whole.get();
      for (size_t at = 0; at + 1 < bound.steps.size(); ++at) into = follow(*into, bound, at);
      const size_t field = bound.steps.back().second;
      const auto same = [&](const SalesforceSelection::Item& item) { return !item.followed && item.field == field; };
      if (std::any_of(into->items.begin(), into->items.end(), same)) {
        throw soql_error("INVALID_FIELD", query_.text, path.offset, "duplicate field selected: " + path.names.back());
      }
      into->items.push_back({bound.field().name, field, nullptr});
    }
    return whole;
  }

 private:
  SalesforceError no_column(const SoqlPath& path, const std::string& name, bool is_last,
                            const SalesforceObject& object) const {
    if (!is_last) {
      return soql_error("INVALID_FIELD", query_.text, path.offset,
                        "Didn't understand relationship '" + name +
                            "' in field path. If you are attempting to use a custom relationship, be sure to append "
                            "the '__r' after the custom relationship name. Please reference your WSDL or the describe "
                            "call for the appropriate names.");
    }
    return soql_error("INVALID_FIELD", query_.text, path.offset,
                      "No such column '" + name + "' on entity '" + object.name() +
                          "'. If you are attempting to use a custom field, be sure to append the '__c' after the "
                          "custom field name. Please reference your WSDL or the describe call for the appropriate "
                          "names.");
  }

  SalesforceSelection* follow(SalesforceSelection& from, const BoundPath& bound, size_t at) const {
    const size_t field = bound.steps[at].second;
    for (SalesforceSelection::Item& item : from.items) {
      if (item.followed && item.field == field) return item.followed.get();
    }
    auto next = std::make_unique<SalesforceSelection>();
    next->store = &store_;
    next->object = bound.steps[at + 1].first;
    from.items.push_back({bound.steps[at].first->fields()[field].relationship, field, std::move(next)});
    return from.items.back().followed.get();
  }

  const SalesforceStore& store_;
  const SalesforceUser& user_;
  const SoqlQuery& query_;
  const SalesforceObject* object_ = nullptr;
};

struct SortKey {
  BoundPath path;
  bool is_descending;
  bool has_nulls_last;
};

int compare(const FieldValue& left, const FieldValue& right, const SortKey& key) {
  if (!left || !right) {
    if (!left && !right) return 0;
    return (left ? 1 : -1) * (key.has_nulls_last ? -1 : 1);
  }
  const std::string& type = key.path.field().type;
  int order = 0;
  if (type == "int" || type == "double") {
    const double difference = std::strtod(left->c_str(), nullptr) - std::strtod(right->c_str(), nullptr);
    order = difference < 0 ? -1 : difference > 0 ? 1 : 0;
  } else if (type == "id" || type == "reference" || type == "datetime") {
    order = left->compare(*right);
  } else {
    order = lower_case(*left).compare(lower_case(*right));
  }
  return key.is_descending ? -order : order;
}

void sort_by(std::vector<uint32_t>& numbers, const std::vector<SortKey>& keys) {
  std::vector<std::pair<std::vector<FieldValue>, uint32_t>> rows;
  rows.reserve(numbers.size());
  for (const uint32_t number : numbers) {
    std::vector<FieldValue> values;
    for (const SortKey& key : keys) values.push_back(key.path.value(number));
    rows.emplace_back(std::move(values), number);
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const auto& left, const auto& right) {
    for (size_t at = 0; at < keys.size(); ++at) {
      const int order = compare(left.first[at], right.first[at], keys[at]);
      if (order != 0) return order < 0;
    }
    return false;
  });
  for (size_t at = 0; at < rows.size(); ++at) numbers[at] = rows[at].second;
}

// Collects what meets the condition, in one of the two orders that are known without sorting.
class Scan {
 public:
  Scan(const SalesforceObject& object, const BoundCondition* condition, bool has_deleted, uint64_t limit)
      : object_(object), condition_(condition), has_deleted_(has_deleted), limit_(limit) {}

  std::vector<uint32_t> by_number() {
    if (condition_) {
      if (const auto named = condition_->named()) {
        for (const uint64_t number : *named) take(number);
        return std::move(numbers_);
      }
    }
    const auto [begin, end] = condition_ ? condition_->numbers() : std::pair<uint64_t, uint64_t>{0, UINT64_MAX};
    for (uint64_t number = begin; number < std::min(end, object_.count()) && !is_full(); ++number) take(number);
    return std::move(numbers_);
  }

  std::vector<uint32_t> by_stamp() {
    const StampPlace first = condition_ ? condition_->first_place() : StampPlace{INT64_MIN, 0};
    const int64_t last = condition_ ? condition_->last_stamp() : INT64_MAX;
    SalesforceObject::StampCursor cursor(object_, first.first, first.second);
    for (; !cursor.is_at_end() && !is_full(); cursor.next()) {
      const uint64_t number = cursor.number();
      if (object_.stamp_s(number) > last) break;
      take(number);
    }
    return std::move(numbers_);
  }

 private:
  bool is_full() const { return numbers_.size() >= limit_; }
  void take(uint64_t number) {
    if (is_full() || (!has_deleted_ && object_.deleted(number))) return;
    if (!condition_ || condition_->holds(number)) numbers_.push_back(static_cast<uint32_t>(number));
  }

  const SalesforceObject& object_;
  const BoundCondition* condition_;
  bool has_deleted_;
  uint64_t limit_;
  std::vector<uint32_t> numbers_;
};

std::vector<SortKey> sort_keys(const Binder& binder, const SoqlQuery& query) {
  std::vector<SortKey> keys;
  for (const SoqlOrder& order : query.order) {
    keys.push_back({binder.find(order.path), order.is_descending, order.has_nulls_last});
    const SalesforceField& field = keys.back().path.field();
    if (!field.is_sortable) {
      throw soql_error("MALFORMED_QUERY", query.text, order.path.offset,
                       "field '" + field.name + "' can not be sorted in a query call");
    }
  }
  return keys;
}

bool is_order(const std::vector<SortKey>& keys, std::initializer_list<size_t> fields) {
  if (keys.size() > fields.size()) return false;
  for (size_t at = 0; at < keys.size(); ++at) {
    if (keys[at].is_descending || !keys[at].path.is_own(*(fields.begin() + static_cast<std::ptrdiff_t>(at))))
      return false;
  }
  return true;
}

}  // namespace

bool may_read(const SalesforceUser& user, const SalesforceObject& object, const SalesforceField* field) {
  if (user.hidden.contains(object.name())) return false;
  return !field || !user.hidden.contains(object.name() + "." + field->name);
}

bool may_edit(const SalesforceUser& user, const SalesforceObject& object, const SalesforceField* field) {
  if (!may_read(user, object, field) || user.read_only.contains(object.name())) return false;
  return !field || (field->is_updateable && !user.read_only.contains(object.name() + "." + field->name));
}

const SalesforceObject& visible_object(const SalesforceStore& store, const SalesforceUser& user,
                                       const std::string& name) {
  const SalesforceObject* const found = store.find(name);
  if (!found || !may_read(user, *found)) {
    throw SalesforceError{404, "NOT_FOUND", "The requested resource does not exist"};
  }
  return *found;
}

void append_json_value(std::string& out, const SalesforceField& field, const FieldValue& value) {
  if (!value) {
    out += "null";
  } else if (field.type == "boolean" || field.type == "int" || field.type == "double") {
    out += *value;
  } else if (field.type == "datetime") {
    // As REST writes it: 2026-01-01T00:00:00.000+0000.
    out += '"' + value->substr(0, value->size() - 1) + "+0000\"";
  } else {
    append_json(out, *value);
  }
}

void SalesforceSelection::append_json_record(std::string& out, uint64_t number, const std::string& version,
                                             uint64_t at) const {
  const std::string url = "/services/data/v" + version + "/sobjects/" + object->name() + "/" + object->id(number);
  out += "{\"attributes\":{\"type\":\"" + object->name() + "\",\"url\":\"" + url + "\"}";
  for (const Item& item : items) {
    out += ",\"" + item.name + "\":";
    const SalesforceField& field = object->fields()[item.field];
    if (field.type == "base64") {
      append_json(out, url + "/" + field.name);
      continue;
    }
    const FieldValue value = object->value(number, item.field, at);
    if (!item.followed) {
      append_json_value(out, field, value);
      continue;
    }
    const auto next = value ? item.followed->object->number(*value) : std::nullopt;
    if (next) {
      item.followed->append_json_record(out, *next, version, at);
    } else {
      out += "null";
    }
  }
  out += '}';
}

std::vector<std::string> SalesforceSelection::columns(const std::string& prefix) const {
  std::vector<std::string> names;
  for (const Item& item : items) {
    if (!item.followed) {
      names.push_back(prefix + item.name);
      continue;
    }
    for (std::string& name : item.followed->columns(prefix + item.name + ".")) names.push_back(std::move(name));
  }
  return names;
}

void SalesforceSelection::values(std::optional<uint64_t> number, uint64_t at, std::vector<FieldValue>& out) const {
  for (const Item& item : items) {
    FieldValue value = number ? object->value(*number, item.field, at) : std::nullopt;
    if (item.followed) {
      item.followed->values(value ? item.followed->object->number(*value) : std::nullopt, at, out);
    } else {
      out.push_back(std::move(value));
    }
  }
}

SalesforceResult run_soql(const SalesforceStore& store, const SalesforceUser& user, const SoqlQuery& query,
                          bool has_deleted) {
  const Binder binder(store, user, query);
  const FindPath find = [&](const SoqlPath& path) { return binder.find(path); };
  SalesforceResult result;
  result.selection = binder.selection();
  std::optional<BoundCondition> condition;
  if (query.where) condition.emplace(*query.where, find, query.text);
  const std::vector<SortKey> keys = sort_keys(binder, query);
  const SalesforceObject& object = binder.object();
  std::vector<size_t> pinned;
  for (size_t field = 0; field < object.fields().size(); ++field) {
    if (object.fields()[field].has_to_be_pinned) pinned.push_back(field);
  }
  if (!pinned.empty() && !(condition && condition->pins(pinned))) {
    throw SalesforceError{400, "MALFORMED_QUERY",
                          "Implementation restriction: " + object.name() +
                              " requires a filter by a single Id on ContentDocumentId or LinkedEntityId using the "
                              "equals operator or multiple Id's using the IN operator."};
  }
  const uint64_t limit = query.limit.value_or(UINT64_MAX);
  const bool is_by_number = is_order(keys, {SalesforceObject::id_field});
  const bool is_by_stamp = is_order(keys, {SalesforceObject::system_modstamp, SalesforceObject::id_field});
  const bool is_sorted = is_by_number || is_by_stamp;
  Scan scan(object, condition ? &*condition : nullptr, has_deleted, is_sorted ? limit : UINT64_MAX);
  const bool takes_stamps = is_by_stamp && (!keys.empty() || (condition && condition->is_about_stamps()));
  result.numbers = takes_stamps ? scan.by_stamp() : scan.by_number();
  if (!is_sorted) {
    sort_by(result.numbers, keys);
    if (result.numbers.size() > limit) result.numbers.resize(limit);
  }
  return result;
}

}  // namespace waybill::testing::fault
