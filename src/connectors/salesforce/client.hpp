// SPDX-License-Identifier: Apache-2.0
//
// Calls to an organization's REST API: a session that is opened again when it ends, a budget of calls, and errors that
// say what to do.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "connectors/salesforce/budget.hpp"
#include "connectors/salesforce/config.hpp"
#include "connectors/salesforce/session.hpp"
#include "net/http_client.hpp"

namespace waybill::salesforce {

struct Call {
  std::string method = "GET";
  /// What follows /services/data/v62.0, encoded: "/query?q=…". A path that begins with /services/ is taken whole.
  std::string path;
  std::string body;
  const char* content_type = "application/json";
  /// Of what the caller knows of it, for messages: "the record a0B…", "the query".
  std::string subject;
  /// May change something: it is never sent a second time by the connection.
  bool is_write = false;
  /// Is made whatever the budget says: it ends what an earlier call began.
  bool is_due = false;
};

/// *Thread safety:* any thread. *Blocking:* every call but the accessors; all obey the Context.
class Client {
 public:
  explicit Client(Organization organization);

  /// The answer, which is a 2xx. A session that ended is opened anew once for all threads, and the call made again.
  /// Errors: auth, permission, missing, configuration (an object, field or API version that is not there), throttled
  /// (the day's calls are used up: retryable, and refused here without a call until it is time to ask again), conflict
  /// (a lock; retryable), server, network, timeout; provider_code() is the errorCode of Salesforce.
  internal::HttpResponse call(const Call& call, Context& context);
  /// Its body as JSON. Errors: server (it is none).
  nlohmann::json json(const Call& call, Context& context);
  /// An answer of any length, read piece by piece. Errors: as call().
  std::unique_ptr<internal::HttpDownload> open(const Call& call, Context& context);

  const Organization& organization() const noexcept { return organization_; }
  Budget& budget() noexcept { return budget_; }

 private:
  template <class Send>
  auto with_session(const Call& call, Context& context, const Send& send);
  internal::HttpRequest request_of(const Call& call, const Session& session) const;

  const Organization organization_;
  internal::HttpClient http_;
  SessionKeeper sessions_;
  Budget budget_;
};

}  // namespace waybill::salesforce
