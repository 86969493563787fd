// SPDX-License-Identifier: Apache-2.0
//
// The session of an organization: opened by one of four ways to log in, shared by all threads, opened anew by one of them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>

#include "connectors/salesforce/config.hpp"
#include "net/http_client.hpp"

namespace waybill::salesforce {

struct Session {
  internal::Secret token;
  std::string instance;      ///< "https://acme.my.salesforce.com", without a '/' at its end
  uint64_t generation = 0;   ///< grows with every login; 0: none yet
};

/// *Thread safety:* any thread. *Lifetime:* the organization and the client outlive it.
class SessionKeeper {
 public:
  SessionKeeper(const Organization& organization, internal::HttpClient& http) : organization_(organization), http_(http) {}

  /// The session, opened if there is none. Errors: as log_in().
  Session current(Context& context) { return newer_than(0, context); }
  /// A session that is newer than `generation`: one thread logs in, the others wait for it. Errors: as log_in().
  Session newer_than(uint64_t generation, Context& context);

 private:
  const Organization& organization_;
  internal::HttpClient& http_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Session session_;          // guarded by mutex_, as the next one
  bool is_opening_ = false;
  uint64_t attempt_ = 0;     // logins that have ended
  std::exception_ptr error_; // of the last one
};

/// Opens a session. Errors: auth (refused, by what cause; an expired certificate, a wrong host), configuration, network.
/// A refresh token that was replaced is in its file before this returns.
Session log_in(const Organization& organization, internal::HttpClient& http, Context& context);

}  // namespace waybill::salesforce
