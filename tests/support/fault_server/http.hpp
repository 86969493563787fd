// SPDX-License-Identifier: Apache-2.0
//
// What the HTTP front of the fault server and everything behind it say to each other: a request's head, an answer, how
// its bytes go over the wire, and the two interfaces between them. Nothing here knows of S3, of rules or of the log.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/fault_server/content.hpp"

namespace waybill::testing::fault {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// The head of a request as it came. Stays where it is: the views point into `head`.
struct Request {
  uint64_t connection = 0;  ///< number of the connection, from 1
  std::string head;         ///< everything before the empty line
  std::string_view method;
  std::string_view path;   ///< as sent, up to the first '?'
  std::string_view query;  ///< as sent, after it
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  uint64_t content_length = 0;
  bool is_chunked = false;
  bool expects_continue = false;
  bool keeps_alive = true;

  Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  /// The value of a header, "" if there is none.
  std::string_view header(std::string_view name) const noexcept;
  bool has_header(std::string_view name) const noexcept;
};

struct Answer {
  int status = 200;
  Headers headers;   ///< without Content-Length
  std::string text;  ///< the body, unless `content` is set
  std::shared_ptr<const Content> content;
  uint64_t content_begin = 0;
  uint64_t content_end = 0;
  std::optional<uint64_t> claimed_length;  ///< Content-Length where it is not the body's
  bool closes = false;                     ///< the connection ends after it

  uint64_t body_size() const noexcept { return content ? content_end - content_begin : text.size(); }
};

/// How a connection ends where a rule says so.
enum class Ending {
  none,
  cut,    ///< closed in good order
  reset,  ///< RST
  stall,  ///< stays open, and no byte moves any more
};

/// At most so many bytes at a time, with a pause in between; 0 bytes: as they come.
struct Pace {
  uint64_t bytes = 0;
  std::chrono::microseconds pause{0};
};

/// How the body of a request is taken in. An ending comes after `after` bytes of it, at the latest at its end, and then
/// the request is never answered.
struct Intake {
  Ending ending = Ending::none;
  uint64_t after = 0;
  Pace pace;
};

/// How an answer goes out. An ending comes after `after` bytes of its body, or of the whole answer.
struct Delivery {
  std::chrono::microseconds delay{0};
  Ending ending = Ending::none;
  bool counts_head = false;
  uint64_t after = 0;
  Pace pace;
};

/// How an exchange came to its end.
enum class Outcome { answered, cut, reset, stalled, gone };

/// One request and its answer; its methods are called in this order, all by the loop's thread.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual Intake intake() const = 0;
  /// Asked where the client waits for "100 Continue": an answer that comes instead of it.
  virtual std::optional<Answer> refusal() = 0;
  virtual void receive(std::string_view body) = 0;
  virtual Answer answer(Delivery& delivery) = 0;
  /// Once, also where there was no answer. `sent` counts bytes of the answer's body.
  virtual void ended(Outcome outcome, uint64_t sent) = 0;
};

class Handler {
 public:
  virtual ~Handler() = default;
  /// `request` lives longer than the exchange.
  virtual std::unique_ptr<Exchange> begin(const Request& request) = 0;
};

}  // namespace waybill::testing::fault
