// SPDX-License-Identifier: Apache-2.0
//
// Records by queries of REST. Each page is a query of its own that begins behind the last id, so that nothing expires and
// what changes meanwhile moves nothing.
#include <nlohmann/json.hpp>
#include <utility>

#include "base/uri.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "connectors/salesforce/record_reader.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using nlohmann::json;

constexpr size_t page_records = 2000;

// What a path leads to.
std::optional<std::string> value_at(const json& record, std::string_view path) {
  const json* at = &record;
  for (;;) {
    const size_t dot = path.find('.');
    at = field_of(*at, std::string(path.substr(0, dot)));
    if (at == nullptr || dot == std::string_view::npos) return value_of(at);
    path.remove_prefix(dot + 1);
  }
}

class RestReader final : public RecordReader {
 public:
  RestReader(Client& client, Selection selection, const std::string& resume)
      : client_(client), selection_(std::move(selection)), last_(resume.empty() ? "" : resume.substr(1)) {
    if (!resume.empty() && (resume.front() != 'r' || !long_id(last_))) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "the resume of a listing is not one of Salesforce");
    }
  }

  RecordPage next(Context& context) override {
    Call call;
    call.path = "/query?q=" + internal::encode_query(soql());
    call.subject = "the records of " + selection_.object;
    const json answer = client_.json(call, context);
    const json* const records = field_of(answer, "records");
    if (records == nullptr || !records->is_array()) {
      throw Error(ErrorCode::internal, ErrorClass::server, call.subject + ": the answer of Salesforce has no records").set_retryable();
    }
    RecordPage page;
    page.records.reserve(records->size());
    for (const json& one : *records) {
      Record record;
      for (const std::string& path : selection_.paths) record.emplace(path, value_at(one, path));
      page.records.push_back(std::move(record));
    }
    // Wide records come in fewer than were asked for: what is left is behind the last of them.
    page.is_last = page.records.size() < page_records && flag_of(answer, "done", true);
    const bool is_stuck = page.records.empty() ? !page.is_last : !page.records.back().at("Id");
    if (is_stuck) throw Error(ErrorCode::internal, ErrorClass::server, call.subject + ": a page of Salesforce leads nowhere").set_retryable();
    if (!page.records.empty()) last_ = page.records.back().at(selection_.order).value_or("");
    page.resume = last_.empty() ? "" : "r" + last_;
    return page;
  }

 private:
  std::string soql() const {
    std::string text = "SELECT ";
    for (size_t i = 0; i < selection_.paths.size(); ++i) text += (i == 0 ? "" : ", ") + selection_.paths[i];
    text += " FROM " + selection_.object;
    std::string where = selection_.where.empty() ? "" : "(" + selection_.where + ")";
    if (!last_.empty()) where += (where.empty() ? "" : " AND ") + (selection_.order + " > " + soql_text(last_));
    if (!where.empty()) text += " WHERE " + where;
    return text + " ORDER BY " + selection_.order + " LIMIT " + std::to_string(page_records);
  }

  Client& client_;
  const Selection selection_;
  std::string last_;  // id
};

}  // namespace

std::unique_ptr<RecordReader> read_by_rest(Client& client, Selection selection, const std::string& resume) {
  return std::make_unique<RestReader>(client, std::move(selection), resume);
}

}  // namespace waybill::salesforce
