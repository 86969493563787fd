// SPDX-License-Identifier: Apache-2.0
//
// Destination: where items go. A connector author implements put(), list() and stat(); large objects, server-side
// copies and removal have defaults that say "cannot".
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waybill/context.hpp"
#include "waybill/item.hpp"
#include "waybill/source.hpp"

namespace waybill {

/// What a write requires of what is there now. A destination without Capabilities::conditional ignores it.
struct Condition {
  enum class Kind : int {
    none = 0,       ///< replace whatever is there
    absent = 1,     ///< there must be nothing at the key
    unchanged = 2,  ///< what is there must still be the object with `etag` (and, where set, `size` and `mtime_ns`)
  };
  Kind kind = Kind::none;
  std::string etag;
  std::optional<uint64_t> size;
  std::optional<int64_t> mtime_ns;
};

struct WriteOptions {
  Attributes attributes;
  Condition condition;
};

/// What a destination holds at a key, as its own answer says.
struct Stored {
  uint64_t size = 0;
  std::string etag;                 ///< without quotes; "" where the store has none
  std::optional<int64_t> mtime_ns;  ///< of the stored object, where the store keeps the one it was given
  std::string version;
  Digest digest;                    ///< that the store itself computed or checked; empty where it did not

  bool operator==(const Stored&) const = default;
};

/// How a large object is cut.
struct PartPlan {
  std::optional<uint64_t> size;  ///< of the whole object; empty where a Transform makes it unknown
  uint64_t part_size = 0;        ///< bytes of every part but the last
  std::string upload_id;         ///< an upload to go on with; "" to begin a new one
};

struct PartInfo {
  uint32_t number = 0;  ///< from 1
  uint64_t size = 0;
  std::string etag;
  Digest digest;

  bool operator==(const PartInfo&) const = default;
};

/// An upload as the ledger knows it.
struct OpenUpload {
  Key key;
  std::string id;  ///< "" where a process died between announcing the upload and learning its id
};

/// One large object being written in parts. write() may be called from many threads at once, everything else from one.
/// Destroying it leaves the upload open, so that a later process can go on; abort() removes it.
class PartUpload {
 public:
  virtual ~PartUpload();
  /// What begin_parts() takes to go on with this upload; stored in the ledger before part 1 is written.
  virtual std::string id() const = 0;
  /// The parts that the store already holds, by number; checked against the ledger before they are trusted. Without
  /// Capabilities::lists_parts always empty. Errors: missing (the upload is gone).
  virtual std::vector<PartInfo> existing(Context& context) = 0;
  /// Writes part `number` (from 1). Repeating it replaces the part. Errors: as Destination::put; missing (the upload
  /// is gone).
  virtual PartInfo write(uint32_t number, uint64_t offset, const Body& body, Context& context) = 0;
  /// Writes part `number` from `length` bytes of another object of the same store, from `offset` on, without moving them
  /// through this process; nothing = cannot, write() instead. The part's digest is what the store tells. The default
  /// cannot. Errors: as Destination::copy; missing (the upload is gone).
  virtual std::optional<PartInfo> copy(uint32_t number, const Locator& from, uint64_t offset, uint64_t length,
                                       Context& context);
  /// Makes the object appear at its key, from `parts` in ascending order. Safe to repeat after a lost answer.
  /// Errors: as Destination::put.
  virtual Stored complete(std::span<const PartInfo> parts, Context& context) = 0;
  /// Removes the upload and its parts. Safe to repeat; no error if it is gone.
  virtual void abort(Context& context) = 0;
};

/// Destination: any store that can be written, listed and asked.
///
/// *Thread safety:* every method may be called from many threads at once. *Lifetime:* outlives every Lister and
/// PartUpload it gave out. *Blocking:* all calls that take a Context may block and obey its cancellation within one
/// second.
class Destination {
 public:
  struct Capabilities {
    Order order = Order::none;             ///< of listings
    bool start_after = false;              ///< ListRequest::after and ::before are honoured
    bool conditional = false;              ///< WriteOptions::condition is honoured atomically
    bool parts = false;                    ///< begin_parts() works
    bool lists_parts = false;              ///< PartUpload::existing() tells which parts are held; else the ledger is believed
    bool listing_has_etag = false;         ///< listings and Stored carry an etag that changes with the content
    bool listing_has_mtime = false;        ///< listings and Stored carry the mtime_ns that was written
    uint64_t min_part_bytes = 1;           ///< of every part but the last
    uint64_t max_part_bytes = UINT64_MAX;
    uint32_t max_parts = UINT32_MAX;
    uint64_t max_put_bytes = UINT64_MAX;   ///< of one put()
    uint64_t max_object_bytes = UINT64_MAX;
    /// copy() and PartUpload::copy() may work for objects of this same endpoint. Asked for again before each copy, as is
    /// the next: what a store does is learnt from its answers.
    bool copies = false;
    bool copies_need_attributes = false;   ///< copy() may lose attributes that Locator::attributes does not tell
    uint64_t max_copy_bytes = UINT64_MAX;  ///< of one copy(); larger ones go by PartUpload::copy()
    uint64_t copy_part_bytes = 1;          ///< the least size of a part that is worth a PartUpload::copy()
    bool needs_flush = false;              ///< put() alone does not survive power loss
  };

  virtual ~Destination();

  virtual Capabilities capabilities() const = 0;
  /// As Source::identity.
  virtual std::string identity() const = 0;
  /// As Source::endpoint.
  virtual std::string endpoint() const = 0;
  /// As Source::clock_offset.
  virtual std::optional<std::chrono::seconds> clock_offset() const { return std::nullopt; }
  /// Is the store reachable, and may we write? As Source::check; must not leave an object behind.
  virtual void check(Context& context);

  virtual std::unique_ptr<Lister> list(const ListRequest& request, Context& context) = 0;

  /// The object at `key` as it is now, with digest and stamp.mtime_ns where the store can tell them, or nothing.
  /// Errors: permission, auth, network, …
  virtual std::optional<Item> stat(const Key& key, Context& context) = 0;

  /// Writes a whole object. On return the store has acknowledged it, and it was checked that what it holds is what was
  /// sent. A failed put leaves the key as it was, or with the whole new object; never with a part of it.
  /// Errors: conflict (condition not met), unsupported (a key that the store cannot hold), too_large, checksum,
  /// permission, auth, network, timeout, throttled, server, local_io.
  virtual Stored put(const Key& key, const Body& body, const WriteOptions& options, Context& context) = 0;

  /// Begins, or goes on with, an object in parts. Errors: as put; missing (plan.upload_id is gone); unimplemented.
  virtual std::unique_ptr<PartUpload> begin_parts(const Key& key, const PartPlan& plan, const WriteOptions& options,
                                                  Context& context);

  /// Copies inside the store the revision that `from` names, with its attributes; nothing = cannot, or refused for a
  /// reason that a stream will show better: stream instead. `options.attributes` is not looked at. The digest is what the
  /// store tells, if it does. The default cannot. Errors: those that are worth another try; unsupported (an attribute
  /// in `from` that the store cannot hold).
  virtual std::optional<Stored> copy(const Key& key, const Locator& from, const WriteOptions& options, Context& context);

  /// Reads back what is stored, for verification and to tell whether an object that is in the way is the same one.
  /// As Source::read. The default throws unimplemented.
  virtual ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context);

  /// Makes everything that was put before this call durable. Called before its outcome is committed. May take long;
  /// heartbeats do not wait for it. The default does nothing.
  virtual void flush(Context& context);

  /// Removes the object; no error if it is gone. The default throws unimplemented.
  virtual void remove(const Key& key, Context& context);

  /// Removes the object if it is still the one that `item`, an answer of stat(), describes. The look and the removal are
  /// one step where the store can (S3: If-Match). The default looks, compares size, ETag and time, and calls remove().
  /// Errors: conflict (something else is there now); those of remove().
  virtual Removal remove_unchanged(const Item& item, Context& context);

  /// Removes what earlier processes of this migration (Context::migration) left behind: temporary files, and unfinished
  /// uploads that are not in `known`. An upload in `known` without an id may have begun at its key, unseen: what is open
  /// at exactly that key and not known by its id is removed. Nothing else of anybody's is touched. Called with the lease
  /// held, once when a run begins or carries on. The default does nothing.
  virtual void sweep(std::span<const OpenUpload> known, Context& context);
};

}  // namespace waybill
