// SPDX-License-Identifier: Apache-2.0
//
// Rules: which calls, and what goes wrong with them. They know calls by names alone (CallName), so they serve every
// protocol. Deterministic: what fires depends on the rule, its seed and the order of the calls that it matches.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/fault_server/http.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

/// What a call is called. `scope` is a bucket, a table or whatever else holds keys.
struct CallName {
  std::string op;
  std::string scope;
  std::string key;
  uint64_t part = 0;  ///< number of an upload's part, from 1; 0: none
  /// The bytes of the object that are asked for or sent; end UINT64_MAX where the request does not say.
  uint64_t begin = 0;
  uint64_t end = UINT64_MAX;
};

enum class Action {
  status,          ///< `status`, `code`, `body`, `headers` instead of the answer
  error_in_200,    ///< status 200 whose body is an error with `code`
  delay,           ///< `delay_ms` before the answer
  cut,             ///< the connection is closed in good order at `place` after `after` bytes
  reset,           ///< the same with RST
  stall,           ///< the same, staying open without another byte
  slice,           ///< `bytes` at a time with `pause_ms` in between, at `place`
  bandwidth,       ///< `bytes` a second, at `place`
  wrong_checksum,  ///< checksum headers of the answer do not belong to its body
  wrong_length,    ///< Content-Length is `length_delta` off
  swap,            ///< the object has become another one: other bytes, other ETag
  flip,            ///< the byte `after` bytes into the answer's body is another one
  whitespace,      ///< `bytes` of white space before the answer's body
};

/// Of which bytes `after` counts.
enum class Place {
  request,  ///< body of the request; the operation is not carried out
  answer,   ///< the whole answer with its head; the operation is carried out
  body,     ///< the answer's body; the operation is carried out
};

struct Rule {
  // Which calls: all of these have to hold. The patterns are those of class Pattern.
  std::string op = "*";
  std::string scope = "*";
  std::string key = "*";
  uint64_t part = 0;                 ///< only that part; 0: any
  std::optional<uint64_t> offset{};  ///< only calls about this byte of the object; `after` counts from there then
  // Which of these calls, counted from 1 for this rule: all that are not 0 have to hold.
  uint64_t nth = 0;
  uint64_t first = 0;  ///< the first so many
  uint64_t from = 0;   ///< this one and all later ones
  uint64_t every = 0;  ///< every so many
  uint64_t times = 0;  ///< fires so often at most
  double probability = 1;
  uint64_t seed = 0;
  // What then.
  Action action = Action::status;
  int status = 503;
  std::string code = "SlowDown";
  std::optional<std::string> body{};  ///< instead of the protocol's form of an error
  Headers headers{};
  bool apply = false;  ///< the operation is carried out before it is said to have failed
  double delay_ms = 0;
  Place place = Place::body;
  uint64_t after = 0;
  uint64_t bytes = 0;
  double pause_ms = 0;
  int64_t length_delta = 0;

  /// From {"op": …} with these names. Throws std::invalid_argument, which says what is wrong.
  static Rule from_json(const nlohmann::json& json);
};

using RulePtr = std::shared_ptr<const Rule>;

/// *Thread safety:* any thread.
class RuleSet {
 public:
  /// Gives the number by which it can be removed. Throws std::invalid_argument: contradictory fields.
  uint64_t add(Rule rule);
  bool remove(uint64_t id);
  void clear();
  /// How often a rule has fired; 0 for unknown ones.
  uint64_t fired(uint64_t id) const;
  /// The rules that fire for a call, in the order in which they were added.
  std::vector<RulePtr> match(const CallName& call);

 private:
  struct Entry {
    uint64_t id;
    RulePtr rule;
    Pattern op, scope, key;
    uint64_t seen = 0;
    uint64_t fired = 0;
  };
  static bool fires(Entry& entry);

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // guarded by mutex_
  uint64_t last_id_ = 0;        // guarded by mutex_
  std::atomic<bool> is_empty_{true};
};

/// How the body of a request is taken in where these rules fire.
Intake intake_of(const std::vector<RulePtr>& rules, const CallName& call);
/// Adds what these rules do to the answer's way.
void deliver_by(const std::vector<RulePtr>& rules, const CallName& call, Delivery& delivery);
/// Adds what these rules do to the answer itself.
void spoil(const std::vector<RulePtr>& rules, const CallName& call, Answer& answer);

}  // namespace waybill::testing::fault
