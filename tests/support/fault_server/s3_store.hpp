// SPDX-License-Identifier: Apache-2.0
//
// What the fault server's S3 holds: buckets, objects with their versions, uploads under way. Keys are bytes. Not
// synchronised: S3Service locks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/fault_server/content.hpp"
#include "support/fault_server/generated_keys.hpp"
#include "support/fault_server/http.hpp"
#include "support/fault_server/s3_settings.hpp"
#include "waybill/item.hpp"

namespace waybill::testing::fault {

struct Checksum {
  std::string algorithm;  ///< "crc64nvme", "sha256", …
  std::string value;      ///< base64, with -N where it is composite
  bool is_composite = false;
};

using Tags = std::vector<std::pair<std::string, std::string>>;

/// At rest, as it was asked for.
struct Encryption {
  std::string algorithm;  ///< "AES256", "aws:kms", …; "" where nothing was said
  std::string kms_key_id;
  bool bucket_key = false;
  std::string customer_key_md5;  ///< of SSE-C, base64; "" where there is no such key
};

/// One version of an object; immutable once it is in a bucket.
struct Object {
  std::string version_id = "null";
  bool is_delete_marker = false;
  ContentPtr content;
  std::string etag;  ///< without quotes
  int64_t modified_ms = 0;
  Headers headers;  ///< Content-Type and the like, and x-amz-meta-*, as they are answered
  Tags tags;
  std::string storage_class = "STANDARD";
  std::string restore;  ///< the value of x-amz-restore; an archived object can be read where it is not under way
  std::string acl = "private";
  Encryption encryption;
  std::vector<Checksum> checksums;
  std::vector<uint64_t> part_sizes;  ///< of an object made of parts
  Crc64 crc64 = 0;                   ///< of the content, where it came from a client

  uint64_t size() const noexcept { return content ? content->size() : 0; }
  bool is_archived() const noexcept {
    return (storage_class == "GLACIER" || storage_class == "DEEP_ARCHIVE") &&
           restore.find("ongoing-request=\"false\"") == std::string::npos;
  }
};
using ObjectPtr = std::shared_ptr<const Object>;

struct UploadedPart {
  ContentPtr content;
  std::string etag;
  std::string md5;  ///< sixteen bytes
  Crc64 crc64 = 0;
  std::vector<Checksum> checksums;
  int64_t modified_ms = 0;
};

struct Upload {
  std::string key;
  Object object;          ///< everything but content, etag and checksums
  std::string algorithm;  ///< of the checksum that was asked for, lower case; "" for none
  bool is_full_object = false;
  int64_t initiated_ms = 0;
  std::map<uint32_t, UploadedPart> parts;
};

class Bucket {
 public:
  BucketSettings settings;
  std::map<std::string, Upload> uploads;  ///< by id

  /// The current version; nothing where there is none, or where it is a delete marker (then it is in `marker`).
  ObjectPtr find(std::string_view key, ObjectPtr* marker = nullptr) const;
  ObjectPtr find_version(std::string_view key, std::string_view version_id) const;
  /// Makes it the current version and gives it a version id as the bucket's versioning says.
  ObjectPtr put(const std::string& key, Object object);
  /// Replaces what is known about a version, keeping its place.
  void change(const std::string& key, ObjectPtr version);
  /// Deletes as the bucket's versioning says: gives the delete marker, if one was made.
  ObjectPtr remove(const std::string& key);
  /// The version that was deleted for good, if there was one.
  ObjectPtr remove_version(const std::string& key, std::string_view version_id);
  void generate(GeneratedKeys keys) { generated_.push_back(std::move(keys)); }
  /// Removes everything, settings excepted.
  void clear();
  bool is_empty() const;

  /// Walks over keys in the order of bytes, also those without a current version.
  class Cursor {
   public:
    /// Begins at the first key that is not less.
    Cursor(const Bucket& bucket, std::string_view from);
    bool is_at_end() const noexcept { return is_at_end_; }
    const std::string& key() const noexcept { return key_; }
    /// Newest last; empty for a generated key that was deleted.
    std::vector<ObjectPtr> versions() const;
    /// The newest one without what would be needed only to read it; nothing where it is deleted.
    ObjectPtr current() const;
    void next();
    void seek(std::string_view from);

   private:
    void settle();

    const Bucket* bucket_;
    std::map<std::string, std::vector<ObjectPtr>, std::less<>>::const_iterator held_;
    std::vector<std::pair<uint64_t, std::string>> generated_;  // of each set: the next number and its key
    bool is_at_end_ = false;
    bool is_held_ = false;
    size_t set_ = 0;
    std::string key_;
  };

 private:
  ObjectPtr generated_object(const GeneratedKeys& keys, uint64_t n) const;
  ObjectPtr find_generated(std::string_view key) const;

  std::map<std::string, std::vector<ObjectPtr>, std::less<>> held_;  // newest last; empty: a generated one, deleted
  std::vector<GeneratedKeys> generated_;
  uint64_t last_version_ = 0;
};

class S3Store {
 public:
  ServerSettings settings;

  /// Nothing where there is no such bucket.
  Bucket* find(std::string_view name);
  /// An empty one, unless it is there.
  Bucket& make(const std::string& name);
  bool remove(std::string_view name);
  void clear();
  const std::map<std::string, Bucket, std::less<>>& buckets() const noexcept { return buckets_; }

  int64_t now_ms() const;
  /// 32 characters; each is greater than those before.
  std::string new_upload_id();

 private:
  std::map<std::string, Bucket, std::less<>> buckets_;
  uint64_t last_id_ = 0;
};

}  // namespace waybill::testing::fault
