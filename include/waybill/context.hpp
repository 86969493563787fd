// SPDX-License-Identifier: Apache-2.0
//
// Context: what every call that may block is given. It carries cancellation, the deadline, the memory budget for
// bodies, and the way to say something (log, counters) that is not a result.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace waybill {

enum class LogLevel : int { debug = 0, info = 1, warning = 2, error = 3 };

/// "debug", "info", "warning", "error". Static storage.
const char* to_string(LogLevel level) noexcept;

/// A share of the memory budget for bodies; given back when destroyed. Move-only; any thread.
class Ticket {
 public:
  Ticket() = default;
  /// `release` is called with `bytes` once, when the ticket dies. `owner` must outlive the ticket.
  Ticket(void* owner, void (*release)(void*, uint64_t) noexcept, uint64_t bytes) noexcept
      : owner_(owner), release_(release), bytes_(bytes) {}
  Ticket(Ticket&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), release_(other.release_), bytes_(std::exchange(other.bytes_, 0)) {}
  Ticket& operator=(Ticket&& other) noexcept {
    if (this != &other) {
      reset();
      owner_ = std::exchange(other.owner_, nullptr);
      release_ = other.release_;
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  ~Ticket() { reset(); }

  uint64_t bytes() const noexcept { return bytes_; }
  void reset() noexcept {
    if (owner_ != nullptr) release_(std::exchange(owner_, nullptr), bytes_);
  }

 private:
  void* owner_ = nullptr;
  void (*release_)(void*, uint64_t) noexcept = nullptr;
  uint64_t bytes_ = 0;
};

/// Last argument of every call that may block.
///
/// A connector returns within one second of cancellation, by throwing Error{cancelled} (check() does). It either polls
/// cancelled() at least that often, waits on cancel_fd() beside its own descriptors, or sleeps only through sleep().
///
/// *Thread safety:* every method may be called from any thread. *Lifetime:* valid until the call that received it
/// returns; never kept. *Blocking:* only sleep() and acquire() block.
class Context {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~Context();

  /// Whether the call should end now: the run is cancelled, paused or interrupted, or the deadline has passed.
  virtual bool cancelled() const noexcept = 0;

  /// A file descriptor that becomes readable (poll: POLLIN) once cancelled() is true because of a cancellation, and
  /// stays so; -1 where there is none. Never read from or closed by the connector.
  virtual int cancel_fd() const noexcept = 0;

  /// When this call has to be over; Clock::time_point::max() if there is no deadline.
  virtual Clock::time_point deadline() const noexcept = 0;

  /// Sleeps for `duration` or until cancelled. False if it was cut short; the caller then calls check() or returns.
  virtual bool sleep(std::chrono::milliseconds duration) = 0;

  /// Waits for `bytes` of the run's memory budget for bodies (Options::body_budget_bytes). Only for buffers that a
  /// connector allocates by itself beyond 1 MiB; bodies that it is handed are already counted. A request above the
  /// whole budget is granted alone. Errors: cancelled.
  virtual Ticket acquire(uint64_t bytes) = 0;

  /// Which try of the present item this is, from 1; 0 outside of items.
  virtual int attempt() const noexcept = 0;

  /// The fencing epoch of the owner of the run; 0 outside of runs. Grows with every owner.
  virtual uint64_t epoch() const noexcept = 0;

  /// The id of the migration: 16 hexadecimal digits, the same for every process that works on one ledger; "" outside of
  /// runs. Goes into the names of temporary things, so that nobody removes another migration's.
  virtual std::string_view migration() const noexcept = 0;

  /// A line for the run's log. No secrets: waybill redacts URLs but knows no others. Never blocks on I/O.
  virtual void log(LogLevel level, std::string_view text) = 0;

  /// Adds to a counter of the run, for example count("http_requests", 1). Names are snake_case, without item names.
  virtual void count(std::string_view name, uint64_t amount) = 0;

  /// Throws Error{cancelled or deadline_exceeded} if cancelled().
  void check() const;

  /// A Context without a run: never cancelled, no deadline, no budget, log and counters dropped. For calls outside of
  /// runs and for tests. Static storage.
  static Context& background();
};

}  // namespace waybill
