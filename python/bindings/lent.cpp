// SPDX-License-Identifier: Apache-2.0

#include "lent.hpp"

#include <algorithm>
#include <cstring>

namespace waybill::python {

SharedBody::SharedBody(std::string content, const Digest& digest)
    : content_(std::move(content)),
      own_(std::in_place, std::as_bytes(std::span(content_)), digest),
      body_(&*own_),
      size_(content_.size()),
      digest_(digest) {}

SharedBody::SharedBody(std::string content, uint64_t breaks_at, std::shared_ptr<SharedContext> cancels)
    : content_(std::move(content)), size_(content_.size()) {
  own_.emplace(size_, [this, breaks_at, cancels = std::move(cancels)](uint64_t offset, std::span<std::byte> out) {
    if (offset + out.size() > breaks_at) {
      if (!cancels) throw Error(ErrorCode::unavailable, ErrorClass::network, "the source broke off").set_retryable();
      cancels->cancel();
    }
    const auto rest = std::span(content_).subspan(std::min<uint64_t>(offset, size_));
    const size_t count = std::min(out.size(), rest.size());
    if (count > 0) std::memcpy(out.data(), rest.data(), count);
    return count;
  });
  body_ = &*own_;
}

const Body& SharedBody::attached() const {
  if (body_ != nullptr) return *body_;
  throw Error(ErrorCode::failed_precondition, ErrorClass::cancelled, "the call that this body was given to is over");
}

size_t SharedBody::read(std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  const size_t count = attached().read(position_, out);
  position_ += count;
  return count;
}

uint64_t SharedBody::seek(uint64_t position) {
  const std::lock_guard lock(mutex_);
  return position_ = std::min(position, size_);
}

uint64_t SharedBody::position() const {
  const std::lock_guard lock(mutex_);
  return position_;
}

void SharedBody::detach() {
  const std::lock_guard lock(mutex_);
  body_ = nullptr;
}

SharedInput::SharedInput(std::unique_ptr<Stream> stream, std::shared_ptr<SharedContext> context)
    : stream_(std::move(stream)),
      context_(std::move(context)),
      size_(stream_->size()),
      stamp_(stream_->stamp()),
      attributes_(stream_->attributes()) {}

size_t SharedInput::read(std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  if (!stream_) throw Error(ErrorCode::failed_precondition, ErrorClass::cancelled, "the stream is closed");
  context_->check();
  return stream_->read(out, *context_);
}

void SharedInput::close() {
  const std::lock_guard lock(mutex_);
  stream_.reset();
}

}  // namespace waybill::python
