// SPDX-License-Identifier: Apache-2.0
//
// The body of a file, in order, compared with what the listing said of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/hash.hpp"
#include "connectors/salesforce/client.hpp"
#include "waybill/source.hpp"

namespace waybill::salesforce {

/// Of `item` it gives exactly as many bytes as are listed, and where the stamp's etag is an MD5 the last of them only if
/// they are those. Where they are not, the source is asked once whether it is another revision by now. Errors:
/// source_changed (it is), checksum (it is not; retryable), and those of Client::open.
class FilesStream final : public Stream {
 public:
  FilesStream(Source& source, Client& client, Item item, const std::string& path, Context& context);

  size_t read(std::span<std::byte> out, Context& context) override;
  std::optional<uint64_t> size() const override { return size_; }
  SourceStamp stamp() const override { return item_.stamp; }
  Attributes attributes() const override { return attributes_; }

 private:
  void finish(Context& context);
  [[noreturn]] void fail(const std::string& why, Context& context);

  Source& source_;
  const Item item_;
  std::unique_ptr<internal::HttpDownload> download_;
  std::optional<uint64_t> size_;
  Attributes attributes_;
  std::optional<internal::Md5Hasher> md5_;
  uint64_t count_ = 0;
  bool is_over_ = false;
};

}  // namespace waybill::salesforce
