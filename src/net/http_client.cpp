// SPDX-License-Identifier: Apache-2.0
//
// One easy handle per call, driven by a multi handle of its own: that is what curl_easy_perform does inside, but here
// the loop also waits on the Context's cancel descriptor, so that a stalled call ends at once. Handles live on stacks,
// last in first out, each with its connection; options are set again only where a request differs from the last one
// on the same handle.
#include "net/http_client.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <set>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "net/trace.hpp"
#include "waybill/error.hpp"
#include "waybill/version.hpp"

namespace waybill::internal {
namespace {

using Clock = Context::Clock;

constexpr auto idle_limit = std::chrono::seconds(4);  // under the ~5 s after which S3 closes
constexpr long expect_timeout_ms = 300;               // servers that know "100 Continue" say it in a round trip
constexpr long addresses_kept_s = 60;  // as curl does by itself
constexpr uint64_t big_body_bytes = 1 << 20;
constexpr long big_buffer_bytes = 256 << 10;
constexpr long small_buffer_bytes = 16 << 10;
constexpr size_t error_text_bytes = 64 << 10;
constexpr size_t header_block_bytes = 256 << 10;
constexpr long most_stacks = 64;
constexpr auto poll_slice = std::chrono::milliseconds(200);

void initialize_curl() {
  // Not undone: curl's initialization belongs to the process, and the host may use curl as well.
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw Error(ErrorCode::internal, ErrorClass::internal, "libcurl cannot be initialized");
}

/// What the environment says, and in which variable; both "" where it says nothing.
struct Setting {
  std::string value;
  std::string variable;
};

Setting first_set(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return {value, name};
  }
  return {};
}

// Whether curl takes `url` for a proxy's.
bool is_proxy_url(const std::string& url) {
  constexpr std::string_view schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), &curl_url_cleanup);
  if (parsed == nullptr) throw std::bad_alloc();
  constexpr unsigned flags = CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME;
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), flags) != CURLUE_OK) return false;
  char* scheme = nullptr;
  if (curl_url_get(parsed.get(), CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK) return false;
  const std::unique_ptr<char, void (*)(void*)> owner(scheme, &curl_free);
  return std::find(std::begin(schemes), std::end(schemes), to_lower(scheme)) != std::end(schemes);
}

// Checked here, because curl repeats what it cannot use in its messages, with the password in it.
void check_proxy(const Setting& proxy) {
  if (is_proxy_url(proxy.value)) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              "the environment variable " + proxy.variable +
                  " is not the URL of a proxy: it is http://host:port, or http://user:password@host:port with reserved "
                  "characters percent-encoded; no_proxy names the hosts that need none");
}

/// Scheme and authority of a URL, and the host alone without port and brackets.
struct Origin {
  std::string_view text;
  std::string_view host;
  bool is_https = false;
};

// Nothing if it is not an http or https URL with a host.
std::optional<Origin> origin_of(std::string_view url) {
  Origin origin;
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  origin.is_https = equals_ignoring_case(url.substr(0, scheme), "https");
  if (!origin.is_https && !equals_ignoring_case(url.substr(0, scheme), "http")) return {};
  const size_t start = scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", start), url.size());
  origin.text = url.substr(0, end);
  std::string_view authority = url.substr(start, end - start);
  if (authority.empty() || authority.find('@') != std::string_view::npos) return {};
  // What follows the origin is sent as it is.
  const auto is_no_url_character = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f' || c == '#'; };
  if (std::any_of(url.begin(), url.end(), is_no_url_character)) return {};
  if (authority.front() == '[') {
    origin.host = authority.substr(1, authority.find(']') - 1);
  } else {
    origin.host = authority.substr(0, authority.find(':'));
  }
  return origin;
}

bool is_loopback(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string name = to_lower(host);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  in6_addr address{};
  if (inet_pton(AF_INET6, name.c_str(), &address) == 1) {
    const bool is_mapped = IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127;
    return is_mapped || IN6_IS_ADDR_LOOPBACK(&address);
  }
  // 127.0.0.0/8 written as numbers; "127.example.com" is not that.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

// Metadata services, which are on the machine or on its link; a proxy would be another machine.
bool is_link_local(std::string_view host) {
  const bool is_ipv4 = host.starts_with("169.254.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
  return is_ipv4 || host.starts_with("fd00:ec2::");
}

// The same of an address that is to be connected to. Link-local: RFC 3927, RFC 4291. The others are where AWS (IPv6),
// Alibaba Cloud and Azure have theirs, by their documentation.
bool is_metadata(const sockaddr& address) {
  const auto is_ipv4 = [](uint32_t host) { return host >> 16 == 0xa9fe || host == 0x646464c8 || host == 0xa83f8110; };
  if (address.sa_family == AF_INET) {
    return is_ipv4(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return false;
  const in6_addr& ipv6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ipv6)) {
    uint32_t host = 0;
    std::memcpy(&host, ipv6.s6_addr + 12, sizeof host);
    return is_ipv4(ntohl(host));
  }
  const bool is_of_aws = ipv6.s6_addr[0] == 0xfd && ipv6.s6_addr[1] == 0 && ipv6.s6_addr[2] == 0x0e && ipv6.s6_addr[3] == 0xc2;
  return IN6_IS_ADDR_LINKLOCAL(&ipv6) || is_of_aws;
}

// Three runs of memchr over a short text cost less than one find_first_of, which calls it once a character.
bool has_line_break(std::string_view text) {
  return text.find('\r') != std::string_view::npos || text.find('\n') != std::string_view::npos;
}

/// "GET http://host/path" for messages: no query, which may be signed.
std::string describe(const HttpRequest& request) {
  return request.method + " " + redact_url(request.url.substr(0, request.url.find('?')));
}

/// Hosts that are being looked up, so that a hundred new connections ask the resolver once and find the rest in the
/// DNS cache.
class LookupGate {
 public:
  enum class Entry { entered, cancelled, timed_out };

  /// Waits while another call looks up `host`, but no longer than a look-up may take: a name server that is silent
  /// would keep the last of a hundred callers waiting for a hundred look-ups.
  Entry enter(const std::string& host, std::chrono::milliseconds timeout, Context& context) {
    const auto end = Clock::now() + timeout;
    std::unique_lock lock(mutex_);
    while (!hosts_.insert(host).second) {
      if (Clock::now() >= end) return Entry::timed_out;
      done_.wait_for(lock, poll_slice);
      if (context.cancelled()) return Entry::cancelled;
    }
    return Entry::entered;
  }
  void leave(const std::string& host) {
    {
      const std::lock_guard lock(mutex_);
      hosts_.erase(host);
    }
    done_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::set<std::string> hosts_;  // guarded by mutex_
};

/// DNS and TLS-session caches for all handles of a client.
class Share {
 public:
  Share() : share_(curl_share_init()) {
    if (share_ == nullptr) throw std::bad_alloc();
    curl_share_setopt(share_, CURLSHOPT_LOCKFUNC, &lock);
    curl_share_setopt(share_, CURLSHOPT_UNLOCKFUNC, &unlock);
    curl_share_setopt(share_, CURLSHOPT_USERDATA, this);
    curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  }
  ~Share() { curl_share_cleanup(share_); }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  CURLSH* get() const noexcept { return share_; }

 private:
  static void lock(CURL*, curl_lock_data data, curl_lock_access, void* self) {
    static_cast<Share*>(self)->mutexes_[data].lock();
  }
  static void unlock(CURL*, curl_lock_data data, void* self) { static_cast<Share*>(self)->mutexes_[data].unlock(); }

  CURLSH* share_;
  std::array<std::mutex, CURL_LOCK_DATA_LAST> mutexes_;
};

/// The authorities that servers' certificates are checked against, loaded once for all connections of a client. Left
/// to itself curl parses the system's bundle for every handle: a megabyte and some twenty milliseconds each.
class Authorities {
 public:
  Authorities() = default;
  ~Authorities() { X509_STORE_free(store_); }
  Authorities(const Authorities&) = delete;
  Authorities& operator=(const Authorities&) = delete;

  /// Loads them on first use; `name` is what messages call the file. Errors: configuration (it holds no certificates).
  X509_STORE* get(const std::string& ca_file, const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (store_ == nullptr) store_ = load(ca_file, name);
    return store_;
  }

 private:
  static X509_STORE* load(const std::string& ca_file, const std::string& name) {
    X509_STORE* store = X509_STORE_new();
    if (store == nullptr) throw std::bad_alloc();
    const curl_version_info_data* curl = curl_version_info(CURLVERSION_NOW);
    bool ok = false;
    if (!ca_file.empty()) {
      ok = X509_STORE_load_file(store, ca_file.c_str()) == 1;
    } else {
      ok = (curl->cainfo != nullptr && X509_STORE_load_file(store, curl->cainfo) == 1) ||
           (curl->capath != nullptr && X509_STORE_load_path(store, curl->capath) == 1) ||
           X509_STORE_set_default_paths(store) == 1;
    }
    ERR_clear_error();
    if (!ok) {
      X509_STORE_free(store);
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  "no certificates can be read from " + (ca_file.empty() ? "the system's CA bundle" : name));
    }
    // As curl does: an intermediate authority in the file is trusted by itself.
    X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    return store;
  }

  std::mutex mutex_;
  X509_STORE* store_ = nullptr;  // guarded by mutex_
};

enum class Verb { get, head, send_memory, send_stream };

/// What a client's handles have in common.
struct Shared {
  HttpOptions options;
  std::string ca_name;  // of options.ca_file, with the variable that names it
  Setting proxy_http;
  Setting proxy_https;
  std::string no_proxy;
  Share share;
  Authorities authorities;
  LookupGate gate;
  std::atomic<bool> ignores_expect{false};     // a server took a body without a word on "Expect: 100-continue"
  std::atomic<bool> has_lost_address{false};  // nobody answered at an address from the cache
};

/// One easy handle with its connection, and the call that it is busy with.
class Handle {
 public:
  explicit Handle(Shared& shared);
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  /// One try. `response` is complete if CURLE_OK is returned.
  CURLcode run(const HttpRequest& request, const Origin& origin, Context& context, HttpResponse& response,
               std::string& headers);

  /// One try of an answer that is pulled: returns when its head is there, and all of it where that is not a 2xx. Nothing:
  /// there is a body to pull. Otherwise as run().
  std::optional<CURLcode> open(const HttpRequest& request, const Origin& origin, Context& context, HttpResponse& response,
                               std::string& headers);
  /// Fills `out` with the next bytes of the body; `count` says how many. Nothing: it is full, and there may be more.
  std::optional<CURLcode> pull(std::span<std::byte> out, size_t& count, Context& context);

  /// Whether something has come on the connection that nobody asked for: its end, or bytes behind the answer, which
  /// curl would take for the next one.
  bool is_disturbed() const;
  /// Whether the last try died before a byte of the answer came, on a connection that earlier calls had used.
  bool died_idle(CURLcode code) const;
  bool opened_connection() const;
  /// Why a callback stopped the transfer, if one did.
  bool too_long() const noexcept { return too_long_; }
  bool enough() const noexcept { return enough_; }
  bool stalled() const noexcept { return stalled_; }
  /// The request would have had to be sent again, and was not to be.
  bool refused_to_resend() const noexcept { return request_->is_sent_once && sendings_ > 1; }
  std::exception_ptr callback_error() const noexcept { return callback_error_; }
  std::string reason(CURLcode code) const;

  Clock::time_point idle_since;

 private:
  template <typename Value>
  void set(CURLoption option, Value value) {
    if (curl_easy_setopt(easy_, option, value) != CURLE_OK) {
      throw Error(ErrorCode::internal, ErrorClass::internal,
                  "libcurl refused option " + std::to_string(static_cast<int>(option)));
    }
  }
  void prepare(const HttpRequest& request, const Origin& origin);
  void prepare_url(const HttpRequest& request, const Origin& origin);
  uint64_t prepare_body(const HttpRequest& request);
  void prepare_headers(const HttpRequest& request, uint64_t body_size, bool has_body);
  std::optional<CURLcode> begin(const HttpRequest& request, const Origin& origin, Context& context, HttpResponse& response,
                                std::string& headers);
  CURLcode end(CURLcode code);
  /// Until the transfer ends, or `is_enough` says so: then nothing.
  template <typename IsEnough>
  std::optional<CURLcode> drive(Context& context, const IsEnough& is_enough);
  bool is_stalled(Clock::time_point now, std::chrono::milliseconds timeout);
  void release_gate();
  void finish(const HttpRequest& request);
  void learn(CURLcode code);

  size_t take_header(std::string_view line);
  size_t take_body(std::span<const char> data);
  size_t take_pulled(std::span<const char> data);
  size_t give_body(std::span<char> out);
  int seek_body(curl_off_t offset);
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  static size_t on_read(char* data, size_t size, size_t count, void* self);
  static int on_seek(void* self, curl_off_t offset, int origin);
  static int on_sending(void* self, char* remote_ip, char* local_ip, int remote_port, int local_port);
  static CURLcode on_tls_context(CURL* easy, void* context, void* self);
  static curl_socket_t on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);

  Shared& shared_;
  CURL* easy_;
  CURLM* multi_;
  std::array<char, CURL_ERROR_SIZE> error_text_{};

  // What was set for the last request.
  std::string origin_;
  bool has_whole_url_ = false;
  std::string method_;
  std::optional<Verb> verb_;
  long buffer_bytes_ = 0;
  long addresses_kept_s_ = addresses_kept_s;
  std::string header_text_;
  std::vector<size_t> header_starts_;  // of each line in header_text_
  std::vector<curl_slist> header_list_;

  // The call under way.
  const HttpRequest* request_ = nullptr;
  HttpResponse* response_ = nullptr;
  std::string* headers_ = nullptr;
  std::string gate_host_;
  uint64_t read_offset_ = 0;
  uint64_t bytes_in_ = 0;
  std::exception_ptr callback_error_;
  bool too_long_ = false;  // more than max_response_bytes, or headers without end
  bool enough_ = false;    // what was wanted is there, the rest is not read
  bool has_head_ = false;  // the empty line behind the headers has come
  curl_socket_t kept_ = CURL_SOCKET_BAD;  // of the connection that the last call has left open
  bool asks_first_ = false;       // whether to send the body, by "Expect: 100-continue"
  bool is_asked_for_body_ = false;
  bool stalled_ = false;
  bool had_connection_ = false;  // when it began
  std::chrono::milliseconds stall_timeout_{0};
  int sendings_ = 0;       // of the request, by curl itself

  // A body that is pulled.
  bool is_pulled_ = false;
  bool is_paused_ = false;
  bool is_attached_ = false;        // the easy handle is with the multi handle
  std::span<std::byte> window_;     // what of the caller's memory is still to be filled
  std::string spill_;               // bytes that came beyond it
  size_t spill_at_ = 0;
  uint64_t window_bytes_ = 0;
  Clock::time_point window_start_;
};

Handle::Handle(Shared& shared) : shared_(shared), easy_(curl_easy_init()), multi_(curl_multi_init()) {
  if (easy_ == nullptr || multi_ == nullptr) {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
    throw std::bad_alloc();
  }
  const HttpOptions& options = shared.options;
  set(CURLOPT_ERRORBUFFER, error_text_.data());
  set(CURLOPT_SHARE, shared.share.get());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout_ms));
  // curl counts whole seconds and reuses up to and including this one.
  set(CURLOPT_MAXAGE_CONN, static_cast<long>(idle_limit.count() - 1));
  set(CURLOPT_EXPECT_100_TIMEOUT_MS, expect_timeout_ms);
#if LIBCURL_VERSION_NUM >= 0x075700
  // A cancelled call does not wait for the resolver's thread, which ends and frees its things by itself.
  set(CURLOPT_QUICK_EXIT, 1L);
#endif
  set(CURLOPT_USERAGENT, options.user_agent.c_str());
  set(CURLOPT_NOPROXY, shared.no_proxy.c_str());
  if (curl_easy_setopt(easy_, CURLOPT_SSL_CTX_FUNCTION, &Handle::on_tls_context) == CURLE_OK) {
    set(CURLOPT_SSL_CTX_DATA, this);
    set(CURLOPT_CAINFO, nullptr);
    set(CURLOPT_CAPATH, nullptr);
  } else if (!options.ca_file.empty()) {
    set(CURLOPT_CAINFO, options.ca_file.c_str());  // a curl without OpenSSL
  }
  set(CURLOPT_HEADERFUNCTION, &Handle::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Handle::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_READFUNCTION, &Handle::on_read);
  set(CURLOPT_READDATA, this);
  set(CURLOPT_SEEKFUNCTION, &Handle::on_seek);
  set(CURLOPT_SEEKDATA, this);
  set(CURLOPT_PREREQFUNCTION, &Handle::on_sending);
  set(CURLOPT_PREREQDATA, this);
  set(CURLOPT_OPENSOCKETFUNCTION, &Handle::on_open_socket);
  set(CURLOPT_OPENSOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1L);
}

Handle::~Handle() {
  if (is_attached_) curl_multi_remove_handle(multi_, easy_);
  curl_easy_cleanup(easy_);
  curl_multi_cleanup(multi_);
}

// curl takes a URL apart and puts it together again for each request, a character at a time. So it is given one URL for
// the origin, and what to ask there goes out as it is. A proxy that does not tunnel has to be told the whole URL.
void Handle::prepare_url(const HttpRequest& request, const Origin& origin) {
  if (origin.text != origin_) {
    origin_ = origin.text;
    // "" is no proxy at all, whatever the environment says.
    const Setting& proxy = origin.is_https ? shared_.proxy_https : shared_.proxy_http;
    const char* used = is_loopback(origin.host) || is_link_local(origin.host) ? "" : proxy.value.c_str();
    if (*used != '\0') check_proxy(proxy);
    set(CURLOPT_PROXY, used);
    has_whole_url_ = *used != '\0' && !origin.is_https;
    set(CURLOPT_URL, (origin_ + "/").c_str());
    set(CURLOPT_REQUEST_TARGET, nullptr);
  }
  if (has_whole_url_) {
    set(CURLOPT_URL, request.url.c_str());
    return;
  }
  const char* target = request.url.c_str() + origin.text.size();
  if (*target == '/') {
    set(CURLOPT_REQUEST_TARGET, target);
  } else {
    set(CURLOPT_REQUEST_TARGET, ("/" + std::string(target)).c_str());
  }
}

// Contiguous bytes go out as POST fields, whatever the method is called: curl then sends a small body together with the
// headers in one write, and sends it again by itself after a connection died idle.
uint64_t Handle::prepare_body(const HttpRequest& request) {
  std::span<const std::byte> memory;
  const Body* windowed = nullptr;
  bool has_body = request.method == "PUT" || request.method == "POST";  // these say Content-Length: 0 at least
  if (const auto* bytes = std::get_if<std::span<const std::byte>>(&request.body)) {
    memory = *bytes;
    has_body = true;
  } else if (const auto* body = std::get_if<const Body*>(&request.body)) {
    has_body = true;
    if ((*body)->is_contiguous()) {
      memory = (*body)->data();
    } else {
      windowed = *body;
    }
  }
  const Verb verb = windowed != nullptr        ? Verb::send_stream
                    : has_body                 ? Verb::send_memory
                    : request.method == "HEAD" ? Verb::head
                                               : Verb::get;
  if (verb != verb_ || request.method != method_) {
    verb_.reset();
    set(CURLOPT_HTTPGET, 1L);  // takes NOBODY and UPLOAD back
    set(CURLOPT_CUSTOMREQUEST, nullptr);
    if (verb == Verb::head) set(CURLOPT_NOBODY, 1L);
    if (verb == Verb::send_memory) set(CURLOPT_POST, 1L);
    if (verb == Verb::send_stream) set(CURLOPT_UPLOAD, 1L);
    if (verb != Verb::head && request.method != "GET") set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    verb_ = verb;
    method_ = request.method;
  }
  if (verb == Verb::send_memory) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(memory.size()));
    set(CURLOPT_POSTFIELDS, memory.empty() ? "" : reinterpret_cast<const char*>(memory.data()));
    return memory.size();
  }
  if (verb == Verb::send_stream) {
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(windowed->size()));
    return windowed->size();
  }
  return 0;
}

// The list is built in memory of our own: curl only reads it, and it changes with every signature.
void Handle::prepare_headers(const HttpRequest& request, uint64_t body_size, bool has_body) {
  header_text_.clear();
  header_list_.clear();
  header_starts_.clear();
  bool has_type = false;
  for (const auto& [name, value] : request.headers) {
    if (has_line_break(name) || name.find(':') != std::string::npos || has_line_break(value) ||
        value.find('\0') != std::string::npos) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
                  describe(request) + ": the header '" + printable(name) + "' cannot be sent with a line break in it");
    }
    has_type = has_type || equals_ignoring_case(name, "content-type");
    header_starts_.push_back(header_text_.size());
    header_text_ += name;
    header_text_ += value.empty() ? ";" : ": ";
    header_text_ += value;
    header_text_ += '\0';
  }
  const auto add = [&](std::string_view line) {
    header_starts_.push_back(header_text_.size());
    header_text_ += line;
    header_text_ += '\0';
  };
  // Waiting for "100 Continue" is worth a round trip only where an early refusal saves sending much, and not at all with
  // servers that never say it.
  asks_first_ = has_body && body_size >= big_body_bytes && !shared_.ignores_expect.load(std::memory_order_relaxed);
  if (has_body && !asks_first_) add("Expect:");
  if (has_body && !has_type) add("Content-Type:");
  for (const size_t start : header_starts_) header_list_.push_back({header_text_.data() + start, nullptr});
  for (size_t i = 1; i < header_list_.size(); ++i) header_list_[i - 1].next = &header_list_[i];
  set(CURLOPT_HTTPHEADER, header_list_.empty() ? nullptr : header_list_.data());
}

void Handle::prepare(const HttpRequest& request, const Origin& origin) {
  prepare_url(request, origin);
  const uint64_t body_size = prepare_body(request);
  prepare_headers(request, body_size, *verb_ == Verb::send_memory || *verb_ == Verb::send_stream);
  const uint64_t expected = std::max<uint64_t>(body_size, request.out ? request.out->size() : 0);
  const long buffer_bytes = expected >= big_body_bytes ? big_buffer_bytes : small_buffer_bytes;
  if (buffer_bytes != buffer_bytes_) {
    buffer_bytes_ = buffer_bytes;
    set(CURLOPT_BUFFERSIZE, buffer_bytes);
    set(CURLOPT_UPLOAD_BUFFERSIZE, std::max(buffer_bytes, 64l << 10));
  }
}

CURLcode Handle::run(const HttpRequest& request, const Origin& origin, Context& context, HttpResponse& response,
                     std::string& headers) {
  is_pulled_ = false;
  if (const auto code = begin(request, origin, context, response, headers)) return *code;
  return end(drive(context, [] { return false; }).value_or(CURLE_FAILED_INIT));
}

std::optional<CURLcode> Handle::open(const HttpRequest& request, const Origin& origin, Context& context,
                                     HttpResponse& response, std::string& headers) {
  is_pulled_ = true;
  is_paused_ = false;
  window_ = {};
  spill_.clear();
  spill_at_ = 0;
  if (const auto code = begin(request, origin, context, response, headers)) return code;
  const auto has_answer = [&] { return has_head_ && response.status >= 200 && response.status < 300; };
  if (const auto code = drive(context, has_answer)) return end(*code);
  finish(request);
  return std::nullopt;
}

std::optional<CURLcode> Handle::pull(std::span<std::byte> out, size_t& count, Context& context) {
  const size_t spilled = std::min(out.size(), spill_.size() - spill_at_);
  if (spilled > 0) std::memcpy(out.data(), spill_.data() + spill_at_, spilled);
  spill_at_ += spilled;
  window_ = out.subspan(spilled);
  std::optional<CURLcode> code;
  if (!window_.empty() && is_attached_) {
    spill_.clear();
    spill_at_ = 0;
    // What curl holds back comes at once.
    if (std::exchange(is_paused_, false)) curl_easy_pause(easy_, CURLPAUSE_CONT);
    code = drive(context, [this] { return window_.empty(); });
    if (code) code = end(*code);
  }
  count = out.size() - window_.size();
  window_ = {};
  return code;
}

// Nothing: the transfer is under way.
std::optional<CURLcode> Handle::begin(const HttpRequest& request, const Origin& origin, Context& context,
                                      HttpResponse& response, std::string& headers) {
  request_ = &request;
  response_ = &response;
  headers_ = &headers;
  read_offset_ = 0;
  bytes_in_ = 0;
  callback_error_ = nullptr;
  sendings_ = 0;
  too_long_ = enough_ = stalled_ = has_head_ = is_asked_for_body_ = false;
  error_text_[0] = '\0';
  // A handle that still has its connection needs no look-up.
  had_connection_ = kept_ != CURL_SOCKET_BAD && origin.text == origin_ && Clock::now() - idle_since < idle_limit;
  prepare(request, origin);
  const long kept_s = !had_connection_ && shared_.has_lost_address.exchange(false) ? 0 : addresses_kept_s;
  if (kept_s != addresses_kept_s_) set(CURLOPT_DNS_CACHE_TIMEOUT, addresses_kept_s_ = kept_s);
  if (!had_connection_) {
    std::string host(origin.host);
    const std::chrono::milliseconds timeout(shared_.options.connect_timeout_ms);
    const LookupGate::Entry entry = shared_.gate.enter(host, timeout, context);
    if (entry == LookupGate::Entry::cancelled) return CURLE_ABORTED_BY_CALLBACK;
    if (entry == LookupGate::Entry::timed_out) {
      std::snprintf(error_text_.data(), error_text_.size(), "its name was not found within %d ms",
                    shared_.options.connect_timeout_ms);
      return CURLE_OPERATION_TIMEDOUT;
    }
    gate_host_ = std::move(host);
  }
  stall_timeout_ = std::chrono::milliseconds(request.stall_timeout_ms > 0 ? request.stall_timeout_ms
                                                                          : shared_.options.stall_timeout_ms);
  if (curl_multi_add_handle(multi_, easy_) == CURLM_OK) {
    is_attached_ = true;
    return std::nullopt;
  }
  release_gate();
  return CURLE_OUT_OF_MEMORY;
}

CURLcode Handle::end(CURLcode code) {
  if (curl_easy_getinfo(easy_, CURLINFO_ACTIVESOCKET, &kept_) != CURLE_OK) kept_ = CURL_SOCKET_BAD;
  curl_multi_remove_handle(multi_, easy_);
  is_attached_ = false;
  release_gate();
  // curl itself asks again where a connection that it had kept turns out to be closed.
  response_->maybe_resent = had_connection_ && opened_connection() && !request_->is_sent_once;
  if (code == CURLE_WRITE_ERROR && enough_) code = CURLE_OK;
  // curl takes headers that end with the connection for all of them.
  if (code == CURLE_OK && !has_head_) code = CURLE_PARTIAL_FILE;
  if (code == CURLE_OK) finish(*request_);
  learn(code);
  return code;
}

// What the next request need not find out again.
void Handle::learn(CURLcode code) {
  if (code == CURLE_OK && asks_first_ && !is_asked_for_body_) {
    curl_off_t sent = 0;
    curl_easy_getinfo(easy_, CURLINFO_SIZE_UPLOAD_T, &sent);
    if (sent > 0) shared_.ignores_expect = true;
  }
  if (code != CURLE_COULDNT_CONNECT && code != CURLE_OPERATION_TIMEDOUT) return;
  curl_off_t connected_us = 0;
  curl_easy_getinfo(easy_, CURLINFO_CONNECT_TIME_T, &connected_us);
  if (connected_us == 0) shared_.has_lost_address = true;
}

template <typename IsEnough>
std::optional<CURLcode> Handle::drive(Context& context, const IsEnough& is_enough) {
  window_start_ = Clock::now();
  window_bytes_ = 0;
  curl_waitfd cancel{context.cancel_fd(), CURL_WAIT_POLLIN, 0};
  const unsigned extra = cancel.fd >= 0 ? 1 : 0;
  while (true) {
    int running = 0;
    if (curl_multi_perform(multi_, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    if (running == 0) break;
    if (is_enough()) return std::nullopt;
    if (context.cancelled()) return CURLE_ABORTED_BY_CALLBACK;
    // Without a descriptor to wait on, cancellation is looked for five times a second.
    auto wait = extra != 0 ? stall_timeout_ / 2 : poll_slice;
    wait = std::min<std::chrono::milliseconds>(wait, std::chrono::seconds(1));
    if (context.deadline() != Clock::time_point::max()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(context.deadline() - Clock::now());
      wait = std::clamp(left, std::chrono::milliseconds(1), wait);
    }
    int ready = 0;
    if (curl_multi_poll(multi_, &cancel, extra, static_cast<int>(wait.count()), &ready) != CURLM_OK) {
      return CURLE_FAILED_INIT;
    }
    if (is_stalled(Clock::now(), stall_timeout_)) {
      stalled_ = true;
      return CURLE_OPERATION_TIMEDOUT;
    }
  }
  int left = 0;
  const CURLMsg* message = curl_multi_info_read(multi_, &left);
  return message != nullptr ? message->data.result : CURLE_FAILED_INIT;
}

bool Handle::is_stalled(Clock::time_point now, std::chrono::milliseconds timeout) {
  if (now - window_start_ < timeout) return false;
  curl_off_t sent = 0;
  curl_easy_getinfo(easy_, CURLINFO_SIZE_UPLOAD_T, &sent);
  const uint64_t moved = bytes_in_ + static_cast<uint64_t>(sent);
  const auto least =
      static_cast<uint64_t>(shared_.options.stall_min_bytes_per_s) * static_cast<uint64_t>(timeout.count()) / 1000;
  if (moved - window_bytes_ < least) return true;
  window_start_ = now;
  window_bytes_ = moved;
  return false;
}

void Handle::release_gate() {
  if (gate_host_.empty()) return;
  shared_.gate.leave(gate_host_);
  gate_host_.clear();
}

void Handle::finish(const HttpRequest& request) {
  HttpResponse& response = *response_;
  if (const auto length = parse_uint(response.header("content-length"))) response.content_length = *length;
  const bool has_no_body = request.method == "HEAD" || response.status == 204 || response.status == 304;
  const std::string coding = to_lower(response.header("transfer-encoding"));
  response.length_verified = has_no_body || response.content_length.has_value() || coding.ends_with("chunked");
}

bool Handle::opened_connection() const {
  long count = 0;
  curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &count);
  return count > 0;
}

bool Handle::is_disturbed() const {
  pollfd entry{kept_, POLLIN, 0};
  return kept_ != CURL_SOCKET_BAD && poll(&entry, 1, 0) != 0;
}

bool Handle::died_idle(CURLcode code) const {
  const bool broke = code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING;
  return broke && bytes_in_ == 0 && !opened_connection() && callback_error_ == nullptr;
}

std::string Handle::reason(CURLcode code) const {
  return printable(error_text_[0] != '\0' ? error_text_.data() : curl_easy_strerror(code));
}

size_t Handle::take_header(std::string_view line) {
  bytes_in_ += line.size();
  release_gate();
  std::string& block = *headers_;
  const std::string_view text = trim(line);
  if (text.empty()) has_head_ = true;  // for good: trailers of a chunked body come here too
  if (line.starts_with("HTTP/")) {
    has_head_ = false;
    // A new answer: what came before was "100 Continue" or a proxy's.
    block.clear();
    response_->status = 0;
    const size_t space = text.find(' ');
    if (space != std::string_view::npos) {
      response_->status = static_cast<int>(parse_uint(text.substr(space + 1, 3)).value_or(0));
      if (response_->status == 100) is_asked_for_body_ = true;
    }
    return line.size();
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return line.size();
  if (block.size() + text.size() > header_block_bytes) {
    too_long_ = true;
    return 0;
  }
  const size_t name = block.size();
  block.append(text.substr(0, colon));
  for (size_t i = name; i < block.size(); ++i) {
    if (block[i] >= 'A' && block[i] <= 'Z') block[i] = static_cast<char>(block[i] - 'A' + 'a');
  }
  block += '\0';
  block.append(trim(text.substr(colon + 1)));
  // curl hands NUL bytes of values through.
  std::replace(block.begin() + static_cast<std::ptrdiff_t>(name + colon + 1), block.end(), '\0', ' ');
  block += '\0';
  return line.size();
}

// Returning less than was given stops the transfer.
size_t Handle::take_body(std::span<const char> data) {
  bytes_in_ += data.size();
  HttpResponse& response = *response_;
  const bool is_success = response.status >= 200 && response.status < 300;
  if (is_success && is_pulled_) return take_pulled(data);
  if (is_success && request_->out) {
    const auto at = static_cast<size_t>(response.body_bytes);
    const size_t count = std::min(data.size(), request_->out->size() - at);
    if (count > 0) std::memcpy(request_->out->data() + at, data.data(), count);
    response.body_bytes += count;
    if (count == data.size()) return count;
    response.overflow = enough_ = true;
    return 0;
  }
  const size_t limit = is_success ? static_cast<size_t>(request_->max_response_bytes) : error_text_bytes;
  const size_t count = std::min(data.size(), limit - response.text.size());
  response.text.append(data.data(), count);
  response.body_bytes = response.text.size();
  if (count == data.size()) return count;
  // An error's text may be cut, an answer may not.
  (is_success ? too_long_ : enough_) = true;
  return 0;
}

size_t Handle::take_pulled(std::span<const char> data) {
  if (window_.empty()) {
    bytes_in_ -= data.size();  // they come again
    is_paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  const size_t count = std::min(data.size(), window_.size());
  std::memcpy(window_.data(), data.data(), count);
  window_ = window_.subspan(count);
  spill_.append(data.data() + count, data.size() - count);
  response_->body_bytes += data.size();
  return data.size();
}

size_t Handle::give_body(std::span<char> out) {
  const Body& body = *std::get<const Body*>(request_->body);
  try {
    const auto count = static_cast<size_t>(std::min<uint64_t>(out.size(), body.size() - read_offset_));
    size_t filled = 0;
    while (filled < count) {
      const size_t got = body.read(read_offset_, std::as_writable_bytes(out.subspan(filled, count - filled)));
      if (got == 0) {
        throw Error(
            ErrorCode::data_loss, ErrorClass::network,
            "the body ended after " + std::to_string(read_offset_) + " of " + std::to_string(body.size()) + " bytes")
            .set_retryable();
      }
      read_offset_ += got;
      filled += got;
    }
    return count;
  } catch (...) {
    callback_error_ = std::current_exception();
    return CURL_READFUNC_ABORT;
  }
}

int Handle::seek_body(curl_off_t offset) {
  read_offset_ = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

// curl's callbacks: C frames lie between them and run(), so nothing may be thrown through.
size_t Handle::on_header(char* data, size_t size, size_t count, void* self) {
  try {
    return static_cast<Handle*>(self)->take_header({data, size * count});
  } catch (...) {
    static_cast<Handle*>(self)->callback_error_ = std::current_exception();
    return 0;
  }
}

size_t Handle::on_body(char* data, size_t size, size_t count, void* self) {
  try {
    return static_cast<Handle*>(self)->take_body({data, size * count});
  } catch (...) {
    static_cast<Handle*>(self)->callback_error_ = std::current_exception();
    return 0;
  }
}

size_t Handle::on_read(char* data, size_t size, size_t count, void* self) {
  return static_cast<Handle*>(self)->give_body({data, size * count});
}

// Before each sending, the one after a connection died idle included.
int Handle::on_sending(void* self, char*, char*, int, int) {
  Handle& handle = *static_cast<Handle*>(self);
  ++handle.sendings_;
  return handle.refused_to_resend() ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

int Handle::on_seek(void* self, curl_off_t offset, int origin) {
  return origin == SEEK_SET ? static_cast<Handle*>(self)->seek_body(offset) : CURL_SEEKFUNC_FAIL;
}

CURLcode Handle::on_tls_context(CURL*, void* context, void* self) {
  auto& handle = *static_cast<Handle*>(self);
  try {
    Shared& shared = handle.shared_;
    X509_STORE* store = shared.authorities.get(shared.options.ca_file, shared.ca_name);
    SSL_CTX_set1_cert_store(static_cast<SSL_CTX*>(context), store);
    return CURLE_OK;
  } catch (...) {
    handle.callback_error_ = std::current_exception();
    return CURLE_ABORTED_BY_CALLBACK;
  }
}

// The name is known when the first socket is opened: others may now look it up in the cache.
curl_socket_t Handle::on_open_socket(void* self, curlsocktype, curl_sockaddr* address) {
  Handle& handle = *static_cast<Handle*>(self);
  handle.release_gate();
  if (handle.shared_.options.denies_metadata && is_metadata(address->addr)) {
    handle.callback_error_ = std::make_exception_ptr(
        Error(ErrorCode::permission_denied, ErrorClass::permission,
              describe(*handle.request_) + ": it leads to this machine's own link or metadata service, which nothing is read from"));
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool is_certificate_error(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_ISSUER_ERROR ||
         code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_PINNEDPUBKEYNOTMATCH;
}

Error network_error(CURLcode code, const std::string& what, const std::string& reason) {
  if (is_certificate_error(code)) {
    return Error(ErrorCode::unavailable, ErrorClass::network,
                 what + ": the server's certificate is not accepted: " + reason +
                     "; set AWS_CA_BUNDLE to the file of its authority if it is a private one");
  }
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Error(ErrorCode::deadline_exceeded, ErrorClass::timeout, what + ": " + reason).set_retryable();
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return Error(ErrorCode::invalid_argument, ErrorClass::configuration, what + ": " + reason);
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PROXY:
      return Error(ErrorCode::unavailable, ErrorClass::network, what + ": " + reason).set_retryable();
    case CURLE_PARTIAL_FILE:
      return Error(ErrorCode::data_loss, ErrorClass::network, what + ": the answer was cut short: " + reason)
          .set_retryable();
    case CURLE_OUT_OF_MEMORY:
      return Error(ErrorCode::resource_exhausted, ErrorClass::local_io, what + ": out of memory").set_retryable();
    default:
      return Error(ErrorCode::unavailable, ErrorClass::network, what + ": " + reason).set_retryable();
  }
}

[[noreturn]] void throw_failure(const Handle& handle, CURLcode code, const HttpRequest& request, Context& context,
                                const HttpOptions& options) {
  if (handle.callback_error() != nullptr) std::rethrow_exception(handle.callback_error());
  const std::string what = describe(request);
  if (code == CURLE_ABORTED_BY_CALLBACK) {
    try {
      context.check();
    } catch (Error& error) {
      error.prepend(what);
      throw;
    }
  }
  if (handle.too_long()) {
    throw Error(ErrorCode::resource_exhausted, ErrorClass::server,
                what + ": the answer is longer than " + std::to_string(request.max_response_bytes) + " bytes");
  }
  if (handle.stalled()) {
    const int timeout_ms = request.stall_timeout_ms > 0 ? request.stall_timeout_ms : options.stall_timeout_ms;
    throw network_error(code, what,
                        "less than " + std::to_string(options.stall_min_bytes_per_s) + " bytes a second for " +
                            std::to_string(timeout_ms) + " ms");
  }
  if (handle.refused_to_resend()) {
    throw network_error(CURLE_GOT_NOTHING, what, "the connection ended without an answer");
  }
  throw network_error(code, what, handle.reason(code));
}

}  // namespace

// Idle handles lie on a stack for each processor: what a request touches of a handle, some ten kilobytes, is in the
// caches of the processor that used it last, and fetching it from there costs another one as much as the request.
struct HttpClient::Impl {
  using Stack = std::deque<std::unique_ptr<Handle>>;

  Impl() : idle(static_cast<size_t>(std::clamp(sysconf(_SC_NPROCESSORS_CONF), 1l, most_stacks))) {}

  size_t nearest() const {
    const int processor = sched_getcpu();
    return processor < 0 ? 0 : static_cast<size_t>(processor) % idle.size();
  }

  std::unique_ptr<Handle> take() {
    const size_t first = nearest();
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < idle.size(); ++i) {
      Stack& stack = idle[(first + i) % idle.size()];
      if (stack.empty()) continue;
      std::unique_ptr<Handle> handle = std::move(stack.back());
      stack.pop_back();
      return handle;
    }
    return nullptr;
  }

  std::unique_ptr<Handle> take_sound() {
    std::unique_ptr<Handle> handle = take();
    while (handle != nullptr && handle->is_disturbed()) handle = take();
    return handle != nullptr ? std::move(handle) : std::make_unique<Handle>(shared);
  }

  void give_back(std::unique_ptr<Handle> handle) {
    std::vector<std::unique_ptr<Handle>> old;  // closed after the lock is released
    const auto now = Clock::now();
    handle->idle_since = now;
    const size_t own = nearest();
    const std::lock_guard lock(mutex);
    idle[own].push_back(std::move(handle));
    // The bottom of a stack has been idle the longest.
    for (Stack& stack : idle) {
      while (!stack.empty() && now - stack.front()->idle_since > idle_limit) {
        old.push_back(std::move(stack.front()));
        stack.pop_front();
      }
    }
  }

  Shared shared;
  mutable std::mutex mutex;
  std::vector<Stack> idle;  // guarded by mutex
};

HttpClient::HttpClient(HttpOptions options) {
  initialize_curl();
  impl_ = std::make_unique<Impl>();
  Shared& shared = impl_->shared;
  if (options.user_agent.empty()) options.user_agent = std::string("waybill/") + version();
  if (options.ca_file.empty()) {
    const Setting bundle = first_set({"AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"});
    options.ca_file = bundle.value;
    shared.ca_name = printable(bundle.value) + " (" + bundle.variable + ")";
  } else {
    shared.ca_name = printable(options.ca_file);
  }
  if (!options.ca_file.empty() && access(options.ca_file.c_str(), R_OK) != 0) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "the CA file " + shared.ca_name + " cannot be read");
  }
  // Read once, so that no call looks into the environment. HTTP_PROXY in capitals is left out on purpose: in a CGI
  // program it is set by whoever sends the request.
  shared.proxy_http = first_set({"http_proxy", "all_proxy", "ALL_PROXY"});
  shared.proxy_https = first_set({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  shared.no_proxy = first_set({"no_proxy", "NO_PROXY"}).value;
  shared.options = std::move(options);
}

HttpClient::~HttpClient() = default;

namespace {

void tell(const HttpWatch& watch, const HttpRequest& request, const HttpResponse& response, CURLcode code,
          int64_t began_ms, std::chrono::duration<double> duration) {
  HttpExchange exchange;
  exchange.at_ms = began_ms;
  exchange.method = request.method;
  exchange.url = traced_url(request.url);
  exchange.seconds = duration.count();
  exchange.bytes = response.body_bytes;
  if (code != CURLE_OK) {
    exchange.failure = curl_easy_strerror(code);
  } else {
    exchange.status = response.status;
    for (const std::string_view name : {"x-amz-request-id", "x-amzn-requestid", "x-request-id"}) {
      if (exchange.request_id.empty()) exchange.request_id = printable(response.header(name).substr(0, 128));
    }
  }
  watch(exchange);
}

Error not_http(const std::string& url) {
  return Error(ErrorCode::invalid_argument, ErrorClass::configuration, redact_url(url) + " is not an http or https URL");
}

}  // namespace

HttpResponse HttpClient::perform(const HttpRequest& request, Context& context) {
  context.check();
  const auto origin = origin_of(request.url);
  if (!origin) throw not_http(request.url);
  std::unique_ptr<Handle> handle = impl_->take_sound();
  for (bool is_second_try = false;; is_second_try = true) {
    HttpResponse response;
    response.headers_.reserve(512);
    context.count("http_requests", 1);
    const auto watch = http_watch();
    const int64_t began_ms = watch ? now_ms() : 0;
    const auto began = watch ? Clock::now() : Clock::time_point{};
    const CURLcode code = handle->run(request, *origin, context, response, response.headers_);
    if (watch) tell(*watch, request, response, code, began_ms, Clock::now() - began);
    if (handle->opened_connection()) context.count("http_connections", 1);
    if (is_second_try) response.maybe_resent = true;
    if (code == CURLE_OK) {
      impl_->give_back(std::move(handle));
      return response;
    }
    if (!is_second_try && !request.is_sent_once && handle->died_idle(code)) continue;
    // The handle dies with its connection: what is left on it belongs to nobody.
    throw_failure(*handle, code, request, context, impl_->shared.options);
  }
}

HttpDownload::~HttpDownload() = default;

class HttpClient::Download final : public HttpDownload {
 public:
  Download(Impl& impl, HttpRequest request) : impl_(impl), request_(std::move(request)) { request_.out.reset(); }
  ~Download() override {
    if (is_over_ && handle_ != nullptr) impl_.give_back(std::move(handle_));
  }

  /// The answer's head, or the failure to get it.
  void start(const Origin& origin, std::unique_ptr<Handle> handle, Context& context) {
    handle_ = std::move(handle);
    for (bool is_second_try = false;; is_second_try = true) {
      response_ = HttpResponse{};
      context.count("http_requests", 1);
      began_ms_ = now_ms();
      began_ = Clock::now();
      const auto code = handle_->open(request_, origin, context, response_, response_.headers_);
      if (handle_->opened_connection()) context.count("http_connections", 1);
      if (is_second_try) response_.maybe_resent = true;
      if (!code) return;
      if (*code == CURLE_OK) return finish(CURLE_OK);
      if (!is_second_try && !request_.is_sent_once && handle_->died_idle(*code)) continue;
      fail(*code, context);
    }
  }

  const HttpResponse& response() const noexcept override { return response_; }

  size_t read(std::span<std::byte> out, Context& context) override {
    if (out.empty() || handle_ == nullptr) return 0;
    size_t count = 0;
    const auto code = handle_->pull(out, count, context);
    if (code && *code != CURLE_OK) fail(*code, context);
    if (code && !is_over_) finish(CURLE_OK);
    return count;
  }

 private:
  void finish(CURLcode code) {
    is_over_ = code == CURLE_OK;
    if (const auto watch = http_watch()) tell(*watch, request_, response_, code, began_ms_, Clock::now() - began_);
  }
  [[noreturn]] void fail(CURLcode code, Context& context) {
    finish(code);
    const std::unique_ptr<Handle> handle = std::move(handle_);
    throw_failure(*handle, code, request_, context, impl_.shared.options);
  }

  Impl& impl_;
  HttpRequest request_;
  HttpResponse response_;
  std::unique_ptr<Handle> handle_;
  int64_t began_ms_ = 0;
  Clock::time_point began_;
  bool is_over_ = false;  // all of the body has come
};

std::unique_ptr<HttpDownload> HttpClient::open(HttpRequest request, Context& context) {
  context.check();
  const std::string url = request.url;
  const auto origin = origin_of(url);
  if (!origin) throw not_http(url);
  auto download = std::make_unique<Download>(*impl_, std::move(request));
  download->start(*origin, impl_->take_sound(), context);
  return download;
}

size_t HttpClient::idle_connections() const {
  const std::lock_guard lock(impl_->mutex);
  size_t count = 0;
  for (const auto& stack : impl_->idle) count += stack.size();
  return count;
}

std::optional<std::string_view> HttpResponse::find(std::string_view name) const noexcept {
  std::optional<std::string_view> found;
  for_each_header([&](std::string_view each, std::string_view value) {
    if (!found && each == name) found = value;
  });
  return found;
}

std::string_view HttpResponse::header(std::string_view name) const noexcept {
  return find(name).value_or(std::string_view{});
}

bool HttpResponse::has_header(std::string_view name) const noexcept { return find(name).has_value(); }

std::string curl_version_number() { return curl_version_info(CURLVERSION_NOW)->version; }

}  // namespace waybill::internal
