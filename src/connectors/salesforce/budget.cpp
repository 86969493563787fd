// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/budget.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace waybill::salesforce {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Calls that go through to see whether the day has moved on: soon after the limit, then ever more rarely.
constexpr seconds first_pause{1};
constexpr seconds longest_pause{300};
constexpr milliseconds step{100};
constexpr int most_calls = 16;
// Of every so many calls that went well one more may be under way again.
constexpr int successes_for_more = 50;
constexpr seconds burst{2};

}  // namespace

std::optional<Usage> parse_limit_info(std::string_view header) noexcept {
  constexpr std::string_view name = "api-usage=";
  size_t at = header.starts_with(name) ? 0 : header.find("; " + std::string(name));
  if (at == std::string_view::npos) at = header.find("," + std::string(name));
  if (at == std::string_view::npos) return std::nullopt;
  header = header.substr(header.find('=', at) + 1);
  const size_t slash = header.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto used = internal::parse_uint(header.substr(0, slash));
  const std::string_view rest = header.substr(slash + 1);
  const auto total = internal::parse_uint(rest.substr(0, rest.find_first_not_of("0123456789")));
  if (!used || !total || *total == 0) return std::nullopt;
  return Usage{*used, *total};
}

Budget::Place Budget::enter(Context& context, bool is_due) {
  std::unique_lock lock(mutex_);
  while (under_way_ >= most_) {
    left_.wait_for(lock, step);
    context.check();
  }
  if (is_stopped_ && !is_due) {
    const auto now = Clock::now();
    if (now < next_look_) throw used_up();
    stop(now);  // this call is the look
  }
  ++under_way_;
  return Place(*this);
}

void Budget::leave() {
  const std::scoped_lock lock(mutex_);
  --under_way_;
  left_.notify_one();
}

void Budget::note(const Usage& usage) {
  const std::scoped_lock lock(mutex_);
  usage_ = usage;
  const bool is_over = static_cast<double>(usage.used) >= share_ * static_cast<double>(usage.total);
  if (!is_over) {
    is_stopped_ = false;
    pause_ = {};
  } else if (!is_stopped_) {
    stop(Clock::now());
  }
}

void Budget::note_used_up() {
  const std::scoped_lock lock(mutex_);
  if (!is_stopped_) stop(Clock::now());
}

void Budget::stop(Clock::time_point now) {
  is_stopped_ = true;
  pause_ = std::clamp<Clock::duration>(pause_ * 2, first_pause, longest_pause);
  next_look_ = now + pause_;
}

Error Budget::used_up() const {
  std::string text = "the organization's API calls of a day are used up";
  if (usage_.total > 0) {
    text += ": " + std::to_string(usage_.used) + " of " + std::to_string(usage_.total);
    if (usage_.used < usage_.total) text += ", and max_api_share leaves the rest to others";
  }
  return Error(ErrorCode::resource_exhausted, ErrorClass::throttled, text + "; what runs waits until there are more")
      .set_retryable()
      .set_provider_code("REQUEST_LIMIT_EXCEEDED")
      .set_retry_after(std::chrono::ceil<milliseconds>(next_look_ - Clock::now()));
}

void Budget::note_too_many() {
  const std::scoped_lock lock(mutex_);
  successes_ = 0;
  // Those that were under way together are refused together: that is one sign.
  const auto now = Clock::now();
  if (now < halved_ + burst) return;
  halved_ = now;
  most_ = std::max(1, std::min(most_, under_way_) / 2);
}

void Budget::note_success() {
  const std::scoped_lock lock(mutex_);
  if (most_ >= most_calls || ++successes_ < successes_for_more) return;
  successes_ = 0;
  ++most_;
}

Usage Budget::usage() const {
  const std::scoped_lock lock(mutex_);
  return usage_;
}

}  // namespace waybill::salesforce
