// SPDX-License-Identifier: Apache-2.0
//
// See reading.hpp.
#include "connectors/s3/reading.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "connectors/s3/attributes.hpp"
#include "connectors/s3/checksums.hpp"
#include "connectors/s3/tags.hpp"
#include "net/content_range.hpp"

namespace waybill::s3 {
namespace {

std::string range_header(uint64_t offset, size_t count) {
  return "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + count - 1);
}

constexpr int64_t second_ns = 1'000'000'000;

std::optional<int64_t> modified_ns(const internal::HttpResponse& response) {
  const auto seconds = internal::parse_http_date(response.header("last-modified"));
  if (!seconds) return std::nullopt;
  return *seconds * second_ns;
}

std::string version_query(const std::string& version) {
  if (version.empty()) return {};
  const Client::Parameter parameters[] = {{"versionId", version}};
  return aws::canonical_query(parameters);
}

// One read: what was asked, and what the answer has to be.
class Reading {
 public:
  Reading(Client& client, const ObjectToRead& object, uint64_t offset, std::span<std::byte> out)
      : client_(client), object_(object), key_(object.key), stamp_(object.stamp), offset_(offset), out_(out) {}

  ReadResult run(Context& context) {
    if (offset_ > 0 && stamp_.size && offset_ >= *stamp_.size) return ReadResult{0, stamp_.size, stamp_, {}};
    const bool is_whole = offset_ == 0 && stamp_.size && out_.size() >= *stamp_.size;
    if (is_whole) return get(false, context);
    if (out_.empty()) return head(context);
    return get(true, context);
  }

 private:
  Client::Request prepare(std::string_view method) const {
    Client::Request request{.method = method, .key = key_, .query = version_query(object_.version)};
    if (!stamp_.etag.empty() && !client_.learnt().has_weak_etags)
      request.headers.emplace_back("If-Match", "\"" + stamp_.etag + "\"");
    return request;
  }

  ReadResult get(bool is_ranged, Context& context) {
    Client::Request request = prepare("GET");
    request.headers.emplace_back(is_ranged ? "Range" : "x-amz-checksum-mode",
                                 is_ranged ? range_header(offset_, out_.size()) : "ENABLED");
    request.out = out_;
    const internal::HttpResponse response = client_.send(request, context);
    if (response.status == 416 && is_ranged) return past_end(request, response, context);
    refuse(request, response);
    ReadResult result = describe(response);
    if (object_.with_tags && offset_ == 0) {
      result.attributes.tags = read_tags(client_, key_, object_.version, response, context);
    }
    result.count = static_cast<size_t>(response.body_bytes);
    if (response.status == 206) {
      check_range(response, result);
    } else {
      check_whole(response, result);
    }
    result.stamp.size = result.total_size;
    return result;
  }

  ReadResult head(Context& context) {
    const Client::Request request = prepare("HEAD");
    const internal::HttpResponse response = client_.send(request, context);
    refuse(request, response);
    ReadResult result = describe(response);
    result.total_size = response.content_length;
    result.stamp.size = result.total_size;
    return result;
  }

  // "Range not satisfiable": the object is empty, or ends at or before the offset.
  ReadResult past_end(const Client::Request& request, const internal::HttpResponse& response, Context& context) {
    const std::optional<uint64_t> total = internal::parse_unsatisfied_range(response.header("content-range"));
    if (offset_ == 0 && total.value_or(0) == 0) return get(false, context);
    if (total && *total > offset_) throw client_.error(request, response);
    ReadResult result = head(context);
    if (result.total_size && *result.total_size > offset_) throw client_.error(request, response);
    return result;
  }

  void refuse(const Client::Request& request, const internal::HttpResponse& response) const {
    if (response.status == 200 || response.status == 206) return;
    if (response.status == 412) throw changed("its ETag is no longer \"" + printable(stamp_.etag) + "\"");
    throw client_.error(request, response);
  }

  Error changed(const std::string& why) const {
    return Error(ErrorCode::aborted, ErrorClass::source_changed, client_.name(key_) + " changed: " + why)
        .set_retryable();
  }

  Error cut(const std::string& why) const {
    return Error(ErrorCode::data_loss, ErrorClass::network, client_.name(key_) + ": " + why).set_retryable();
  }

  Error not_asked(const std::string& why) const {
    return Error(ErrorCode::data_loss, ErrorClass::server, client_.name(key_) + ": " + why).set_retryable();
  }

  ReadResult describe(const internal::HttpResponse& response) const {
    ReadResult result;
    result.stamp.etag = unquote_etag(response.header("etag"));
    if (!stamp_.etag.empty() && result.stamp.etag.empty()) {
      throw not_asked("the answer has no ETag, so that nothing tells whether it is of the object that was listed");
    }
    if (!stamp_.etag.empty() && is_same_etag(result.stamp.etag, stamp_.etag)) {
      result.stamp.etag = stamp_.etag;
    } else if (!stamp_.etag.empty()) {
      throw changed("its ETag is \"" + printable(result.stamp.etag) + "\", it was listed with \"" +
                    printable(stamp_.etag) + "\"");
    }
    if (offset_ > 0) return result;
    if (const std::string_view missing = response.header("x-amz-missing-meta"); !missing.empty() && missing != "0") {
      throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
                  client_.name(key_) + ": " + printable(missing) +
                      " of its metadata entries cannot be had: no header can hold them");
    }
    result.attributes = read_attributes(response);
    if (!result.attributes.mtime_ns && !object_.version.empty()) result.attributes.mtime_ns = modified_ns(response);
    return result;
  }

  void check_range(const internal::HttpResponse& response, ReadResult& result) const {
    const auto range = internal::parse_content_range(response.header("content-range"));
    if (!range || range->first != offset_) {
      throw not_asked("asked for the range at " + std::to_string(offset_) + ", the store answered with '" +
                      printable(response.header("content-range")) + "'");
    }
    result.total_size = range->total;
    const uint64_t announced = range->last - range->first + 1;
    const uint64_t wanted = range->total ? std::min<uint64_t>(out_.size(), *range->total - offset_) : announced;
    if (announced != wanted || result.count != wanted || response.overflow) {
      throw cut("a range of " + std::to_string(wanted) + " bytes came with " + std::to_string(result.count));
    }
  }

  void check_whole(const internal::HttpResponse& response, ReadResult& result) const {
    if (offset_ != 0) throw not_asked("the store ignores Range headers");
    if (response.overflow) {
      result.total_size = response.content_length;  // more than was listed; the caller has to look again
      if (!result.total_size && stamp_.size && out_.size() >= *stamp_.size) {
        throw changed("it has more than the " + std::to_string(*stamp_.size) + " bytes that were listed");
      }
      return;
    }
    result.total_size = response.content_length ? response.content_length : response.body_bytes;
    if (result.count != *result.total_size) {
      throw cut("a body of " + std::to_string(*result.total_size) + " bytes ended after " +
                std::to_string(result.count));
    }
    if (!response.length_verified && stamp_.size != result.total_size) {
      throw cut("the body ended with the connection, after " + std::to_string(result.count) + " bytes");
    }
    if (const auto wrong = wrong_checksum(response, out_.first(result.count))) {
      throw Error(ErrorCode::data_loss, ErrorClass::checksum,
                  client_.name(key_) + ": the bytes that came are not those that the store has a checksum of (" +
                      std::string(header_of(*wrong)) + ")")
          .set_retryable();
    }
  }

  Client& client_;
  const ObjectToRead& object_;
  const std::string& key_;
  const SourceStamp& stamp_;
  uint64_t offset_;
  std::span<std::byte> out_;
};

}  // namespace

ReadResult read_object(Client& client, const ObjectToRead& object, uint64_t offset, std::span<std::byte> out,
                       Context& context) {
  return Reading(client, object, offset, out).run(context);
}

std::optional<ObjectHead> head_object(Client& client, const std::string& key, Context& context,
                                      const std::string& version) {
  Client::Request request{.method = "HEAD", .key = key, .query = version_query(version)};
  request.headers.emplace_back("x-amz-checksum-mode", "ENABLED");
  const internal::HttpResponse response = client.send(request, context);
  if (response.status == 404) return std::nullopt;
  if (response.status < 200 || response.status > 299) throw client.error(request, response);
  if (!response.content_length) {
    throw Error(ErrorCode::data_loss, ErrorClass::server, client.name(key) + ": HEAD gave no Content-Length");
  }
  ObjectHead head;
  head.size = *response.content_length;
  head.etag = unquote_etag(response.header("etag"));
  if (is_weak_etag(response.header("etag"))) client.learnt().has_weak_etags = true;
  head.version = response.header("x-amz-version-id");
  head.attributes = read_attributes(response);
  if (response.header("x-amz-checksum-type") != "COMPOSITE") {
    head.crc64nvme = internal::crc64_from_base64(response.header("x-amz-checksum-crc64nvme"));
  }
  if (!head.crc64nvme) head.crc64nvme = stored_crc64(response);
  return head;
}

}  // namespace waybill::s3
