// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/files_stream.hpp"

#include <utility>

#include "waybill/error.hpp"
#include "waybill/redaction.hpp"

namespace waybill::salesforce {
namespace {

bool is_md5(const std::string& etag) {
  return etag.size() == 32 && etag.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

FilesStream::FilesStream(Source& source, Client& client, Item item, const std::string& path, Context& context)
    : source_(source), item_(std::move(item)) {
  Call call;
  call.path = path;
  call.subject = "the content of " + shown_key(item_.key());
  download_ = client.open(call, context);
  const internal::HttpResponse& response = download_->response();
  size_ = item_.stamp.size ? item_.stamp.size : response.content_length;
  if (size_ && response.content_length && *response.content_length != *size_) {
    fail("comes with " + std::to_string(*response.content_length) + " bytes", context);
  }
  // Of most files the organization says nothing but this.
  const std::string_view type = response.header("content-type");
  if (!type.starts_with("application/octet")) attributes_.content_type = type;
  attributes_.mtime_ns = item_.stamp.mtime_ns;
  if (is_md5(item_.stamp.etag)) md5_.emplace();
}

size_t FilesStream::read(std::span<std::byte> out, Context& context) {
  context.check();
  if (is_over_ || out.empty()) return 0;
  const size_t count = download_->read(out, context);
  count_ += count;
  if (md5_) md5_->update(out.first(count));
  if (count < out.size() || (size_ && count_ >= *size_)) finish(context);
  return count;
}

// At the last byte or the body's end, whichever comes first.
void FilesStream::finish(Context& context) {
  std::byte more{};
  if (count_ == size_ && !download_->response().content_length) count_ += download_->read({&more, 1}, context);
  if (size_ && count_ != *size_) {
    const std::string found = (count_ > *size_ ? "at least " : "") + std::to_string(count_);
    fail("has " + found + " bytes, and is listed with " + std::to_string(*size_), context);
  }
  if (!size_ && !download_->response().length_verified) {
    throw Error(ErrorCode::data_loss, ErrorClass::network,
                shown_key(item_.key()) + ": nothing tells whether all of its content came")
        .set_retryable();
  }
  if (md5_ && internal::hex_encode(md5_->finish()) != item_.stamp.etag) fail("has another MD5 than is listed", context);
  is_over_ = true;
}

// A stream that failed never comes to an end.
void FilesStream::fail(const std::string& why, Context& context) {
  const std::optional<Item> now = source_.stat(item_.id, context);
  if (!now) throw Error(ErrorCode::not_found, ErrorClass::missing, shown_key(item_.key()) + " is not there any more");
  const bool is_changed = now->stamp != item_.stamp;
  throw Error(is_changed ? ErrorCode::aborted : ErrorCode::data_loss,
              is_changed ? ErrorClass::source_changed : ErrorClass::checksum,
              "the content of " + shown_key(item_.key()) + " " + why)
      .set_retryable();
}

}  // namespace waybill::salesforce
