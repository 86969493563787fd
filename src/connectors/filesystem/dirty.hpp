// SPDX-License-Identifier: Apache-2.0
//
// What was written and is not known to be on the disk yet. A few files are synced one by one, with the folders above
// them; more of them all at once, by syncfs: so the list never grows.
#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "connectors/filesystem/root.hpp"
#include "waybill/context.hpp"

namespace waybill::filesystem {

/// Any thread.
class Dirty {
 public:
  static constexpr size_t max_few = 16;

  explicit Dirty(const Root& root) : root_(root) {}

  /// `path` beneath the root (a file or a folder) was written or got its name.
  void add(std::string_view path);
  /// `folder` is on the filesystem `device`, which is not the root's.
  void add_mount(dev_t device, std::string_view folder);

  /// Returns once everything added before the call is durable. Errors: local_io, not retryable where the system may
  /// have thrown data away: what was put since the last flush has to be put again then. cancelled.
  void flush(Context& context);

 private:
  bool sync_each(const std::set<std::string>& paths, Context& context);
  void sync_all(Context& context);

  const Root& root_;
  std::mutex flushing_;  // a second flush must not overtake the first one
  std::mutex mutex_;
  std::set<std::string> few_;
  bool is_many_ = false;
  std::map<dev_t, std::string> mounts_;
};

}  // namespace waybill::filesystem
