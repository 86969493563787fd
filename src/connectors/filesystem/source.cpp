// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/source.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "connectors/filesystem/tree.hpp"
#include "connectors/filesystem/walk.hpp"

namespace waybill::filesystem {

Source::Capabilities FilesystemSource::capabilities() const {
  Capabilities capabilities;
  capabilities.order = Order::byte_key;
  capabilities.start_after = true;
  return capabilities;
}

void FilesystemSource::check(Context& context) {
  context.check();
  root_.reopen();
  const std::shared_ptr<const Fd> root = root_.open();
  if (faccessat(root->get(), ".", R_OK | X_OK, AT_EACCESS) != 0) {
    throw folder_error(errno, "cannot read the folder " + root_.name(""));
  }
}

std::unique_ptr<Lister> FilesystemSource::list(const ListRequest& request, Context& context) {
  context.check();
  return std::make_unique<Walk>(root_, request, View::source);
}

ReadResult FilesystemSource::read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  return read_item(root_, item, offset, out, context);
}

std::optional<Item> FilesystemSource::stat(const ItemId& id, Context& context) {
  return stat_item(root_, id.key, context);
}

Removal FilesystemSource::remove(const Item& item, Context& context) {
  const Key& key = item.key();
  const std::optional<Item> now = stat_item(root_, key, context);
  if (!now) return Removal::gone;
  const auto conflict = [&](const char* what) {
    return Error(ErrorCode::failed_precondition, ErrorClass::conflict, root_.name(key) + what);
  };
  if (now->refused != ErrorClass::none || !(now->stamp == item.stamp)) throw conflict(" has changed");
  const bool is_folder = key.ends_with('/');
  const Split split = split_key(key);
  const Fd parent = root_.open_beneath(split.parent, O_PATH | O_DIRECTORY);
  if (parent && unlinkat(parent.get(), split.leaf.c_str(), is_folder ? AT_REMOVEDIR : 0) == 0) return Removal::removed;
  if (errno == ENOENT) return Removal::gone;
  if (errno == ENOTEMPTY || errno == EEXIST) throw conflict(" holds something now");
  throw system_error(errno, "cannot remove " + root_.name(key));
}

}  // namespace waybill::filesystem
