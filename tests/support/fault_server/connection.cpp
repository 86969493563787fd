// SPDX-License-Identifier: Apache-2.0
//
// An event says only that something can be read or written again (edge-triggered), so both are remembered until recv or
// send says otherwise. A peer that closes is noticed in every state but where reading is paused.
#include "support/fault_server/connection.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr int steps_per_turn = 24;
constexpr size_t longest_head = 64 << 10;
constexpr size_t most_read_ahead = 1 << 20;
constexpr size_t send_block = 256 << 10;
constexpr size_t first_block = 32 << 10;  // goes out together with the head
constexpr auto linger_time = std::chrono::seconds(2);

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 416:
      return "Requested Range Not Satisfiable";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Slow Down";
    default:
      return "Status";
  }
}

// False where the head is not HTTP.
bool parse_head(Request& request) {
  const std::string_view head = request.head;
  size_t end = std::min(head.find("\r\n"), head.size());
  const std::string_view line = head.substr(0, end);
  const size_t space = line.find(' ');
  const size_t last = line.rfind(' ');
  if (space == std::string_view::npos || last == space) return false;
  request.method = line.substr(0, space);
  const std::string_view target = line.substr(space + 1, last - space - 1);
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  request.headers.reserve(24);
  while (end < head.size()) {
    const size_t begin = end + 2;
    end = std::min(head.find("\r\n", begin), head.size());
    const std::string_view field = head.substr(begin, end - begin);
    const size_t colon = field.find(':');
    if (colon == std::string_view::npos) return false;
    request.headers.emplace_back(field.substr(0, colon), internal::trim(field.substr(colon + 1)));
  }
  request.keeps_alive =
      !internal::equals_ignoring_case(request.header("connection"), "close") && line.substr(last + 1) == "HTTP/1.1";
  request.expects_continue = internal::equals_ignoring_case(request.header("expect"), "100-continue");
  request.is_chunked = internal::equals_ignoring_case(request.header("transfer-encoding"), "chunked");
  if (!request.has_header("content-length") || request.is_chunked) return true;
  const auto length = internal::parse_uint(request.header("content-length"));
  request.content_length = length.value_or(0);
  return length.has_value();
}

std::string head_of(const Answer& answer, bool closes) {
  std::string head;
  head.reserve(512);
  head.append("HTTP/1.1 ").append(std::to_string(answer.status)).append(" ").append(reason(answer.status));
  for (const auto& [name, value] : answer.headers) head.append("\r\n").append(name).append(": ").append(value);
  if (answer.status != 204 && answer.status != 304) {
    head.append("\r\nContent-Length: ").append(std::to_string(answer.claimed_length.value_or(answer.body_size())));
  }
  if (closes) head.append("\r\nConnection: close");
  return head.append("\r\n\r\n");
}

}  // namespace

std::string_view Request::header(std::string_view name) const noexcept {
  for (const auto& [known, value] : headers) {
    if (internal::equals_ignoring_case(known, name)) return value;
  }
  return {};
}

bool Request::has_header(std::string_view name) const noexcept {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& header) { return internal::equals_ignoring_case(header.first, name); });
}

Connection::~Connection() {
  end_exchange(Outcome::gone);
  if (fd_ >= 0) ::close(fd_);
}

void Connection::note(uint32_t events) noexcept {
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & (EPOLLRDHUP | EPOLLHUP)) peer_closing_ = true;
  if (events & (EPOLLHUP | EPOLLERR)) has_failed_ = true;
}

void Connection::carry_on() {
  if (has_failed_ || (peer_closing_ && state_ == State::stalled)) return close(Outcome::gone);
  for (int count = 0; count < steps_per_turn; ++count) {
    if (state_ == State::closed || !step()) return;
  }
  loop_.again(*this);
}

bool Connection::step() {
  switch (state_) {
    case State::head:
      return take_head() || read_more();
    case State::body:
      return !is_paused() && (take_body() || read_more());
    case State::waiting:
      if (is_paused()) return in_.size() < most_read_ahead && read_more();
      state_ = State::answering;
      return true;
    case State::answering:
      return !is_paused() && send_some();
    case State::lingering:
      if (!is_paused()) {
        close(Outcome::gone);
        return false;
      }
      in_.clear();
      return read_more();
    case State::stalled:
    case State::closed:
      return false;
  }
  return false;
}

bool Connection::is_paused() { return resumes_ != Clock::time_point{} && Clock::now() < resumes_; }

void Connection::spend(uint64_t bytes, const Pace& pace) {
  pace_left_ -= bytes;
  if (pace_left_ > 0 || (state_ != State::body && state_ != State::answering)) return;
  resumes_ = Clock::now() + pace.pause;
  pace_left_ = pace.bytes;
  loop_.wake_at(*this, resumes_);
}

bool Connection::read_more() {
  if (!readable_) return false;
  std::vector<char>& buffer = loop_.buffer();
  const bool is_paced = state_ == State::body && intake_.pace.bytes > 0;
  const size_t most = is_paced ? static_cast<size_t>(std::min<uint64_t>(buffer.size(), pace_left_)) : buffer.size();
  const ssize_t got = ::recv(fd_, buffer.data(), most, 0);
  if (got == 0) {
    close(Outcome::gone);
    return false;
  }
  if (got < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      readable_ = false;
    } else if (errno != EINTR) {
      close(Outcome::gone);
    }
    return errno == EINTR;
  }
  // Less than asked for: nothing is left, and whatever comes makes an event; the peer's end has made its event already.
  if (static_cast<size_t>(got) < most && !peer_closing_) readable_ = false;
  std::string_view data(buffer.data(), static_cast<size_t>(got));
  if (state_ == State::body) {
    while (!data.empty() && state_ == State::body && feed(data)) {
    }
    if (is_paced) spend(static_cast<uint64_t>(got), intake_.pace);
  }
  in_.append(data);
  return state_ != State::closed;
}

bool Connection::take_head() {
  const size_t end = in_.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (in_.size() > longest_head) close(Outcome::gone);
    return false;
  }
  request_ = std::make_unique<Request>();
  request_->connection = number_;
  request_->head = in_.substr(0, end);
  in_.erase(0, end + 4);
  if (!parse_head(*request_)) {
    close(Outcome::gone);
    return false;
  }
  begin_exchange();
  return state_ != State::closed;
}

void Connection::begin_exchange() {
  exchange_ = loop_.handler().begin(*request_);
  intake_ = exchange_->intake();
  received_ = 0;
  body_left_ = request_->content_length;
  chunks_.reset();
  if (request_->is_chunked) chunks_.emplace();
  state_ = State::body;
  resumes_ = {};
  pace_left_ = intake_.pace.bytes > 0 ? intake_.pace.bytes : UINT64_MAX;
  if (intake_.pace.bytes > 0 || intake_.ending == Ending::stall) {
    // Else the kernel would take in megabytes that nobody reads.
    const int small = 16 << 10;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  if (intake_.ending != Ending::none && intake_.after == 0) return end_by(intake_.ending);
  const bool has_body = request_->is_chunked || body_left_ > 0;
  if (!request_->expects_continue || !has_body || !in_.empty()) return;
  if (auto refusal = exchange_->refusal()) {
    refusal->closes = true;  // else the client's body would be read as a request
    return answer_now(std::move(*refusal), {});
  }
  constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
  ::send(fd_, go_on.data(), go_on.size(), MSG_NOSIGNAL);
}

bool Connection::take_body() {
  const bool is_complete = chunks_ ? chunks_->is_complete() : body_left_ == 0;
  if (is_complete) {
    if (intake_.ending != Ending::none) {
      end_by(intake_.ending);
      return state_ != State::closed;
    }
    Delivery delivery;
    Answer answer = exchange_->answer(delivery);
    answer_now(std::move(answer), delivery);
    return true;
  }
  if (in_.empty()) return false;
  const std::string_view all = in_;
  std::string_view data = all.substr(0, static_cast<size_t>(std::min<uint64_t>(all.size(), pace_left_)));
  const size_t offered = data.size();
  feed(data);
  const size_t taken = offered - data.size();
  if (intake_.pace.bytes > 0) spend(taken, intake_.pace);
  in_.erase(0, taken);
  return state_ != State::closed;
}

// Takes one run of the body out of `input`; false where the body is complete or the connection is no longer to be read.
bool Connection::feed(std::string_view& input) {
  std::string_view run;
  if (chunks_) {
    run = chunks_->next(input);
    if (chunks_->is_broken()) {
      close(Outcome::gone);
      return false;
    }
  } else {
    run = input.substr(0, static_cast<size_t>(std::min<uint64_t>(body_left_, input.size())));
    input.remove_prefix(run.size());
    body_left_ -= run.size();
  }
  if (intake_.ending != Ending::none && received_ + run.size() >= intake_.after) {
    exchange_->receive(run.substr(0, static_cast<size_t>(intake_.after - received_)));
    end_by(intake_.ending);
    return false;
  }
  received_ += run.size();
  if (!run.empty()) exchange_->receive(run);
  return chunks_ ? !chunks_->is_complete() : body_left_ > 0;
}

void Connection::answer_now(Answer answer, const Delivery& delivery) {
  answer_ = std::move(answer);
  delivery_ = delivery;
  answer_.closes = answer_.closes || !request_->keeps_alive;
  out_ = head_of(answer_, answer_.closes);
  out_at_ = 0;
  head_size_ = out_.size();
  content_at_ = answer_.content_begin;
  sent_ = 0;
  if (request_->method == "HEAD" || answer_.status == 204 || answer_.status == 304) {
    answer_.content.reset();
    answer_.text.clear();
    answer_.claimed_length.reset();
  }
  if (answer_.content) {
    refill();
  } else {
    out_ += answer_.text;
  }
  stop_at_ = delivery.ending == Ending::none ? UINT64_MAX : delivery.after + (delivery.counts_head ? 0 : head_size_);
  pace_left_ = delivery.pace.bytes > 0 ? delivery.pace.bytes : UINT64_MAX;
  resumes_ = {};
  state_ = State::answering;
  if (delivery.delay.count() > 0) {
    resumes_ = Clock::now() + delivery.delay;
    loop_.wake_at(*this, resumes_);
    state_ = State::waiting;
  }
}

void Connection::refill() {
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
  }
  const size_t block = out_.empty() ? send_block : first_block;
  const auto count = static_cast<size_t>(std::min<uint64_t>(block, answer_.content_end - content_at_));
  const size_t before = out_.size();
  out_.resize(before + count);
  answer_.content->read(content_at_, out_.data() + before, count);
  content_at_ += count;
}

bool Connection::send_some() {
  if (out_at_ == out_.size() && answer_.content && content_at_ < answer_.content_end) refill();
  if (sent_ >= stop_at_ || out_at_ == out_.size()) {
    finish_answer();
    return state_ != State::closed;
  }
  const uint64_t most = std::min({static_cast<uint64_t>(out_.size() - out_at_), stop_at_ - sent_, pace_left_});
  const ssize_t count = ::send(fd_, out_.data() + out_at_, static_cast<size_t>(most), MSG_NOSIGNAL);
  if (count < 0) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK) close(Outcome::gone);
    return false;  // an event comes
  }
  out_at_ += static_cast<size_t>(count);
  sent_ += static_cast<uint64_t>(count);
  if (delivery_.pace.bytes > 0) spend(static_cast<uint64_t>(count), delivery_.pace);
  return true;
}

void Connection::finish_answer() {
  if (delivery_.ending != Ending::none) return end_by(delivery_.ending);
  const bool is_wrong_length = answer_.claimed_length && *answer_.claimed_length != answer_.body_size();
  const bool is_last = answer_.closes || is_wrong_length;
  end_exchange(Outcome::answered);
  request_.reset();
  answer_ = {};
  out_.clear();
  out_at_ = 0;
  resumes_ = {};
  state_ = State::head;
  if (is_last) end_by(Ending::cut);
}

void Connection::end_by(Ending ending) {
  if (ending == Ending::reset) {
    end_exchange(Outcome::reset);
    return reset();
  }
  if (ending == Ending::stall) {
    end_exchange(Outcome::stalled);
    state_ = State::stalled;
    if (peer_closing_) close(Outcome::gone);
    return;
  }
  // In good order: closing with bytes unread would send RST, so what comes is read for a while.
  end_exchange(Outcome::cut);
  ::shutdown(fd_, SHUT_WR);
  state_ = State::lingering;
  readable_ = true;
  resumes_ = Clock::now() + linger_time;
  loop_.wake_at(*this, resumes_);
}

void Connection::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(Outcome::reset);
}

void Connection::end_exchange(Outcome outcome) {
  if (!exchange_) return;
  exchange_->ended(outcome, sent_ > head_size_ ? sent_ - head_size_ : 0);
  exchange_.reset();
  sent_ = 0;
  head_size_ = 0;
}

void Connection::close(Outcome outcome) {
  end_exchange(outcome);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  state_ = State::closed;
}

}  // namespace waybill::testing::fault
