// SPDX-License-Identifier: Apache-2.0
//
// A condition of a query with its words looked up: tried on a record, and asked where in an order records that meet it
// can begin and end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/fault_server/salesforce_object.hpp"
#include "support/fault_server/salesforce_soql.hpp"

namespace waybill::testing::fault {

/// The fields that a path goes through; the last one is the value.
struct BoundPath {
  std::vector<std::pair<const SalesforceObject*, size_t>> steps;

  bool is_own(size_t field) const { return steps.size() == 1 && steps[0].second == field; }
  const SalesforceField& field() const { return steps.back().first->fields()[steps.back().second]; }
  FieldValue value(uint64_t number) const;
};

/// Looks a path up; throws INVALID_FIELD.
using FindPath = std::function<BoundPath(const SoqlPath&)>;

/// (SystemModstamp in seconds, number) of a record.
using StampPlace = std::pair<int64_t, uint64_t>;

class BoundCondition {
 public:
  /// Throws SalesforceError.
  BoundCondition(const SoqlCondition& condition, const FindPath& find, const std::string& query);

  bool holds(uint64_t number) const;
  /// No record before this number meets it; none from the second on.
  std::pair<uint64_t, uint64_t> numbers() const;
  /// No record before this place meets it.
  StampPlace first_place() const;
  /// No record with a later stamp meets it.
  int64_t last_stamp() const;
  bool is_about_stamps() const { return first_place().first > INT64_MIN || last_stamp() < INT64_MAX; }
  /// The numbers of the records that can meet it, in order, where it names them (Id = or IN).
  std::optional<std::vector<uint64_t>> named() const;
  /// Whether it holds only for given values of one of these fields.
  bool pins(const std::vector<size_t>& fields) const;

 private:
  struct Wanted {
    bool is_null = false;
    std::string text;  ///< lower case, or 15 characters of an id
    double number = 0;
    int64_t ms = 0;
  };
  enum class Form { text, id, number, time, boolean };

  Wanted wanted(const SoqlLiteral& literal, const SoqlPath& path, const std::string& query) const;
  bool matches(const FieldValue& value, const Wanted& wanted) const;
  bool is_equal(const FieldValue& value, const Wanted& wanted) const;
  uint64_t number_of(const Wanted& wanted) const;

  SoqlCondition::Kind kind_;
  std::vector<BoundCondition> parts_;
  BoundPath path_;
  std::string comparison_;
  Form form_ = Form::text;
  std::vector<Wanted> wanted_;
};

std::string lower_case(std::string_view text);

}  // namespace waybill::testing::fault
