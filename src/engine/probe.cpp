// SPDX-License-Identifier: Apache-2.0
//
// See waybill/probe.hpp.
#include "waybill/probe.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/diagnosis.hpp"
#include "base/hash.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace waybill {
namespace {

constexpr int64_t notable_skew_s = 30;
constexpr std::string_view content = "waybill was here to see whether it may write; this object can be removed.";

using Diagnoses = std::vector<Diagnosis>;

void fail(Diagnoses& found, std::string subject, const Error& error) {
  found.push_back(internal::failed(std::move(subject), error));
}

/// What check() says, told apart by what it means. False if nothing more can be asked.
template <typename Store>
bool probe_check(Store& store, Context& context, Diagnoses& found) {
  const std::string where = printable(store.identity() + " at " + store.endpoint());
  try {
    store.check(context);
  } catch (const Error& error) {
    internal::FirstFailure failure = internal::first_failure("list", error);
    if (failure.is_reachable) found.push_back({Verdict::ok, "reachable", where, ""});
    found.push_back(std::move(failure.diagnosis));
    return false;
  }
  found.push_back({Verdict::ok, "reachable", where, ""});
  return true;
}

template <typename Store>
void probe_clock(const Store& store, Diagnoses& found) {
  const auto offset = store.clock_offset();
  if (!offset) return;
  const int64_t seconds = offset->count();
  const std::string text =
      std::to_string(std::abs(seconds)) + " s " + (seconds < 0 ? "ahead of" : "behind") + " the store's";
  if (std::abs(seconds) < notable_skew_s) {
    found.push_back({Verdict::ok, "clock", "agrees with the store's", ""});
  } else {
    // Requests are signed by the store's clock then, but ages and times are told by ours.
    found.push_back({Verdict::warn, "clock", "this machine's is " + text, "set it, best by NTP"});
  }
}

template <typename Store>
std::optional<Page> probe_list(Store& store, Context& context, Diagnoses& found) {
  try {
    Page page = store.list({}, context)->next(context);
    const std::string n = std::to_string(page.items.size());
    found.push_back({Verdict::ok, "list", n + (page.is_last ? " entries" : " entries, and more"), ""});
    return page;
  } catch (const Error& error) {
    fail(found, "list", error);
    return std::nullopt;
  }
}

void probe_read(Source& source, const Page& page, Context& context, Diagnoses& found) {
  const auto is_readable = [](const Item& item) {
    return item.refused == ErrorClass::none && item.stamp.size.value_or(1) > 0;
  };
  const auto item = std::find_if(page.items.begin(), page.items.end(), is_readable);
  if (item == page.items.end()) {
    found.push_back({Verdict::warn, "read", "nothing to read is on the first page of the listing", ""});
    return;
  }
  try {
    std::array<std::byte, 1> byte{};
    if (source.capabilities().positioned) {
      source.read(*item, 0, byte, context);
    } else {
      source.stream(*item, context)->read(byte, context);
    }
    found.push_back({Verdict::ok, "read", "an item can be read", ""});
  } catch (const Error& error) {
    // One item says nothing of the others where it is the one that is special.
    const bool is_its_own = error.error_class() == ErrorClass::archived || error.error_class() == ErrorClass::missing;
    fail(found, "read", error);
    if (is_its_own) found.back().verdict = Verdict::warn;
  }
}

/// Whether the object is gone afterwards.
void probe_removal(Destination& destination, const Key& key, Context& context, Diagnoses& found) {
  try {
    destination.remove(key, context);
    found.push_back({Verdict::ok, "delete", "what was written is removed", ""});
  } catch (const Error& error) {
    fail(found, "delete", error);
    // Runs remove nothing unless they are asked to.
    found.back().verdict = Verdict::warn;
    found.back().fix = "remove " + printable(key) + " by hand; only waybill delete-extra needs the right to delete";
  }
}

void probe_parts(Destination& destination, const Key& key, Context& context, Diagnoses& found) {
  const Destination::Capabilities can = destination.capabilities();
  if (!can.parts) return;
  try {
    PartPlan plan;
    plan.part_size = std::max<uint64_t>(can.min_part_bytes, uint64_t{16} << 20);
    plan.size = 2 * plan.part_size;
    WriteOptions options;
    options.condition.kind = can.conditional ? Condition::Kind::absent : Condition::Kind::none;
    destination.begin_parts(key, plan, options, context)->abort(context);
    found.push_back({Verdict::ok, "parts", "an upload in parts can be begun and removed", ""});
  } catch (const Error& error) {
    fail(found, "parts", error);
  }
}

void probe_write(Destination& destination, Context& context, Diagnoses& found) {
  const Key key = ".waybill-probe-" + internal::hex_id(8);
  const auto bytes = std::as_bytes(std::span(content.data(), content.size()));
  const Body body(bytes, Digest{.crc64nvme = internal::crc64nvme(bytes), .sha256 = {}});
  WriteOptions options;
  options.condition.kind =
      destination.capabilities().conditional ? Condition::Kind::absent : Condition::Kind::none;
  try {
    destination.put(key, body, options, context);
    destination.flush(context);
    found.push_back({Verdict::ok, "write", "an object can be written", ""});
  } catch (const Error& error) {
    fail(found, "write", error);
    return;
  }
  try {
    const std::optional<Item> there = destination.stat(key, context);
    if (there && there->stamp.size == content.size()) {
      found.push_back({Verdict::ok, "read", "what was written is there", ""});
    } else {
      found.push_back({Verdict::fail, "read", "what was written is not there", "ask whoever runs the store"});
    }
  } catch (const Error& error) {
    fail(found, "read", error);
  }
  probe_removal(destination, key, context, found);
  probe_parts(destination, key, context, found);
}

void probe_references(Catalog& catalog, Context& context, Diagnoses& found) {
  try {
    const ReferencePage page = catalog.list({}, context)->next(context);
    const std::string n = std::to_string(page.references.size());
    found.push_back({Verdict::ok, "list", n + (page.is_last ? " references" : " references, and more"), ""});
  } catch (const Error& error) {
    fail(found, "list", error);
  }
}

Diagnosis window_of(const Catalog& catalog) {
  const char* fix = "read what --accept-window accepts: docs/guides/two-phase.md";
  switch (catalog.capabilities().conditional) {
    case Catalog::Conditional::exact:
      return {Verdict::ok, "window", "none: a value is replaced only where it is still the one that was read", ""};
    case Catalog::Conditional::weak:
      return {Verdict::warn, "window", "an edit in the moment of a write may be lost: its condition is weak", fix};
    case Catalog::Conditional::none:
      break;
  }
  return {Verdict::warn, "window", "an edit between the look at a value and its write is lost: there is no condition", fix};
}

}  // namespace

std::vector<Diagnosis> probe_source(Source& source, Context& context) {
  Diagnoses found;
  if (!probe_check(source, context, found)) return found;
  probe_clock(source, found);
  if (const auto page = probe_list(source, context, found)) probe_read(source, *page, context, found);
  return found;
}

std::vector<Diagnosis> probe_destination(Destination& destination, bool may_write, Context& context) {
  Diagnoses found;
  if (!probe_check(destination, context, found)) return found;
  probe_clock(destination, found);
  probe_list(destination, context, found);
  if (may_write) probe_write(destination, context, found);
  return found;
}

std::vector<Diagnosis> probe_catalog(Catalog& catalog, Context& context) {
  Diagnoses found = catalog.diagnose(context);
  const auto is_failure = [](const Diagnosis& one) { return one.verdict == Verdict::fail; };
  if (std::any_of(found.begin(), found.end(), is_failure)) return found;
  probe_references(catalog, context, found);
  found.push_back(window_of(catalog));
  return found;
}

}  // namespace waybill
