// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/source.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.hpp"
#include "base/uri.hpp"
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

std::optional<ItemId> FilesystemSource::item_at(std::string_view url) const {
  constexpr std::string_view scheme = "file://";
  if (url.size() < scheme.size() || !internal::equals_ignoring_case(url.substr(0, scheme.size()), scheme)) return std::nullopt;
  url.remove_prefix(scheme.size());
  const size_t host_end = url.find('/');
  if (host_end == std::string_view::npos || url.find_first_of("?#") != std::string_view::npos) return std::nullopt;
  if (host_end > 0 && !internal::equals_ignoring_case(url.substr(0, host_end), "localhost")) return std::nullopt;
  const auto path = internal::percent_decode(url.substr(host_end));
  std::string root = root_.path();
  if (!root.ends_with('/')) root += '/';
  if (!path || !path->starts_with(root)) return std::nullopt;
  Key key = path->substr(root.size());
  if (key.empty() || !key_problem(key).empty() || is_staging_key(key)) return std::nullopt;
  return ItemId{"", std::move(key), ""};
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
