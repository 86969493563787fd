// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/chunk_decoder.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr size_t longest_line = 8192;

}  // namespace

std::string_view ChunkDecoder::next(std::string_view& input) {
  while (!input.empty() && state_ != State::complete && state_ != State::broken) {
    if (state_ == State::data) {
      const std::string_view run = input.substr(0, static_cast<size_t>(std::min<uint64_t>(left_, input.size())));
      input.remove_prefix(run.size());
      left_ -= run.size();
      if (left_ == 0) state_ = State::data_end;
      return run;
    }
    const size_t end = input.find('\n');
    line_ += input.substr(0, end);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    if (line_.size() > longest_line) state_ = State::broken;
    if (end == std::string_view::npos || state_ == State::broken) continue;
    if (line_.ends_with('\r')) line_.pop_back();
    const std::string line = std::exchange(line_, {});
    take_line(line);
  }
  return {};
}

void ChunkDecoder::take_line(std::string_view line) {
  if (state_ == State::data_end) {
    state_ = line.empty() ? State::size_line : State::broken;
  } else if (state_ == State::size_line) {
    const std::string_view digits = internal::trim(line.substr(0, line.find(';')));
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
    const bool is_size = error == std::errc() && end == digits.data() + digits.size();
    state_ = !is_size ? State::broken : left_ == 0 ? State::trailer : State::data;
  } else if (line.empty()) {
    state_ = State::complete;
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    trailers_.emplace_back(line.substr(0, colon), internal::trim(line.substr(colon + 1)));
  } else {
    state_ = State::broken;
  }
}

}  // namespace waybill::testing::fault
