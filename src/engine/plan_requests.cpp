// SPDX-License-Identifier: Apache-2.0

#include "engine/plan_requests.hpp"

#include <algorithm>

#include "engine/decide.hpp"
#include "engine/large_object.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {
namespace {

constexpr uint64_t largest_streamed_part = uint64_t{64} << 20;

int64_t parts_of(uint64_t size, uint64_t part_size) { return static_cast<int64_t>((size + part_size - 1) / part_size); }

bool is_remote(const std::string& endpoint) { return endpoint != "file"; }

}  // namespace

RequestCount::RequestCount(Source& source, const Destination& destination, const Options& options, bool is_transformed)
    : source_(source),
      source_can_(source.capabilities()),
      destination_can_(destination.capabilities()),
      options_(options),
      is_transformed_(is_transformed),
      is_one_store_(options.server_side_copy && !is_transformed && options.digest != DigestChoice::sha256 && destination_can_.copies &&
                    source.endpoint() == destination.endpoint()),
      is_source_remote_(is_remote(source.endpoint()) || source_can_.links),
      is_destination_remote_(is_remote(destination.endpoint())) {}

void RequestCount::add(const ItemRecord& record) {
  if (is_look(record)) {
    ++requests_.source_looks;
    if (record.seen == DestinationSeen::unknown) ++requests_.destination_looks;
    return;
  }
  const bool is_asked_for = record.seen == DestinationSeen::present || record.seen == DestinationSeen::unknown;
  if (is_asked_for && options_.overwrite != Overwrite::always) {
    ++requests_.destination_looks;
    if (record.seen == DestinationSeen::present) {
      requests_.is_lower_bound = true;
      return;
    }
  }
  try {
    add_move(record);
  } catch (const Error&) {
    // More than the destination holds: it fails without a call.
  }
}

void RequestCount::add_move(const ItemRecord& record) {
  const std::optional<uint64_t>& size = record.stamp.size;
  const bool is_streamed = (is_transformed_ && !is_folder(record)) || !source_can_.positioned || !size;
  if (is_streamed) return add_streamed(size);
  const bool has_copies = is_copied_inside(record);
  if (has_copies && *size > 0 && *size <= destination_can_.max_copy_bytes) {
    ++requests_.copies;
    return;
  }
  if (*size <= options_.part_threshold_bytes || !destination_can_.parts) {
    ++requests_.reads;
    ++requests_.writes;
    return;
  }
  const bool is_copied = has_copies && *size > destination_can_.max_copy_bytes;
  const uint64_t wished = is_copied ? std::max(options_.part_size_bytes, destination_can_.copy_part_bytes) : options_.part_size_bytes;
  const int64_t parts = parts_of(*size, choose_part_size(*size, wished, destination_can_));
  ++requests_.uploads;
  requests_.parts += parts;
  requests_.reads += is_copied ? 1 : 1 + parts;  // one tells the revision and the attributes
}

void RequestCount::add_streamed(const std::optional<uint64_t>& size) {
  const uint64_t part_size = std::min(choose_part_size(0, options_.part_size_bytes, destination_can_), largest_streamed_part);
  ++requests_.reads;
  if (!size || is_transformed_) requests_.is_lower_bound = true;
  if (!size || is_transformed_ || *size < part_size) {
    ++requests_.writes;
    return;
  }
  ++requests_.uploads;
  requests_.parts += parts_of(*size, part_size);
}

bool RequestCount::is_copied_inside(const ItemRecord& record) {
  if (!is_one_store_) return false;
  if (!has_locators_) has_locators_ = source_.locator(item_of(record)).has_value();
  return *has_locators_;
}

Plan::Requests RequestCount::take() const {
  Plan::Requests requests = requests_;
  if (!is_source_remote_) requests.reads = requests.source_looks = 0;
  if (!is_destination_remote_) {
    requests.destination_looks = requests.writes = requests.copies = requests.uploads = requests.parts = 0;
  }
  return requests;
}

}  // namespace waybill::internal
