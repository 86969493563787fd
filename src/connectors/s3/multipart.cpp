// SPDX-License-Identifier: Apache-2.0
//
// See multipart.hpp.
#include "connectors/s3/multipart.hpp"

#include <algorithm>
#include <chrono>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/s3/checksums.hpp"
#include "connectors/s3/copying.hpp"
#include "connectors/s3/guard.hpp"
#include "connectors/s3/reading.hpp"
#include "connectors/s3/writing.hpp"

namespace waybill::s3 {
namespace {

// A store may put a large object together for minutes before it answers.
constexpr int complete_timeout_ms = 10 * 60 * 1000;
constexpr int abort_tries = 8;
// The first of two requests waits for its answer at most as long as a silent connection is kept, and then some.
constexpr int64_t most_between_twins_ms = 2 * 60 * 1000;

// The right to list parts is one of its own, and there are stores without such lists.
bool is_untold(const Error& error) {
  return error.error_class() == ErrorClass::permission || error.error_class() == ErrorClass::unsupported;
}

class Upload final : public PartUpload {
 public:
  Upload(std::shared_ptr<Client> client, std::string key, Condition condition, std::string id, bool has_checksums)
      : client_(std::move(client)),
        key_(std::move(key)),
        condition_(std::move(condition)),
        id_(std::move(id)),
        has_checksums_(has_checksums) {}

  std::string id() const override { return id_; }
  std::vector<PartInfo> existing(Context& context) override;
  PartInfo write(uint32_t number, uint64_t offset, const Body& body, Context& context) override;
  std::optional<PartInfo> copy(uint32_t number, const Locator& from, uint64_t offset, uint64_t length,
                               Context& context) override {
    return copy_range(*client_, key_, part_query(number), from, offset, length, context);
  }
  Stored complete(std::span<const PartInfo> parts, Context& context) override;
  void abort(Context& context) override;

  /// One page of ListParts. Errors: missing (the upload is gone).
  ListedParts list_page(const std::string& marker, const char* max_parts, Context& context) const;
  void set_has_checksums(bool value) { has_checksums_ = value; }

 private:
  std::string upload_query() const {
    const Client::Parameter parameters[] = {{"uploadId", id_}};
    return aws::canonical_query(parameters);
  }
  std::string part_query(uint32_t number) const {
    const Client::Parameter parameters[] = {{"partNumber", std::to_string(number)}, {"uploadId", id_}};
    return aws::canonical_query(parameters);
  }
  /// Nothing where the store does not tell.
  std::optional<bool> is_gone(Context& context) const;
  internal::HttpResponse send_part(Client::Request& request, const Body& body, BodyDigest& digest,
                                   Context& context) const;
  std::optional<Stored> already_complete(std::span<const PartInfo> parts, Context& context) const;
  Stored finish(Completed completed, std::span<const PartInfo> parts, Context& context) const;

  std::shared_ptr<Client> client_;
  std::string key_;
  Condition condition_;
  std::string id_;
  bool has_checksums_;
};

ListedParts Upload::list_page(const std::string& marker, const char* max_parts, Context& context) const {
  std::vector<Client::Parameter> parameters = {{"max-parts", max_parts}, {"uploadId", id_}};
  if (!marker.empty()) parameters.emplace_back("part-number-marker", marker);
  const Client::Request request{.method = "GET", .key = key_, .query = aws::canonical_query(parameters)};
  internal::HttpResponse response = client_->call(request, context);
  try {
    return parse_parts(response.text);
  } catch (Error& error) {
    error.prepend(client_->name(key_));
    throw;
  }
}

std::vector<PartInfo> Upload::existing(Context& context) {
  std::vector<PartInfo> parts;
  std::string marker;
  for (;;) {
    ListedParts page = list_page(marker, "1000", context);
    for (PartInfo& part : page.parts) {
      if (!parts.empty() && part.number <= parts.back().number) {
        throw Error(ErrorCode::data_loss, ErrorClass::server,
                    client_->name(key_) + ": the store's list of parts is not ascending");
      }
      parts.push_back(std::move(part));
    }
    if (!page.is_truncated) return parts;
    const uint64_t next = internal::parse_uint(page.next_marker).value_or(0);
    if (next <= internal::parse_uint(marker).value_or(0)) {
      throw Error(ErrorCode::data_loss, ErrorClass::server,
                  client_->name(key_) + ": the store's list of parts says that there are more, but not how to ask");
    }
    marker = std::move(page.next_marker);
  }
}

// A store that refuses a large body may close the connection before the refusal can be read. Whether the upload is gone
// decides what has to be done next, so that it is asked for then; where that cannot be said, the part is tried again.
internal::HttpResponse Upload::send_part(Client::Request& request, const Body& body, BodyDigest& digest,
                                         Context& context) const {
  try {
    return send_body(*client_, request, body, digest, has_checksums_, context);
  } catch (const Error& error) {
    if (error.error_class() != ErrorClass::network || is_gone(context) != true) throw;
    throw Error(ErrorCode::not_found, ErrorClass::missing, client_->name(key_) + ": the upload is gone");
  }
}

PartInfo Upload::write(uint32_t number, uint64_t, const Body& body, Context& context) {
  Client::Request request{.method = "PUT", .key = key_, .query = part_query(number)};
  BodyDigest digest = digest_of(body, *client_, context);
  const internal::HttpResponse response = send_part(request, body, digest, context);
  if (response.status < 200 || response.status > 299) throw client_->error(request, response);
  PartInfo part;
  part.number = number;
  part.size = body.size();
  part.etag = check_written(*client_, key_, response, digest.crc64nvme);
  part.digest.crc64nvme = digest.crc64nvme;
  part.digest.sha256 = digest.sha256;
  return part;
}

std::optional<Stored> Upload::already_complete(std::span<const PartInfo> parts, Context& context) const {
  const std::optional<ObjectHead> head = head_object(*client_, key_, context);
  if (!head) return std::nullopt;
  Stored stored;
  for (const PartInfo& part : parts) stored.size += part.size;
  stored.digest.crc64nvme = composed_crc64(parts);
  const std::string etag = composed_etag(parts);
  const bool is_ours =
      (!etag.empty() && is_same_etag(etag, head->etag)) || (head->crc64nvme && head->crc64nvme == stored.digest.crc64nvme);
  if (head->size != stored.size || !is_ours) return std::nullopt;
  stored.etag = head->etag;
  stored.version = head->version;
  return stored;
}

// What the store says is looked at once more: there are stores that call an upload complete which was aborted.
Stored Upload::finish(Completed completed, std::span<const PartInfo> parts, Context& context) const {
  Stored stored;
  for (const PartInfo& part : parts) stored.size += part.size;
  stored.etag = std::move(completed.etag);
  stored.digest.crc64nvme = composed_crc64(parts);
  if (completed.crc64nvme && stored.digest.crc64nvme && completed.crc64nvme != stored.digest.crc64nvme) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum,
                client_->name(key_) + ": the store's checksum of the whole object is not that of its parts")
        .set_retryable();
  }
  const std::optional<ObjectHead> head = head_object(*client_, key_, context);
  if (!head || !is_same_etag(head->etag, stored.etag) || head->size != stored.size) {
    throw Error(ErrorCode::not_found, ErrorClass::missing,
                client_->name(key_) + ": the store called the upload complete, but the object there is not it");
  }
  stored.version = head->version;
  note_replaced(*client_, condition_, stored.version, context);
  return stored;
}

Stored Upload::complete(std::span<const PartInfo> parts, Context& context) {
  const std::string body = complete_body(parts, has_checksums_);
  const std::string hash = internal::hex_encode(internal::sha256(internal::as_bytes(body)));
  Client::Request request{.method = "POST", .key = key_, .query = upload_query()};
  request.body = internal::as_bytes(body);
  request.payload_hash = hash;
  request.stall_timeout_ms = complete_timeout_ms;
  request.headers.emplace_back("Content-Type", "application/xml");
  const size_t plain_headers = request.headers.size();
  // It cannot be repeated, so that nothing proves that its condition is heeded.
  const Guard guard(*client_, key_, condition_, client_->learnt().complete_conditions);
  const auto send = [&](const std::vector<internal::HttpHeader>& conditions) {
    request.headers.resize(plain_headers);
    request.headers.insert(request.headers.end(), conditions.begin(), conditions.end());
    return client_->send(request, context);
  };
  internal::HttpResponse response = guard.run(Guard::Unproved::look, send, context);

  std::optional<ServiceError> error;
  if (response.status == 200) {
    Completed completed = parse_complete(response.text);
    if (!completed.error) return finish(std::move(completed), parts, context);
    error = std::move(completed.error);
  } else {
    error = parse_error(response.text);
  }
  // An earlier call may have been carried out though its answer was lost: the upload is gone then, or our own object
  // is in the way of the condition.
  const bool is_conflict = guard.is_failed(response) || error->code == "PreconditionFailed";
  if (is_conflict || error->code == "NoSuchUpload") {
    if (std::optional<Stored> stored = already_complete(parts, context)) {
      // Refused for the object that is there, it is still open.
      try {
        if (is_conflict) abort(context);
      } catch (const Error& left_open) {
        // The object is whole, whatever becomes of the upload.
        if (left_open.error_class() == ErrorClass::cancelled) throw;
        context.log(LogLevel::warning, client_->name(key_) + ": an upload of ours may stay open: " + left_open.message());
      }
      return *stored;
    }
  }
  if (is_conflict) throw guard.conflict();
  if (response.status == 200) throw client_->error(request, 200, std::move(*error));
  throw client_->error(request, response);
}

std::optional<bool> Upload::is_gone(Context& context) const {
  try {
    list_page("", "1", context);
    return false;
  } catch (const Error& error) {
    if (error.provider_code() == "NoSuchUpload") return true;
    if (is_untold(error)) return std::nullopt;
    throw;
  }
}

void Upload::abort(Context& context) {
  const Client::Request request{.method = "DELETE", .key = key_, .query = upload_query()};
  // A part that is being written while the upload is aborted may survive it, and the upload with it.
  for (int tries = 0; tries < abort_tries; ++tries) {
    if (tries > 0 && !context.sleep(std::chrono::milliseconds(50 << tries))) context.check();
    const internal::HttpResponse response = client_->send(request, context);
    if (response.status == 404 && parse_error(response.text).code == "NoSuchUpload") return;
    if (response.status < 200 || response.status > 299) throw client_->error(request, response);
    if (is_gone(context).value_or(true)) return;
  }
  throw Error(
      ErrorCode::unavailable, ErrorClass::server,
      client_->name(key_) + ": an upload was aborted " + std::to_string(abort_tries) + " times and is still there")
      .set_retryable();
}

// A '+' may be a space. It cannot be mistaken: only keys that begin with `key` were asked for.
bool is_key(const ListedUpload& open, const std::string& key) {
  if (!open.is_url_encoded) return open.key == key;
  if (internal::percent_decode(open.key) == key) return true;
  std::string with_spaces = open.key;
  std::replace(with_spaces.begin(), with_spaces.end(), '+', ' ');
  return internal::percent_decode(with_spaces) == key;
}

// The uploads that are open at `key`.
std::vector<ListedUpload> open_uploads(Client& client, const std::string& key, Context& context) {
  const Client::Parameter parameters[] = {{"encoding-type", "url"}, {"prefix", key}, {"uploads", ""}};
  const Client::Request request{.method = "GET", .query = aws::canonical_query(parameters)};
  internal::HttpResponse response = client.call(request, context);
  std::vector<ListedUpload> uploads = parse_uploads(response.text);
  std::erase_if(uploads, [&](const ListedUpload& open) { return !is_key(open, key); });
  return uploads;
}

// The request for the upload `id` may have gone out twice, and have begun another one, whose id nobody was told. One
// that was begun long before it, by the store's clock, is somebody else's.
void drop_twin(const std::shared_ptr<Client>& client, const std::string& key, const std::string& id, Context& context) {
  try {
    const std::vector<ListedUpload> uploads = open_uploads(*client, key, context);
    const auto ours =
        std::find_if(uploads.begin(), uploads.end(), [&](const ListedUpload& open) { return open.id == id; });
    constexpr int64_t unknown = INT64_MIN;
    const int64_t begun = ours == uploads.end() ? unknown : ours->initiated_ms.value_or(unknown);
    for (const ListedUpload& open : uploads) {
      const bool is_old =
          begun != unknown && open.initiated_ms && *open.initiated_ms < begun - most_between_twins_ms;
      if (open.id != id && !is_old) Upload(client, key, {}, open.id, false).abort(context);
    }
  } catch (const Error& error) {
    if (error.retryable() || error.error_class() == ErrorClass::cancelled) throw;
    context.log(LogLevel::warning, client->name(key) + ": another upload of ours may stay open: " + error.message());
  }
}

// The answer to CreateMultipartUpload; asks for a checksum of the whole object where the store takes that.
std::string initiate(const std::shared_ptr<Client>& shared, const std::string& key, const WriteOptions& options,
                     bool& has_checksums, Context& context) {
  Client& client = *shared;
  const Client::Parameter parameters[] = {{"uploads", ""}};
  Client::Request request{.method = "POST", .key = key, .query = aws::canonical_query(parameters)};
  internal::HttpResponse response;
  do {
    request.headers = object_headers(client, key, options.attributes, std::nullopt);
    const size_t plain_headers = request.headers.size();
    has_checksums = !client.learnt().refuses_checksum_headers;
    if (has_checksums) {
      request.headers.emplace_back("x-amz-checksum-algorithm", "CRC64NVME");
      request.headers.emplace_back("x-amz-checksum-type", "FULL_OBJECT");
    }
    response = client.send(request, context);
    if (has_checksums && refuses_header(response)) {
      has_checksums = false;
      request.headers.resize(plain_headers);
      response = client.send(request, context);
      if (response.status < 300) client.learnt().refuses_checksum_headers = true;
    }
  } while (forgoes_storage_class(client, request, response, context));
  if (response.status < 200 || response.status > 299) throw refused_write(client, request, response);
  std::string id = parse_initiate(response.text);
  if (response.maybe_resent) drop_twin(shared, key, id, context);
  return id;
}

// Finds out how an upload was begun. One that cannot be looked into cannot be gone on with: it is aborted, and gone.
void go_on(Upload& upload, Context& context) {
  try {
    upload.set_has_checksums(upload.list_page("", "1", context).checksum_algorithm == "CRC64NVME");
  } catch (const Error& error) {
    if (!is_untold(error)) throw;
    context.log(LogLevel::warning, error.message() + "; what was written of it is written again");
    upload.abort(context);
    throw Error(ErrorCode::not_found, ErrorClass::missing, error.message());
  }
}

}  // namespace

std::string composed_etag(std::span<const PartInfo> parts) {
  std::vector<std::byte> md5s;
  md5s.reserve(parts.size() * 16);
  for (const PartInfo& part : parts) {
    const auto md5 = internal::hex_decode(part.etag);
    if (!md5 || md5->size() != 16) return {};
    md5s.insert(md5s.end(), md5->begin(), md5->end());
  }
  return internal::hex_encode(internal::md5(md5s)) + "-" + std::to_string(parts.size());
}

std::optional<Crc64> composed_crc64(std::span<const PartInfo> parts) {
  Crc64 crc = 0;
  for (const PartInfo& part : parts) {
    if (!part.digest.crc64nvme) return std::nullopt;
    crc = internal::crc64nvme_combine(crc, *part.digest.crc64nvme, part.size);
  }
  return crc;
}

void sweep_uploads(const std::shared_ptr<Client>& client, std::span<const OpenUpload> known, Context& context) {
  for (const OpenUpload& announced : known) {
    if (!announced.id.empty()) continue;
    const std::string key = client->config().prefix + announced.key;
    for (const ListedUpload& open : open_uploads(*client, key, context)) {
      const auto is_it = [&](const OpenUpload& one) { return one.id == open.id; };
      if (std::none_of(known.begin(), known.end(), is_it)) Upload(client, key, {}, open.id, false).abort(context);
    }
  }
}

std::unique_ptr<PartUpload> open_upload(std::shared_ptr<Client> client, std::string key, const PartPlan& plan,
                                        const WriteOptions& options, Context& context) {
  bool has_checksums = false;
  std::string id = plan.upload_id;
  if (id.empty()) id = initiate(client, key, options, has_checksums, context);
  auto upload =
      std::make_unique<Upload>(std::move(client), std::move(key), options.condition, std::move(id), has_checksums);
  if (!plan.upload_id.empty()) go_on(*upload, context);
  return upload;
}

}  // namespace waybill::s3
