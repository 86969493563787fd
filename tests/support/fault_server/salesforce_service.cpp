// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_service.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/hash.hpp"
#include "support/fault_server/salesforce_operations.hpp"

namespace waybill::testing::fault {

namespace {

bool needs_session(const std::string& op) { return op != "Token" && op != "SoapLogin" && op != "Versions"; }

std::string bearer(const SalesforceRequest& request) {
  const std::string_view header = request.header("authorization");
  for (const std::string_view scheme : {"Bearer ", "OAuth "}) {
    if (header.starts_with(scheme)) return std::string(header.substr(scheme.size()));
  }
  return {};
}

}  // namespace

class SalesforceCall : public Call {
 public:
  SalesforceCall(SalesforceService& service, const Request& request)
      : service_(service), request_(request), name_{request_.op, request_.object, request_.id, 0, 0, UINT64_MAX} {
    const std::lock_guard lock(service_.mutex_);
    number_ = service_.store_.next_number();
    ++service_.store_.calls_under_way;
  }

  ~SalesforceCall() override {
    const std::lock_guard lock(service_.mutex_);
    --service_.store_.calls_under_way;
    std::erase_if(service_.store_.locked_parents, [&](const auto& lock_of) { return lock_of.second == number_; });
  }

  const CallName& name() const override { return name_; }
  void receive(std::string_view data) override {
    request_.body += data;
    crc64_ = internal::crc64nvme(internal::as_bytes(data), crc64_);
  }
  uint64_t received_bytes() const override { return request_.body.size(); }
  Crc64 received_crc64() const override { return crc64_; }

  Answer run(bool) override {
    const std::lock_guard lock(service_.mutex_);
    SalesforceStore& store = service_.store_;
    Answer answer;
    try {
      const SalesforceOperation operation = find_salesforce_operation(request_.op);
      const SalesforceUser* const user = needs_session(request_.op) ? &admit(store) : nullptr;
      if (!operation) throw not_found();
      SalesforceContext context{store, request_, user, number_};
      store.edit_for(request_.op, request_.object, false);
      answer = operation(context);
      store.edit_for(request_.op, request_.object, true);
    } catch (const SalesforceError& error) {
      answer = salesforce_error_answer(error);
    } catch (const nlohmann::json::exception& error) {
      answer = salesforce_error_answer({400, "JSON_PARSER_ERROR", error.what()});
    }
    add_common(store, answer);
    return answer;
  }

  Answer failure(int status, std::string_view code) override {
    const std::lock_guard lock(service_.mutex_);
    Answer answer = salesforce_error_answer({status, std::string(code), "The fault server was told to say this."});
    add_common(service_.store_, answer);
    return answer;
  }

 private:
  // Who asks, where, and whether there is something left of the limits.
  const SalesforceUser& admit(SalesforceStore& store) {
    SalesforceSession* const session = store.session(bearer(request_));
    const SalesforceUser* const user = session ? store.user(session->user) : nullptr;
    if (!user) throw SalesforceError{401, "INVALID_SESSION_ID", "Session expired or invalid"};
    if (!user->may_use_api) {
      throw SalesforceError{403, "API_CURRENTLY_DISABLED", "API is disabled for this User"};
    }
    check_version(store, request_);
    if (store.settings.concurrent_calls > 0 && store.calls_under_way > store.settings.concurrent_calls) {
      throw SalesforceError{403, "REQUEST_LIMIT_EXCEEDED",
                            "ConcurrentRequests (Concurrent API Requests) Limit exceeded."};
    }
    if (store.calls_today >= store.settings.daily_calls) {
      throw SalesforceError{403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."};
    }
    ++store.calls_today;
    ++session->calls;
    return *user;
  }

  void add_common(const SalesforceStore& store, Answer& answer) const {
    if (!needs_session(request_.op)) return;
    answer.headers.emplace_back("Sforce-Limit-Info", "api-usage=" + std::to_string(store.calls_today) + "/" +
                                                         std::to_string(store.settings.daily_calls));
  }

  SalesforceService& service_;
  SalesforceRequest request_;
  CallName name_;
  Crc64 crc64_ = 0;
  uint64_t number_ = 0;
};

std::unique_ptr<Call> SalesforceService::begin(const Request& request) {
  return std::make_unique<SalesforceCall>(*this, request);
}

}  // namespace waybill::testing::fault
