// SPDX-License-Identifier: Apache-2.0
//
// Source: where items come from. A connector author implements list() and one of read() or stream(); everything else
// has a default. The conformance suite in tests/conformance runs on any implementation.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waybill/context.hpp"
#include "waybill/item.hpp"

namespace waybill {

class SwitchedReferences;

/// What to list. All fields empty: everything.
struct ListRequest {
  std::string scope;   ///< a unit of listing that split() gave out; "" is the whole store
  Key after;           ///< only keys greater than this one, where Capabilities::start_after
  Key before;          ///< only keys less than this one, where Capabilities::start_after; "" is no bound
  std::string resume;  ///< Page::resume of an earlier listing with the same scope, after and before
  /// Of a run, for sources whose items are what references point at: those that the ledger has switched stand for their
  /// old items. Null: none. It lives as long as the lister.
  const SwitchedReferences* switched = nullptr;
};

/// Some consecutive entries of a listing. May be empty without being the last one.
struct Page {
  std::vector<Item> items;
  /// Goes on after this page in a later process; opaque. "" where the lister cannot: a resumed run then lists the scope
  /// from its last recorded key (start_after) or again.
  std::string resume;
  bool is_last = false;
};

/// A listing under way. Used by one thread at a time; destroyed when no longer needed, also before its end.
class Lister {
 public:
  virtual ~Lister();
  /// The next page; must not be called after is_last. May block. Retryable errors leave the lister where it was: the
  /// call may be repeated. Errors: missing, permission, auth, network, cancelled.
  virtual Page next(Context& context) = 0;
};

enum class Order : int {
  none = 0,      ///< any order
  byte_key = 1,  ///< strictly ascending by key, bytewise, within a scope and partition
};

/// What a positioned read found.
struct ReadResult {
  size_t count = 0;                    ///< bytes filled; less than asked for only at the end of the item
  std::optional<uint64_t> total_size;  ///< of the whole item, as the store says with this answer
  SourceStamp stamp;                   ///< of the revision that these bytes belong to; same fields as the listing fills
  Attributes attributes;               ///< filled at offset 0 at least
};

/// A sequential read under way. Used by one thread at a time.
class Stream {
 public:
  virtual ~Stream();
  /// Fills up to `out.size()` bytes and returns how many; 0 exactly at the end. May block.
  /// Errors: as Source::read. A body that ends before its announced length is network/data_loss, never an end.
  virtual size_t read(std::span<std::byte> out, Context& context) = 0;
  /// How many bytes there will be, if that is known.
  virtual std::optional<uint64_t> size() const { return std::nullopt; }
  /// The revision being read; the default is an empty stamp (nothing to compare).
  virtual SourceStamp stamp() const { return {}; }
  virtual Attributes attributes() const { return {}; }
};

/// Where an item lives, for a copy inside the store.
struct Locator {
  std::string scheme;    ///< "s3"
  std::string endpoint;  ///< scheme, host and port
  std::string bucket;
  Key key;
  std::string version;
  std::string etag;      ///< of the listed revision; "" if unknown
  std::optional<uint64_t> size = std::nullopt;  ///< of the listed revision, in bytes
  /// Nothing where more has to be known before a copy than a listing tells, this or other attributes: they are read then.
  std::optional<std::string> storage_class = std::nullopt;
  std::optional<Attributes> attributes = std::nullopt;  ///< where they were read before the copy; without tags
  bool has_tags = true;  ///< the copy is to have the tags of the item, if it has any
  std::string expected_bucket_owner = {};  ///< whom the bucket has to belong to; "" for anybody
  bool requester_pays = false;             ///< whoever copies agrees to pay for it
};

/// What a removal did.
enum class Removal : int {
  gone = 0,     ///< nothing was there any more
  removed = 1,
  hidden = 2,   ///< the store keeps versions: a delete marker stands before the object, whose bytes stay and are paid for
};
const char* to_string(Removal removal) noexcept;

/// Source: any store that can be listed and read.
///
/// *Thread safety:* every method may be called from many threads at once. *Lifetime:* outlives every Lister and Stream
/// it gave out. *Blocking:* all calls that take a Context may block and obey its cancellation within one second.
class Source {
 public:
  struct Capabilities {
    bool positioned = true;     ///< read() works, unless it says otherwise of an item; otherwise only stream()
    Order order = Order::none;  ///< of listings
    bool start_after = false;   ///< ListRequest::after and ::before are honoured
    bool lists_stamps = true;   ///< the listing fills the stamp that read() reports; else later runs stat() what was copied
    /// The listing fills ItemId::version: every version of a key is an item. Each goes to the destination's key
    /// "key?versionId=version".
    bool versions = false;
    /// Items are links that somebody else made: one that is refused or not there is dead, and vanishes with its class; it
    /// says nothing of the source as a whole.
    bool links = false;
  };

  virtual ~Source();

  virtual Capabilities capabilities() const = 0;

  /// Who this source is, for the fingerprint of a migration: kind, bucket or root, and prefix, for example
  /// "s3://bucket/prefix/" or "file:///data/". No endpoint, no credentials; the same text for the same place.
  virtual std::string identity() const = 0;

  /// The endpoint that retry budgets and concurrency are kept for: scheme, host and port, or "file".
  virtual std::string endpoint() const = 0;

  /// How far the store's clock is ahead of this machine's, as its first good answer said, to the second; nothing where no
  /// answer has told yet. Never blocks. The default knows nothing.
  virtual std::optional<std::chrono::seconds> clock_offset() const { return std::nullopt; }

  /// Is the store reachable and readable? Called once before a run, before anything is recorded; one cheap request.
  /// Errors: configuration, missing, permission, auth, network. The default does nothing.
  virtual void check(Context& context);

  virtual std::unique_ptr<Lister> list(const ListRequest& request, Context& context) = 0;

  /// Positioned, repeatable, concurrent. Fills `out` from byte `offset`; less only at the end of the item. Reading at
  /// or past the end gives count 0. No bytes of an item that has some are asked for where only its stamp and attributes
  /// are wanted, and its tags are not. Errors: missing, permission, auth, network, timeout, throttled, server,
  /// source_changed (the store can tell that `item.stamp` is no longer current), unimplemented (of this item: streamed).
  virtual ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context);

  /// In order; a retry starts again. The default reads through read(); sources that cannot position implement this one.
  virtual std::unique_ptr<Stream> stream(const Item& item, Context& context);

  /// The item as it is now, or nothing if it is gone. Used to look again at an item that changed while it was read.
  /// The default reads zero bytes at offset 0.
  virtual std::optional<Item> stat(const ItemId& id, Context& context);

  /// Removes the item if it is still the revision that `item.stamp` names, and nothing beside it: no folder that holds
  /// something, no folder above it. The look and the removal are one step where the store can (S3: If-Match), elsewhere
  /// the one comes right before the other. Asked for by Migration::remove alone. The default throws unimplemented.
  /// Errors: conflict (it is another revision now, or a folder that is not empty); permission, auth, network, …
  virtual Removal remove(const Item& item, Context& context);

  /// Which item of this source a URL points at, told by the URL alone (an empty partition: of whatever partition asks);
  /// nothing where it is no URL of this source. What links a record of a Catalog to its item. The default knows none.
  virtual std::optional<ItemId> item_at(std::string_view url) const;

  /// Where the item lives, for copies inside the store. The default is nowhere.
  virtual std::optional<Locator> locator(const Item& item);
};

}  // namespace waybill
