// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_request.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "support/fault_server/salesforce_object.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!name.empty()) names.push_back(percent_decode(name));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return names;
}

// Of a method, the operation on one record or one job.
std::string by_method(const std::string& method, const char* get, const char* post, const char* patch,
                      const char* remove = "Unsupported") {
  if (method == "GET" || method == "HEAD") return get;
  if (method == "POST") return post;
  if (method == "PATCH") return patch;
  if (method == "DELETE") return remove;
  return "Unsupported";
}

constexpr const char* none = "Unsupported";

}  // namespace

SalesforceRequest::SalesforceRequest(const Request& request)
    : method(request.method), host(request.header("host")), parameters(split_query(request.query)) {
  for (const auto& [name, value] : request.headers) headers.emplace_back(name, value);
  route(request.path);
}

SalesforceRequest::SalesforceRequest(std::string how, std::string_view url, Headers own_headers, std::string text)
    : method(std::move(how)), headers(std::move(own_headers)), body(std::move(text)), is_subrequest(true) {
  const size_t question = url.find('?');
  if (question != std::string_view::npos) parameters = split_query(url.substr(question + 1));
  route(url.substr(0, question));
}

void SalesforceRequest::route(std::string_view path) {
  const std::vector<std::string> names = split_path(path);
  const auto at = [&](size_t place) { return place < names.size() ? names[place] : std::string(); };
  op = none;
  if (at(1) == "oauth2" && at(2) == "token") {
    op = "Token";
  } else if (at(1) == "Soap" && at(2) == "u") {
    op = "SoapLogin";
    version = at(3);
  }
  if (at(0) != "services" || at(1) != "data") return;
  if (names.size() == 2) {
    op = "Versions";
    return;
  }
  version = at(2).substr(0, 1) == "v" ? at(2).substr(1) : at(2);
  const std::string what = at(3);
  if (what.empty()) {
    op = "Resources";
  } else if (what == "limits") {
    op = "Limits";
  } else if (what == "query" || what == "queryAll") {
    id = at(4);
    op = !id.empty() ? "QueryMore" : what == "query" ? "Query" : "QueryAll";
  } else if (what == "sobjects") {
    object = at(4);
    id = at(5);
    member = at(6);
    op = object.empty()     ? "DescribeGlobal"
         : id.empty()       ? none
         : id == "describe" ? "Describe"
         : !member.empty()  ? "GetBlob"
                            : by_method(method, "GetRecord", none, "UpdateRecord");
    if (op == "Describe") id.clear();
  } else if (what == "composite") {
    object = at(5);
    const std::string kind = at(4);
    if (kind.empty()) op = by_method(method, none, "Composite", none);
    if (kind == "sobjects")
      op = by_method(method, object.empty() ? none : "GetCollection", object.empty() ? none : "GetCollection",
                     "UpdateCollection");
  } else if (what == "jobs" && (at(4) == "query" || at(4) == "ingest")) {
    const bool is_query = at(4) == "query";
    id = at(5);
    member = at(6);
    if (id.empty()) {
      op = by_method(method, none, is_query ? "CreateQueryJob" : "CreateIngestJob", none);
    } else if (member.empty()) {
      op = is_query ? by_method(method, "GetQueryJob", none, "ChangeQueryJob", "DeleteQueryJob")
                    : by_method(method, "GetIngestJob", none, "ChangeIngestJob", "DeleteIngestJob");
    } else if (is_query) {
      op = member == "results" ? "GetQueryResults" : member == "resultPages" ? "ListResultPages" : none;
    } else {
      op = member == "batches" ? "UploadIngestData" : "GetIngestResults";
    }
  }
}

std::string_view SalesforceRequest::header(std::string_view name) const noexcept {
  for (const auto& [known, value] : headers) {
    if (equals_ignoring_case(known, name)) return value;
  }
  return {};
}

std::string_view SalesforceRequest::parameter(std::string_view name) const noexcept {
  for (const auto& [known, value] : parameters) {
    if (known == name) return value;
  }
  return {};
}

nlohmann::json SalesforceRequest::json() const {
  nlohmann::json parsed = nlohmann::json::parse(body, nullptr, false);
  if (parsed.is_discarded() || !(parsed.is_object() || parsed.is_array())) {
    throw SalesforceError{400, "JSON_PARSER_ERROR",
                          "The HTTP entity body is required, but this request has no entity body."};
  }
  return parsed;
}

Answer salesforce_json(std::string text, int status) {
  Answer answer;
  answer.status = status;
  answer.headers.emplace_back("Content-Type", "application/json;charset=UTF-8");
  answer.text = std::move(text);
  return answer;
}

Answer salesforce_error_answer(const SalesforceError& error) {
  nlohmann::json one = {{"message", error.message}, {"errorCode", error.code}};
  if (!error.fields.empty()) one["fields"] = error.fields;
  return salesforce_json(nlohmann::json::array({one}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                         error.status);
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      out += '\\';
      out += letter;
    } else if (byte < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      out += escaped;
    } else {
      out += letter;
    }
  }
  out += '"';
}

}  // namespace waybill::testing::fault
