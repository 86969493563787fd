// SPDX-License-Identifier: Apache-2.0
//
// The floor that waybill's CPU is compared with: the same requests over the same libcurl, and nothing else. No ledger,
// no checksum, no signature, no retry, no cancellation: it lists, then N threads each read an object and write it, on
// connections that are kept alive. Handles are set up once; only the URL changes from object to object.
//
// The headers of each kind of request are read from a file and sent as they are, so that as many bytes go over the wire
// as from waybill.
//
// Usage: bare_client s3    ENDPOINT SOURCE_BUCKET DESTINATION_BUCKET THREADS HEADERS_FOLDER
//        bare_client files ENDPOINT FOLDER        DESTINATION_BUCKET THREADS HEADERS_FOLDER
// HEADERS_FOLDER has the files LIST, GET and PUT: the head of a request each, its first line and Host ignored.
#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

struct Settings {
  bool from_files = false;
  std::string endpoint;
  std::string source;
  std::string destination;
  int threads = 0;
  std::string headers;
};

// A handle for one kind of request.
class Handle {
 public:
  Handle(const std::string& headers_file, bool is_put) : easy_(curl_easy_init()) {
    std::ifstream in(headers_file);
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) {
      while (!line.empty() && line.back() == '\r') line.pop_back();
      // curl writes these by itself.
      const bool is_curls =
          line.starts_with("Host:") || line.starts_with("Content-Length:") || line.starts_with("Accept:");
      if (!line.empty() && !is_curls) headers_ = curl_slist_append(headers_, line.c_str());
    }
    if (is_put) {
      headers_ = curl_slist_append(headers_, "Expect:");
      headers_ = curl_slist_append(headers_, "Content-Type:");
      curl_easy_setopt(easy_, CURLOPT_POST, 1L);
      curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, "PUT");
    }
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Handle::take);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &answer_);
  }
  ~Handle() {
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  const std::string& perform(const std::string& url, std::string_view body = {}) {
    answer_.clear();
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    if (!body.empty()) {
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body.data());
    }
    const CURLcode code = curl_easy_perform(easy_);
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200)
      throw std::runtime_error(url + ": " + curl_easy_strerror(code) + ", " + std::to_string(status));
    return answer_;
  }

 private:
  static size_t take(char* data, size_t size, size_t count, void* answer) {
    static_cast<std::string*>(answer)->append(data, size * count);
    return size * count;
  }

  CURL* easy_;
  curl_slist* headers_ = nullptr;
  std::string answer_;
};

// The text between `open` and the next '<', from `at` on; moves `at` behind it.
bool next_text(const std::string& xml, std::string_view open, size_t& at, std::string& text) {
  const size_t start = xml.find(open, at);
  if (start == std::string::npos) return false;
  const size_t end = xml.find('<', start + open.size());
  text = xml.substr(start + open.size(), end - start - open.size());
  at = end;
  return true;
}

std::vector<std::string> list_bucket(const Settings& settings) {
  Handle handle(settings.headers + "/LIST", false);
  std::vector<std::string> keys;
  std::string token;
  do {
    std::string url = settings.endpoint + "/" + settings.source + "?";
    if (!token.empty()) url += "continuation-token=" + token + "&";
    const std::string& xml = handle.perform(url + "encoding-type=url&list-type=2");
    size_t at = 0;
    token.clear();
    next_text(xml, "<NextContinuationToken>", at, token);
    at = 0;
    for (std::string key; next_text(xml, "<Key>", at, key);) keys.push_back(key);
  } while (!token.empty());
  return keys;
}

void list_folder(const std::string& folder, const std::string& below, std::vector<std::string>& keys) {
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) throw std::runtime_error(folder + " cannot be listed");
  while (const dirent* entry = readdir(open)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string key = below + std::string(name);
    if (entry->d_type == DT_DIR)
      list_folder(folder + "/" + std::string(name), key + "/", keys);
    else
      keys.push_back(key);
  }
  closedir(open);
}

std::string_view read_file(const std::string& path, std::string& content) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) throw std::runtime_error(path + " cannot be opened");
  content.resize(static_cast<size_t>(info.st_size));
  size_t filled = 0;
  while (filled < content.size()) {
    const ssize_t got = read(fd, content.data() + filled, content.size() - filled);
    if (got <= 0) throw std::runtime_error(path + " cannot be read");
    filled += static_cast<size_t>(got);
  }
  close(fd);
  return content;
}

void move_some(const Settings& settings, const std::vector<std::string>& keys, std::atomic<size_t>& next) {
  Handle get(settings.headers + "/GET", false);
  Handle put(settings.headers + "/PUT", true);
  std::string content;
  for (size_t i = next++; i < keys.size(); i = next++) {
    std::string_view body;
    if (settings.from_files)
      body = read_file(settings.source + "/" + keys[i], content);
    else
      body = get.perform(settings.endpoint + "/" + settings.source + "/" + keys[i]);
    put.perform(settings.endpoint + "/" + settings.destination + "/" + keys[i], body);
  }
}

int run(const Settings& settings) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  std::vector<std::string> keys;
  if (settings.from_files)
    list_folder(settings.source, "", keys);
  else
    keys = list_bucket(settings);
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < settings.threads; ++i) {
    threads.emplace_back([&] {
      try {
        move_some(settings, keys, next);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "bare_client: %s\n", error.what());
        failed = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 7)
      throw std::runtime_error("usage: bare_client s3|files ENDPOINT SOURCE DESTINATION_BUCKET THREADS HEADERS_FOLDER");
    Settings settings{std::string_view(argv[1]) == "files", argv[2], argv[3], argv[4], std::atoi(argv[5]), argv[6]};
    return run(settings);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bare_client: %s\n", error.what());
    return 2;
  }
}
