// SPDX-License-Identifier: Apache-2.0
//
// What connectors inherit: out-of-line destructors, so that each interface has one vtable, and the defaults that the
// headers promise. The one default with substance is Source::stream, which reads a positioned source in order.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/diagnosis.hpp"
#include "waybill/catalog.hpp"
#include "waybill/destination.hpp"
#include "waybill/redaction.hpp"
#include "waybill/source.hpp"
#include "waybill/transform.hpp"

namespace waybill {
namespace {

// Large enough that a store is asked once for most items, small enough to need no ticket of the memory budget.
constexpr uint64_t window_bytes = 1 << 20;

Error unimplemented(std::string_view who, const char* what) {
  return Error(ErrorCode::unimplemented, ErrorClass::unsupported, std::string(who) + " has no " + what);
}

/// A positioned source read in order. The first window is read when it is opened, so that size, stamp and attributes
/// are known from the beginning at no extra request.
class PositionedStream final : public Stream {
 public:
  PositionedStream(Source& source, const Item& item, Context& context) : source_(source), item_(item) {
    const uint64_t first = std::min(window_bytes, item.stamp.size.value_or(window_bytes));
    buffer_.resize(static_cast<size_t>(first));
    ReadResult result = source_.read(item_, 0, buffer_, context);
    filled_ = result.count;
    fetched_ = result.count;
    total_size_ = result.total_size;
    stamp_ = std::move(result.stamp);
    attributes_ = std::move(result.attributes);
    if (!total_size_ && filled_ < buffer_.size()) total_size_ = filled_;
  }

  size_t read(std::span<std::byte> out, Context& context) override {
    if (out.empty()) return 0;
    if (taken_ == filled_) {
      if (out.size() >= window_bytes) return fetch(out, context);
      buffer_.resize(static_cast<size_t>(window_bytes));
      filled_ = fetch(buffer_, context);
      taken_ = 0;
    }
    const size_t count = std::min(out.size(), filled_ - taken_);
    if (count > 0) std::memcpy(out.data(), buffer_.data() + taken_, count);
    taken_ += count;
    return count;
  }

  std::optional<uint64_t> size() const override { return total_size_; }
  SourceStamp stamp() const override { return stamp_; }
  Attributes attributes() const override { return attributes_; }

 private:
  size_t fetch(std::span<std::byte> out, Context& context) {
    if (total_size_ && fetched_ >= *total_size_) return 0;
    const ReadResult result = source_.read(item_, fetched_, out, context);
    if (!(result.stamp == stamp_)) {
      throw Error(ErrorCode::aborted, ErrorClass::source_changed,
                  shown_key(item_.key()) + " changed while it was read");
    }
    fetched_ += result.count;
    if (result.count < out.size() && total_size_ && fetched_ < *total_size_) {
      throw Error(ErrorCode::data_loss, ErrorClass::network,
                  shown_key(item_.key()) + " ended after " + std::to_string(fetched_) + " of " +
                      std::to_string(*total_size_) + " bytes")
          .set_retryable();
    }
    return result.count;
  }

  Source& source_;
  const Item item_;
  std::vector<std::byte> buffer_;
  size_t filled_ = 0;     // bytes in buffer_
  size_t taken_ = 0;      // of those, given out
  uint64_t fetched_ = 0;  // bytes read from the source
  std::optional<uint64_t> total_size_;
  SourceStamp stamp_;
  Attributes attributes_;
};

}  // namespace

Lister::~Lister() = default;
Stream::~Stream() = default;
Source::~Source() = default;
PartUpload::~PartUpload() = default;

std::optional<PartInfo> PartUpload::copy(uint32_t, const Locator&, uint64_t, uint64_t, Context&) { return std::nullopt; }

Destination::~Destination() = default;
Transform::~Transform() = default;
ReferenceLister::~ReferenceLister() = default;
Catalog::~Catalog() = default;
SwitchedReferences::~SwitchedReferences() = default;
std::string Catalog::endpoint() const { return identity(); }
void Catalog::check(CatalogAccess, Context&) {}

std::vector<Diagnosis> Catalog::diagnose(Context& context) {
  const std::string where = printable(identity() + " at " + endpoint());
  try {
    check(CatalogAccess::read, context);
  } catch (const Error& error) {
    internal::FirstFailure failure = internal::first_failure("list", error);
    std::vector<Diagnosis> found;
    if (failure.is_reachable) found.push_back({Verdict::ok, "reachable", where, ""});
    found.push_back(std::move(failure.diagnosis));
    return found;
  }
  Diagnosis update{Verdict::ok, "update", "its values may be replaced", ""};
  try {
    check(CatalogAccess::update, context);
  } catch (const Error& error) {
    update = internal::failed("update", error);
    update.verdict = Verdict::warn;  // a copy only reads
  }
  return {{Verdict::ok, "reachable", where, ""}, std::move(update)};
}

void Source::check(Context&) {}

ReadResult Source::read(const Item&, uint64_t, std::span<std::byte>, Context&) {
  throw unimplemented(identity(), "positioned reads");
}

std::unique_ptr<Stream> Source::stream(const Item& item, Context& context) {
  return std::make_unique<PositionedStream>(*this, item, context);
}

std::optional<Item> Source::stat(const ItemId& id, Context& context) {
  Item item;
  item.id = id;
  try {
    ReadResult result = read(item, 0, {}, context);
    item.stamp = std::move(result.stamp);
    if (!item.stamp.size) item.stamp.size = result.total_size;
  } catch (const Error& error) {
    if (error.error_class() == ErrorClass::missing) return std::nullopt;
    throw;
  }
  return item;
}

Removal Source::remove(const Item&, Context&) { throw unimplemented(identity(), "removal"); }

std::optional<ItemId> Source::item_at(std::string_view) const { return std::nullopt; }
std::optional<Locator> Source::locator(const Item&) { return std::nullopt; }

const char* to_string(Removal removal) noexcept {
  switch (removal) {
    case Removal::gone: return "gone";
    case Removal::removed: return "removed";
    case Removal::hidden: return "hidden";
  }
  return "unknown";
}

void Destination::check(Context&) {}

std::unique_ptr<PartUpload> Destination::begin_parts(const Key&, const PartPlan&, const WriteOptions&, Context&) {
  throw unimplemented(identity(), "uploads in parts");
}

std::optional<Stored> Destination::copy(const Key&, const Locator&, const WriteOptions&, Context&) {
  return std::nullopt;
}

ReadResult Destination::read(const Item&, uint64_t, std::span<std::byte>, Context&) {
  throw unimplemented(identity(), "reading back");
}

void Destination::flush(Context&) {}

void Destination::remove(const Key&, Context&) { throw unimplemented(identity(), "removal"); }

Removal Destination::remove_unchanged(const Item& item, Context& context) {
  const std::optional<Item> there = stat(item.key(), context);
  if (!there) return Removal::gone;
  if (there->refused != item.refused || !(there->stamp == item.stamp)) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::conflict, "\"" + shown_key(item.key()) + "\" has changed");
  }
  remove(item.key(), context);
  return Removal::removed;
}

void Destination::sweep(std::span<const OpenUpload>, Context&) {}

Attributes Transform::attributes(const Item&, Attributes source) const { return source; }

}  // namespace waybill
