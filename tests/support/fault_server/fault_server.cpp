// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/fault_server.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "base/hash.hpp"
#include "support/fault_server/control.hpp"
#include "support/fault_server/digests.hpp"
#include "support/fault_server/faulty_exchange.hpp"
#include "support/fault_server/loop.hpp"
#include "support/fault_server/s3_service.hpp"
#include "support/fault_server/salesforce_service.hpp"

namespace waybill::testing {

using namespace fault;

struct FaultServer::Impl : Handler {
  Impl(FaultServer& owner, uint16_t port) : server(owner), loop(*this, port) { loop.start(); }
  ~Impl() override { loop.stop(); }

  // Where other protocols come in: by path or header.
  std::unique_ptr<Exchange> begin(const Request& request) override {
    if (request.path.starts_with(control_path)) return std::make_unique<ControlExchange>(server, request);
    Service& service = request.path.starts_with(salesforce_path) ? static_cast<Service&>(salesforce) : s3;
    return std::make_unique<FaultyExchange>(request, service.begin(request), judge);
  }

  Bucket& require(S3Store& store, const std::string& bucket) const {
    if (Bucket* found = store.find(bucket)) return *found;
    throw std::invalid_argument("there is no bucket " + bucket);
  }

  FaultServer& server;
  Judge judge;
  S3Service s3;
  SalesforceService salesforce;
  Loop loop;
};

FaultServer::FaultServer(uint16_t port) : impl_(std::make_unique<Impl>(*this, port)) {}
FaultServer::~FaultServer() = default;

uint16_t FaultServer::port() const noexcept { return impl_->loop.port(); }
std::string FaultServer::endpoint() const { return "http://127.0.0.1:" + std::to_string(port()); }

uint64_t FaultServer::add_rule(Rule rule) { return impl_->judge.rules.add(std::move(rule)); }
bool FaultServer::remove_rule(uint64_t id) { return impl_->judge.rules.remove(id); }
void FaultServer::clear_rules() { impl_->judge.rules.clear(); }
uint64_t FaultServer::fired(uint64_t rule) const { return impl_->judge.rules.fired(rule); }
void FaultServer::set_latency(std::chrono::microseconds time) { impl_->judge.latency_us = time.count(); }

std::vector<Record> FaultServer::requests() const { return impl_->judge.log.records(); }
std::map<std::string, Count> FaultServer::counts() const { return impl_->judge.log.counts(); }
void FaultServer::clear_log() { impl_->judge.log.clear(); }
void FaultServer::configure_log(size_t limit, bool keeps_heads) { impl_->judge.log.configure(limit, keeps_heads); }
uint64_t FaultServer::accepted_connections() const noexcept { return impl_->loop.accepted(); }

void FaultServer::go_down(std::chrono::milliseconds time) { impl_->loop.go_down(time); }

void FaultServer::make_bucket(const std::string& name, const BucketSettings& settings) {
  impl_->s3.with_store([&](S3Store& store) { store.make(name).settings = settings; });
}

void FaultServer::change_bucket(const std::string& name, const std::function<void(BucketSettings&)>& change) {
  impl_->s3.with_store([&](S3Store& store) { change(store.make(name).settings); });
}

void FaultServer::set_server(const ServerSettings& settings) {
  impl_->s3.with_store([&](S3Store& store) { store.settings = settings; });
}

ServerSettings FaultServer::server_settings() const {
  return impl_->s3.with_store([](S3Store& store) { return store.settings; });
}

void FaultServer::put(const std::string& bucket, const std::string& key, std::string content) {
  Object object;
  object.headers = {{"Content-Type", "binary/octet-stream"}};
  object.content = held_content(std::move(content));
  put(bucket, key, std::move(object));
}

void FaultServer::put(const std::string& bucket, const std::string& key, Object object) {
  if (!object.content) object.content = held_content({});
  if (object.etag.empty()) {
    const std::string bytes = read_all(*object.content);
    object.etag = to_hex(digest("md5", bytes));
    object.crc64 = internal::crc64nvme(internal::as_bytes(bytes));
    object.checksums = {{"crc64nvme", internal::crc64_to_base64(object.crc64), false}};
  }
  impl_->s3.with_store([&](S3Store& store) {
    if (object.modified_ms == 0) object.modified_ms = store.now_ms();
    impl_->require(store, bucket).put(key, std::move(object));
  });
}

ObjectPtr FaultServer::get(const std::string& bucket, const std::string& key) const {
  return impl_->s3.with_store([&](S3Store& store) { return impl_->require(store, bucket).find(key); });
}

std::vector<std::string> FaultServer::keys(const std::string& bucket) const {
  return impl_->s3.with_store([&](S3Store& store) {
    std::vector<std::string> keys;
    for (Bucket::Cursor cursor(impl_->require(store, bucket), ""); !cursor.is_at_end(); cursor.next()) {
      if (cursor.current()) keys.push_back(cursor.key());
    }
    return keys;
  });
}

void FaultServer::generate(const std::string& bucket, GeneratedKeys keys) {
  impl_->s3.with_store([&](S3Store& store) { impl_->require(store, bucket).generate(std::move(keys)); });
}

std::map<std::string, std::string> FaultServer::open_uploads(const std::string& bucket) const {
  return impl_->s3.with_store([&](S3Store& store) {
    std::map<std::string, std::string> uploads;
    for (const auto& [id, upload] : impl_->require(store, bucket).uploads) uploads.emplace(id, upload.key);
    return uploads;
  });
}

void FaultServer::reset() {
  clear_rules();
  clear_log();
  set_latency({});
  impl_->s3.with_store([](S3Store& store) {
    store.clear();
    store.settings = {};
  });
  impl_->salesforce.with_store([](SalesforceStore& store) { store.clear(); });
}

SalesforceService& FaultServer::salesforce() noexcept { return impl_->salesforce; }

nlohmann::json FaultServer::control(const std::string& name, const nlohmann::json& argument) {
  return run_control(*this, name, argument);
}

}  // namespace waybill::testing
