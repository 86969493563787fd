// SPDX-License-Identifier: Apache-2.0
//
// Takes chunked bodies apart: those of HTTP (Transfer-Encoding: chunked) and those of S3 (Content-Encoding:
// aws-chunked), which differ in their chunk extensions only. Streams: any cut of the input gives the same output.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace waybill::testing::fault {

class ChunkDecoder {
 public:
  /// Takes what it can of `input` and gives the next run of the body's bytes out of it, which may be empty. Call again
  /// until `input` is empty or is_complete().
  std::string_view next(std::string_view& input);

  bool is_complete() const noexcept { return state_ == State::complete; }
  /// The input is not of this form; next() takes nothing any more.
  bool is_broken() const noexcept { return state_ == State::broken; }
  /// The lines after the last chunk: names as they came, values trimmed.
  const std::vector<std::pair<std::string, std::string>>& trailers() const noexcept { return trailers_; }

 private:
  enum class State { size_line, data, data_end, trailer, complete, broken };

  void take_line(std::string_view line);

  State state_ = State::size_line;
  uint64_t left_ = 0;  // of the chunk under way
  std::string line_;
  std::vector<std::pair<std::string, std::string>> trailers_;
};

}  // namespace waybill::testing::fault
