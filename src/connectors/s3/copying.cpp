// SPDX-License-Identifier: Apache-2.0
//
// See copying.hpp.
#include "connectors/s3/copying.hpp"

#include <algorithm>
#include <iterator>

#include "base/uri.hpp"
#include "connectors/s3/checksums.hpp"
#include "connectors/s3/guard.hpp"
#include "connectors/s3/reading.hpp"
#include "connectors/s3/writing.hpp"

namespace waybill::s3 {
namespace {

// The store may work on a copy for long before it says anything.
constexpr int copy_timeout_ms = 10 * 60 * 1000;
// Of copies before the first one that succeeds: then this store, or these credentials, copy nothing.
constexpr unsigned most_refused_copies = 3;
// The most that is copied a second time only to see whether a condition is heeded.
constexpr uint64_t most_repeated_bytes = uint64_t{64} << 20;

bool is_copyable(const Client& client, const Locator& from) {
  return may_copy(client) && from.scheme == "s3" && from.endpoint == client.config().endpoint() && !from.etag.empty() &&
         from.size;
}

Client::Request copy_request(const std::string& key, std::string query, const Locator& from) {
  Client::Request request{.method = "PUT", .key = key, .query = std::move(query)};
  request.stall_timeout_ms = copy_timeout_ms;
  std::string source = "/" + internal::encode_path(from.bucket) + "/" + internal::encode_path(from.key);
  if (!from.version.empty()) source += "?versionId=" + internal::encode_query(from.version);
  request.headers.emplace_back("x-amz-copy-source", std::move(source));
  request.headers.emplace_back("x-amz-copy-source-if-match", "\"" + from.etag + "\"");
  if (!from.expected_bucket_owner.empty()) {
    request.headers.emplace_back("x-amz-source-expected-bucket-owner", from.expected_bucket_owner);
  }
  if (from.requester_pays) request.headers.emplace_back("x-amz-request-payer", "requester");
  return request;
}

// What was copied; nothing where the store refused. Errors: what is worth another try.
std::optional<Completed> outcome(Client& client, const Client::Request& request, internal::HttpResponse& response) {
  std::optional<Error> refusal;
  if (response.status < 200 || response.status > 299) {
    refusal = client.error(request, response);
  } else {
    Completed completed = parse_copied(response.text);
    if (!completed.error) {
      client.learnt().has_copied = true;
      return completed;
    }
    // As though it had come with the status it deserves: what is not known to be passing is a refusal.
    refusal = client.error(request, 400, *completed.error);
  }
  if (refusal->retryable() || refusal->error_class() == ErrorClass::auth) throw *refusal;
  // A condition that does not hold says nothing of the store.
  if (response.status != 412 && response.status != 404) ++client.learnt().refused_copies;
  return std::nullopt;
}

// What the copy is to have besides the bytes. The store keeps the attributes, or is told all of them; where a website
// leads to, its storage class and the ACL it is told in any case.
void add_attributes(Client& client, const std::string& key, const Locator& from, bool is_told,
                    Client::Request& request) {
  Attributes attributes;
  if (from.attributes && is_told) attributes = *from.attributes;
  if (from.attributes) attributes.website_redirect = from.attributes->website_redirect;
  attributes.storage_class = from.storage_class.value_or("");
  std::vector<internal::HttpHeader> headers = object_headers(client, key, attributes, std::nullopt);
  std::move(headers.begin(), headers.end(), std::back_inserter(request.headers));
  if (is_told) request.headers.emplace_back("x-amz-metadata-directive", "REPLACE");
  if (!from.has_tags || !client.config().tags) request.headers.emplace_back("x-amz-tagging-directive", "REPLACE");
}

std::optional<Stored> copy_once(Client& client, const std::string& key, const Locator& from, bool is_told,
                                const Condition& condition, Context& context) {
  Client::Request request = copy_request(key, "", from);
  // One that was carried out with its answer lost would be refused the second time, which tells less than a look.
  request.is_sent_once = true;
  add_attributes(client, key, from, is_told, request);
  const size_t plain_headers = request.headers.size();
  const Guard guard(client, key, condition, client.learnt().copy_conditions);
  const auto send = [&](const std::vector<internal::HttpHeader>& conditions) {
    request.headers.resize(plain_headers);
    request.headers.insert(request.headers.end(), conditions.begin(), conditions.end());
    return client.send(request, context);
  };
  internal::HttpResponse response = guard.run(Guard::Unproved::look, send, context);
  std::optional<Completed> completed = outcome(client, request, response);
  if (!completed) return std::nullopt;
  if (*from.size <= most_repeated_bytes) {
    if (auto again = guard.probe(completed->etag, send, context)) {
      response = std::move(*again);
      completed = outcome(client, request, response);
      if (!completed) return std::nullopt;
    }
  }
  Stored stored;
  stored.size = *from.size;
  stored.etag = std::move(completed->etag);
  stored.version = response.header("x-amz-version-id");
  stored.digest.crc64nvme = completed->crc64nvme;
  note_replaced(client, condition, stored.version, context);
  return stored;
}

// What the store's copies keep is found out with the first one: `unknown` again unless that said so.
class Finding {
 public:
  explicit Finding(std::atomic<Learnt::Copies>& copies) : copies_(copies) {
    Learnt::Copies expected = Learnt::Copies::unknown;
    is_ours_ = copies_.compare_exchange_strong(expected, Learnt::Copies::being_asked);
  }
  ~Finding() {
    if (is_ours_) copies_ = found_;
  }
  Finding(const Finding&) = delete;
  Finding& operator=(const Finding&) = delete;

  bool is_ours() const noexcept { return is_ours_; }
  void found(Learnt::Copies what) noexcept { found_ = what; }

 private:
  std::atomic<Learnt::Copies>& copies_;
  bool is_ours_ = false;
  Learnt::Copies found_ = Learnt::Copies::unknown;
};

// Tags are not looked at: a HEAD does not tell them. The storage class may be another one on purpose.
bool has_same(Attributes source, const Attributes& copy) {
  source.storage_class = copy.storage_class;
  source.tags = copy.tags;
  return source == copy;
}

// A copy in which the store was left to keep the attributes. Where it did not, it is told them once more.
std::optional<Stored> copy_and_compare(Client& client, const std::string& key, const Locator& from,
                                       const Condition& condition, Finding& finding, Context& context) {
  std::optional<Stored> stored = copy_once(client, key, from, false, condition, context);
  if (!stored) return std::nullopt;
  const std::optional<ObjectHead> there = head_object(client, key, context);
  if (!there || !is_same_etag(there->etag, stored->etag)) {
    throw Error(ErrorCode::aborted, ErrorClass::conflict, client.name(key) + ": somebody else wrote it meanwhile").set_retryable();
  }
  if (has_same(*from.attributes, there->attributes)) {
    finding.found(Learnt::Copies::whole);
    return stored;
  }
  finding.found(Learnt::Copies::lossy);
  context.log(LogLevel::info, client.config().shown() +
                                  ": the store's copies do not keep all attributes; each object is asked for them first");
  const Condition ours{Condition::Kind::unchanged, stored->etag, stored->size, {}};
  stored = copy_once(client, key, from, true, ours, context);
  if (stored) return stored;
  throw Error(ErrorCode::data_loss, ErrorClass::server,
              client.name(key) + ": the store lost attributes of its copy, and does not take them with one");
}

}  // namespace

bool may_copy(const Client& client) noexcept {
  return client.learnt().has_copied || client.learnt().refused_copies < most_refused_copies;
}

std::optional<Stored> copy_object(Client& client, const std::string& key, const Locator& from,
                                  const Condition& condition, Context& context) {
  if (!is_copyable(client, from) || *from.size > max_copy_bytes) return std::nullopt;
  if (from.attributes) {
    Finding finding(client.learnt().copies);
    if (finding.is_ours()) return copy_and_compare(client, key, from, condition, finding, context);
  } else if (client.learnt().copies != Learnt::Copies::whole) {
    return std::nullopt;
  }
  return copy_once(client, key, from, from.attributes.has_value(), condition, context);
}

std::optional<PartInfo> copy_range(Client& client, const std::string& key, std::string query, const Locator& from,
                                   uint64_t offset, uint64_t length, Context& context) {
  if (!is_copyable(client, from)) return std::nullopt;
  Client::Request request = copy_request(key, std::move(query), from);
  request.headers.emplace_back("x-amz-copy-source-range",
                               "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + length - 1));
  internal::HttpResponse response = client.send(request, context);
  if (response.status == 404 && parse_error(response.text).code == "NoSuchUpload") throw client.error(request, response);
  std::optional<Completed> completed = outcome(client, request, response);
  if (!completed) return std::nullopt;
  PartInfo part;
  part.size = length;
  part.etag = std::move(completed->etag);
  part.digest.crc64nvme = completed->crc64nvme;
  return part;
}

}  // namespace waybill::s3
