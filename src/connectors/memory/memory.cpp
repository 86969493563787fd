// SPDX-License-Identifier: Apache-2.0
#include "connectors/memory/memory.hpp"

#include <algorithm>
#include <cstring>

#include "base/hash.hpp"
#include "base/uri.hpp"

namespace waybill::memory {
namespace {

constexpr size_t window = 1 << 20;

class MemoryLister final : public Lister {
 public:
  MemoryLister(std::shared_ptr<Store> store, const ListRequest& request)
      : store_(std::move(store)), after_(std::max(request.after, request.resume)), before_(request.before) {}

  Page next(Context& context) override {
    context.check();
    Page page = store_->list(after_, before_);
    after_ = page.resume;
    return page;
  }

 private:
  std::shared_ptr<Store> store_;
  Key after_;
  Key before_;
};

std::unique_ptr<Lister> list_store(const std::shared_ptr<Store>& store, const ListRequest& request, Context& context) {
  context.check();
  if (!request.scope.empty()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::internal,
                "the scope \"" + printable(request.scope) + "\" is unknown: a store is listed whole");
  }
  return std::make_unique<MemoryLister>(store, request);
}

std::optional<Item> stat_object(const Store& store, const Key& key, Context& context) {
  context.check();
  const std::shared_ptr<const Object> object = store.find(key);
  if (object == nullptr) return std::nullopt;
  return describe(key, *object);
}

ReadResult read_object(const Store& store, const Key& key, uint64_t offset, std::span<std::byte> out,
                       Context& context) {
  context.check();
  const std::shared_ptr<const Object> object = store.find(key);
  if (object == nullptr) {
    throw Error(ErrorCode::not_found, ErrorClass::missing, "there is no object \"" + printable(key) + "\"");
  }
  const std::string_view content = object->content;
  const std::string_view rest = content.substr(static_cast<size_t>(std::min<uint64_t>(offset, content.size())));
  ReadResult result;
  result.count = std::min(rest.size(), out.size());
  if (result.count > 0) std::memcpy(out.data(), rest.data(), result.count);
  result.total_size = content.size();
  result.stamp = describe(key, *object).stamp;
  result.attributes = object->attributes;
  return result;
}

/// All bytes of a body, once they are known to be those of its digest.
std::string take(const Body& body, Context& context) {
  std::string content(static_cast<size_t>(body.size()), '\0');
  for (size_t at = 0; at < content.size();) {
    context.check();
    const size_t wanted = std::min(window, content.size() - at);
    const size_t count = body.read(at, std::as_writable_bytes(std::span(content.data() + at, wanted)));
    if (count != wanted) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed, "a body ended before its announced length")
          .set_retryable();
    }
    at += count;
  }
  const std::optional<Crc64> expected = body.digest().crc64nvme;
  if (expected && *expected != internal::crc64nvme(internal::as_bytes(content))) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the bytes are not those of the digest").set_retryable();
  }
  return content;
}

Stored stored_of(const Object& object) {
  Stored stored;
  stored.size = object.content.size();
  stored.etag = object.etag;
  stored.mtime_ns = object.attributes.mtime_ns;
  stored.digest.crc64nvme = object.crc;
  return stored;
}

class MemoryUpload final : public PartUpload {
 public:
  MemoryUpload(std::shared_ptr<Store> store, std::string id, Key key, WriteOptions options)
      : store_(std::move(store)), id_(std::move(id)), key_(std::move(key)), options_(std::move(options)) {}

  std::string id() const override { return id_; }

  std::vector<PartInfo> existing(Context& context) override {
    context.check();
    return store_->parts(id_);
  }

  PartInfo write(uint32_t number, uint64_t, const Body& body, Context& context) override {
    context.check();
    return store_->write_part(id_, number, take(body, context));
  }

  Stored complete(std::span<const PartInfo> parts, Context& context) override {
    context.check();
    if (!stored_) {
      stored_ = stored_of(*store_->put(key_, store_->join(id_, parts), options_));
      store_->end_upload(id_);
    }
    return *stored_;
  }

  void abort(Context&) override { store_->end_upload(id_); }

 private:
  std::shared_ptr<Store> store_;
  std::string id_;
  Key key_;
  WriteOptions options_;
  std::optional<Stored> stored_;  // the answer to a repeated complete()
};

std::string identity_of(const std::string& name) { return "memory://" + internal::encode_query(name); }

/// The name in a URL. Errors: configuration.
std::string name_of(const Url& url) {
  std::string problem;
  if (!url.query.empty()) {
    problem = "a memory store has no parameter \"" + printable(url.query.begin()->first) + "\"";
  } else if (url.host.empty()) {
    problem = "has no name; give one, for example memory://trial";
  } else if (!url.path.empty() && url.path != "/") {
    problem = "a memory store has no path";
  }
  if (problem.empty()) return url.host;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, url.redacted() + ": " + problem);
}

}  // namespace

Source::Capabilities MemorySource::capabilities() const {
  Capabilities capabilities;
  capabilities.order = Order::byte_key;
  capabilities.start_after = true;
  return capabilities;
}

std::string MemorySource::identity() const { return identity_of(name_); }

std::unique_ptr<Lister> MemorySource::list(const ListRequest& request, Context& context) {
  return list_store(store_, request, context);
}

ReadResult MemorySource::read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  return read_object(*store_, item.key(), offset, out, context);
}

std::optional<Item> MemorySource::stat(const ItemId& id, Context& context) {
  return stat_object(*store_, id.key, context);
}

Removal MemorySource::remove(const Item& item, Context& context) {
  context.check();
  return store_->remove_unchanged(item);
}

std::optional<Locator> MemorySource::locator(const Item& item) {
  Locator locator;
  locator.scheme = "memory";
  locator.endpoint = endpoint();
  locator.bucket = name_;
  locator.key = item.key();
  locator.etag = item.stamp.etag;
  locator.size = item.stamp.size;
  locator.storage_class = "";
  return locator;
}

Destination::Capabilities MemoryDestination::capabilities() const {
  Capabilities capabilities;
  capabilities.order = Order::byte_key;
  capabilities.start_after = true;
  capabilities.conditional = true;
  capabilities.parts = true;
  capabilities.lists_parts = true;
  capabilities.listing_has_etag = true;
  capabilities.listing_has_mtime = true;
  capabilities.copies = true;
  return capabilities;
}

std::string MemoryDestination::identity() const { return identity_of(name_); }

std::unique_ptr<Lister> MemoryDestination::list(const ListRequest& request, Context& context) {
  return list_store(store_, request, context);
}

std::optional<Item> MemoryDestination::stat(const Key& key, Context& context) {
  return stat_object(*store_, key, context);
}

Stored MemoryDestination::put(const Key& key, const Body& body, const WriteOptions& options, Context& context) {
  context.check();
  return stored_of(*store_->put(key, take(body, context), options));
}

std::unique_ptr<PartUpload> MemoryDestination::begin_parts(const Key& key, const PartPlan& plan,
                                                           const WriteOptions& options, Context& context) {
  context.check();
  Store::check_key(key);
  const std::string id = plan.upload_id.empty() ? store_->begin_upload(context.migration()) : plan.upload_id;
  if (!store_->has_upload(id)) {
    throw Error(ErrorCode::not_found, ErrorClass::missing, "the upload \"" + printable(id) + "\" is gone");
  }
  return std::make_unique<MemoryUpload>(store_, id, key, options);
}

std::optional<Stored> MemoryDestination::copy(const Key& key, const Locator& from, const WriteOptions& options,
                                              Context& context) {
  context.check();
  if (from.scheme != "memory") return std::nullopt;
  const std::shared_ptr<const Object> object = Store::named(from.bucket)->find(from.key);
  if (object == nullptr) {
    throw Error(ErrorCode::not_found, ErrorClass::missing, "there is no object \"" + printable(from.key) + "\"");
  }
  if (!from.etag.empty() && from.etag != object->etag) {
    throw Error(ErrorCode::aborted, ErrorClass::source_changed, "\"" + printable(from.key) + "\" changed")
        .set_retryable();
  }
  WriteOptions whole = options;
  whole.attributes = object->attributes;
  return stored_of(*store_->put(key, object->content, whole));
}

ReadResult MemoryDestination::read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  return read_object(*store_, item.key(), offset, out, context);
}

void MemoryDestination::remove(const Key& key, Context& context) {
  context.check();
  store_->remove(key);
}

Removal MemoryDestination::remove_unchanged(const Item& item, Context& context) {
  context.check();
  return store_->remove_unchanged(item);
}

void MemoryDestination::sweep(std::span<const OpenUpload> known, Context& context) {
  context.check();
  store_->sweep(context.migration(), known);
}

Connector memory_connector() {
  Connector connector;
  connector.open_source = [](const Url& url) { return std::make_shared<MemorySource>(name_of(url)); };
  connector.open_destination = [](const Url& url) { return std::make_shared<MemoryDestination>(name_of(url)); };
  return connector;
}

}  // namespace waybill::memory
