// SPDX-License-Identifier: Apache-2.0
//
// A cutover's gates, options and measurements as JSON, for the ledger.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "waybill/cutover.hpp"

namespace waybill::internal {

/// A JSON array of objects, one line.
std::string gates_json(const std::vector<Gate>& gates);
/// The names of the gates that are not passed, with their evidence; "" for text that is no such array.
std::string refused_gates(const std::string& gates);

/// A JSON object, one line: what a plan was made with, or a run of it was asked. `catalog_url` is redacted.
std::string to_json(const CutoverOptions& options, const std::string& catalog_url);
std::string to_json(const RollbackOptions& options);

/// The URL template of a plan's options, without what may be secret in it; "" where there is none.
std::string url_template_of(const std::string& recorded);

/// Of a plan's options: the newest run when it was made.
inline constexpr const char* last_run_member = "last_run";

/// How long edits of others could have been lost: from the begin of our look at a batch of references to the end of its update.
struct UnguardedWindow {
  uint64_t updates = 0;
  int64_t shortest_us = 0;
  int64_t longest_us = 0;
  int64_t total_us = 0;  ///< over updates: each of a batch has the batch's

  void add(const UnguardedWindow& other);
  /// In words, one line.
  std::string text() const;
};
/// A JSON object with the one member `unguarded_window`: the data of an event. And back; nothing where it is another one.
std::string to_json(const UnguardedWindow& window);
std::optional<UnguardedWindow> unguarded_window_from(const std::string& data);

/// The options of a run, with `what` beside them: an object under `name`.
std::string with_member(const std::string& options, const char* name, const std::string& what);
/// That member of recorded options, one line; "" where there is none.
std::string member_of(const std::string& recorded, const char* name);

}  // namespace waybill::internal
