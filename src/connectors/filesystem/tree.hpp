// SPDX-License-Identifier: Apache-2.0
//
// What the two ends of the filesystem connector share: how a file becomes an Item, and how one is read.
//
// A stamp is size, mtime in nanoseconds and, in the opaque word, the ctime. The ctime catches what size and mtime
// cannot: content that was changed and its mtime put back. It also changes with mode, owner and link count; such a file
// is looked at again, which costs a copy at worst and never misses a change. The inode number is left out on purpose:
// FUSE, vfat and CIFS may make up a new one with every look, and a file replaced by rename has a new ctime anyway.
//
// Timestamps have a granule: two changes within it leave the same time behind. read() therefore waits, before it looks
// at a file that was changed within the last granule, until that is over: 20 ms, or 2 s where the times look as if the
// filesystem counted in whole seconds or hundredths (vfat, old NFS). Any later change then shows in the stamp. A tree
// that lies still is young only once, so this costs a run one granule, not one for each file.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <span>

#include "connectors/filesystem/root.hpp"
#include "waybill/source.hpp"

namespace waybill::filesystem {

/// Permission bits that travel: no setuid, no setgid.
inline constexpr uint32_t kept_mode_bits = 01777;

int64_t mtime_ns(const struct stat& status) noexcept;
/// The stamp of a file, or of an empty folder (size 0).
SourceStamp stamp_of(const struct stat& status);
/// An entry as the listing gives it. What is neither a file nor a folder is refused, with its kind as the reason.
Item describe(Key key, const struct stat& status);

/// Source::read and Destination::read.
ReadResult read_item(const Root& root, const Item& item, uint64_t offset, std::span<std::byte> out, Context& context);
/// Source::stat and Destination::stat: a key that ends in '/' finds folders only, any other everything else.
std::optional<Item> stat_item(const Root& root, const Key& key, Context& context);

}  // namespace waybill::filesystem
