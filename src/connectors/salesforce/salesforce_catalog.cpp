// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/salesforce_catalog.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "base/text.hpp"
#include "base/timebox.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "connectors/salesforce/organization_probe.hpp"
#include "connectors/salesforce/record_reader.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using nlohmann::json;

constexpr const char* stamp_field = "SystemModstamp";
// Of one call to read them.
constexpr size_t most_ids = 2000;
// An id that no record has.
constexpr const char* nobody = "000000000000000AAA";
// At records that are guarded, while others keep changing what is beside them.
constexpr int most_looks = 4;
constexpr std::chrono::seconds describing_patience{20};
// Records of transactions that ended late have stamps from before a listing that could not see them.
constexpr int64_t overlap_ms = 10 * 60 * 1000;

Error bad(const std::string& message) { return {ErrorCode::invalid_argument, ErrorClass::configuration, message}; }
Error no_right(const std::string& message) { return {ErrorCode::permission_denied, ErrorClass::permission, message}; }

// "2026-11-22T05:00:00.000+0000", as answers have it, is no literal of SOQL: "2026-11-22T05:00:00.000Z" is.
std::string stamp_of(std::string stamp) {
  constexpr std::string_view zone = "+0000";
  if (stamp.ends_with(zone)) stamp.replace(stamp.size() - zone.size(), zone.size(), "Z");
  return stamp;
}

bool may_hold_urls(const Field& field) {
  return field.type == "url" || field.type == "string" || field.type == "textarea" || field.type == "encryptedstring";
}

std::unique_ptr<RecordWriter> writer_of(Client& client, const FieldConfig& config) {
  if (config.mode == Mode::frozen) return write_by_bulk(client, config.object, config.field);
  return write_collections(client, config.object, config.field, config.mode == Mode::safe);
}

class Lister final : public ReferenceLister {
 public:
  Lister(std::unique_ptr<RecordReader> records, const FieldConfig& config) : records_(std::move(records)), config_(config) {}

  ReferencePage next(Context& context) override {
    RecordPage records = records_->next(context);
    ReferencePage page;
    page.resume = std::move(records.resume);
    page.is_last = records.is_last;
    page.references.reserve(records.records.size());
    for (Record& record : records.records) page.references.push_back(reference_of(record));
    return page;
  }

 private:
  ReferenceValue reference_of(Record& record) const {
    const auto text = [&](const std::string& path) { return path.empty() ? std::string() : record[path].value_or(""); };
    ReferenceValue reference;
    reference.id = {config_.identity(), text("Id"), config_.field};
    reference.value = record[config_.field];
    reference.stamp = stamp_of(text(stamp_field));
    reference.partition = text(config_.partition);
    reference.partition_name = text(config_.partition_name);
    for (const std::string& name : config_.names) reference.names[name] = text(name);
    return reference;
  }

  const std::unique_ptr<RecordReader> records_;
  const FieldConfig& config_;  // of the catalog, which outlives its listers
};

}  // namespace

SalesforceCatalog::SalesforceCatalog(FieldConfig config)
    : config_(std::move(config)), client_(config_.organization), writer_(writer_of(client_, config_)) {}

Object SalesforceCatalog::described(Context& context) const {
  Object object = describe(client_, config_.object, context);
  const Field field = resolve(client_, object, config_.field, context);
  const std::scoped_lock lock(mutex_);
  length_ = field.length;
  return object;
}

Catalog::Capabilities SalesforceCatalog::capabilities() const {
  Capabilities capabilities;
  capabilities.conditional = config_.mode == Mode::safe ? Conditional::weak : Conditional::none;
  capabilities.max_batch = static_cast<uint32_t>(writer_->most());
  // In a job Salesforce itself tries again what is locked.
  capabilities.locks_partitions = config_.mode != Mode::frozen;
  std::optional<uint64_t> length;
  {
    const std::scoped_lock lock(mutex_);
    length = length_;
  }
  if (!length) {
    try {
      internal::Timebox context(Context::background(), describing_patience);
      described(context);
    } catch (const Error&) {
      return capabilities;  // what is wrong is told by the first call that matters
    }
    const std::scoped_lock lock(mutex_);
    length = length_;
  }
  capabilities.max_value_length = length.value_or(0);
  return capabilities;
}

void SalesforceCatalog::check(CatalogAccess access, Context& context) {
  const Object object = described(context);
  if (!object.is_queryable) throw no_right("the object " + object.name + " cannot be queried by this user");
  const Field field = resolve(client_, object, config_.field, context);
  const std::string name = object.name + "." + field.name;
  if (!may_hold_urls(field)) throw bad("the field " + name + " is of type " + printable(field.type) + ", which holds no URLs");
  for (const std::string& path : {config_.partition, config_.partition_name}) {
    if (!path.empty()) resolve(client_, object, path, context);
  }
  for (const std::string& path : config_.names) resolve(client_, object, path, context);
  if (access == CatalogAccess::read) return;
  constexpr const char* hint = "; give the user edit rights to it for the cutover";
  if (!object.is_updateable) throw no_right("this user may not edit the object " + object.name + hint);
  if (!field.is_updateable) throw no_right("this user may not edit the field " + name + hint);
  const Field* const stamp = object.find(stamp_field);
  if (config_.mode == Mode::safe && (stamp == nullptr || !stamp->is_filterable)) {
    throw bad("the object " + object.name + " cannot be filtered by " + stamp_field + ", which mode=safe needs; use mode=fast");
  }
}

std::vector<Diagnosis> SalesforceCatalog::diagnose(Context& context) {
  auto [is_open, found] = probe_organization(client_, context);
  if (!is_open) return found;
  try {
    check(CatalogAccess::read, context);
    const Object object = described(context);
    const Field field = resolve(client_, object, config_.field, context);
    found.push_back({Verdict::ok, "field",
                     object.name + "." + field.name + " can be read: " + printable(field.type) + " of at most " + std::to_string(field.length) +
                         " characters" + (field.is_filterable ? ", filterable" : ", not filterable, which is not needed"),
                     ""});
  } catch (const Error& error) {
    found.push_back(failed_at("field", error));
    return found;
  }
  try {
    check(CatalogAccess::update, context);
    found.push_back({Verdict::ok, "update", "this user may edit it", ""});
  } catch (const Error& error) {
    found.push_back(failed_at("update", error));
    found.back().verdict = Verdict::warn;  // a copy only reads
  }
  return found;
}

std::unique_ptr<ReferenceLister> SalesforceCatalog::list(const Since& since, Context&) {
  Selection selection;
  selection.object = config_.object;
  std::set<std::string> paths = {"Id", config_.field, stamp_field};
  paths.insert(config_.names.begin(), config_.names.end());
  for (const std::string& path : {config_.partition, config_.partition_name}) {
    if (!path.empty()) paths.insert(path);
  }
  selection.paths.assign(paths.begin(), paths.end());
  if (!since.stamp.empty()) {
    const auto ms = internal::parse_rfc3339(since.stamp);
    if (!ms) throw bad("the stamp of a listing is not one of " + config_.identity());
    selection.where = std::string(stamp_field) + " >= " + internal::format_rfc3339(*ms - overlap_ms);
  }
  return std::make_unique<Lister>(read_records(client_, std::move(selection), config_.reads, since.resume), config_);
}

std::optional<std::string> SalesforceCatalog::record_of(const ReferenceId& id) const {
  if (id.catalog != config_.identity()) throw bad("a reference of " + printable(id.catalog) + " was given to " + config_.identity());
  return long_id(id.record);
}

std::vector<std::string> SalesforceCatalog::own_paths() const {
  std::set<std::string> paths = {config_.field, stamp_field};
  paths.insert(config_.names.begin(), config_.names.end());
  paths.insert({config_.partition, config_.partition_name});
  std::erase_if(paths, [](const std::string& path) { return path.empty() || path.find('.') != std::string::npos; });
  return {paths.begin(), paths.end()};
}

// In mode safe, what a guard held back is looked at again: a record that changed otherwise, or not at all, is written then.
std::vector<UpdateResult> SalesforceCatalog::update(std::span<const ReferenceUpdate> updates, Context& context) {
  std::vector<UpdateResult> results(updates.size());
  std::vector<Candidate> left;
  for (size_t i = 0; i < updates.size(); ++i) {
    const ReferenceUpdate& update = updates[i];
    if (const auto record = record_of(update.id)) {
      left.push_back({i, {*record, update.expected, update.value, update.expected_stamp}});
    } else {
      results[i] = {UpdateResult::Status::failed, ErrorClass::missing,
                    "\"" + printable(update.id.record) + "\" is no id of a record of Salesforce: it has 15 or 18 letters and digits", false};
    }
  }
  for (int looks = 0; looks < most_looks && !left.empty(); ++looks) {
    if (config_.mode == Mode::safe) look(updates, left, results, context);
    if (left.empty()) break;
    std::vector<FieldUpdate> fields;
    for (const Candidate& one : left) fields.push_back(one.field);
    const std::vector<UpdateResult> written = writer_->write(fields, context);
    std::vector<Candidate> held_back;
    for (size_t i = 0; i < left.size(); ++i) {
      results[left[i].place] = written[i];
      const bool is_held_back = config_.mode == Mode::safe && written[i].status == UpdateResult::Status::conflict;
      if (is_held_back) held_back.push_back(std::move(left[i]));
    }
    left = std::move(held_back);
  }
  return results;
}

void SalesforceCatalog::look(std::span<const ReferenceUpdate> updates, std::vector<Candidate>& candidates,
                             std::vector<UpdateResult>& results, Context& context) {
  std::vector<ReferenceId> ids;
  for (const Candidate& one : candidates) ids.push_back(updates[one.place].id);
  const std::vector<ReferenceValue> now = read(ids, context);
  std::vector<Candidate> unchanged;
  for (size_t i = 0; i < candidates.size(); ++i) {
    Candidate& one = candidates[i];
    if (now[i].is_gone) {
      results[one.place] = {UpdateResult::Status::failed, ErrorClass::missing, "its record is gone", false};
    } else if (now[i].value != one.field.expected) {
      results[one.place] = {UpdateResult::Status::conflict, ErrorClass::conflict, "somebody changed it", false};
    } else {
      one.field.stamp = now[i].stamp;
      unchanged.push_back(std::move(one));
    }
  }
  // A guard knows the newest stamp of its collection: the nearer the others are to it, the less it lets pass. And what is
  // changed often keeps company with its like.
  std::stable_sort(unchanged.begin(), unchanged.end(),
                   [](const Candidate& a, const Candidate& b) { return a.field.stamp < b.field.stamp; });
  candidates = std::move(unchanged);
}

ReferenceValue SalesforceCatalog::reference_of(const ReferenceId& id, const json& record) const {
  ReferenceValue reference;
  reference.id = id;
  reference.is_gone = !record.is_object();
  if (reference.is_gone) return reference;
  const auto text = [&](const std::string& path) { return value_of(field_of(record, path)).value_or(""); };
  reference.value = value_of(field_of(record, config_.field));
  reference.stamp = stamp_of(text(stamp_field));
  reference.partition = text(config_.partition);
  reference.partition_name = text(config_.partition_name);
  for (const std::string& name : config_.names) {
    if (name.find('.') == std::string::npos) reference.names[name] = text(name);
  }
  return reference;
}

std::vector<ReferenceValue> SalesforceCatalog::read(std::span<const ReferenceId> ids, Context& context) {
  std::vector<ReferenceValue> values;
  values.reserve(ids.size());
  while (values.size() < ids.size()) {
    const auto some = ids.subspan(values.size(), std::min(most_ids, ids.size() - values.size()));
    json wanted = json::array();
    // No record has what is no id; one that none has stands for it.
    for (const ReferenceId& id : some) wanted.push_back(record_of(id).value_or(nobody));
    Call call;
    call.method = "POST";  // which changes nothing here
    call.path = "/composite/sobjects/" + config_.object;
    call.body = json{{"ids", wanted}, {"fields", own_paths()}}.dump();
    call.subject = "the records of " + config_.object;
    const json answer = client_.json(call, context);
    if (!answer.is_array() || answer.size() != some.size()) {
      throw Error(ErrorCode::internal, ErrorClass::server, call.subject + ": the answer has not one record for each id").set_retryable();
    }
    for (size_t i = 0; i < some.size(); ++i) {
      values.push_back(reference_of(some[i], answer[i]));
      if (auto record = record_of(some[i])) values.back().id.record = std::move(*record);
    }
  }
  return values;
}

}  // namespace waybill::salesforce
