// SPDX-License-Identifier: Apache-2.0
#include "connectors/http/http_stream.hpp"

#include <algorithm>

#include "net/content_range.hpp"
#include "waybill/error.hpp"

namespace waybill::http {
namespace {

constexpr int most_resumes = 3;
constexpr uint64_t much = uint64_t{1} << 20;
constexpr size_t piece_bytes = 1 << 20;  // what a broken connection loses at most
constexpr std::chrono::milliseconds before_resume{200};

Error changed(const HttpUrl& url) {
  return Error(ErrorCode::aborted, ErrorClass::source_changed, url.shown() + " changed, or is not what was listed")
      .set_retryable();
}

}  // namespace

Error end_unknown(const HttpUrl& url) {
  return Error(ErrorCode::data_loss, ErrorClass::network,
               url.shown() +
                   ": the server does not say how long the body is, so that nothing tells whether all of it came; "
                   "a manifest with its size would");
}

HttpStream::HttpStream(Web& web, HttpUrl url, SourceStamp listed, Context& context)
    : web_(web), url_(std::move(url)), listed_(std::move(listed)) {
  download_ = web_.open({url_, {}, {}, ""}, context);
  const internal::HttpResponse& response = download_->response();
  described_ = describe(response);
  size_ = response.content_length;
  described_.stamp.size = size_;
  gives_ranges_ = response.header("accept-ranges") == "bytes" && !described_.validator.empty();
  if (!may_be_same(listed_, described_.stamp)) throw changed(url_);
}

size_t HttpStream::read(std::span<std::byte> out, Context& context) {
  size_t filled = 0;
  while (filled < out.size() && !is_over_) {
    try {
      if (download_ == nullptr && !resume(context)) throw changed(url_);
      if (is_over_) break;
      const auto piece = out.subspan(filled, std::min(out.size() - filled, piece_bytes));
      const size_t count = download_->read(piece, context);
      filled += count;
      position_ += count;
      if (count < piece.size()) check_end();
    } catch (const Error& error) {
      const bool is_broken = error.error_class() == ErrorClass::network || error.error_class() == ErrorClass::timeout;
      if (position_ - resumed_at_ >= much) resumes_ = 0;
      if (!is_broken || !error.retryable() || !gives_ranges_ || position_ == 0 || ++resumes_ > most_resumes) throw;
      download_.reset();
      resumed_at_ = position_;
      if (!context.sleep(before_resume * resumes_)) context.check();
    }
  }
  return filled;
}

// False where the server no longer has that revision.
bool HttpStream::resume(Context& context) {
  if (size_ && position_ == *size_) {
    is_over_ = true;
    return true;
  }
  download_ = web_.open({url_, position_, {}, described_.validator}, context);
  const internal::HttpResponse& response = download_->response();
  const auto range = internal::parse_content_range(response.header("content-range"));
  SourceStamp now = describe(response).stamp;
  if (range) now.size = range->total;
  return response.status == 206 && range && range->first == position_ && may_be_same(described_.stamp, now);
}

void HttpStream::check_end() {
  is_over_ = true;
  const bool is_known = download_->response().length_verified || size_ || (listed_.size && *listed_.size == position_);
  if (!is_known) throw end_unknown(url_);
  if (size_ && position_ != *size_) {
    is_over_ = false;
    throw Error(ErrorCode::data_loss, ErrorClass::network,
                url_.shown() + ": " + std::to_string(*size_) + " bytes were announced, and " +
                    std::to_string(position_) + " came")
        .set_retryable();
  }
  size_ = position_;
  described_.stamp.size = position_;
}

}  // namespace waybill::http
