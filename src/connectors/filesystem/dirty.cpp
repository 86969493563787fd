// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/dirty.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace waybill::filesystem {
namespace {

/// After a failed sync the kernel counts the lost pages as clean: another try would succeed and prove nothing.
Error sync_error(int error_number, const std::string& name) {
  return system_error(error_number, "cannot make " + name + " durable; what was written there may be lost")
      .set_retryable(false);
}

}  // namespace

void Dirty::add(std::string_view path) {
  if (path.ends_with('/')) path.remove_suffix(1);
  const std::lock_guard lock(mutex_);
  if (is_many_) return;
  few_.emplace(path);
  if (few_.size() > max_few) {
    is_many_ = true;
    few_.clear();
  }
}

void Dirty::add_mount(dev_t device, std::string_view folder) {
  const std::lock_guard lock(mutex_);
  mounts_.emplace(device, folder);
}

void Dirty::flush(Context& context) {
  const std::lock_guard flushing(flushing_);
  std::set<std::string> few;
  bool is_many = false;
  {
    const std::lock_guard lock(mutex_);
    few.swap(few_);
    is_many = std::exchange(is_many_, false);
  }
  if (few.empty() && !is_many) return;
  try {
    if (is_many || !sync_each(few, context)) sync_all(context);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    is_many_ = true;  // nothing of it counts as durable
    few_.clear();
    throw;
  }
}

/// False if some of it cannot be opened (no right to read it; moved on meanwhile, as an upload that was completed): it
/// has to be synced with everything else.
bool Dirty::sync_each(const std::set<std::string>& paths, Context& context) {
  std::set<std::string> folders{""};
  for (const std::string& path : paths) {
    context.check();
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      folders.insert(path.substr(0, slash));
    }
    const Fd fd = root_.open_beneath(path, O_RDONLY | O_NONBLOCK);
    if (!fd) return false;
    if (fsync(fd.get()) != 0) throw sync_error(errno, root_.name(path));
  }
  // Deepest first: a folder is durable before the name that leads to it.
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    context.check();
    const Fd fd = root_.open_beneath(*folder, O_RDONLY | O_DIRECTORY);
    if (!fd) return false;
    if (fsync(fd.get()) != 0) throw sync_error(errno, root_.name(*folder));
  }
  return true;
}

void Dirty::sync_all(Context& context) {
  // The root was opened before anything was written, so that it sees every failed write since.
  if (syncfs(root_.open()->get()) != 0) throw sync_error(errno, root_.name(""));
  std::map<dev_t, std::string> mounts;
  {
    const std::lock_guard lock(mutex_);
    mounts = mounts_;
  }
  for (const auto& [device, folder] : mounts) {
    context.check();
    const Fd fd = root_.open_beneath(folder, O_RDONLY | O_DIRECTORY);
    if (!fd) throw system_error(errno, "cannot open " + root_.name(folder));
    if (syncfs(fd.get()) != 0) throw sync_error(errno, root_.name(folder));
  }
}

}  // namespace waybill::filesystem
