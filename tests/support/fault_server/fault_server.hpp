// SPDX-License-Identifier: Apache-2.0
//
// The fault server: one HTTP server on loopback for all tests and benches. It speaks S3 and Salesforce, does wrong what rules tell it
// to, makes objects up by the million, and keeps a log of every request, so that it can be the judge of a client.
//
//   FaultServer server;
//   server.make_bucket("from");
//   server.put("from", "key", "content");
//   server.add_rule({.op = "GetObject", .nth = 1, .action = fault::Action::reset, .after = 3});
//   … a client copies from server.endpoint() …
//   EXPECT_EQ(server.counts()["GetObject"].requests, 2);
//
// It is never the library's code that answers: requests are parsed, keys decoded, XML written and signatures checked by
// the fault server's own. README.md tells of the rules, the settings and the control endpoints.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "support/fault_server/generated_keys.hpp"
#include "support/fault_server/request_log.hpp"
#include "support/fault_server/rules.hpp"
#include "support/fault_server/s3_store.hpp"

namespace waybill::testing {

namespace fault {
class SalesforceService;
}

/// *Thread safety:* every method from any thread. *Threads:* one of its own, joined by the destructor.
class FaultServer {
 public:
  /// Listens on a free port of 127.0.0.1 (or on `port`). Throws std::system_error.
  explicit FaultServer(uint16_t port = 0);
  ~FaultServer();
  FaultServer(const FaultServer&) = delete;
  FaultServer& operator=(const FaultServer&) = delete;

  uint16_t port() const noexcept;
  /// "http://127.0.0.1:port".
  std::string endpoint() const;

  /// Gives the rule's number.
  uint64_t add_rule(fault::Rule rule);
  bool remove_rule(uint64_t id);
  void clear_rules();
  uint64_t fired(uint64_t rule) const;
  /// Before every answer.
  void set_latency(std::chrono::microseconds time);

  /// What was asked so far, the control endpoints excepted.
  std::vector<fault::Record> requests() const;
  std::map<std::string, fault::Count> counts() const;
  void clear_log();
  /// At most so many records (default 200,000; 0: counts only), and whether with the requests' heads (default: yes).
  void configure_log(size_t limit, bool keeps_heads);
  uint64_t accepted_connections() const noexcept;

  /// Resets every open connection and refuses new ones for as long.
  void go_down(std::chrono::milliseconds time);

  /// An empty bucket, unless it is there. Settings as in s3_settings.hpp.
  void make_bucket(const std::string& name, const fault::BucketSettings& settings = {});
  /// `change(settings)` of a bucket, which comes into being if it is not there.
  void change_bucket(const std::string& name, const std::function<void(fault::BucketSettings&)>& change);
  void set_server(const fault::ServerSettings& settings);
  fault::ServerSettings server_settings() const;
  void put(const std::string& bucket, const std::string& key, std::string content);
  /// With metadata, tags and the rest; an ETag and a time are made up where they are missing.
  void put(const std::string& bucket, const std::string& key, fault::Object object);
  /// The current version; null where there is none. `content->read()` gives its bytes.
  fault::ObjectPtr get(const std::string& bucket, const std::string& key) const;
  /// Current versions, in order.
  std::vector<std::string> keys(const std::string& bucket) const;
  /// Adds objects that are made up when they are asked for.
  void generate(const std::string& bucket, fault::GeneratedKeys keys);
  /// Ids and keys of uploads that are neither completed nor aborted.
  std::map<std::string, std::string> open_uploads(const std::string& bucket) const;
  /// Salesforce, below /services/ of the same port: salesforce_service.hpp.
  fault::SalesforceService& salesforce() noexcept;
  /// Forgets rules, log, buckets, settings and latency, and what Salesforce holds.
  void reset();

  /// What the control endpoints do: `name` is the last part of /_control/… . Throws std::invalid_argument.
  nlohmann::json control(const std::string& name, const nlohmann::json& argument);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace waybill::testing
