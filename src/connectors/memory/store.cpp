// SPDX-License-Identifier: Apache-2.0
#include "connectors/memory/store.hpp"

#include <algorithm>
#include <charconv>

#include "base/hash.hpp"

namespace waybill::memory {
namespace {

constexpr size_t page_items = 1000;
constexpr size_t max_key_size = 65'535;

std::string etag_of(Crc64 crc) {
  char digits[16];
  return {digits, std::to_chars(digits, digits + sizeof digits, crc, 16).ptr};
}

void check_condition(const Key& key, const Object* found, const Condition& condition) {
  bool is_met = true;
  if (condition.kind == Condition::Kind::absent) {
    is_met = found == nullptr;
  } else if (condition.kind == Condition::Kind::unchanged) {
    is_met = found != nullptr && condition.etag == found->etag &&
             (!condition.size || *condition.size == found->content.size()) &&
             (!condition.mtime_ns || condition.mtime_ns == found->attributes.mtime_ns);
  }
  if (is_met) return;
  throw Error(ErrorCode::failed_precondition, ErrorClass::conflict,
              "\"" + printable(key) + "\" " + (found == nullptr ? "is gone" : "is there, and not as expected"));
}

}  // namespace

std::shared_ptr<Store> Store::named(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<Store>> stores;
  const std::lock_guard lock(mutex);
  std::shared_ptr<Store>& store = stores[name];
  if (store == nullptr) store = std::make_shared<Store>();
  return store;
}

void Store::check_key(const Key& key) {
  if (!key.empty() && key.size() <= max_key_size) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
              key.empty() ? "an empty key cannot be held" : "a key of more than 65,535 bytes cannot be held");
}

std::shared_ptr<const Object> Store::find(const Key& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second;
}

Page Store::list(const Key& after, const Key& before) const {
  const std::lock_guard lock(mutex_);
  Page page;
  auto at = objects_.upper_bound(after);
  const auto end = before.empty() ? objects_.end() : objects_.lower_bound(before);
  const bool is_nothing = !before.empty() && before <= after;
  while (!is_nothing && at != end && page.items.size() < page_items) {
    page.items.push_back(describe(at->first, *at->second));
    ++at;
  }
  page.is_last = is_nothing || at == end;
  page.resume = page.items.empty() ? after : page.items.back().key();
  return page;
}

std::shared_ptr<const Object> Store::put(const Key& key, std::string content, const WriteOptions& options) {
  check_key(key);
  auto object = std::make_shared<Object>();
  object->content = std::move(content);
  object->attributes = options.attributes;
  object->crc = internal::crc64nvme(internal::as_bytes(object->content));
  object->etag = etag_of(object->crc);

  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  check_condition(key, found == objects_.end() ? nullptr : found->second.get(), options.condition);
  objects_[key] = object;
  return object;
}

void Store::remove(const Key& key) {
  const std::lock_guard lock(mutex_);
  objects_.erase(key);
}

Removal Store::remove_unchanged(const Item& item) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(item.key());
  if (found == objects_.end()) return Removal::gone;
  if (!(describe(found->first, *found->second).stamp == item.stamp)) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::conflict, "\"" + printable(item.key()) + "\" has changed");
  }
  objects_.erase(found);
  return Removal::removed;
}

void Store::clear() {
  const std::lock_guard lock(mutex_);
  objects_.clear();
  uploads_.clear();
}

std::string Store::begin_upload(std::string_view migration) {
  const std::lock_guard lock(mutex_);
  std::string id = "up-" + std::to_string(++last_upload_);
  uploads_[id].migration = migration;
  return id;
}

bool Store::has_upload(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return uploads_.contains(id);
}

const Store::Upload& Store::upload(const std::string& id) const {
  const auto found = uploads_.find(id);
  if (found != uploads_.end()) return found->second;
  throw Error(ErrorCode::not_found, ErrorClass::missing, "the upload \"" + printable(id) + "\" is gone");
}

PartInfo Store::write_part(const std::string& id, uint32_t number, std::string content) {
  Part part;
  part.info.number = number;
  part.info.size = content.size();
  part.info.digest.crc64nvme = internal::crc64nvme(internal::as_bytes(content));
  part.info.etag = etag_of(*part.info.digest.crc64nvme);
  part.content = std::move(content);
  PartInfo info = part.info;

  const std::lock_guard lock(mutex_);
  upload(id);
  uploads_[id].parts[number] = std::move(part);
  return info;
}

std::vector<PartInfo> Store::parts(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  std::vector<PartInfo> parts;
  for (const auto& [number, part] : upload(id).parts) parts.push_back(part.info);
  return parts;
}

std::string Store::join(const std::string& id, std::span<const PartInfo> parts) const {
  const std::lock_guard lock(mutex_);
  const Upload& from = upload(id);
  std::string content;
  for (const PartInfo& wanted : parts) {
    const auto part = from.parts.find(wanted.number);
    if (part == from.parts.end() || part->second.info.etag != wanted.etag) {
      throw Error(ErrorCode::data_loss, ErrorClass::checksum,
                  "part " + std::to_string(wanted.number) + " is not the one that was written");
    }
    content += part->second.content;
  }
  return content;
}

void Store::end_upload(const std::string& id) {
  const std::lock_guard lock(mutex_);
  uploads_.erase(id);
}

void Store::sweep(std::string_view migration, std::span<const OpenUpload> known) {
  const std::lock_guard lock(mutex_);
  std::erase_if(uploads_, [&](const auto& entry) {
    return entry.second.migration == migration && std::none_of(known.begin(), known.end(), [&](const OpenUpload& one) { return one.id == entry.first; });
  });
}

Item describe(const Key& key, const Object& object) {
  Item item;
  item.id.key = key;
  item.stamp.size = object.content.size();
  item.stamp.etag = object.etag;
  item.stamp.mtime_ns = object.attributes.mtime_ns;
  item.digest.crc64nvme = object.crc;
  return item;
}

}  // namespace waybill::memory
