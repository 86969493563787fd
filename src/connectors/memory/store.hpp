// SPDX-License-Identifier: Apache-2.0
//
// A store of objects in the memory of this process: what the two ends of the memory connector talk to, as other
// connectors talk to a server. Everything is one map under one mutex, so that a condition and its write are one step.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/destination.hpp"
#include "waybill/source.hpp"

namespace waybill::memory {

/// One object. Never changed: a write replaces it.
struct Object {
  std::string content;
  Attributes attributes;
  Crc64 crc = 0;
  std::string etag;  ///< the CRC in hexadecimal: changes exactly if the content does
};

/// Any thread; nothing here blocks for long.
class Store {
 public:
  /// The store of this name: the same one for everybody in this process, until it ends.
  static std::shared_ptr<Store> named(const std::string& name);

  /// Errors: unsupported (an empty key, or one of more than 65,535 bytes).
  static void check_key(const Key& key);
  /// Null where there is none.
  std::shared_ptr<const Object> find(const Key& key) const;
  /// Up to 1,000 entries in key order: those after `after` (from the start if it is empty) and before `before`.
  Page list(const Key& after, const Key& before) const;
  /// Errors: conflict, and those of check_key().
  std::shared_ptr<const Object> put(const Key& key, std::string content, const WriteOptions& options);
  void remove(const Key& key);
  /// Errors: conflict (the object is not the one of `item.stamp`).
  Removal remove_unchanged(const Item& item);
  void clear();

  std::string begin_upload(std::string_view migration);
  bool has_upload(const std::string& id) const;
  /// Errors of these three: missing (the upload is gone).
  PartInfo write_part(const std::string& id, uint32_t number, std::string content);
  std::vector<PartInfo> parts(const std::string& id) const;
  /// The bytes of `parts`, one after the other. Errors: also checksum (a part is not the one that was written).
  std::string join(const std::string& id, std::span<const PartInfo> parts) const;
  void end_upload(const std::string& id);
  void sweep(std::string_view migration, std::span<const OpenUpload> known);

 private:
  struct Part {
    PartInfo info;
    std::string content;
  };
  struct Upload {
    std::string migration;
    std::map<uint32_t, Part> parts;
  };
  const Upload& upload(const std::string& id) const;

  mutable std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Object>> objects_;  // guarded by mutex_, as what follows
  std::map<std::string, Upload> uploads_;
  uint64_t last_upload_ = 0;
};

/// An object as listings show it.
Item describe(const Key& key, const Object& object);

}  // namespace waybill::memory
