// SPDX-License-Identifier: Apache-2.0
//
// A fault server with the buckets "from" and "to", and the S3 connector opened on them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.hpp"
#include "base/uri.hpp"
#include "connectors/s3/s3.hpp"
#include "support/fault_server/fault_server.hpp"
#include "support/test_context.hpp"

namespace waybill::s3 {

class S3Fault : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"}) ::unsetenv(name);
    ::setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    ::setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    ::setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    server_.make_bucket("from");
    server_.make_bucket("to");
    open();
  }

  Url url(const std::string& bucket, const std::string& more = "", const std::string& prefix = "") const {
    return Url::parse("s3://" + bucket + "/" + internal::encode_path(prefix) + "?endpoint=" + server_.endpoint() +
                      more);
  }

  /// Opens both again, so that nothing is known of the stores.
  void open(const std::string& source = "", const std::string& destination = "", const std::string& prefix = "") {
    source_ = s3_connector().open_source(url("from", source, prefix));
    destination_ = s3_connector().open_destination(url("to", destination));
  }

  void change(const std::string& bucket, const std::function<void(testing::fault::BucketSettings&)>& how) {
    server_.change_bucket(bucket, how);
  }

  template <typename Call>
  static std::optional<Error> error_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  template <typename Store>
  std::vector<Item> list(Store& store, const ListRequest& request = {}) {
    std::vector<Item> items;
    const auto lister = store.list(request, context_);
    for (int pages = 0; pages < 2'000; ++pages) {
      Page page = lister->next(context_);
      for (Item& item : page.items) items.push_back(std::move(item));
      if (page.is_last) return items;
    }
    ADD_FAILURE() << "no end";
    return items;
  }

  static std::vector<Key> keys_of(const std::vector<Item>& items) {
    std::vector<Key> keys;
    for (const Item& item : items) keys.push_back(item.id.key);
    return keys;
  }

  /// The item as the source lists it.
  Item item(const Key& key) {
    for (Item& each : list(*source_)) {
      if (each.id.key == key) return std::move(each);
    }
    ADD_FAILURE() << "not listed: " << printable(key);
    return {};
  }

  ReadResult read(const Item& item, std::string& out, uint64_t offset = 0) {
    return source_->read(item, offset, std::as_writable_bytes(std::span(out)), context_);
  }

  /// As the engine does it, once: the item read whole and put.
  Stored copy(const Item& item, const Condition& condition = {}) {
    std::string content(static_cast<size_t>(item.stamp.size.value_or(0)), '\0');
    const ReadResult result = read(item, content);
    EXPECT_EQ(result.stamp, item.stamp);
    return put(item.id.key, content, WriteOptions{result.attributes, condition});
  }

  Stored put(const Key& key, const std::string& content, const WriteOptions& options = {}) {
    return destination_->put(key, Body(internal::as_bytes(content), Digest{}), options, context_);
  }

  static WriteOptions absent() {
    WriteOptions options;
    options.condition.kind = Condition::Kind::absent;
    return options;
  }

  uint64_t requests(const std::string& op) const {
    const auto counts = server_.counts();
    const auto found = counts.find(op);
    return found == counts.end() ? 0 : found->second.requests;
  }

  /// Lines of the log that have `part` in them.
  size_t logged(const std::string& part) const {
    size_t count = 0;
    for (const auto& [level, text] : context_.lines()) count += text.find(part) != std::string::npos ? 1 : 0;
    return count;
  }

  std::string content_at(const std::string& bucket, const std::string& key) const {
    const auto object = server_.get(bucket, key);
    return object ? testing::fault::read_all(*object->content) : "(nothing)";
  }

  testing::FaultServer server_;
  testing::TestContext context_;
  std::shared_ptr<Source> source_;
  std::shared_ptr<Destination> destination_;
};

}  // namespace waybill::s3
