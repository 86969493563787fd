// SPDX-License-Identifier: Apache-2.0
//
// What of the engine's the methods of stores in Python are lent, and what is taken back from them when their call is over: the
// body of a write, and the stream that a transform reads.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "calls.hpp"

namespace waybill::python {

/// A Body as a Python store reads it: a binary file over it, which is empty-handed once its call is over.
class SharedBody {
 public:
  explicit SharedBody(const Body& body) : body_(&body), size_(body.size()), digest_(body.digest()) {}
  /// Over memory of its own, for stores that are called by Python. With `breaks_at`, reading past that byte fails as a
  /// source that breaks off does, or cancels `cancels` where there is one.
  explicit SharedBody(std::string content, const Digest& digest = {});
  SharedBody(std::string content, uint64_t breaks_at, std::shared_ptr<SharedContext> cancels);

  /// From the present position on. Errors: failed_precondition (the call is over); those of the source.
  size_t read(std::span<std::byte> out);
  uint64_t seek(uint64_t position);
  uint64_t position() const;
  uint64_t size() const noexcept { return size_; }
  const Digest& digest() const noexcept { return digest_; }
  void detach();
  /// Runs `use` with the body, and holds detach() back until it is done.
  template <class Use>
  auto with_body(Use&& use) {
    const std::lock_guard lock(mutex_);
    return use(attached());
  }

 private:
  const Body& attached() const;

  mutable std::mutex mutex_;
  const std::string content_;  // of a body of its own
  std::optional<Body> own_;
  const Body* body_ = nullptr;  // guarded by mutex_
  uint64_t position_ = 0;       // guarded by mutex_
  const uint64_t size_;
  const Digest digest_;
};

/// The stream that a Transform in Python reads.
class SharedInput {
 public:
  SharedInput(std::unique_ptr<Stream> stream, std::shared_ptr<SharedContext> context);
  /// Errors: failed_precondition (closed); those of the stream.
  size_t read(std::span<std::byte> out);
  void close();
  std::optional<uint64_t> size() const { return size_; }
  const SourceStamp& stamp() const { return stamp_; }
  const Attributes& attributes() const { return attributes_; }

 private:
  std::mutex mutex_;
  std::unique_ptr<Stream> stream_;  // guarded by mutex_
  const std::shared_ptr<SharedContext> context_;
  const std::optional<uint64_t> size_;
  const SourceStamp stamp_;
  const Attributes attributes_;
};

}  // namespace waybill::python
