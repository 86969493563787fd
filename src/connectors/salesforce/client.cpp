// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/client.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "connectors/salesforce/errors.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using internal::HttpDownload;
using internal::HttpResponse;

// Sessions that end at once again and again are no sessions; one that many threads share may end under a call a few times.
constexpr int most_renewals = 8;
// An answer to one call: pages of 2,000 records with texts of 32 KiB are the largest that are asked for.
constexpr uint64_t most_answer_bytes = 256ull << 20;
// Without a byte: Salesforce ends queries after two minutes, and whatever triggers do in a write after ten.
constexpr int read_patience_ms = 180'000;
constexpr int write_patience_ms = 600'000;

const HttpResponse& head_of(const HttpResponse& response) { return response; }
const HttpResponse& head_of(const std::unique_ptr<HttpDownload>& download) { return download->response(); }

}  // namespace

Client::Client(Organization organization)
    : organization_(std::move(organization)), sessions_(organization_, http_), budget_(organization_.max_api_share) {}

internal::HttpRequest Client::request_of(const Call& call, const Session& session) const {
  internal::HttpRequest request;
  request.method = call.method;
  const bool is_whole = call.path.starts_with("/services/");
  request.url = session.instance + (is_whole ? "" : "/services/data/v" + organization_.api_version) + call.path;
  request.headers = {{"Authorization", "Bearer " + std::string(session.token.reveal())}};
  if (!call.body.empty()) {
    request.headers.emplace_back("Content-Type", call.content_type);
    request.body = internal::as_bytes(call.body);
  }
  request.is_sent_once = call.is_write;
  request.max_response_bytes = most_answer_bytes;
  request.stall_timeout_ms = call.is_write ? write_patience_ms : read_patience_ms;
  return request;
}

template <class Send>
auto Client::with_session(const Call& call, Context& context, const Send& send) {
  uint64_t ended = 0;
  for (int renewals = 0;;) {
    context.check();
    const Session session = sessions_.newer_than(ended, context);
    const Budget::Place place = budget_.enter(context, call.is_due);
    auto answer = send(request_of(call, session));
    const HttpResponse& response = head_of(answer);
    if (const auto usage = parse_limit_info(response.header("sforce-limit-info"))) budget_.note(*usage);
    if (response.status >= 200 && response.status < 300) {
      budget_.note_success();
      return answer;
    }
    Error error = error_of(call.subject, organization_, response);
    if (response.status == 401 && ends_by_login(error) && renewals++ < most_renewals) {
      ended = session.generation;
      continue;
    }
    if (is_day_used_up(error)) budget_.note_used_up();
    if (is_too_many_at_once(error)) budget_.note_too_many();
    throw error;
  }
}

HttpResponse Client::call(const Call& call, Context& context) {
  return with_session(call, context, [&](const internal::HttpRequest& request) { return http_.perform(request, context); });
}

nlohmann::json Client::json(const Call& call, Context& context) {
  const HttpResponse response = this->call(call, context);
  nlohmann::json answer = nlohmann::json::parse(response.text, nullptr, false);
  if (answer.is_discarded()) {
    throw Error(ErrorCode::internal, ErrorClass::server, call.subject + ": the answer of Salesforce is no JSON").set_retryable();
  }
  return answer;
}

std::unique_ptr<HttpDownload> Client::open(const Call& call, Context& context) {
  return with_session(call, context, [&](internal::HttpRequest request) {
    request.stall_timeout_ms = 0;
    return http_.open(std::move(request), context);
  });
}

}  // namespace waybill::salesforce
