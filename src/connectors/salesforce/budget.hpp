// SPDX-License-Identifier: Apache-2.0
//
// The calls of an organization's day, of which a share is left to the business, and how many calls may be under way.
//
// Every answer tells the calls of the last 24 hours ("Sforce-Limit-Info: api-usage=25/5000"), those of all clients
// together. Above the share nothing is asked; ever so often one call goes through, whose answer tells whether the day has
// moved on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "waybill/context.hpp"
#include "waybill/error.hpp"

namespace waybill::salesforce {

/// Calls of a day: used, and in all.
struct Usage {
  uint64_t used = 0;
  uint64_t total = 0;
};

/// Of "api-usage=25/5000; per-app-api-usage=17/250(appName=x)" the first; nothing where there is none.
std::optional<Usage> parse_limit_info(std::string_view header) noexcept;

/// *Thread safety:* any thread.
class Budget {
 public:
  using Clock = std::chrono::steady_clock;

  /// Holds a place among the calls under way, for as long as it lives.
  class Place {
   public:
    explicit Place(Budget& budget) : budget_(&budget) {}
    Place(Place&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place() { if (budget_ != nullptr) budget_->leave(); }

   private:
    Budget* budget_;
  };

  explicit Budget(double share) : share_(share) {}

  /// Waits for a place. Errors: throttled, retryable (the share is used up, and it is not time to look; not where `is_due`),
  /// cancelled.
  Place enter(Context& context, bool is_due = false);
  /// What an answer says of the calls of the day.
  void note(const Usage& usage);
  /// A call was refused because the day's calls are used up.
  void note_used_up();
  /// A call was refused because too many are under way.
  void note_too_many();
  void note_success();
  /// Of the newest answer; total 0 where there was none.
  Usage usage() const;

 private:
  void leave();
  void stop(Clock::time_point now);
  Error used_up() const;

  const double share_;
  mutable std::mutex mutex_;
  std::condition_variable left_;
  Usage usage_;                        // guarded by mutex_, as all below
  bool is_stopped_ = false;
  Clock::duration pause_{};
  Clock::time_point next_look_;
  int under_way_ = 0;
  int most_ = 16;
  int successes_ = 0;
  Clock::time_point halved_{};
};

}  // namespace waybill::salesforce
