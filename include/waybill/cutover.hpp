// SPDX-License-Identifier: Apache-2.0
//
// What a cutover and a rollback are asked, and what their plans say. The calls are Migration's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/item.hpp"
#include "waybill/progress.hpp"

namespace waybill {

struct CutoverOptions {
  /// Needed to plan. What a reference is to hold, made of its item: text with fields in braces, which are percent-encoded as
  /// a URL's path is. `{destination_key}` is where the item was copied to; the others are those of key templates.
  std::string url_template;
  /// Optional. Only references of these partitions. Empty (default): all.
  std::vector<std::string> partitions;
  /// Optional. Only references of these records. Empty (default): all.
  std::vector<std::string> records;
  /// Optional, of start_cutover. At most this many references are switched, the first in order of their records; the same
  /// plan then goes on with the rest. 0 (default): all.
  uint64_t canary = 0;
  /// Optional. An item has to have been verified by its content or checksum within this time, in ms. Default 7 days;
  /// 0: no matter when.
  int64_t max_verified_age_ms = int64_t{7} * 24 * 3600 * 1000;
  /// Optional, of start_cutover. An older plan is refused, in ms. Default 24 hours.
  int64_t max_plan_age_ms = int64_t{24} * 3600 * 1000;
  /// Optional. How many of the new values, drawn at random, are asked for: each has to answer with a body of the
  /// item's size to whom `probe_as` says. Default 100; 0: none, and the gate says so; as many as there are, or more: all.
  uint64_t probes = 100;
  /// Optional. Whom the new values have to answer to, as the people do who will use them; our own credentials prove nothing.
  /// "anonymous" (default): anybody, without credentials. "profile:NAME": s3:// values to this profile of the shared
  /// files. "header:env:NAME": http(s):// values to the header that the environment variable NAME holds, whole ("Authorization:
  /// Bearer …"), which is kept nowhere. Values that it does not concern are asked for without credentials.
  std::string probe_as = "anonymous";
  /// Optional. The catalog cannot replace a value in one step with a look at it: an edit that falls between our look and our
  /// write is lost. True accepts that. Default false: such a catalog is refused.
  bool accept_window = false;
};

/// One condition of a cutover, and what was found.
struct Gate {
  std::string name;      ///< one word, stable: copy, items, verified, delta, values, urls, rights, window, …
  bool is_passed = false;
  int64_t count = 0;     ///< how many are against it, or were looked at
  std::string evidence;  ///< one line, with what to do about it where it is not passed
};

/// What a cutover would do.
struct CutoverPlan {
  std::string hash;       ///< 16 hexadecimal digits over each (reference, value, new value) that would be switched
  uint64_t pass = 0;      ///< over the catalog
  bool is_ready = false;  ///< every gate is passed
  ReferenceAccounts references;  ///< by state: `pending` are those that would be switched
  int64_t items = 0;      ///< that they point at, as far as neighbours in order share one
  Catalog::Conditional conditional = Catalog::Conditional::none;
  std::vector<Gate> gates;
  struct Example {
    ReferenceId id;
    std::string partition;
    ReferenceState state = ReferenceState::pending;
    std::string value;
    std::string intended;  ///< "" where it would not be switched
    std::string reason;
  };
  std::vector<Example> examples;     ///< the first 20 that would be switched
  std::vector<Example> unswitched;   ///< the first 1,000 others but those that are updated already
};

/// The plan as a JSON object, one line.
std::string to_json(const CutoverPlan& plan);

struct RollbackOptions {
  /// Optional. Only references of these partitions. Empty (default): all.
  std::vector<std::string> partitions;
  /// Optional. Only references that this cutover run switched. 0 (default): all.
  uint64_t run = 0;
  /// Optional. Only references of these records. Empty (default): all.
  std::vector<std::string> records;
  /// Optional. As CutoverOptions::accept_window.
  bool accept_window = false;
};

/// What a rollback would take back.
struct RollbackPlan {
  int64_t references = 0;  ///< that would be restored where they still hold what we wrote
  ReferenceAccounts accounts;
  std::vector<CutoverPlan::Example> examples;  ///< the first 1,000: value is what it holds, intended what it held before
};

/// The plan as a JSON object, one line.
std::string to_json(const RollbackPlan& plan);

}  // namespace waybill
