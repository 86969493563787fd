// SPDX-License-Identifier: Apache-2.0
//
// Encryption at rest, as far as a client sees it: what is asked for is said again with every answer, ETags are no MD5s
// any more, and a customer's key has to come with every request for the content.
#include "base/hash.hpp"
#include "base/text.hpp"
#include "support/fault_server/s3_operations.hpp"

namespace waybill::testing::fault {

namespace {

constexpr std::string_view sse_header = "x-amz-server-side-encryption";

S3Error invalid(const char* message) { return {400, "InvalidArgument", message, {}, {}}; }

// The MD5 of the key that comes with a request, in base64; "" where none does.
std::string customer_key_md5(const S3Request& request, const std::string& prefix) {
  const std::string name = prefix + "server-side-encryption-customer-";
  const std::string_view algorithm = request.header(name + "algorithm");
  const std::string_view key = request.header(name + "key");
  const std::string_view md5 = request.header(name + "key-md5");
  if (algorithm.empty() && key.empty() && md5.empty()) return {};
  if (algorithm != "AES256") throw invalid("Requests specifying Server Side Encryption must provide a valid algorithm.");
  const auto bytes = internal::base64_decode(std::string(key));
  if (!bytes || bytes->size() != 32) throw invalid("The secret key was invalid for the specified algorithm.");
  const std::string text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  if (to_base64(digest("md5", text)) != md5) {
    throw invalid("The calculated MD5 hash of the key did not match the hash that was provided.");
  }
  return std::string(md5);
}

}  // namespace

Encryption encryption_of_headers(const S3Context& context) {
  const S3Request& request = context.request;
  Encryption encryption;
  encryption.algorithm = request.header(sse_header);
  encryption.kms_key_id = request.header(std::string(sse_header) + "-aws-kms-key-id");
  encryption.bucket_key = request.header(std::string(sse_header) + "-bucket-key-enabled") == "true";
  encryption.customer_key_md5 = customer_key_md5(request, "x-amz-");
  if (!encryption.kms_key_id.empty() && !encryption.algorithm.starts_with("aws:kms")) {
    throw invalid("Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms");
  }
  const std::string& demanded = context.bucket->settings.demands_encryption;
  if (!demanded.empty() && encryption.algorithm != demanded) {
    throw S3Error{403, "AccessDenied", "A policy of the bucket demands encryption", {}, {}};
  }
  return encryption;
}

void check_customer_key(const S3Request& request, const std::string& prefix, const Encryption& encryption) {
  const std::string md5 = customer_key_md5(request, prefix);
  if (md5 == encryption.customer_key_md5) return;
  if (md5.empty()) {
    throw S3Error{400,
                  "InvalidRequest",
                  "The object was stored using a form of Server Side Encryption. The correct parameters must be provided "
                  "to retrieve the object.",
                  {},
                  {}};
  }
  if (encryption.customer_key_md5.empty()) {
    throw S3Error{400, "InvalidRequest", "The encryption parameters are not applicable to this object.", {}, {}};
  }
  throw S3Error{403, "AccessDenied", "Access Denied", {}, {}};
}

std::string encrypted_etag(const Encryption& encryption, const std::string& etag) {
  const bool is_opaque = encryption.algorithm.starts_with("aws:kms") || !encryption.customer_key_md5.empty();
  return is_opaque ? to_hex(digest("md5", "encrypted " + etag)) : etag;
}

void add_encryption_headers(const Encryption& encryption, Answer& answer) {
  if (!encryption.algorithm.empty()) answer.headers.emplace_back(sse_header, encryption.algorithm);
  if (!encryption.kms_key_id.empty()) {
    answer.headers.emplace_back(std::string(sse_header) + "-aws-kms-key-id", encryption.kms_key_id);
  }
  if (encryption.bucket_key) answer.headers.emplace_back(std::string(sse_header) + "-bucket-key-enabled", "true");
  if (encryption.customer_key_md5.empty()) return;
  answer.headers.emplace_back(std::string(sse_header) + "-customer-algorithm", "AES256");
  answer.headers.emplace_back(std::string(sse_header) + "-customer-key-MD5", encryption.customer_key_md5);
}

}  // namespace waybill::testing::fault
