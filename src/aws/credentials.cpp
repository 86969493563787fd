// SPDX-License-Identifier: Apache-2.0
//
// See credentials.hpp.
#include "aws/credentials.hpp"

#include <algorithm>
#include <utility>

#include "aws/providers.hpp"
#include "base/text.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* no_credentials = "NoCredentials";
// Renewal begins 10 to 15 minutes ahead, as in the AWS SDKs; less for credentials that do not live as long.
constexpr int64_t renewal_margin_ms = 10 * 60 * 1000;
constexpr seconds longest_pause{60};
constexpr seconds shortest_pause{1};

// Whatever goes into a header must not be able to begin another one.
void check_usable(const Credentials& credentials) {
  const auto is_clean = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c < 0x7F; });
  };
  if (is_clean(credentials.access_key_id) && is_clean(credentials.session_token.reveal())) return;
  throw auth_error("the access key or the session token of " + credentials.origin +
                   " holds a character that none can have (a space or a line break?)");
}

bool is_same(const Credentials& a, const Credentials& b) {
  return a.access_key_id == b.access_key_id && a.secret_access_key == b.secret_access_key &&
         a.session_token == b.session_token;
}

Credentials search(std::string_view profile, Context& context) {
  if (!profile.empty()) {
    Found found = from_profile(profile, context);
    if (found.credentials) return std::move(*found.credentials);
    throw auth_error(found.reason + "; put keys there, or name a profile that has them")
        .set_provider_code(no_credentials);
  }
  struct Place {
    const char* name;
    Found (*look)(Context&);
  };
  constexpr Place places[] = {
      {"environment", [](Context&) { return from_environment(); }},
      {"web identity", from_web_identity},
      {"profile", [](Context& c) { return from_profile({}, c); }},
      {"container", from_container},
      {"instance metadata", from_instance},
  };
  std::string tried;
  for (const Place& place : places) {
    context.check();
    Found found = place.look(context);
    if (found.credentials) return std::move(*found.credentials);
    tried += (tried.empty() ? "" : ", ") + std::string(place.name) + " (" + found.reason + ")";
  }
  throw auth_error("no AWS credentials: tried " + tried +
                   "; set the keys in the environment, or name a profile that has them")
      .set_provider_code(no_credentials);
}

}  // namespace

Credentials load_credentials(std::string_view profile, Context& context) {
  Credentials credentials = search(profile, context);
  check_usable(credentials);
  return credentials;
}

CredentialsProvider::CredentialsProvider(std::string profile)
    : load_([profile = std::move(profile)](Context& context) { return load_credentials(profile, context); }) {}

CredentialsProvider::CredentialsProvider(Load load) : load_(std::move(load)) {}

CredentialsProvider::CredentialsProvider(Credentials credentials)
    : current_(std::make_shared<const Credentials>(std::move(credentials))) {}

bool CredentialsProvider::is_due() const {
  return load_ && current_->expires_ms && internal::now_ms() >= renew_at_ms_ && Clock::now() >= not_before_;
}

bool CredentialsProvider::is_expired() const {
  return current_->expires_ms && internal::now_ms() >= *current_->expires_ms;
}

std::shared_ptr<const Credentials> CredentialsProvider::current(Context& context) {
  Lock lock(mutex_);
  while (!current_ || is_due()) {
    if (!is_loading_) {
      load(lock, context);
      break;
    }
    if (current_ && !is_expired()) break;
    wait_for_loader(lock, context);
  }
  // Also expired ones, right after a load that brought no better: clocks differ, and the store decides.
  if (failure_ && (!current_ || is_expired())) throw Error(*failure_);
  return current_;
}

bool CredentialsProvider::refresh(const std::shared_ptr<const Credentials>& stale, Context& context) {
  Lock lock(mutex_);
  while (current_ == stale && is_loading_) wait_for_loader(lock, context);
  if (current_ != stale) return true;
  if (!load_ || (confirmed_ == stale && Clock::now() < not_before_)) return false;
  load(lock, context);
  if (failure_) throw Error(*failure_);
  if (!is_same(*current_, *stale)) return true;
  current_ = confirmed_ = stale;
  return false;
}

void CredentialsProvider::wait_for_loader(Lock& lock, Context& context) {
  loaded_.wait_for(lock, milliseconds(200));
  if (!context.cancelled()) return;
  lock.unlock();
  context.check();
  lock.lock();
}

// Loads without the lock. Afterwards either current_ is new or failure_ says why not; only a cancellation is thrown, as
// it is the caller's alone.
void CredentialsProvider::load(Lock& lock, Context& context) {
  if (failure_ && Clock::now() < failed_at_ + shortest_pause) return;  // asked a moment ago
  is_loading_ = true;
  const bool had_some = current_ != nullptr;
  lock.unlock();
  std::shared_ptr<const Credentials> fresh;
  std::optional<Error> failure;
  try {
    fresh = std::make_shared<const Credentials>(load_(context));
  } catch (const Error& error) {
    failure = error;
  } catch (const std::exception& error) {
    failure = Error(ErrorCode::internal, ErrorClass::internal, std::string("loading credentials: ") + error.what());
  }
  lock.lock();
  is_loading_ = false;
  loaded_.notify_all();
  if (failure && failure->error_class() == ErrorClass::cancelled) throw Error(*failure);
  failure_ = std::move(failure);
  if (!failure_) {
    current_ = std::move(fresh);
    confirmed_.reset();
    plan_renewal();
    return;
  }
  if (had_some && failure_->provider_code() == no_credentials) {
    failure_ = Error(ErrorCode::unavailable, ErrorClass::network,
                     "the credentials from " + current_->origin + " cannot be renewed: " + failure_->message())
                   .set_retryable();
  }
  not_before_ = failed_at_ = Clock::now();
  if (!had_some || is_expired() || !current_->expires_ms) return;
  const milliseconds left(*current_->expires_ms - internal::now_ms());
  const auto pause = std::clamp<milliseconds>(left / 4, shortest_pause, longest_pause);
  not_before_ = failed_at_ + pause / 2 + milliseconds(random_.below(static_cast<uint64_t>(pause.count()) / 2 + 1));
  context.log(LogLevel::warning, "credentials from " + current_->origin + " are good for another " +
                                     std::to_string(left.count() / 1000) +
                                     " s and could not be renewed yet: " + failure_->message());
}

void CredentialsProvider::plan_renewal() {
  not_before_ = Clock::now() + longest_pause;
  if (!current_->expires_ms) return;
  const int64_t now = internal::now_ms();
  const int64_t life = *current_->expires_ms - now;
  if (life <= 0) return;
  const int64_t margin = std::min(renewal_margin_ms, life / 4);
  renew_at_ms_ =
      *current_->expires_ms - margin - static_cast<int64_t>(random_.below(static_cast<uint64_t>(margin) / 2 + 1));
  not_before_ = Clock::now() + std::min<milliseconds>(longest_pause, milliseconds(life / 8));
}

}  // namespace waybill::aws
