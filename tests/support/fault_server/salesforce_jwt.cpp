// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_jwt.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>

namespace waybill::testing::fault {

namespace {

template <auto free_it>
struct Freed {
  template <class Value>
  void operator()(Value* value) const {
    free_it(value);
  }
};

using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

// Of a certificate, or of a bare public key.
KeyPtr public_key(const std::string& pem) {
  const std::unique_ptr<BIO, Freed<BIO_free>> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::unique_ptr<X509, Freed<X509_free>> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate) {
    const bool has_ended = X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0;
    return KeyPtr(has_ended ? nullptr : X509_get_pubkey(certificate.get()));
  }
  const std::unique_ptr<BIO, Freed<BIO_free>> again(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return KeyPtr(PEM_read_bio_PUBKEY(again.get(), nullptr, nullptr, nullptr));
}

}  // namespace

std::optional<std::string> from_base64(std::string_view text, bool is_url) {
  const std::string_view letters = is_url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                                          : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char letter : text) {
    const size_t value = letters.find(letter);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xffU);
    }
  }
  return out;
}

std::optional<nlohmann::json> jwt_claims(std::string_view token) {
  const size_t first = token.find('.');
  const size_t second = token.find('.', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto head = from_base64(token.substr(0, first), true);
  const auto body = from_base64(token.substr(first + 1, second - first - 1), true);
  if (!head || !body) return std::nullopt;
  const nlohmann::json header = nlohmann::json::parse(*head, nullptr, false);
  nlohmann::json claims = nlohmann::json::parse(*body, nullptr, false);
  if (!header.is_object() || !claims.is_object() || header.value("alg", "") != "RS256") return std::nullopt;
  return claims;
}

bool jwt_is_signed(std::string_view token, const std::string& certificate) {
  const size_t dot = token.rfind('.');
  const auto signature = from_base64(token.substr(dot + 1), true);
  const KeyPtr key = public_key(certificate);
  if (!signature || !key) return false;
  const std::string_view signed_text = token.substr(0, dot);
  const std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature->data()), signature->size(),
                          reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size()) == 1;
}

}  // namespace waybill::testing::fault
