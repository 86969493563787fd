// SPDX-License-Identifier: Apache-2.0
//
// Records by collections of 200. Behind a guard a collection is the last part of a composite, which is one call:
//
//   guard   SELECT Id … WHERE Id IN (the 200) AND SystemModstamp <= the newest as read
//   proof   SELECT Id … WHERE Id = 'last' AND (Id = 'last' OR Id = '@{guard.records[199].Id}')
//   write   the collection, whose last record has the id "@{proof.records[0].Id}"
//
// Where a record changed since it was read, the guard finds 199, the proof's reference has no value, and so neither the
// write's: nothing is written. Stamps have whole seconds: what changed in the very second of the newest one passes.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <shared_mutex>
#include <utility>

#include "base/random.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/errors.hpp"
#include "connectors/salesforce/record_writer.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr size_t most_records = 200;
constexpr size_t most_updates = 2000;
constexpr milliseconds lock_step{100};
// Records that others hold locked are waited for, some time between these.
constexpr uint64_t shortest_lock_wait_ms = 50;
constexpr uint64_t longest_lock_wait_ms = 1000;
constexpr int lock_tries = 3;

bool is_locked(const UpdateResult& result) {
  return result.status == UpdateResult::Status::failed && result.message.starts_with("UNABLE_TO_LOCK_ROW");
}

UpdateResult result_of(const Error& error) {
  return {UpdateResult::Status::unknown, error.error_class(), error.message(), error.retryable()};
}

Error no_results(const std::string& subject) {
  return Error(ErrorCode::internal, ErrorClass::server, subject + ": the answer of Salesforce has no results").set_retryable();
}

std::string text_of(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

UpdateResult result_of(const json& one, const FieldUpdate& update) {
  if (one.is_object() && one.value("success", false)) return {UpdateResult::Status::updated, ErrorClass::none, "", false};
  const auto errors = one.is_object() ? one.find("errors") : one.end();
  if (!one.is_object() || errors == one.end() || !errors->is_array() || errors->empty()) {
    return {UpdateResult::Status::unknown, ErrorClass::server, "Salesforce gave no result for the record", true};
  }
  const json& error = errors->front();
  std::string fields;
  if (const auto names = error.find("fields"); names != error.end() && names->is_array()) {
    for (const json& name : *names) {
      if (name.is_string()) fields += (fields.empty() ? "" : ", ") + name.get<std::string>();
    }
  }
  return failed_record(text_of(error, "statusCode"), text_of(error, "message"), fields, update.value.value_or(""));
}

std::vector<UpdateResult> results_of(const json& answer, std::span<const FieldUpdate> updates, const std::string& subject) {
  if (!answer.is_array() || answer.size() != updates.size()) throw no_results(subject);
  std::vector<UpdateResult> results;
  for (size_t i = 0; i < updates.size(); ++i) results.push_back(result_of(answer[i], updates[i]));
  return results;
}

// The part of a composite that an answer has for it, and its status.
struct Part {
  int status = 0;
  json body;
};

Part part_of(const json& answer, size_t index, const std::string& subject) {
  const auto parts = answer.find("compositeResponse");
  if (parts == answer.end() || !parts->is_array() || parts->size() <= index || !(*parts)[index].is_object()) {
    throw no_results(subject);
  }
  const json& part = (*parts)[index];
  return {part.value("httpStatusCode", 0), part.value("body", json())};
}

Error error_of_part(const std::string& subject, const Part& part) {
  const json one = part.body.is_array() && !part.body.empty() ? part.body.front() : part.body;
  const UpdateResult meant = failed_record(one.is_object() ? text_of(one, "errorCode") : "",
                                           one.is_object() ? text_of(one, "message") : "", "", "");
  return Error(ErrorCode::failed_precondition, meant.error_class,
               subject + ": Salesforce answered " + std::to_string(part.status) + " " + meant.message)
      .set_retryable(meant.retryable || part.status >= 500)
      .set_http_status(part.status);
}

class CollectionWriter final : public RecordWriter {
 public:
  CollectionWriter(Client& client, std::string object, std::string field, bool is_guarded)
      : client_(client), object_(std::move(object)), field_(std::move(field)), is_guarded_(is_guarded) {}

  size_t most() const noexcept override { return most_updates; }

  std::vector<UpdateResult> write(std::span<const FieldUpdate> updates, Context& context) override {
    std::vector<UpdateResult> results;
    results.reserve(updates.size());
    while (results.size() < updates.size()) {
      const auto chunk = updates.subspan(results.size(), std::min(most_records, updates.size() - results.size()));
      try {
        const Lane lane(lanes_, false, context);
        const std::vector<UpdateResult> some = write_chunk(chunk, context);
        results.insert(results.end(), some.begin(), some.end());
      } catch (const Error& error) {
        if (results.empty()) throw;
        // What was written is known; of the others nothing was asked, or nothing is known.
        results.resize(updates.size(), result_of(error));
      }
    }
    retry_locked(updates, results, context);
    return results;
  }

 private:
  /// Calls go side by side, until records are tried again that other calls had locked: those go alone.
  class Lane {
   public:
    Lane(std::shared_timed_mutex& lanes, bool is_alone, Context& context) : lanes_(lanes), is_alone_(is_alone) {
      while (!(is_alone ? lanes.try_lock_for(lock_step) : lanes.try_lock_shared_for(lock_step))) context.check();
    }
    ~Lane() { is_alone_ ? lanes_.unlock() : lanes_.unlock_shared(); }
    Lane(const Lane&) = delete;
    Lane& operator=(const Lane&) = delete;

   private:
    std::shared_timed_mutex& lanes_;
    const bool is_alone_;
  };

  void retry_locked(std::span<const FieldUpdate> updates, std::vector<UpdateResult>& results, Context& context) {
    for (int tries = 0; tries < lock_tries; ++tries) {
      std::vector<size_t> places;
      for (size_t i = 0; i < results.size() && places.size() < most_records; ++i) {
        if (is_locked(results[i])) places.push_back(i);
      }
      if (places.empty()) return;
      std::vector<FieldUpdate> locked;
      for (const size_t i : places) locked.push_back(updates[i]);
      try {
        const Lane lane(lanes_, true, context);
        if (tries > 0 && !context.sleep(milliseconds(shortest_lock_wait_ms + random_.below(longest_lock_wait_ms)))) return;
        const std::vector<UpdateResult> again = write_chunk(locked, context);
        for (size_t i = 0; i < places.size(); ++i) results[places[i]] = again[i];
      } catch (const Error& error) {
        for (const size_t i : places) results[i] = result_of(error);
        return;
      }
    }
  }

  std::string subject() const { return "the update of " + object_ + "." + field_; }

  json collection(std::span<const FieldUpdate> updates) const {
    json records = json::array();
    for (const FieldUpdate& update : updates) {
      json record = {{"attributes", {{"type", object_}}}, {"id", update.id}};
      record[field_] = update.value ? json(*update.value) : json();
      records.push_back(std::move(record));
    }
    return {{"allOrNone", false}, {"records", std::move(records)}};
  }

  std::vector<UpdateResult> write_chunk(std::span<const FieldUpdate> updates, Context& context) {
    if (is_guarded_) return write_guarded(updates, context);
    Call call{"PATCH", "/composite/sobjects", text_of_json(collection(updates)), "application/json", subject(), true};
    return results_of(client_.json(call, context), updates, subject());
  }

  std::vector<UpdateResult> write_guarded(std::span<const FieldUpdate> updates, Context& context) {
    std::string ids;
    std::string newest;
    for (const FieldUpdate& update : updates) {
      ids += (ids.empty() ? "" : ",") + soql_text(update.id);
      newest = std::max(newest, update.stamp);
    }
    const std::string last = soql_text(updates.back().id);
    const std::string base = "/services/data/v" + client_.organization().api_version;
    const std::string query = base + "/query?q=" + internal::encode_query("SELECT Id FROM " + object_ + " WHERE ");
    const std::string guard = internal::encode_query("Id IN (" + ids + ") AND SystemModstamp <= " + newest);
    // A reference stands as it is: it is filled in before the URL is read.
    const std::string proof = internal::encode_query("Id = " + last + " AND (Id = " + last + " OR Id = '") + "@{guard.records[" +
                              std::to_string(updates.size() - 1) + "].Id}" + internal::encode_query("')");
    json write = collection(updates);
    write["records"].back()["id"] = "@{proof.records[0].Id}";
    const json composite = {
        {"allOrNone", false},
        {"collateSubrequests", false},
        {"compositeRequest",
         {{{"method", "GET"}, {"url", query + guard}, {"referenceId", "guard"}},
          {{"method", "GET"}, {"url", query + proof}, {"referenceId", "proof"}},
          {{"method", "PATCH"}, {"url", base + "/composite/sobjects"}, {"referenceId", "write"}, {"body", std::move(write)}}}}};
    const Call call{"POST", "/composite", text_of_json(composite), "application/json", subject(), true};
    const json answer = client_.json(call, context);
    const Part guarded = part_of(answer, 0, subject());
    if (guarded.status != 200) throw error_of_part("the guard of " + subject(), guarded);
    const Part written = part_of(answer, 2, subject());
    if (written.status == 200) return results_of(written.body, updates, subject());
    const auto found = guarded.body.is_object() ? guarded.body.find("records") : guarded.body.end();
    const bool is_changed = guarded.body.is_object() && found != guarded.body.end() && found->is_array() && found->size() < updates.size();
    if (!is_changed) throw error_of_part(subject(), written);
    return std::vector<UpdateResult>(
        updates.size(),
        {UpdateResult::Status::conflict, ErrorClass::conflict, "a record of the collection changed since it was read", true});
  }

  static std::string text_of_json(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

  Client& client_;
  const std::string object_;
  const std::string field_;
  const bool is_guarded_;
  std::shared_timed_mutex lanes_;
  internal::Random random_;  // used by the one that is alone
};

}  // namespace

std::unique_ptr<RecordWriter> write_collections(Client& client, std::string object, std::string field, bool is_guarded) {
  return std::make_unique<CollectionWriter>(client, std::move(object), std::move(field), is_guarded);
}

}  // namespace waybill::salesforce
