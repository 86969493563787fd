// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/s3_store.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "base/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr int64_t generated_at_ms = 1'767'225'600'000;  // 2026-01-01

std::string hex_of(uint64_t number) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (56 - 8 * i));
  return internal::hex_encode(internal::as_bytes(bytes));
}

}  // namespace

ObjectPtr Bucket::generated_object(const GeneratedKeys& keys, uint64_t n) const {
  auto object = std::make_shared<Object>();
  object->content = generated_content(keys.seed_of(n), keys.size_of(n));
  object->etag = keys.etag_of(n);
  object->modified_ms = generated_at_ms;
  object->headers = {{"Content-Type", "application/octet-stream"}};
  return object;
}

ObjectPtr Bucket::find_generated(std::string_view key) const {
  for (const GeneratedKeys& keys : generated_) {
    if (const auto n = keys.find(key)) return generated_object(keys, *n);
  }
  return nullptr;
}

ObjectPtr Bucket::find(std::string_view key, ObjectPtr* marker) const {
  const auto found = held_.find(key);
  if (found == held_.end()) return find_generated(key);
  if (found->second.empty()) return nullptr;
  const ObjectPtr& newest = found->second.back();
  if (!newest->is_delete_marker) return newest;
  if (marker) *marker = newest;
  return nullptr;
}

ObjectPtr Bucket::find_version(std::string_view key, std::string_view version_id) const {
  const auto found = held_.find(key);
  if (found == held_.end()) return version_id == "null" ? find_generated(key) : nullptr;
  for (const ObjectPtr& version : found->second) {
    if (version->version_id == version_id) return version;
  }
  return nullptr;
}

ObjectPtr Bucket::put(const std::string& key, Object object) {
  const auto [place, is_new] = held_.try_emplace(key);
  std::vector<ObjectPtr>& versions = place->second;
  if (is_new && settings.versioning != "off") {
    if (ObjectPtr below = find_generated(key)) versions.push_back(std::move(below));
  }
  if (settings.versioning == "enabled") {
    object.version_id = "v" + hex_of(++last_version_);
  } else {
    std::erase_if(versions, [](const ObjectPtr& version) { return version->version_id == "null"; });
  }
  versions.push_back(std::make_shared<const Object>(std::move(object)));
  return versions.back();
}

void Bucket::change(const std::string& key, ObjectPtr version) {
  std::vector<ObjectPtr>& versions = held_[key];
  for (ObjectPtr& known : versions) {
    if (known->version_id != version->version_id) continue;
    known = std::move(version);
    return;
  }
  versions.push_back(std::move(version));  // a generated one: it is held from now on
}

ObjectPtr Bucket::remove(const std::string& key) {
  if (settings.versioning != "off") {
    Object marker;
    marker.is_delete_marker = true;
    marker.modified_ms = internal::now_ms();
    return put(key, std::move(marker));
  }
  if (find_generated(key)) {
    held_[key].clear();
  } else {
    held_.erase(key);
  }
  return nullptr;
}

ObjectPtr Bucket::remove_version(const std::string& key, std::string_view version_id) {
  ObjectPtr gone = find_version(key, version_id);
  if (!gone) return nullptr;
  std::vector<ObjectPtr>& versions = held_[key];
  std::erase_if(versions, [&](const ObjectPtr& version) { return version->version_id == version_id; });
  if (versions.empty() && !find_generated(key)) held_.erase(key);
  return gone;
}

void Bucket::clear() {
  held_.clear();
  generated_.clear();
  uploads.clear();
}

bool Bucket::is_empty() const {
  for (Cursor cursor(*this, ""); !cursor.is_at_end(); cursor.next()) {
    if (!cursor.versions().empty()) return false;
  }
  return true;
}

Bucket::Cursor::Cursor(const Bucket& bucket, std::string_view from) : bucket_(&bucket) { seek(from); }

void Bucket::Cursor::seek(std::string_view from) {
  held_ = bucket_->held_.lower_bound(from);
  generated_.clear();
  for (const GeneratedKeys& keys : bucket_->generated_) {
    const uint64_t n = keys.lower_bound(from);
    generated_.emplace_back(n, n < keys.count ? keys.key(n) : std::string());
  }
  settle();
}

// Finds out which of the heads comes first.
void Bucket::Cursor::settle() {
  const std::string* least = nullptr;
  is_held_ = held_ != bucket_->held_.end();
  if (is_held_) least = &held_->first;
  for (size_t i = 0; i < generated_.size(); ++i) {
    if (generated_[i].first >= bucket_->generated_[i].count) continue;
    if (least && *least <= generated_[i].second) continue;
    least = &generated_[i].second;
    is_held_ = false;
    set_ = i;
  }
  is_at_end_ = least == nullptr;
  if (least) key_ = *least;
}

std::vector<ObjectPtr> Bucket::Cursor::versions() const {
  if (is_held_) return held_->second;
  return {current()};
}

ObjectPtr Bucket::Cursor::current() const {
  if (!is_held_) return bucket_->generated_object(bucket_->generated_[set_], generated_[set_].first);
  if (held_->second.empty() || held_->second.back()->is_delete_marker) return nullptr;
  return held_->second.back();
}

void Bucket::Cursor::next() {
  if (held_ != bucket_->held_.end() && held_->first == key_) ++held_;
  for (size_t i = 0; i < generated_.size(); ++i) {
    auto& [n, key] = generated_[i];
    const GeneratedKeys& keys = bucket_->generated_[i];
    if (n >= keys.count || key != key_) continue;
    ++n;
    key = n < keys.count ? keys.key(n) : std::string();
  }
  settle();
}

Bucket* S3Store::find(std::string_view name) {
  const auto found = buckets_.find(name);
  return found == buckets_.end() ? nullptr : &found->second;
}

Bucket& S3Store::make(const std::string& name) { return buckets_[name]; }

bool S3Store::remove(std::string_view name) {
  const auto found = buckets_.find(name);
  if (found == buckets_.end()) return false;
  buckets_.erase(found);
  return true;
}

void S3Store::clear() { buckets_.clear(); }

int64_t S3Store::now_ms() const { return internal::now_ms() + settings.clock_offset_s * 1000; }

std::string S3Store::new_upload_id() {
  const uint64_t number = ++last_id_;
  return hex_of(number) + hex_of(mix(number));
}

}  // namespace waybill::testing::fault
