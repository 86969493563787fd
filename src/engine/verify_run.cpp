// SPDX-License-Identifier: Apache-2.0

#include "engine/verify_run.hpp"

#include <map>

#include "base/accounts.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "engine/decide.hpp"
#include "engine/destination_key.hpp"
#include "engine/relations.hpp"
#include "engine/removal.hpp"
#include "engine/scratch_ledger.hpp"
#include "engine/switched_references.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_queued = 256;
constexpr size_t scan_page = 1000;
constexpr int default_checkers = 8;
constexpr int most_tries = 5;

std::string octal(uint32_t mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%04o", mode);
  return text;
}

std::string bytes_text(const std::optional<uint64_t>& size) { return size ? std::to_string(*size) + " bytes" : "unknown size"; }

// Rows with a destination key of a template, in its order.
class TargetCursor {
 public:
  explicit TargetCursor(Tracker& tracker) : tracker_(tracker) {}

  const ItemRecord* peek() {
    while (at_ >= page_.items.size()) {
      if (page_.is_last) return nullptr;
      page_ = tracker_.scan_targets("", page_.resume, scan_page);
      at_ = 0;
    }
    return &page_.items[at_];
  }
  void pop() { ++at_; }

 private:
  Tracker& tracker_;
  TargetPage page_;
  size_t at_ = 0;
};

// Rows of the ledger in key order.
class RecordCursor {
 public:
  explicit RecordCursor(Tracker& tracker) : tracker_(tracker) {}

  const ItemRecord* peek() {
    while (at_ >= page_.rows.size()) {
      if (is_over_) return nullptr;
      page_ = tracker_.scan({}, page_.resume, scan_page);
      is_over_ = page_.is_last;
      at_ = 0;
    }
    return &page_.rows[at_].record;
  }
  void pop() { ++at_; }

 private:
  Tracker& tracker_;
  ScanPage page_;
  size_t at_ = 0;
  bool is_over_ = false;
};

}  // namespace

bool is_in_sample(const ItemId& id, uint64_t part, uint64_t of) {
  const Crc64 place = crc64nvme(as_bytes(id.key), crc64nvme(as_bytes(id.partition)));
  return place % of == part - 1;
}

VerifyRun::VerifyRun(RunSetup setup, VerifyLevel level)
    : RunBase(std::move(setup)),
      level_(level),
      n_checkers_(setup_.options.concurrency > 0 ? setup_.options.concurrency : default_checkers) {}

void VerifyRun::start_work() {
  for (int i = 0; i < n_checkers_; ++i) checkers_.emplace_back("wb-check", [this] { check_queued(); });
  joiner_ = Thread("wb-join", [this] { join(); });
}

void VerifyRun::join() {
  try {
    // Rows come by partition and key; with several partitions they are not in step with the destination's keys.
    const ScanPage first = setup_.tracker->scan({}, "", 1);
    const bool is_there_ordered = setup_.destination->capabilities().order == Order::byte_key;
    const bool is_ordered = keeps_order(setup_.source->capabilities()) && is_there_ordered && setup_.keys == nullptr &&
                            (first.rows.empty() || first.rows.front().record.id.partition.empty());
    if (is_ordered) join_ordered();
    else if (setup_.keys != nullptr && is_there_ordered) join_targets();
    else ask_each();
    if (!is_stopping()) ledger_->set_listing_complete();
  } catch (const Error& error) {
    const bool was_late = error.error_class() == ErrorClass::cancelled;
    if (!is_stopping()) {
      fail(was_late ? std::make_exception_ptr(Error(ErrorCode::aborted, ErrorClass::tracker,
                                                    "the lease could not be renewed in time, and the verification stopped; run it again"))
                    : std::current_exception());
    }
  } catch (...) {
    fail(std::current_exception());
  }
  std::scoped_lock lock(queue_mutex_);
  is_joining_ = false;
  queue_changed_.notify_all();
}

void VerifyRun::join_ordered() {
  const auto trouble = [this](const Error& error, int) {
    ledger_->event(EventKind::log, LogLevel::warning, "listing is tried again: " + error.message());
  };
  ItemCursor source([this](Context& context) { return setup_.source->list({}, context); }, Order::byte_key, setup_.source->identity(),
                    scope_, retries_.of(Side::source), trouble);
  ItemCursor there([this](Context& context) { return setup_.destination->list({}, context); }, Order::byte_key,
                   setup_.destination->identity(), scope_, retries_.of(Side::destination), trouble);
  RecordCursor records(*setup_.tracker);
  while (!is_stopping()) {
    const Item* of_source = source.peek();
    const ItemRecord* record = records.peek();
    const Item* of_there = there.peek();
    const Key* least = nullptr;
    if (of_source != nullptr) least = &of_source->id.key;
    if (record != nullptr && (least == nullptr || record->id.key < *least)) least = &record->id.key;
    if (of_there != nullptr && (least == nullptr || of_there->id.key < *least)) least = &of_there->id.key;
    if (least == nullptr) return;
    const Key key = *least;
    Triple triple;
    if (of_source != nullptr && of_source->id.key == key) {
      triple.source = *of_source;
      source.pop();
    }
    if (record != nullptr && record->id.key == key) {
      triple.record = *record;
      records.pop();
    }
    if (of_there != nullptr && of_there->id.key == key) {
      triple.there = *of_there;
      there.pop();
    }
    triple.asks_there = triple.record && is_done(*triple.record) && !triple.there;
    if (triple.asks_there || judge(triple)) hand_over(std::move(triple));
  }
}

// With a key template the rows come in the order of their destination keys, beside the destination's listing; of the source
// each item is asked for by itself.
void VerifyRun::join_targets() {
  const auto trouble = [this](const Error& error, int) {
    ledger_->event(EventKind::log, LogLevel::warning, "listing is tried again: " + error.message());
  };
  ItemCursor there([this](Context& context) { return setup_.destination->list({}, context); }, Order::byte_key,
                   setup_.destination->identity(), scope_, retries_.of(Side::destination), trouble);
  TargetCursor records(*setup_.tracker);
  std::optional<Item> at_key;  // what the listing shows at the key of the last rows
  while (!is_stopping()) {
    const ItemRecord* record = records.peek();
    const Item* of_there = there.peek();
    if (record == nullptr && of_there == nullptr) break;
    const bool is_extra = record == nullptr || (of_there != nullptr && of_there->id.key < record->destination_key);
    Triple triple;
    if (is_extra) {
      triple.there = *of_there;
      there.pop();
      judge(triple);
      continue;
    }
    if (of_there != nullptr && of_there->id.key == record->destination_key) {
      at_key = *of_there;
      there.pop();
    }
    triple.record = *record;
    if (at_key && at_key->id.key == record->destination_key) triple.there = at_key;
    records.pop();
    triple.asks_source = is_done(*triple.record);
    triple.asks_there = triple.asks_source && !triple.there;
    if (triple.asks_source || judge(triple)) hand_over(std::move(triple));
  }
  find_new_items();
  // Rows without a destination key have never been anywhere.
  RecordCursor rest(*setup_.tracker);
  while (const ItemRecord* record = is_stopping() ? nullptr : rest.peek()) {
    Triple triple;
    triple.record = *record;
    rest.pop();
    if (triple.record->destination_key.empty() && judge(triple)) hand_over(std::move(triple));
  }
}

// Without an order on both sides, each row is asked for by itself; what is extra at the destination cannot be seen so.
void VerifyRun::ask_each() {
  ledger_->event(EventKind::log, LogLevel::warning,
                 "the listings are in no order to compare them by: each item is asked for by itself, and extra objects are not "
                 "looked for");
  RecordCursor records(*setup_.tracker);
  while (const ItemRecord* record = is_stopping() ? nullptr : records.peek()) {
    Triple triple;
    triple.record = *record;
    triple.asks_source = triple.asks_there = is_done(*record);
    records.pop();
    if (triple.asks_there || judge(triple)) hand_over(std::move(triple));
  }
  find_new_items();
}

// Where the source is not listed beside the rows: what it has that no row knows. An item that is listed more than once, as one
// that several records point at, is told once.
void VerifyRun::find_new_items() {
  const auto trouble = [this](const Error& error, int) {
    ledger_->event(EventKind::log, LogLevel::warning, "listing is tried again: " + error.message());
  };
  ListRequest request;
  std::optional<LedgerReferences> switched;
  if (has_references(*setup_.source, setup_.tracker.get())) request.switched = &switched.emplace(*setup_.tracker);
  ItemCursor source([this, &request](Context& context) { return setup_.source->list(request, context); },
                    setup_.source->capabilities().order, setup_.source->identity(), scope_, retries_.of(Side::source), trouble);
  const std::string new_place = new_place_of(*setup_.source, setup_.tracker.get());
  const auto is_ours = [&](const ItemId& id) { return !new_place.empty() && id.key.starts_with(new_place); };
  std::optional<ScratchLedger> told;
  while (!is_stopping()) {
    const std::optional<Page> page = source.next_page();
    if (!page) return;
    std::vector<ItemId> ids;
    for (const Item& item : page->items) ids.push_back(item.id);
    const std::vector<std::optional<ItemRecord>> known = setup_.tracker->lookup(ids);
    std::map<ItemId, const Item*> unknown;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!known[i] && !is_ours(ids[i])) unknown.emplace(ids[i], &page->items[i]);
    }
    if (unknown.empty()) continue;
    ids.clear();
    for (const auto& [id, item] : unknown) ids.push_back(id);
    if (!told) told.emplace();
    const std::vector<std::optional<ItemRecord>> was_told = told->tracker().lookup(ids);
    std::vector<ItemChange> changes;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (was_told[i]) continue;
      judge(Triple{*unknown.at(ids[i]), std::nullopt, std::nullopt});
      changes.emplace_back().record.id = ids[i];
    }
    told->add(std::move(changes));
  }
}

void VerifyRun::ask(Triple& triple, CallContext& context) {
  if (triple.asks_source) look_at_source(triple, context);
  triple.asks_source = false;
  if (triple.asks_there) triple.there = setup_.destination->stat(destination_key(*triple.record), context);
  triple.asks_there = false;
}

// A link that is dead by now is gone: its copy stands for itself.
void VerifyRun::look_at_source(Triple& triple, CallContext& context) {
  try {
    triple.source = setup_.source->stat(triple.record->id, context);
  } catch (const Error& error) {
    if (!is_dead_link(*setup_.source, error)) throw;
    triple.dead_link = error.message();
  }
}

void VerifyRun::find(FindingKind kind, const ItemId& id, std::string detail) {
  Finding finding;
  finding.run = this->id();
  finding.kind = kind;
  finding.id = id;
  finding.detail = std::move(detail);
  ledger_->record(std::nullopt, std::move(finding));
}

void VerifyRun::settle(const Triple& triple, bool is_verified) {
  ItemRecord record = *triple.record;
  record.run = id();
  record.change = Change::unchanged;
  if (is_verified) {
    record.state = ItemState::verified;
    record.verified_at_ms = now_ms();
  } else if (record.state == ItemState::verified) {
    record.state = ItemState::copied;
  }
  ItemChange change;
  change.record = std::move(record);
  if (triple.source) change.result = relations_of(*triple.source);
  ledger_->record(std::move(change), std::nullopt);
}

bool VerifyRun::judge(const Triple& triple) {
  if (!triple.record) {
    if (triple.source) {
      // An item that the ledger has never seen came after the copy; it is missing at the destination, or not ours there.
      find(FindingKind::missing, triple.source->id, "new at the source since the last copy; never copied by this ledger");
    } else {
      find(FindingKind::extra, triple.there->id, extra_detail(*triple.there));
    }
    return false;
  }
  const ItemRecord& record = *triple.record;
  if (!is_done(record)) {
    if (record.left) return false;
    if (record.state == ItemState::pending) find(FindingKind::missing, record.id, "not copied yet");
    // Failed, excluded and vanished items are in the accounts with their class already. They keep their failure.
    ItemChange change;
    change.record = record;
    change.record.run = id();
    ledger_->record(std::move(change), std::nullopt);
    return false;
  }
  if (judge_done(triple)) return false;
  // The store's own word for the content: an ETag that has not changed since the write that was checked.
  const bool is_as_written = level_ != VerifyLevel::listing && record.basis == Basis::written && record.stored &&
                             !record.stored->etag.empty() && record.stored->etag == triple.there->stamp.etag;
  if (is_read(record.id) || (level_ == VerifyLevel::checksum && !is_as_written)) return true;
  settle(triple, is_as_written || record.state == ItemState::verified);
  return false;
}

// Where listings have no stamps, the row's is the one that was read, which may tell more or less than an answer now.
bool VerifyRun::is_other_revision(const SourceStamp& now, const SourceStamp& copied) const {
  return setup_.source->capabilities().lists_stamps ? now != copied : contradicts(now, copied);
}

// True if that was all there is to say of a copied item.
bool VerifyRun::judge_done(const Triple& triple) {
  const ItemRecord& record = *triple.record;
  if (!triple.there) {
    find(FindingKind::missing, record.id, "copied, and no longer at the destination");
    settle(triple, false);
    return true;
  }
  const uint64_t expected = record.stored ? record.stored->size : record.stamp.size.value_or(0);
  if (triple.there->refused != ErrorClass::none) {
    find(FindingKind::metadata, record.id, "the destination holds something else: " + triple.there->reason);
    settle(triple, false);
    return true;
  }
  if (triple.there->stamp.size && *triple.there->stamp.size != expected) {
    find(FindingKind::size, record.id, "expected " + std::to_string(expected) + " bytes, found " + bytes_text(triple.there->stamp.size));
    settle(triple, false);
    return true;
  }
  if (triple.source && is_other_revision(triple.source->stamp, record.stamp)) {
    const bool sizes_differ = triple.source->stamp.size && record.stamp.size && triple.source->stamp.size != record.stamp.size;
    find(sizes_differ ? FindingKind::size : FindingKind::unknown, record.id,
         sizes_differ ? "changed at the source since it was copied: " + bytes_text(record.stamp.size) + " then, " +
                            bytes_text(triple.source->stamp.size) + " now"
                      : "touched at the source since it was copied, at the same size; the next run copies it again");
    settle(triple, false);
    return true;
  }
  // What waybill itself has deleted at the source is meant to be there without it.
  if (!triple.source && record.stamp.opaque != removed_by_us) {
    find(FindingKind::gone, record.id,
         triple.dead_link.empty() ? "copied, and no longer at the source" : "copied, and its link is dead now: " + triple.dead_link);
  }
  return false;
}

void VerifyRun::hand_over(Triple triple) {
  std::unique_lock lock(queue_mutex_);
  queue_changed_.wait(lock, [this] { return is_stopped_ || queue_.size() < most_queued; });
  queue_.push_back(std::move(triple));
  queue_changed_.notify_all();
}

void VerifyRun::check_queued() {
  std::unique_lock lock(queue_mutex_);
  for (;;) {
    queue_changed_.wait(lock, [this] { return is_stopped_ || !queue_.empty() || !is_joining_; });
    if (is_stopped_ || queue_.empty()) return;
    Triple triple = std::move(queue_.front());
    queue_.pop_front();
    ++checking_;
    queue_changed_.notify_all();
    lock.unlock();
    check(std::move(triple));
    lock.lock();
    --checking_;
    queue_changed_.notify_all();
  }
}

void VerifyRun::check(Triple triple) {
  for (int tries = 1;; ++tries) {
    try {
      CallContext context(scope_, tries);
      const bool is_asked = triple.asks_source || triple.asks_there;
      if (is_asked) ask(triple, context);
      if (!is_asked || judge(triple)) read_back(triple, context);
      return retries_.succeeded();
    } catch (...) {
      const Error error = current_error();
      if (error.error_class() == ErrorClass::auth) return fail(std::current_exception());
      const bool was_cancelled = error.error_class() == ErrorClass::cancelled;
      if (is_stopping()) return;
      if (!was_cancelled && error.retryable() && tries < most_tries && cancel_.sleep(retries_.of(Side::destination).delay(tries, error))) continue;
      find(FindingKind::unknown, triple.record->id, "could not be read back: " + error.message());
      return settle(triple, false);
    }
  }
}

void VerifyRun::read_back(const Triple& triple, CallContext& context) {
  const ItemRecord& record = *triple.record;
  std::optional<Crc64> expected = record.stored && record.stored->digest.crc64nvme ? record.stored->digest.crc64nvme : record.digest.crc64nvme;
  const Item item = item_of(record);
  if (!expected && triple.source && setup_.transform == nullptr) {
    const auto read = [&](uint64_t offset, std::span<std::byte> out) { return setup_.source->read(item, offset, out, context); };
    expected = crc_by_reading(read, record.stamp.size.value_or(0));
  }
  if (!expected) {
    find(FindingKind::unknown, record.id, "no digest is known to compare with, and the source is gone");
    return settle(triple, false);
  }
  const uint64_t size = triple.there->stamp.size.value_or(0);
  std::optional<Crc64> found = triple.there->digest.crc64nvme;
  std::optional<Attributes> attributes;
  if (!found || is_read(record.id)) {
    const auto read = [&](uint64_t offset, std::span<std::byte> out) {
      ReadResult result = setup_.destination->read(*triple.there, offset, out, context);
      if (!attributes) attributes = std::move(result.attributes);
      return result;
    };
    found = crc_by_reading(read, size);
    if (size == 0 && is_read(record.id) && !is_folder(record)) read(0, {});  // for its attributes
  }
  if (*found != *expected) {
    char text[64];
    std::snprintf(text, sizeof text, "expected CRC-64 %016llx, found %016llx", static_cast<unsigned long long>(*expected),
                  static_cast<unsigned long long>(*found));
    find(FindingKind::checksum, record.id, text);
    return settle(triple, false);
  }
  const std::optional<int64_t> written = record.stored ? record.stored->mtime_ns : std::nullopt;
  std::string lost;
  if (written && triple.there->stamp.mtime_ns && *written != *triple.there->stamp.mtime_ns) lost = "the time of modification";
  if (lost.empty() && attributes && is_read(record.id)) lost = attribute_difference(triple, *attributes, context);
  if (!lost.empty()) find(FindingKind::metadata, record.id, lost + " is not what was written; the content is");
  settle(triple, lost.empty());
}

bool VerifyRun::is_read(const ItemId& id) const {
  return level_ == VerifyLevel::content &&
         is_in_sample(id, static_cast<uint64_t>(setup_.options.sample_part), static_cast<uint64_t>(setup_.options.sample_of));
}

std::string VerifyRun::attribute_difference(const Triple& triple, const Attributes& there, CallContext& context) {
  if (!triple.source || setup_.transform != nullptr) return {};
  std::byte first{};
  const Source::Capabilities can = setup_.source->capabilities();
  // Of an item that cannot be read in parts, no bytes are asked for.
  const std::span<std::byte> wanted = can.links ? std::span<std::byte>{} : std::span(&first, 1);
  const Item item = item_of(*triple.record);
  const Attributes here =
      can.positioned ? setup_.source->read(item, 0, wanted, context).attributes : setup_.source->stream(item, context)->attributes();
  if (here.mode && there.mode && *here.mode != *there.mode) return "the permission bits " + octal(*there.mode);
  // A store that keeps the others always tells a type.
  if (there.content_type.empty() || here.content_type.empty()) return {};
  if (here.content_type != there.content_type) return "Content-Type " + printable(there.content_type);
  if (here.content_encoding != there.content_encoding) return "Content-Encoding " + printable(there.content_encoding);
  if (here.content_language != there.content_language) return "Content-Language " + printable(there.content_language);
  if (here.content_disposition != there.content_disposition) return "Content-Disposition " + printable(there.content_disposition);
  if (here.cache_control != there.cache_control) return "Cache-Control " + printable(there.cache_control);
  if (here.metadata != there.metadata) return "the user metadata";
  return {};
}

bool VerifyRun::is_work_done() {
  {
    std::scoped_lock lock(queue_mutex_);
    if (is_joining_ || !queue_.empty() || checking_ > 0) return false;
  }
  return ledger_->is_drained();
}

void VerifyRun::stop_work() {
  std::scoped_lock lock(queue_mutex_);
  is_stopped_ = true;
  queue_changed_.notify_all();
}

void VerifyRun::join_work() {
  joiner_.join();
  checkers_.clear();
}

int VerifyRun::in_flight() const {
  std::scoped_lock lock(queue_mutex_);
  return checking_ + (is_joining_ ? 1 : 0);
}

void VerifyRun::fill_live(LiveState& live) const { live.concurrency = n_checkers_; }

}  // namespace waybill::internal
