// SPDX-License-Identifier: Apache-2.0
//
// One connection of the fault server, as a machine of states:
//
//   head → body → waiting → answering → head …      waiting: for the delay of the answer
//              ↘ stalled          ↘ stalled | lingering → closed
//
// Endings and paces of exchanges are carried out here. Belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "support/fault_server/chunk_decoder.hpp"
#include "support/fault_server/http.hpp"
#include "support/fault_server/loop.hpp"

namespace waybill::testing::fault {

class Connection {
 public:
  Connection(int fd, uint64_t number, Loop& loop) : fd_(fd), number_(number), loop_(loop) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  uint64_t number() const noexcept { return number_; }
  bool is_closed() const noexcept { return state_ == State::closed; }
  /// Takes notice of epoll's events.
  void note(uint32_t events) noexcept;
  /// Goes as far as it can, or for its turn.
  void carry_on();
  /// Closes with RST.
  void reset();

 private:
  enum class State { head, body, waiting, answering, stalled, lingering, closed };

  // Each does one step and says whether there may be another.
  bool step();
  bool take_head();
  bool take_body();
  bool feed(std::string_view& input);
  bool read_more();
  bool send_some();

  void begin_exchange();
  void answer_now(Answer answer, const Delivery& delivery);
  void refill();
  void finish_answer();
  void end_by(Ending ending);
  void end_exchange(Outcome outcome);
  void close(Outcome outcome);
  bool is_paused();
  /// Of what may move before the next pause.
  void spend(uint64_t bytes, const Pace& pace);

  int fd_;
  uint64_t number_;
  Loop& loop_;
  State state_ = State::head;
  bool readable_ = false;
  bool peer_closing_ = false;
  bool has_failed_ = false;
  Clock::time_point resumes_{};  // no byte moves before

  std::string in_;  // read and not yet taken
  std::unique_ptr<Request> request_;
  std::unique_ptr<Exchange> exchange_;
  std::optional<ChunkDecoder> chunks_;
  uint64_t body_left_ = 0;
  uint64_t received_ = 0;
  Intake intake_;

  Answer answer_;
  Delivery delivery_;
  std::string out_;
  size_t out_at_ = 0;
  uint64_t head_size_ = 0;
  uint64_t content_at_ = 0;
  uint64_t sent_ = 0;                // of the answer, head included
  uint64_t stop_at_ = UINT64_MAX;    // where the ending comes
  uint64_t pace_left_ = UINT64_MAX;  // until the next pause
};

}  // namespace waybill::testing::fault
