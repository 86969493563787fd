// SPDX-License-Identifier: Apache-2.0
//
// The least that looks like an S3 store, so that the client is what is measured: one thread over epoll on loopback, no
// storage. Bucket "source" lists N objects of 4 KiB, every other bucket lists as empty; every GET answers with the same
// 4 KiB, every PUT is taken in and forgotten. Signatures are not looked at. For measuring only: it holds on to nothing
// and checks nothing, so a test that passes against it proves nothing.
//
// Usage: null_s3_server N. Prints its port on a line and serves until its standard input ends.
//
//   GET /-/stats           what was asked so far, "get 5" by line, and starts counting again
//   GET /-/sample/METHOD   the head of the first such request as it came, METHOD being LIST, GET or PUT
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

constexpr size_t object_bytes = 4096;
constexpr uint64_t page_objects = 1000;
// What S3 would say of any object's content: one value will do, as all have the same.
constexpr std::string_view etag = "620f0b67a91f7f74151bc5be745b7110";

[[noreturn]] void fail(const char* what) { throw std::runtime_error(std::string(what) + ": " + std::strerror(errno)); }

struct Connection {
  int socket = -1;
  std::string in;
  std::string out;
  size_t body_left = 0;  // of the request under way
  bool is_put = false;   // which is answered when its body is in
  bool is_refused = false;
};

struct Request {
  std::string_view method;
  std::string_view target;
  std::string_view head;
  size_t content_length = 0;
  bool expects_continue = false;
};

std::string key_of(uint64_t n) {
  char key[61];
  std::snprintf(key, sizeof key, "accounts/%04u/documents/2024/%011llu/attachment-orig.bin",
                static_cast<unsigned>(n / 10'000), static_cast<unsigned long long>(n));
  return key;
}

std::string_view parameter(std::string_view target, std::string_view name) {
  for (size_t at = target.find('?'); at != std::string_view::npos; at = target.find('&', at + 1)) {
    std::string_view rest = target.substr(at + 1);
    if (!rest.starts_with(name) || rest.size() <= name.size() || rest[name.size()] != '=') continue;
    rest.remove_prefix(name.size() + 1);
    return rest.substr(0, rest.find('&'));
  }
  return {};
}

// As a store of this kind answers: a dozen headers, half of them for its support.
void answer(std::string& out, std::string_view status, std::string_view headers, std::string_view body,
            bool has_body = true) {
  out += "HTTP/1.1 ";
  out += status;
  out +=
      "\r\nx-amz-id-2: eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran\r\nx-amz-request-id: "
      "318BC8BC148832E5\r\n"
      "Date: Wed, 28 Oct 2026 22:32:00 GMT\r\nServer: null\r\nContent-Length: ";
  out += std::to_string(body.size());
  out += "\r\n";
  out += headers;
  out += "\r\n";
  if (has_body) out += body;
}

std::string object_headers() {
  return "Last-Modified: Wed, 12 Oct 2024 17:50:00 GMT\r\nETag: \"" + std::string(etag) +
         "\"\r\nAccept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\nx-amz-server-side-encryption: "
         "AES256\r\n";
}

class Server {
 public:
  explicit Server(uint64_t objects)
      : objects_(objects), content_(object_bytes, 'x'), object_headers_(object_headers()) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener_ < 0) fail("socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener_, 1024) != 0)
      fail("bind");
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll_create1");
    watch(listener_);
    watch(STDIN_FILENO);
  }

  int port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("getsockname");
    return ntohs(address.sin_port);
  }

  void serve() {
    for (;;) {
      epoll_event events[64];
      const int count = epoll_wait(epoll_, events, 64, -1);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == STDIN_FILENO) {
          char ignored[64];
          if (read(fd, ignored, sizeof ignored) <= 0) return;
        } else if (fd == listener_) {
          accept_one();
        } else {
          const auto found = connections_.find(fd);
          if (found != connections_.end() && !advance(*found->second)) drop(fd);
        }
      }
    }
  }

 private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }

  void accept_one() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto connection = std::make_unique<Connection>();
    connection->socket = fd;
    connections_.emplace(fd, std::move(connection));
    ++counts_["connections"];
    watch(fd);
  }

  void drop(int fd) {
    connections_.erase(fd);
    close(fd);
  }

  bool advance(Connection& connection) {
    char buffer[64 << 10];
    const ssize_t got = recv(connection.socket, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    std::string_view data(buffer, static_cast<size_t>(got));
    take_body(connection, data);
    connection.in += data;
    while (connection.body_left == 0 && take_head(connection)) {
    }
    // Answers are small beside a socket's buffer, and whoever asked is waiting for them: this does not block for long.
    for (size_t sent = 0; sent < connection.out.size();) {
      const ssize_t count =
          send(connection.socket, connection.out.data() + sent, connection.out.size() - sent, MSG_NOSIGNAL);
      if (count < 0 && errno != EINTR) return false;
      if (count > 0) sent += static_cast<size_t>(count);
    }
    connection.out.clear();
    return true;
  }

  // Bytes of a body go no further.
  void take_body(Connection& connection, std::string_view& data) {
    const size_t count = std::min(connection.body_left, data.size());
    if (count == 0) return;
    data.remove_prefix(count);
    connection.body_left -= count;
    if (connection.body_left == 0) finish(connection);
  }

  void finish(Connection& connection) const {
    if (!connection.is_put) return;
    answer(connection.out, connection.is_refused ? "412 Precondition Failed" : "200 OK", object_headers_, "");
  }

  // False where there is no whole head yet.
  bool take_head(Connection& connection) {
    const size_t end = connection.in.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string head = connection.in.substr(0, end + 4);
    connection.in.erase(0, end + 4);
    const Request request = parse(head);
    respond(connection, request);
    connection.is_put = request.method == "PUT";
    connection.is_refused = connection.is_put && was_just_written(request);
    connection.body_left = request.content_length;
    if (request.expects_continue) connection.out += "HTTP/1.1 100 Continue\r\n\r\n";
    if (connection.body_left == 0) {
      finish(connection);
    } else {
      std::string_view rest = connection.in;
      take_body(connection, rest);
      connection.in.erase(0, connection.in.size() - rest.size());
    }
    return true;
  }

  static Request parse(const std::string& head) {
    Request request;
    request.head = head;
    const std::string_view line = std::string_view(head).substr(0, head.find("\r\n"));
    const size_t space = line.find(' ');
    request.method = line.substr(0, space);
    request.target = line.substr(space + 1, line.rfind(' ') - space - 1);
    if (const size_t at = head.find("\r\nContent-Length: "); at != std::string::npos) {
      request.content_length = std::strtoull(head.c_str() + at + 18, nullptr, 10);
    }
    request.expects_continue = head.find("\r\nExpect: 100-continue") != std::string::npos;
    return request;
  }

  // A client asks once whether "there must be nothing" is heeded, by writing an object twice. What was written longer ago
  // is forgotten: the next run writes the same keys.
  bool was_just_written(const Request& request) {
    if (request.head.find("\r\nIf-None-Match: *") == std::string_view::npos) return false;
    const size_t key = std::hash<std::string_view>{}(request.target);
    if (std::find(written_.begin(), written_.end(), key) != written_.end()) return true;
    written_[n_written_++ % written_.size()] = key;
    return false;
  }

  // Everything but the answer to a PUT, which comes after its body.
  void respond(Connection& connection, const Request& request) {
    if (request.target.starts_with("/-/")) return respond_about_us(connection, request);
    const bool names_object = request.target.find('/', 1) != std::string_view::npos;
    if (request.method == "PUT") return count("put", "PUT", request);
    if (request.method == "HEAD") {
      count("head", "HEAD", request);
      // Nothing is there, whatever was written; a bucket is.
      return answer(connection.out, names_object ? "404 Not Found" : "200 OK", "", "", false);
    }
    if (request.method != "GET") {
      count("other", "OTHER", request);
      return answer(connection.out, "501 Not Implemented", "", "");
    }
    if (!parameter(request.target, "list-type").empty()) {
      count("list", "LIST", request);
      return answer(connection.out, "200 OK", "Content-Type: application/xml\r\n", page(request.target));
    }
    if (request.target.ends_with("?tagging=")) {
      count("tags", "TAGS", request);
      return answer(connection.out, "200 OK", "Content-Type: application/xml\r\n", "<Tagging><TagSet></TagSet></Tagging>");
    }
    count("get", "GET", request);
    answer(connection.out, "200 OK", object_headers_, content_);
  }

  void respond_about_us(Connection& connection, const Request& request) {
    std::string text;
    if (request.target == "/-/stats") {
      for (const auto& [name, number] : counts_) text += name + " " + std::to_string(number) + "\n";
      counts_.clear();
      samples_.clear();
    } else if (request.target.starts_with("/-/sample/")) {
      text = samples_[std::string(request.target.substr(10))];
    }
    answer(connection.out, "200 OK", "", text);
  }

  void count(const char* counter, const char* kind, const Request& request) {
    ++counts_[counter];
    std::string& sample = samples_[kind];
    if (sample.empty()) sample = request.head;
  }

  std::string page(std::string_view target) const {
    const bool has_objects = target.starts_with("/source?");
    const std::string token(parameter(target, "continuation-token"));
    const std::string most(parameter(target, "max-keys"));
    const uint64_t first = token.empty() ? 0 : std::strtoull(token.c_str(), nullptr, 10);
    const uint64_t limit = most.empty() ? page_objects : std::strtoull(most.c_str(), nullptr, 10);
    const uint64_t end = has_objects ? std::min(objects_, first + limit) : first;
    std::string xml =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    xml += "<EncodingType>url</EncodingType><KeyCount>" + std::to_string(end - first) + "</KeyCount>";
    if (has_objects && end < objects_) {
      xml +=
          "<IsTruncated>true</IsTruncated><NextContinuationToken>" + std::to_string(end) + "</NextContinuationToken>";
    } else {
      xml += "<IsTruncated>false</IsTruncated>";
    }
    for (uint64_t n = first; n < end; ++n) {
      xml += "<Contents><Key>" + key_of(n) + "</Key><LastModified>2024-10-12T17:50:30.000Z</LastModified><ETag>&quot;";
      xml += etag;
      xml += "&quot;</ETag><Size>" + std::to_string(object_bytes) +
             "</Size><StorageClass>STANDARD</StorageClass></Contents>";
    }
    return xml + "</ListBucketResult>";
  }

  uint64_t objects_;
  std::string content_;
  std::string object_headers_;
  std::array<size_t, 64> written_{};  // hashes of the latest keys
  size_t n_written_ = 0;
  int listener_ = -1;
  int epoll_ = -1;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  std::map<std::string, uint64_t> counts_;
  std::map<std::string, std::string> samples_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: null_s3_server N");
    Server server(std::strtoull(argv[1], nullptr, 10));
    std::printf("%d\n", server.port());
    std::fflush(stdout);
    server.serve();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "null_s3_server: %s\n", error.what());
    return 2;
  }
}
