// SPDX-License-Identifier: Apache-2.0
//
// A body read in order, with one request where nothing breaks. Where the connection does, and the server gives ranges
// of the same revision, it goes on behind the last byte.
#pragma once

#include "connectors/http/http_web.hpp"
#include "waybill/source.hpp"

namespace waybill::http {

/// A body of which nothing says where it ends but the end of the connection.
Error end_unknown(const HttpUrl& url);

class HttpStream final : public Stream {
 public:
  /// Asks for the body. `listed` is the revision that is wanted; its empty fields are any. Errors: as Source::read.
  HttpStream(Web& web, HttpUrl url, SourceStamp listed, Context& context);

  size_t read(std::span<std::byte> out, Context& context) override;
  std::optional<uint64_t> size() const override { return size_; }
  SourceStamp stamp() const override { return described_.stamp; }
  Attributes attributes() const override { return described_.attributes; }

 private:
  bool resume(Context& context);
  void check_end();

  Web& web_;
  const HttpUrl url_;
  const SourceStamp listed_;
  Described described_;
  std::optional<uint64_t> size_;
  std::unique_ptr<internal::HttpDownload> download_;
  bool gives_ranges_ = false;
  uint64_t position_ = 0;
  uint64_t resumed_at_ = 0;
  int resumes_ = 0;  // without much progress
  bool is_over_ = false;
};

}  // namespace waybill::http
