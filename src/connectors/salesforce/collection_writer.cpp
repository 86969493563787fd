// SPDX-License-Identifier: Apache-2.0
//
// Records by collections of 200, as parts of composites: a composite is one call, and has at most five collections and
// queries. Without a guard:
//
//   before0  200 records, as they are
//   write0   the same records; then before1 and write1
//
// What was not as expected before, and so was changed by somebody since it was last read, is put back at once. Behind a guard:
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
#include "base/timebox.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/errors.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "connectors/salesforce/record_writer.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/item.hpp"
#include "waybill/redaction.hpp"

namespace waybill::salesforce {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr size_t most_records = 200;
constexpr size_t most_in_a_call = 400;
// As many as are read in a call.
constexpr size_t most_updates = 2000;
constexpr milliseconds lock_step{100};
// Records that others hold locked are waited for, some time between these.
constexpr uint64_t shortest_lock_wait_ms = 50;
constexpr uint64_t longest_lock_wait_ms = 1000;
constexpr int lock_tries = 3;
// To put back what somebody had changed: that is not given up for a failure of a moment, nor for a run that is stopped.
constexpr int put_back_tries = 5;
constexpr milliseconds put_back_patience{60'000};
constexpr milliseconds put_back_pause{1'000};

bool is_locked(const UpdateResult& result) {
  return result.status == UpdateResult::Status::failed && result.message.find("UNABLE_TO_LOCK_ROW") != std::string::npos;
}

// In a composite it would be filled in.
bool looks_like_reference(const FieldUpdate& update) { return update.value && update.value->find("@{") != std::string::npos; }

UpdateResult result_of(const Error& error) {
  return {UpdateResult::Status::unknown, error.error_class(), error.message(), error.retryable()};
}

Error no_results(const std::string& subject) {
  return Error(ErrorCode::internal, ErrorClass::server, subject + ": the answer of Salesforce has no results").set_retryable();
}

UpdateResult result_of(const json& one, const FieldUpdate& update) {
  if (flag_of(one, "success")) return {UpdateResult::Status::updated, ErrorClass::none, "", false};
  const json* const errors = field_of(one, "errors");
  if (errors == nullptr || !errors->is_array() || errors->empty()) {
    return {UpdateResult::Status::unknown, ErrorClass::server, "Salesforce gave no result for the record", true};
  }
  const json& error = errors->front();
  std::string fields;
  if (const json* const names = field_of(error, "fields"); names != nullptr && names->is_array()) {
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
  const json* const parts = field_of(answer, "compositeResponse");
  if (parts == nullptr || !parts->is_array() || parts->size() <= index || !(*parts)[index].is_object()) {
    throw no_results(subject);
  }
  const json& part = (*parts)[index];
  const json* const body = field_of(part, "body");
  return {static_cast<int>(number_of(part, "httpStatusCode")), body != nullptr ? *body : json()};
}

Error error_of_part(const std::string& subject, const Part& part) {
  const json one = part.body.is_array() && !part.body.empty() ? part.body.front() : part.body;
  const UpdateResult meant = failed_record(text_of(one, "errorCode"), text_of(one, "message"), "", "");
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
      const size_t most_in_one = is_guarded_ ? most_records : most_in_a_call;
      const auto chunk = updates.subspan(results.size(), std::min(most_in_one, updates.size() - results.size()));
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
    if (std::any_of(updates.begin(), updates.end(), looks_like_reference)) return write_plainly(updates, context);
    return is_guarded_ ? write_guarded(updates, context) : write_watched(updates, context);
  }

  // Of values that a composite would change: nothing stands between the look and the write.
  std::vector<UpdateResult> write_plainly(std::span<const FieldUpdate> updates, Context& context, bool is_due = false) {
    std::vector<UpdateResult> results;
    for (size_t at = 0; at < updates.size(); at += most_records) {
      const auto some = updates.subspan(at, std::min(most_records, updates.size() - at));
      Call call{"PATCH", "/composite/sobjects", text_of_json(collection(some)), "application/json", subject(), true, is_due};
      const std::vector<UpdateResult> known = results_of(client_.json(call, context), some, subject());
      results.insert(results.end(), known.begin(), known.end());
    }
    return results;
  }

  std::string base() const { return "/services/data/v" + client_.organization().api_version; }

  json compose(json parts, Context& context) {
    // In their order: what could be done at once would not be.
    const json composite = {{"allOrNone", false}, {"collateSubrequests", false}, {"compositeRequest", std::move(parts)}};
    return client_.json({"POST", "/composite", text_of_json(composite), "application/json", subject(), true}, context);
  }

  json write_part(const std::string& name, json body) const {
    return {{"method", "PATCH"}, {"url", base() + "/composite/sobjects"}, {"referenceId", name}, {"body", std::move(body)}};
  }

  std::vector<UpdateResult> write_watched(std::span<const FieldUpdate> updates, Context& context) {
    json parts = json::array();
    for (size_t at = 0; at < updates.size(); at += most_records) {
      const auto some = updates.subspan(at, std::min(most_records, updates.size() - at));
      const std::string number = std::to_string(at / most_records);
      parts.push_back({{"method", "POST"}, {"url", read_url()}, {"referenceId", "before" + number}, {"body", wanted(some)}});
      parts.push_back(write_part("write" + number, collection(some)));
    }
    const json answer = compose(std::move(parts), context);
    std::vector<UpdateResult> results;
    std::vector<FieldUpdate> edited;
    for (size_t at = 0; at < updates.size(); at += most_records) {
      const auto some = updates.subspan(at, std::min(most_records, updates.size() - at));
      const size_t part = 2 * (at / most_records);
      std::vector<UpdateResult> known = written_in(answer, part + 1, some);
      note_edits(some, part_of(answer, part, subject()), known, edited, context);
      results.insert(results.end(), known.begin(), known.end());
    }
    put_back(edited, context);
    return results;
  }

  std::string read_url() const { return base() + "/composite/sobjects/" + object_; }
  json wanted(std::span<const FieldUpdate> updates) const {
    json ids = json::array();
    for (const FieldUpdate& update : updates) ids.push_back(update.id);
    return {{"ids", std::move(ids)}, {"fields", {field_}}};
  }

  std::vector<UpdateResult> written_in(const json& answer, size_t part, std::span<const FieldUpdate> updates) const {
    const Part written = part_of(answer, part, subject());
    if (written.status == 200) return results_of(written.body, updates, subject());
    UpdateResult failed = result_of(error_of_part(subject(), written));
    failed.status = UpdateResult::Status::failed;  // for itself: others have gone well
    return std::vector<UpdateResult>(updates.size(), failed);
  }

  // What was written though it held something else than was expected.
  void note_edits(std::span<const FieldUpdate> updates, const Part& before, std::vector<UpdateResult>& results,
                  std::vector<FieldUpdate>& edited, Context& context) const {
    const bool is_known = before.status == 200 && before.body.is_array() && before.body.size() == updates.size();
    if (!is_known) {
      context.log(LogLevel::warning, subject() + ": what " + std::to_string(updates.size()) + " records from " + updates.front().id +
                                         " on held right before is not known; it was as expected at the look before");
      return;
    }
    for (size_t i = 0; i < updates.size(); ++i) {
      if (!before.body[i].is_object() || results[i].status != UpdateResult::Status::updated) continue;
      std::optional<std::string> held = value_of(field_of(before.body[i], field_));
      if (held == updates[i].expected || held == updates[i].value) continue;
      edited.push_back({updates[i].id, updates[i].value, std::move(held), ""});
      results[i] = {UpdateResult::Status::conflict, ErrorClass::conflict, "somebody changed it just before; that was put back", false};
    }
  }

  // Nobody may have seen that his edit was written over: so it was for a moment only. What was edited again is left.
  void put_back(std::vector<FieldUpdate> edited, Context& context) {
    internal::Timebox patience(Context::background(), put_back_patience);
    std::string why;
    for (int tries = 0; tries < put_back_tries && !edited.empty(); ++tries) {
      if (tries > 0 && !patience.sleep(put_back_pause)) break;
      try {
        Call look{"POST", "/composite/sobjects/" + object_, text_of_json(wanted(edited)), "application/json", subject(), false, true};
        const json now = client_.json(look, patience);
        if (!now.is_array() || now.size() != edited.size()) throw no_results(subject());
        std::vector<FieldUpdate> ours;
        for (size_t i = 0; i < edited.size(); ++i) {
          if (now[i].is_object() && value_of(field_of(now[i], field_)) == edited[i].expected) ours.push_back(std::move(edited[i]));
        }
        edited = std::move(ours);
        if (edited.empty()) return;
        const std::vector<UpdateResult> again = write_plainly(edited, patience, true);
        std::vector<FieldUpdate> left;
        for (size_t i = 0; i < edited.size(); ++i) {
          if (again[i].status == UpdateResult::Status::updated) continue;
          why = again[i].message;
          left.push_back(std::move(edited[i]));
        }
        edited = std::move(left);
      } catch (const Error& error) {
        why = error.message();
      }
    }
    for (const FieldUpdate& lost : edited) {
      context.log(LogLevel::error, "the record " + lost.id + " held " + (lost.value ? shown_key(*lost.value) : "null") +
                                       " just before it was written, by somebody's edit, and that could not be put back: " + why);
    }
  }

  std::vector<UpdateResult> write_guarded(std::span<const FieldUpdate> updates, Context& context) {
    std::string ids;
    std::string newest;
    for (const FieldUpdate& update : updates) {
      ids += (ids.empty() ? "" : ",") + soql_text(update.id);
      newest = std::max(newest, update.stamp);
    }
    const std::string last = soql_text(updates.back().id);
    const std::string query = base() + "/query?q=" + internal::encode_query("SELECT Id FROM " + object_ + " WHERE ");
    const std::string guard = internal::encode_query("Id IN (" + ids + ") AND SystemModstamp <= " + newest);
    // A reference stands as it is: it is filled in before the URL is read.
    const std::string proof = internal::encode_query("Id = " + last + " AND (Id = " + last + " OR Id = '") + "@{guard.records[" +
                              std::to_string(updates.size() - 1) + "].Id}" + internal::encode_query("')");
    json write = collection(updates);
    write["records"].back()["id"] = "@{proof.records[0].Id}";
    const json answer = compose({{{"method", "GET"}, {"url", query + guard}, {"referenceId", "guard"}},
                                 {{"method", "GET"}, {"url", query + proof}, {"referenceId", "proof"}},
                                 write_part("write", std::move(write))},
                                context);
    const Part guarded = part_of(answer, 0, subject());
    if (guarded.status != 200) throw error_of_part("the guard of " + subject(), guarded);
    const Part written = part_of(answer, 2, subject());
    if (written.status == 200) return results_of(written.body, updates, subject());
    const json* const found = field_of(guarded.body, "records");
    const bool is_changed = found != nullptr && found->is_array() && found->size() < updates.size();
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
