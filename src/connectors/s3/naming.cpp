// SPDX-License-Identifier: Apache-2.0
//
// See naming.hpp.
#include "connectors/s3/naming.hpp"

#include <algorithm>
#include <bit>
#include <string_view>

#include "base/random.hpp"
#include "base/text.hpp"
#include "connectors/s3/guard.hpp"
#include "connectors/s3/listing.hpp"

namespace waybill::s3 {
namespace {

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
constexpr size_t max_key_bytes = 1024;

constexpr unsigned empty_segment = 1;
constexpr unsigned dot_segment = 2;
constexpr unsigned dot_dot_segment = 4;
constexpr unsigned leading_slash = 8;

// What of `key` a store might tidy up.
unsigned shapes_of(std::string_view key) {
  unsigned shapes = key.starts_with('/') ? leading_slash : 0;
  for (size_t begin = 0; begin < key.size();) {
    size_t end = key.find('/', begin);
    if (end == std::string_view::npos) end = key.size();
    const std::string_view segment = key.substr(begin, end - begin);
    if (segment.empty() && begin > 0) shapes |= empty_segment;
    if (segment == ".") shapes |= dot_segment;
    if (segment == "..") shapes |= dot_dot_segment;
    begin = end + 1;
  }
  return shapes;
}

// A key with these shapes that is nobody's, below the prefix also where a store tidies it up: what is written and
// removed to find out must not be an object of anybody else.
std::string probe_key(const std::string& prefix, unsigned shapes) {
  const std::string own = "waybill-probe-" + internal::hex_id(8);
  std::string key = prefix;
  if ((shapes & leading_slash) != 0 && prefix.empty()) key += '/';
  if ((shapes & empty_segment) != 0) key += own + "//";
  if ((shapes & dot_segment) != 0) key += own + "/./";
  if ((shapes & dot_dot_segment) != 0) key += own + "/../";
  return key + own;
}

// Characters that XML 1.0 cannot say, not even as a number.
bool fits_xml(std::string_view key) {
  const bool has_control = std::any_of(key.begin(), key.end(),
                                       [](unsigned char c) { return c < 0x20 && c != '\t' && c != '\n' && c != '\r'; });
  return !has_control && key.find("\xEF\xBF\xBE") == std::string_view::npos &&
         key.find("\xEF\xBF\xBF") == std::string_view::npos;
}

Error takes_it_for_another(const Client& client, const std::string& full) {
  return Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
               client.name(full) + ": the store would take this key for another one");
}

// In a bucket that keeps versions the version itself is removed, so that nothing of it stays.
void remove_proof(Client& client, const std::string& probe, const std::string& version, Context& context) {
  if (!version.empty() && version != "null") {
    const Client::Parameter parameters[] = {{"versionId", version}};
    const Client::Request request{.method = "DELETE", .key = probe, .query = aws::canonical_query(parameters)};
    if (client.send(request, context).status < 300) return;
  }
  client.call(Client::Request{.method = "DELETE", .key = probe}, context);
}

}  // namespace

const char* why_no_key(const Client& client, const Key& key, const std::string& full) {
  if (key.empty()) return "an object has to have a key";
  if (!internal::is_utf8(full)) return "S3 keys are UTF-8";
  if (full.size() > max_key_bytes) return "S3 keys have at most 1024 bytes, with the prefix";
  if (full.find('\0') != std::string::npos) return "S3 keys have no NUL";
  if (client.learnt().lists_plain_keys && !fits_xml(full)) {
    return "the listings of this store cannot hold control characters (it ignores encoding-type=url)";
  }
  return nullptr;
}

bool is_doubtful(Client& client, const std::string& full, Context& context) {
  const unsigned shapes = shapes_of(full);
  if ((shapes & ~client.learnt().kept_shapes) == 0) return false;
  if (!is_listed(client, full, context)) return true;
  client.learnt().kept_shapes |= shapes;
  return false;
}

void prove_key(Client& client, const std::string& full, Context& context) {
  const unsigned shapes = shapes_of(full);
  if ((shapes & client.learnt().changed_shapes) != 0) throw takes_it_for_another(client, full);
  if (!is_doubtful(client, full, context)) return;

  const std::string probe = probe_key(client.config().prefix, shapes);
  const Condition absent{Condition::Kind::absent, {}, {}, {}};
  const Guard guard(client, probe, absent, client.learnt().put_conditions);
  Client::Request request{.method = "PUT", .key = probe};
  const auto send = [&](const std::vector<internal::HttpHeader>& conditions) {
    request.headers = conditions;
    return client.send(request, context);
  };
  const internal::HttpResponse response = guard.run(Guard::Unproved::look, send, context);
  bool is_kept = false;
  if (!guard.is_failed(response)) {
    request.key = full;  // the one that the answer is about for whoever reads it
    if (response.status < 200 || response.status > 299) throw client.error(request, response);
    const std::string version(response.header("x-amz-version-id"));
    try {
      is_kept = is_listed(client, probe, context);
    } catch (const Error&) {
      remove_proof(client, probe, version, context);
      throw;
    }
    remove_proof(client, probe, version, context);
  }
  if (is_kept) {
    client.learnt().kept_shapes |= shapes;
    return;
  }
  // Of several shapes it is not known which one was the cause.
  if (std::has_single_bit(shapes)) client.learnt().changed_shapes |= shapes;
  throw takes_it_for_another(client, full);
}

}  // namespace waybill::s3
