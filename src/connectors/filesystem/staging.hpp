// SPDX-License-Identifier: Apache-2.0
//
// The folder in which files are written before they get their names. It is there only while it holds something, and
// its files are named "<migration>-<epoch>-<counter>" or "<migration>-up-<hex>" ("local" outside of runs), so that
// each migration finds its own.
#pragma once

#include <fcntl.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "connectors/filesystem/root.hpp"
#include "waybill/context.hpp"
#include "waybill/destination.hpp"

namespace waybill::filesystem {

/// A file in the staging folder, open for reading and writing; removed when destroyed, unless it was moved or kept.
class StagedFile {
 public:
  StagedFile(std::shared_ptr<const Fd> folder, std::string name, Fd fd)
      : folder_(std::move(folder)), name_(std::move(name)), fd_(std::move(fd)) {}
  StagedFile(StagedFile&&) = default;
  StagedFile& operator=(StagedFile&&) = delete;
  ~StagedFile();

  int folder() const noexcept { return folder_->get(); }
  int fd() const noexcept { return fd_.get(); }
  const std::string& name() const noexcept { return name_; }
  /// It has its final name, or stays for a later process: not to be removed.
  void release() noexcept { is_released_ = true; }
  void remove() noexcept;

 private:
  std::shared_ptr<const Fd> folder_;  // null once moved from
  std::string name_;
  Fd fd_;
  bool is_released_ = false;
};

/// The staging folder of one destination. Any thread.
class StagingFolder {
 public:
  explicit StagingFolder(const Root& root) : root_(root) {}

  /// A new file for one write. Makes root and folder where they are missing.
  StagedFile create(Context& context);
  /// A new file for an object in parts, which stays when the process ends. Already released.
  StagedFile create_upload(Context& context);
  /// An upload that is there. Already released. Errors: missing.
  StagedFile open_upload(const std::string& name) { return open(name, O_RDWR); }

  /// Removes the files of the migration that are not in `keep`, and the folder if nothing else is in it.
  void sweep(std::span<const OpenUpload> known, Context& context);
  /// Removes the folder if it is empty; create() makes it again.
  void remove_if_empty() noexcept;

  /// The key beneath the root of a file in this folder.
  static std::string key_of(std::string_view name);

 private:
  StagedFile open(const std::string& name, int flags);
  std::shared_ptr<const Fd> folder();
  void forget(const std::shared_ptr<const Fd>& folder);

  const Root& root_;
  std::atomic<uint64_t> counter_{0};
  std::mutex mutex_;
  std::shared_ptr<const Fd> folder_;
};

}  // namespace waybill::filesystem
