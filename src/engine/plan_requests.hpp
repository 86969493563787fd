// SPDX-License-Identifier: Apache-2.0
//
// How many calls a copy makes for the items of a plan: by the rules that Transfer goes by.
#pragma once

#include "waybill/migration.hpp"

namespace waybill::internal {

/// *Thread safety:* one thread at a time.
class RequestCount {
 public:
  /// The stores outlive it.
  RequestCount(Source& source, const Destination& destination, const Options& options, bool is_transformed);

  /// Of a pending row.
  void add(const ItemRecord& record);
  /// What was counted, without what is asked of a folder.
  Plan::Requests take() const;

 private:
  void add_move(const ItemRecord& record);
  void add_streamed(const std::optional<uint64_t>& size);
  bool is_copied_inside(const ItemRecord& record);

  Source& source_;
  const Source::Capabilities source_can_;
  const Destination::Capabilities destination_can_;
  const Options& options_;
  const bool is_transformed_;
  const bool is_one_store_;
  const bool is_source_remote_;
  const bool is_destination_remote_;
  std::optional<bool> has_locators_;  // of the source, as its first item says
  Plan::Requests requests_;
};

}  // namespace waybill::internal
