// SPDX-License-Identifier: Apache-2.0
//
// HttpClient over TLS, against a server with a certificate that the test makes: what is not signed by a known authority
// or is for another host is refused, once and with the reason.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/http_client.hpp"
#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

/// A key and a certificate for 127.0.0.1, signed by itself, and a file that holds the certificate.
class SelfSigned {
 public:
  SelfSigned() : key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    X509_set_version(certificate_, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate_), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate_), 3600);
    X509_set_pubkey(certificate_, key_);
    X509_NAME* name = X509_get_subject_name(certificate_);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("waybill test"), -1, -1,
                               0);
    X509_set_issuer_name(certificate_, name);
    X509_EXTENSION* host = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate_, host, -1);
    X509_EXTENSION_free(host);
    X509_sign(certificate_, key_, EVP_sha256());
    char pattern[] = "/tmp/waybill-ca-XXXXXX";
    const int fd = mkstemp(pattern);
    path_ = pattern;
    std::FILE* file = fdopen(fd, "w");
    PEM_write_X509(file, certificate_);
    std::fclose(file);
  }
  ~SelfSigned() {
    unlink(path_.c_str());
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  EVP_PKEY* key() const { return key_; }
  X509* certificate() const { return certificate_; }
  const std::string& path() const { return path_; }

 private:
  EVP_PKEY* key_;
  X509* certificate_;
  std::string path_;
};

/// Answers every request on every connection with 200 and "secure".
class TlsServer {
 public:
  explicit TlsServer(const SelfSigned& identity, int max_version = TLS1_3_VERSION)
      : context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_, max_version);
    SSL_CTX_use_certificate(context_, identity.certificate());
    SSL_CTX_use_PrivateKey(context_, identity.key());
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_, 64);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] {
      for (int fd = accept(listener_, nullptr, nullptr); fd >= 0; fd = accept(listener_, nullptr, nullptr)) {
        connections_.emplace_back([this, fd] { serve(fd); });
      }
    });
  }
  ~TlsServer() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& connection : connections_) connection.join();
    close(listener_);
    SSL_CTX_free(context_);
  }
  std::string url(const char* host = "127.0.0.1") const {
    return std::string("https://") + host + ":" + std::to_string(port_) + "/";
  }

 private:
  void serve(int fd) const {
    // OpenSSL writes without MSG_NOSIGNAL, and a client that refuses the certificate is gone by then. Only here: a signal
    // that the client's own side raised would still end the test.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    SSL* ssl = SSL_new(context_);
    SSL_set_fd(ssl, fd);
    std::string request;
    char chunk[4096];
    for (int count = SSL_accept(ssl) == 1 ? 1 : 0; count > 0;) {
      count = SSL_read(ssl, chunk, sizeof chunk);
      if (count > 0) request.append(chunk, static_cast<size_t>(count));
      if (!request.ends_with("\r\n\r\n")) continue;
      request.clear();
      constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";
      count = SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
    }
    SSL_free(ssl);
    close(fd);
  }

  SSL_CTX* context_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::vector<std::thread> connections_;
  std::thread acceptor_;
};

HttpRequest get(const std::string& url) {
  HttpRequest request;
  request.url = url;
  return request;
}

/// The Error of fetching `url` with the authorities in `ca_file`.
Error failure(const std::string& ca_file, const std::string& url) {
  HttpOptions options;
  options.ca_file = ca_file;
  try {
    HttpClient client(options);
    client.perform(get(url), Context::background());
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << url << " was accepted";
  return Error(ErrorCode::ok, ErrorClass::none, "");
}

TEST(HttpClientTls, AcceptsAKnownAuthorityAndReusesTheConnection) {
  const SelfSigned identity;
  const TlsServer server(identity);
  HttpOptions options;
  options.ca_file = identity.path();
  HttpClient client(options);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.perform(get(server.url()), Context::background()).text, "secure");
  EXPECT_EQ(client.idle_connections(), 1u);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back(
        [&] { good += client.perform(get(server.url()), Context::background()).text == "secure" ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 8);
}

constexpr const char* bundle_variables[] = {"AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"};

TEST(HttpClientTls, TakesTheAuthorityFromTheEnvironment) {
  const SelfSigned identity;
  const SelfSigned stranger;
  const TlsServer server(identity);
  for (const char* variable : bundle_variables) unsetenv(variable);
  EXPECT_FALSE(failure("", server.url()).retryable()) << "the system's own authorities do not know it";
  // From the last one on, so that each goes before those that were set ahead of it.
  for (size_t n = std::size(bundle_variables); n-- > 0;) {
    setenv(bundle_variables[n], identity.path().c_str(), 1);
    HttpClient client;
    EXPECT_EQ(client.perform(get(server.url()), Context::background()).status, 200) << bundle_variables[n];
    setenv(bundle_variables[n], "", 1);
    EXPECT_NE(failure("", server.url()).message().find("certificate is not accepted"), std::string::npos)
        << "one that is empty is not set";
    setenv(bundle_variables[n], stranger.path().c_str(), 1);
    EXPECT_NE(failure("", server.url()).message().find("certificate is not accepted"), std::string::npos);
  }
  HttpOptions options;
  options.ca_file = identity.path();
  EXPECT_EQ(HttpClient(options).perform(get(server.url()), Context::background()).status, 200)
      << "what is said goes first";
  for (const char* variable : bundle_variables) unsetenv(variable);
}

TEST(HttpClientTls, NamesTheVariableOfABundleThatCannotBeUsed) {
  const SelfSigned identity;
  const TlsServer server(identity);
  for (const char* variable : bundle_variables) unsetenv(variable);
  for (const char* variable : bundle_variables) {
    for (const char* file : {"/nonexistent/ca.pem", "/dev/null", "/tmp"}) {
      setenv(variable, file, 1);
      const Error error = failure("", server.url());
      unsetenv(variable);
      EXPECT_EQ(error.error_class(), ErrorClass::configuration) << error.what();
      EXPECT_FALSE(error.retryable());
      EXPECT_NE(error.message().find(std::string(file) + " (" + variable + ")"), std::string::npos) << error.what();
    }
  }
}

TEST(HttpClientTls, RefusesCertificatesThatDoNotVerify) {
  const SelfSigned identity;
  const SelfSigned stranger;
  const TlsServer server(identity);
  for (const Error& error : {failure("", server.url()), failure(stranger.path(), server.url()),
                             failure(identity.path(), server.url("localhost"))}) {
    EXPECT_EQ(error.error_class(), ErrorClass::network) << error.what();
    EXPECT_FALSE(error.retryable()) << error.what();
    EXPECT_NE(error.message().find("certificate is not accepted"), std::string::npos) << error.what();
    const bool names_host = error.message().find("127.0.0.1") != std::string::npos || error.message().find("localhost") != std::string::npos;
    EXPECT_TRUE(names_host) << error.what();
  }
}

TEST(HttpClientTls, RefusesOldProtocols) {
  const SelfSigned identity;
  const TlsServer server(identity, TLS1_1_VERSION);
  EXPECT_EQ(failure(identity.path(), server.url()).error_class(), ErrorClass::network);
}

TEST(HttpClientTls, RefusesAnAuthorityFileWithoutCertificates) {
  const SelfSigned identity;
  const TlsServer server(identity);
  EXPECT_EQ(failure("/dev/null", server.url()).error_class(), ErrorClass::configuration);
}

}  // namespace
}  // namespace waybill::internal
