// SPDX-License-Identifier: Apache-2.0

#include "connectors/salesforce/call_ahead.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace waybill::salesforce {
namespace {

constexpr std::chrono::milliseconds look{50};

}  // namespace

// The call and, as nobody's Context outlives the call that it was given to, one of its own.
class CallAhead::Work final : public Context {
 public:
  explicit Work(Call call) : call_(std::move(call)) {}

  const std::string& path() const noexcept { return call_.path; }

  void run(Client& client) {
    std::optional<internal::HttpResponse> answer;
    try {
      answer = client.call(call_, *this);
    } catch (...) {
      // It is made again in the open.
    }
    const std::scoped_lock lock(mutex_);
    answer_ = std::move(answer);
    is_done_ = true;
    changed_.notify_all();
  }

  void stop() {
    const std::scoped_lock lock(mutex_);
    is_stopped_ = true;
    changed_.notify_all();
  }

  std::optional<internal::HttpResponse> wait(Context& context) {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, look, [this] { return is_done_; })) context.check();
    for (const auto& [level, text] : lines_) context.log(level, text);
    for (const auto& [name, amount] : counts_) context.count(name, amount);
    return std::move(answer_);
  }

  bool cancelled() const noexcept override {
    const std::scoped_lock lock(mutex_);
    return is_stopped_;
  }
  int cancel_fd() const noexcept override { return -1; }
  Clock::time_point deadline() const noexcept override { return Clock::time_point::max(); }
  bool sleep(std::chrono::milliseconds duration) override {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, duration, [this] { return is_stopped_; });
  }
  Ticket acquire(uint64_t) override { return {}; }
  int attempt() const noexcept override { return 0; }
  uint64_t epoch() const noexcept override { return 0; }
  std::string_view migration() const noexcept override { return {}; }
  void log(LogLevel level, std::string_view text) override {
    const std::scoped_lock lock(mutex_);
    lines_.emplace_back(level, text);
  }
  void count(std::string_view name, uint64_t amount) override {
    const std::scoped_lock lock(mutex_);
    counts_.emplace_back(name, amount);
  }

 private:
  const Call call_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool is_done_ = false;
  bool is_stopped_ = false;
  std::optional<internal::HttpResponse> answer_;
  std::vector<std::pair<LogLevel, std::string>> lines_;
  std::vector<std::pair<std::string, uint64_t>> counts_;
};

void CallAhead::begin(Call call) {
  drop();
  auto work = std::make_shared<Work>(std::move(call));
  try {
    thread_ = internal::Thread("wb-ahead", [work, &client = client_] { work->run(client); });
    work_ = std::move(work);
  } catch (const Error&) {
    // No thread: nothing is ahead.
  }
}

std::optional<internal::HttpResponse> CallAhead::take(const Call& call, Context& context) {
  if (!work_ || work_->path() != call.path) {
    drop();
    return std::nullopt;
  }
  std::optional<internal::HttpResponse> answer = work_->wait(context);
  drop();
  return answer;
}

void CallAhead::drop() {
  if (!work_) return;
  work_->stop();
  thread_.join();
  work_.reset();
}

}  // namespace waybill::salesforce
