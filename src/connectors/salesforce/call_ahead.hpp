// SPDX-License-Identifier: Apache-2.0
//
// A call that is made before its answer is asked for.
#pragma once

#include <memory>
#include <optional>

#include "base/thread.hpp"
#include "connectors/salesforce/client.hpp"

namespace waybill::salesforce {

/// At most one call, in a thread of its own. *Thread safety:* one thread at a time.
class CallAhead {
 public:
  explicit CallAhead(Client& client) : client_(client) {}
  /// Ends what is under way, as a cancelled Context does: within a second.
  ~CallAhead() { drop(); }

  /// Instead of an earlier one. Never blocks for longer than that one takes to end. Where there is no thread to be had nothing
  /// is begun.
  void begin(Call call);
  /// The answer to `call`, waited for. Nothing where another call was begun, or it failed: it is to be made in the open, which
  /// then says why. What it counted and logged goes to `context`. Errors: cancelled; the call goes on meanwhile.
  std::optional<internal::HttpResponse> take(const Call& call, Context& context);

 private:
  class Work;

  void drop();

  Client& client_;
  std::shared_ptr<Work> work_;  // null: nothing was begun
  internal::Thread thread_;
};

}  // namespace waybill::salesforce
