// SPDX-License-Identifier: Apache-2.0
//
// An sObject of the fault server's Salesforce: its fields and its records. Records are made up from their number, so
// that any number of them costs no memory; what is changed is kept with its whole history.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/fault_server/content.hpp"

namespace waybill::testing::fault {

/// As text, whatever the field's type: "true", "12", "2026-01-01T00:00:00.000Z"; nothing is null.
using FieldValue = std::optional<std::string>;

struct SalesforceField {
  std::string name;
  std::string type = "string";  ///< id, string, url, textarea, reference, datetime, boolean, int, double, base64
  uint64_t length = 255;        ///< most characters of a text
  bool is_filterable = true;
  bool is_sortable = true;
  bool is_updateable = true;
  bool is_nillable = true;
  std::string refers_to;     ///< the object of a reference
  std::string relationship;  ///< the name by which a path follows the reference
  /// What a made-up record has: {n} is the record's number, {n%500} and {n/3} what they say, {n:8} with so many digits;
  /// {n%3=2} is "true" or "false", {n%3+1} one more;
  /// {size} and {md5} are the body's. For a reference, the number of the other record. "" is null.
  std::string made{};
  std::string refers_prefix{};    ///< key prefix of `refers_to`
  bool has_to_be_pinned = false;  ///< queries have to give values for it, or for another such field
};

/// Who changes something, by which call, and when.
struct SalesforceAuthor {
  std::string user;  ///< its id
  std::string call;  ///< "UpdateCollection", …; "user" for an edit by hand
  int64_t at_s = 0;
};

struct FieldChange {
  uint64_t sequence = 0;  ///< over all objects, from 1
  SalesforceAuthor author;
  size_t field = 0;
  FieldValue before;
  FieldValue after;
  int64_t stamp_before_s = 0;
  std::string user_before;
};

struct GeneratedRecords {
  uint64_t count = 0;
  int64_t first_stamp_s = 1'735'689'600;  ///< SystemModstamp of the first record: 2025-01-01
  uint64_t per_second = 1;                ///< so many consecutive records have the same SystemModstamp
  uint64_t body_size = 0;                 ///< of the base64 field's content, where there is one
  uint64_t body_size_most = 0;            ///< where larger: sizes lie between the two
  uint64_t seed = 1;
  bool only_planted = false;  ///< those that are neither planted nor changed are as if they had been deleted
};

/// Records are numbered from 0; ids are in the order of the numbers. *Thread safety:* none.
class SalesforceObject {
 public:
  // The fields that every object has, by their place; the object's own follow.
  enum : size_t {
    id_field,
    is_deleted,
    created_date,
    last_modified_date,
    last_modified_by,
    system_modstamp,
    own_fields
  };

  SalesforceObject(std::string name, std::string key_prefix, std::vector<SalesforceField> fields);

  const std::string& name() const noexcept { return name_; }
  const std::string& key_prefix() const noexcept { return key_prefix_; }
  bool is_custom() const noexcept { return name_.ends_with("__c"); }
  const std::vector<SalesforceField>& fields() const noexcept { return fields_; }
  /// The place of a field, whatever its case.
  std::optional<size_t> field(std::string_view name) const;
  /// The reference field that a path follows under this name.
  std::optional<size_t> relationship(std::string_view name) const;
  /// The field that holds content; nothing where there is none.
  std::optional<size_t> body_field() const;

  void generate(GeneratedRecords records);
  uint64_t count() const noexcept { return records_.count; }
  uint64_t deleted_count() const noexcept { return deleted_; }
  /// Of 18 characters.
  std::string id(uint64_t number) const;
  /// Of an id with 15 or 18 characters; nothing where it is none of this object, or of no record.
  std::optional<uint64_t> number(std::string_view id) const;

  /// As it was after the change `at`; by default as it is.
  FieldValue value(uint64_t number, size_t field, uint64_t at = UINT64_MAX) const;
  /// SystemModstamp, in seconds.
  int64_t stamp_s(uint64_t number, uint64_t at = UINT64_MAX) const;
  bool deleted(uint64_t number, uint64_t at = UINT64_MAX) const;
  ContentPtr body(uint64_t number) const;

  /// What a record has from the beginning, without a trace in its history.
  void plant(uint64_t number, size_t field, FieldValue value);
  /// One change of a record; fields may be is_deleted.
  void change(uint64_t number, const std::vector<std::pair<size_t, FieldValue>>& values, const SalesforceAuthor& author,
              uint64_t sequence);
  /// Undoes the changes after `sequence`, as if they had never been.
  void undo(uint64_t sequence);
  /// Oldest first.
  const std::vector<FieldChange>& history(uint64_t number) const;
  /// The records that were ever changed.
  std::vector<uint64_t> changed() const;

  /// Walks over all records in the order of (SystemModstamp, Id), also the deleted ones.
  class StampCursor {
   public:
    /// Begins at the first record that is not before (stamp_s, number).
    StampCursor(const SalesforceObject& object, int64_t stamp_s, uint64_t number);
    bool is_at_end() const;
    uint64_t number() const;
    void next();

   private:
    void settle();
    bool takes_moved() const;
    const SalesforceObject& object_;
    uint64_t base_;
    std::set<std::pair<int64_t, uint64_t>>::const_iterator moved_;
  };

 private:
  struct Row {
    std::map<size_t, FieldValue> values;
    int64_t stamp_s = 0;
    std::string user;
    bool is_deleted = false;
    std::vector<FieldChange> history;
  };

  int64_t made_stamp_s(uint64_t number) const noexcept;
  std::string made_value(uint64_t number, const std::string& made) const;
  const Row* row(uint64_t number) const;
  Row& touch(uint64_t number);
  void move(uint64_t number, Row& row, int64_t stamp_s);

  std::string name_;
  std::string key_prefix_;
  std::vector<SalesforceField> fields_;
  GeneratedRecords records_;
  std::unordered_map<uint64_t, Row> rows_;        // changed or planted
  std::set<std::pair<int64_t, uint64_t>> moved_;  // whose SystemModstamp is not the made-up one
  std::vector<bool> is_moved_;
  std::vector<std::pair<uint64_t, uint64_t>> order_;  // sequence and record of each change
  uint64_t deleted_ = 0;
};

/// "Ab1" and a number as an id of 18 characters.
std::string salesforce_id(std::string_view key_prefix, uint64_t number);
/// The 15 characters that count; nothing where the text is no id.
std::optional<std::string> salesforce_id_15(std::string_view id);
bool equals_ignoring_case(std::string_view left, std::string_view right) noexcept;

}  // namespace waybill::testing::fault
