// SPDX-License-Identifier: Apache-2.0
//
// See s3_destination.hpp.
#include "connectors/s3/s3_destination.hpp"

#include "connectors/s3/copying.hpp"
#include "connectors/s3/guard.hpp"
#include "connectors/s3/listing.hpp"
#include "connectors/s3/multipart.hpp"
#include "connectors/s3/naming.hpp"
#include "connectors/s3/reading.hpp"
#include "connectors/s3/removal.hpp"
#include "connectors/s3/writing.hpp"

namespace waybill::s3 {
namespace {

constexpr uint64_t mib = 1024 * 1024;
constexpr uint64_t gib = 1024 * mib;
constexpr uint64_t max_put_bytes = 5 * gib;
// The most that is sent a second time only to see whether a condition is heeded; and what may be sent so where looking
// before each write has cost so many requests already.
constexpr uint64_t most_probed_bytes = 64 * 1024;
constexpr uint64_t most_probed_late_bytes = 64 * mib;
constexpr unsigned many_looks = 8;

}  // namespace

// Limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
Destination::Capabilities S3Destination::capabilities() const {
  Capabilities capabilities;
  capabilities.order = listing_order(*client_);
  capabilities.start_after = capabilities.order == Order::byte_key;
  capabilities.conditional = true;
  capabilities.parts = true;
  capabilities.lists_parts = true;
  capabilities.listing_has_etag = true;
  capabilities.min_part_bytes = 5 * mib;
  capabilities.max_part_bytes = 5 * gib;
  capabilities.max_parts = 10'000;
  capabilities.max_put_bytes = max_put_bytes;
  capabilities.max_object_bytes = 5 * 1024 * gib;
  capabilities.copies = may_copy(*client_);
  capabilities.copies_need_attributes = client_->learnt().copies != Learnt::Copies::whole;
  capabilities.max_copy_bytes = max_copy_bytes;
  capabilities.copy_part_bytes = copy_part_bytes;
  return capabilities;
}

std::string S3Destination::object_key(const Key& key) const {
  std::string full = client_->config().prefix + key;
  if (const char* why = why_no_key(*client_, key, full)) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported, client_->name(full) + ": " + why);
  }
  return full;
}

void S3Destination::check(Context& context) { check_bucket(*client_, context); }

std::unique_ptr<Lister> S3Destination::list(const ListRequest& request, Context&) {
  return list_objects(client_, request);
}

std::optional<Item> S3Destination::stat(const Key& key, Context& context) {
  const std::string full = client_->config().prefix + key;
  if (why_no_key(*client_, key, full) != nullptr || is_doubtful(*client_, full, context)) return std::nullopt;
  const std::optional<ObjectHead> head = head_object(*client_, full, context);
  if (!head) return std::nullopt;
  Item item;
  item.id.key = key;
  item.stamp.size = head->size;
  item.stamp.etag = head->etag;
  item.stamp.mtime_ns = head->attributes.mtime_ns;
  item.digest.crc64nvme = head->crc64nvme;
  return item;
}

Stored S3Destination::put(const Key& key, const Body& body, const WriteOptions& options, Context& context) {
  const std::string full = object_key(key);
  if (body.size() > max_put_bytes) {
    throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                client_->name(full) + ": an object of more than 5 GiB has to be written in parts");
  }
  prove_key(*client_, full, context);
  BodyDigest digest = digest_of(body, *client_, context);
  Client::Request request{.method = "PUT", .key = full};
  size_t plain_headers = 0;
  const Guard guard(*client_, full, options.condition, client_->learnt().put_conditions);
  const bool may_repeat = body.size() <= most_probed_bytes ||
                          (client_->learnt().looks >= many_looks && body.is_contiguous() && body.size() <= most_probed_late_bytes);
  const auto send = [&](const std::vector<internal::HttpHeader>& conditions) {
    request.headers.resize(plain_headers);
    request.headers.insert(request.headers.end(), conditions.begin(), conditions.end());
    return send_body(*client_, request, body, digest, false, context);
  };
  internal::HttpResponse response;
  do {
    request.headers = object_headers(*client_, full, options.attributes, digest.crc64nvme);
    plain_headers = request.headers.size();
    response = guard.run(may_repeat ? Guard::Unproved::send : Guard::Unproved::look, send, context);
  } while (forgoes_storage_class(*client_, request, response, context));

  Stored stored;
  stored.size = body.size();
  stored.digest.crc64nvme = digest.crc64nvme;
  stored.digest.sha256 = digest.sha256;
  if (guard.is_failed(response)) {
    // Our own earlier try may have been carried out though its answer was lost.
    if (context.attempt() < 2 && !response.maybe_resent) throw guard.conflict();
    const std::optional<ObjectHead> head = head_object(*client_, full, context);
    if (!head || head->size != body.size() || head->crc64nvme != digest.crc64nvme) throw guard.conflict();
    stored.etag = head->etag;
    stored.version = head->version;
    return stored;
  }
  if (response.status < 200 || response.status > 299) throw refused_write(*client_, request, response);
  if (may_repeat) {
    const std::string etag(unquote_etag(response.header("etag")));
    if (auto again = guard.probe(etag, send, context)) response = std::move(*again);
  }
  stored.etag = check_written(*client_, full, response, digest.crc64nvme);
  stored.version = response.header("x-amz-version-id");
  note_replaced(*client_, options.condition, stored.version, context);
  return stored;
}

std::unique_ptr<PartUpload> S3Destination::begin_parts(const Key& key, const PartPlan& plan,
                                                       const WriteOptions& options, Context& context) {
  std::string full = object_key(key);
  prove_key(*client_, full, context);
  return open_upload(client_, std::move(full), plan, options, context);
}

std::optional<Stored> S3Destination::copy(const Key& key, const Locator& from, const WriteOptions& options, Context& context) {
  const std::string full = object_key(key);
  prove_key(*client_, full, context);
  return copy_object(*client_, full, from, options.condition, context);
}

ReadResult S3Destination::read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  return read_object(*client_, {client_->config().prefix + item.id.key, "", item.stamp, false}, offset, out, context);
}

void S3Destination::sweep(std::span<const OpenUpload> known, Context& context) { sweep_uploads(client_, known, context); }

void S3Destination::remove(const Key& key, Context& context) {
  const std::string full = object_key(key);
  if (is_doubtful(*client_, full, context)) return;
  const Client::Request request{.method = "DELETE", .key = full};
  const internal::HttpResponse response = client_->send(request, context);
  if (response.status >= 200 && response.status <= 299) return;
  if (response.status == 404 && parse_error(response.text).code != "NoSuchBucket") return;
  throw client_->error(request, response);
}

Removal S3Destination::remove_unchanged(const Item& item, Context& context) {
  return remove_object(*client_, object_key(item.key()), item.stamp, "", context);
}

}  // namespace waybill::s3
