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

}  // namespace waybill::filesystem
