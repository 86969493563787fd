// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/jwt.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/hash.hpp"
#include "waybill/error.hpp"

namespace waybill::salesforce {
namespace {

Error bad_key(const std::string& why) {
  return {ErrorCode::invalid_argument, ErrorClass::configuration,
          "the key of the JWT bearer flow " + why + "; it is an RSA private key in PEM, without a passphrase"};
}

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

int no_passphrase(char*, int, int, void*) { return -1; }

Key load(const internal::Secret& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.reveal().size())), BIO_free);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr), EVP_PKEY_free);
  if (!key) throw bad_key("cannot be read");
  if (EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA) throw bad_key("is no RSA key");
  return key;
}

std::string base64_url(std::span<const std::byte> bytes) {
  std::string text = internal::base64_encode(bytes);
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

std::string encoded(const nlohmann::json& value) {
  return base64_url(internal::as_bytes(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
}

}  // namespace

internal::Secret sign_assertion(const Claims& claims, const internal::Secret& pem) {
  const Key key = load(pem);
  const std::string signed_text = encoded({{"alg", "RS256"}, {"typ", "JWT"}}) + "." +
                                  encoded({{"iss", claims.issuer},
                                           {"sub", claims.subject},
                                           {"aud", claims.audience},
                                           {"exp", claims.expires_s}});
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const auto* const text = reinterpret_cast<const unsigned char*>(signed_text.data());
  size_t size = 0;
  std::vector<unsigned char> signature;
  bool is_signed = EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
                   EVP_DigestSign(context.get(), nullptr, &size, text, signed_text.size()) == 1;
  if (is_signed) {
    signature.resize(size);
    is_signed = EVP_DigestSign(context.get(), signature.data(), &size, text, signed_text.size()) == 1;
  }
  if (!is_signed) throw bad_key("cannot sign");
  std::string whole = signed_text + "." + base64_url(std::as_bytes(std::span(signature).first(size)));
  internal::Secret assertion(whole);
  internal::wipe(whole);
  return assertion;
}

std::optional<int64_t> certificate_end(const internal::Secret& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.reveal().size())), BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr), X509_free);
  std::tm end{};
  if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) return std::nullopt;
  return timegm(&end);
}

}  // namespace waybill::salesforce
