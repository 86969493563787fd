// SPDX-License-Identifier: Apache-2.0
//
// Operations on records: one, collections of up to 200, and composites of up to 25 subrequests.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "support/fault_server/salesforce_writing.hpp"

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

SalesforceObject& object_to_write(SalesforceContext& context, const std::string& name) {
  visible_object(context.store, *context.user, name);
  return *context.store.find(name);
}

json result_of(const std::string& id, const std::optional<RecordError>& error) {
  json result = {{"success", !error}, {"errors", json::array()}};
  if (!error) {
    result["id"] = id;
  } else {
    result["errors"].push_back({{"statusCode", error->code}, {"message", error->message}, {"fields", error->fields}});
  }
  return result;
}

std::string type_of(const json& record) {
  if (!record.is_object() || !record.contains("attributes") || !record["attributes"].contains("type")) {
    throw SalesforceError{400, "INVALID_INPUT", "Include an entity type in attributes of each record"};
  }
  return record["attributes"]["type"].get<std::string>();
}

std::string id_of(const json& record) {
  for (const auto& [name, value] : record.items()) {
    if (equals_ignoring_case(name, "Id") && value.is_string()) return value.get<std::string>();
  }
  return {};
}

// "@{ref.results[0].id}" and the like in a text, by the bodies of the subrequests so far.
std::string with_references(const std::string& text, const std::map<std::string, json>& bodies) {
  std::string out;
  size_t at = 0;
  for (size_t open = text.find("@{"); open != std::string::npos; open = text.find("@{", at)) {
    out.append(text, at, open - at);
    const size_t close = text.find('}', open);
    const std::string path = text.substr(open + 2, close == std::string::npos ? close : close - open - 2);
    const size_t dot = path.find('.');
    const auto body = bodies.find(path.substr(0, dot));
    const SalesforceError halted{400, "PROCESSING_HALTED", "Invalid reference specified. No value for " + path};
    if (close == std::string::npos || dot == std::string::npos || body == bodies.end()) throw halted;
    std::string pointer = "/" + path.substr(dot + 1);
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    std::replace(pointer.begin(), pointer.end(), '[', '/');
    std::erase(pointer, ']');
    const json value = body->second.value(json::json_pointer(pointer), json());
    if (value.is_null() || value.is_structured()) throw halted;
    out += value.is_string() ? value.get<std::string>() : value.dump();
    at = close + 1;
  }
  return out + text.substr(at);
}

Answer run_subrequest(SalesforceContext& whole, const json& one, const std::map<std::string, json>& bodies) {
  try {
    Headers headers;
    if (one.contains("httpHeaders")) {
      for (const auto& [name, value] : one["httpHeaders"].items()) headers.emplace_back(name, value.get<std::string>());
    }
    const std::string body = one.contains("body") ? with_references(dump(one["body"]), bodies) : std::string();
    const SalesforceRequest request(one.at("method").get<std::string>(),
                                    with_references(one.at("url").get<std::string>(), bodies), headers, body);
    const SalesforceOperation operation = find_salesforce_operation(request.op);
    if (!operation || request.op == "Composite" || request.version.empty()) throw not_found();
    check_version(whole.store, request);
    SalesforceContext context{whole.store, request, whole.user, whole.call};
    whole.store.edit_for("Sub" + request.op, request.object, false);
    Answer answer = operation(context);
    whole.store.edit_for("Sub" + request.op, request.object, true);
    return answer;
  } catch (const SalesforceError& error) {
    return salesforce_error_answer(error);
  } catch (const json::exception& error) {
    return salesforce_error_answer({400, "JSON_PARSER_ERROR", error.what()});
  }
}

// Conditions exist for ETags of accounts, and for times of standard objects. That custom objects have any is not known,
// so theirs are not looked at.
void check_conditions(const SalesforceContext& context, const SalesforceObject& object, uint64_t number) {
  const SalesforceError failed{412, "PRECONDITION_FAILED", "Precondition Failed"};
  const auto header = [&](const char* name) { return context.request.header(name); };
  const int64_t stamp_s = object.stamp_s(number);
  if (object.name() == "Account") {
    const std::string etag = salesforce_etag(object, number);
    if (!header("if-match").empty() && header("if-match").find(etag) == std::string_view::npos) throw failed;
    if (header("if-none-match").find(etag) != std::string_view::npos) throw failed;
  }
  if (object.is_custom()) return;
  for (const char* const name : {"if-unmodified-since", "if-modified-since"}) {
    if (header(name).empty()) continue;
    const auto time = internal::parse_http_date(header(name));
    if (!time) throw SalesforceError{400, "INVALID_HEADER", std::string("Invalid date in ") + name};
    if ((name[3] == 'u') == (stamp_s > *time)) throw failed;
  }
}

}  // namespace

Answer update_record(SalesforceContext& context) {
  SalesforceObject& object = object_to_write(context, context.request.object);
  const std::string& id = context.request.id;
  const auto number = object.number(id);
  if (!number) throw not_found();
  check_conditions(context, object, *number);
  const auto error = write_record(context, object, id, record_values(context.request.json()), context.request.op);
  if (error)
    throw SalesforceError{error->code == "ENTITY_IS_DELETED" ? 404 : 400, error->code, error->message, error->fields};
  Answer answer;
  answer.status = 204;
  return answer;
}

Answer get_collection(SalesforceContext& context) {
  const SalesforceObject& object = visible_object(context.store, *context.user, context.request.object);
  std::vector<std::string> ids;
  std::vector<std::string> fields;
  if (context.request.method == "GET") {
    const auto split = [](std::string_view text, std::vector<std::string>& into) {
      while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        into.emplace_back(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
      }
    };
    split(context.request.parameter("ids"), ids);
    split(context.request.parameter("fields"), fields);
  } else {
    const json body = context.request.json();
    ids = body.at("ids").get<std::vector<std::string>>();
    fields = body.at("fields").get<std::vector<std::string>>();
  }
  SalesforceSelection selection;
  selection.store = &context.store;
  selection.object = &object;
  for (const std::string& name : fields) {
    const auto field = object.field(name);
    if (!field || !may_read(*context.user, object, &object.fields()[*field])) {
      throw SalesforceError{400, "INVALID_FIELD", "No such column '" + name + "' on sobject of type " + object.name()};
    }
    selection.items.push_back({object.fields()[*field].name, *field, nullptr});
  }
  std::string text = "[";
  for (const std::string& id : ids) {
    if (text.size() > 1) text += ',';
    const auto number = object.number(id);
    if (number && !object.deleted(*number)) {
      selection.append_json_record(text, *number, context.request.version);
    } else {
      text += "null";
    }
  }
  return salesforce_json(text + "]");
}

Answer update_collection(SalesforceContext& context) {
  const json body = context.request.json();
  if (!body.contains("records") || !body["records"].is_array()) {
    throw SalesforceError{400, "INVALID_INPUT", "The request has no records"};
  }
  const json& records = body["records"];
  if (records.size() > 200) {
    throw SalesforceError{400, "EXCEEDED_ID_LIMIT",
                          "record limit reached. cannot submit more than 200 records into this call"};
  }
  uint64_t chunks = 0;
  std::string last;
  for (const json& record : records) {
    const std::string type = type_of(record);
    if (type != last) ++chunks;
    last = type;
  }
  if (chunks > 10) {
    throw SalesforceError{400, "LIMIT_EXCEEDED",
                          "Cannot have more than 10 chunks in a single operation. Please "
                          "rearrange the data to reduce chunking."};
  }
  const uint64_t sequence = context.store.sequence();
  std::vector<std::pair<std::string, std::optional<RecordError>>> outcomes;
  try {
    for (const json& record : records) {
      SalesforceObject& object = object_to_write(context, type_of(record));
      const std::string id = id_of(record);
      outcomes.emplace_back(id, write_record(context, object, id, record_values(record), context.request.op));
    }
  } catch (const SalesforceError&) {
    context.store.undo(sequence);
    throw;
  }
  const bool has_failed =
      std::any_of(outcomes.begin(), outcomes.end(), [](const auto& one) { return one.second.has_value(); });
  if (has_failed && body.value("allOrNone", false)) {
    context.store.undo(sequence);
    for (auto& [id, error] : outcomes) {
      if (!error) {
        error = RecordError{"ALL_OR_NONE_OPERATION_ROLLED_BACK",
                            "Record rolled back because not all records were valid and the request was using AllOrNone "
                            "header"};
      }
    }
  }
  json results = json::array();
  for (const auto& [id, error] : outcomes) results.push_back(result_of(id, error));
  return salesforce_json(dump(results));
}

Answer composite(SalesforceContext& context) {
  const json body = context.request.json();
  if (!body.contains("compositeRequest"))
    throw SalesforceError{400, "INVALID_INPUT", "The request has no compositeRequest"};
  const json& requests = body["compositeRequest"];
  const auto is_dear = [](const json& one) {
    const std::string url = one.value("url", "");
    return url.find("/query") != std::string::npos || url.find("/composite/sobjects") != std::string::npos;
  };
  if (requests.size() > 25 || std::count_if(requests.begin(), requests.end(), is_dear) > 5) {
    throw SalesforceError{400, "LIMIT_EXCEEDED",
                          "A composite has 25 subrequests at most, and 5 queries and collections among them"};
  }
  const uint64_t sequence = context.store.sequence();
  std::map<std::string, json> bodies;
  json responses = json::array();
  bool has_failed = false;
  for (const json& one : requests) {
    const Answer answer = run_subrequest(context, one, bodies);
    const std::string reference = one.value("referenceId", "");
    json result = answer.text.empty() ? json() : json::parse(answer.text, nullptr, false);
    has_failed = has_failed || answer.status >= 400;
    if (answer.status < 400) bodies[reference] = result;
    responses.push_back({{"body", std::move(result)},
                         {"httpHeaders", json::object()},
                         {"httpStatusCode", answer.status},
                         {"referenceId", reference}});
    if (has_failed && body.value("allOrNone", false)) break;
  }
  if (has_failed && body.value("allOrNone", false)) {
    context.store.undo(sequence);
    const json halted = json::array({{{"errorCode", "PROCESSING_HALTED"},
                                      {"message",
                                       "The transaction was rolled back since another operation in the same "
                                       "transaction failed."}}});
    for (size_t at = 0; at < requests.size(); ++at) {
      const bool is_the_one = at + 1 == responses.size() && responses[at]["httpStatusCode"].get<int>() >= 400;
      if (is_the_one) continue;
      const json answer = {{"body", halted},
                           {"httpHeaders", json::object()},
                           {"httpStatusCode", 400},
                           {"referenceId", requests[at].value("referenceId", "")}};
      if (at < responses.size()) {
        responses[at] = answer;
      } else {
        responses.push_back(answer);
      }
    }
  }
  return salesforce_json(dump({{"compositeResponse", responses}}));
}

}  // namespace waybill::testing::fault
