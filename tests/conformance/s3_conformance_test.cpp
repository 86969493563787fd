// SPDX-License-Identifier: Apache-2.0
//
// The S3 connector under the conformance suite, against a real server on loopback that checks signatures and keeps
// objects as files: content is judged by these files, not by another request. A proxy that can freeze stands between
// the connector and the server.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "conformance/conformance.hpp"
#include "connectors/s3/s3.hpp"
#include "support/s3_server.hpp"
#include "support/stall_proxy.hpp"

namespace waybill::conformance {

namespace {

namespace fs = std::filesystem;
using testing::S3Server;
using testing::StallProxy;

constexpr const char* prefix = "a prefix+with%2F/";

/// The server keeps a key as a path, and knows no other keys than paths; and it answers listings in plain XML, which has
/// no way to write most control characters.
bool fits_the_server(const Key& key) {
  for (const char byte : key) {
    if (static_cast<unsigned char>(byte) < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') return false;
  }
  if (key.empty() || key.front() == '/' || key.find('\0') != Key::npos || key.find("//") != Key::npos) return false;
  for (const fs::path& component : fs::path(key)) {
    if (component == "." || component == ".." || component.string().size() > 255) return false;
  }
  return true;
}

/// Keys that S3 itself cannot have: empty, not UTF-8, longer than 1,024 bytes.
std::vector<Key> keys_beyond_s3() {
  return {"", "not\xff\xfeutf8", std::string(127, '\xc3') + "x", std::string(5000, 'k'), "\xed\xa0\x80surrogate",
          "d/" + std::string(1'030, 'l')};
}

AttributesKept kept() { return {true, true, true, true}; }

class S3Bucket {
 public:
  S3Bucket() : bucket_(S3Server::shared().make_bucket("conformance")), proxy_("127.0.0.1", S3Server::shared().port()) {}
  ~S3Bucket() {
    std::error_code ignored;  // the server may be removing a part at this moment
    fs::remove_all(folder(), ignored);
  }

  fs::path folder() const { return S3Server::shared().folder() / bucket_; }
  Url url_by_proxy() const { return S3Server::shared().url(bucket_, prefix, proxy_.port()); }
  Url url() const { return S3Server::shared().url(bucket_, prefix); }
  Url missing_url() const { return S3Server::shared().url("no-such-bucket-" + bucket_, prefix); }
  StallProxy& proxy() { return proxy_; }

  std::optional<std::string> content(const Key& key) const {
    const fs::path path(folder().string() + "/" + prefix + key);
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    if (S_ISDIR(status.st_mode)) return key.ends_with('/') ? std::optional<std::string>("") : std::nullopt;
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  /// Objects beside the prefix.
  std::vector<std::string> strays() const {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder())) {
      const std::string name = entry.path().filename().string();
      if (name + "/" != prefix && name != ".sgwtmp") names.push_back(name);
    }
    return names;
  }
  /// Uploads that are open: the server keeps each in .sgwtmp/multipart/<hash of the key>/<upload id>.
  std::vector<std::string> uploads() const {
    std::vector<std::string> names;
    const fs::path top = folder() / ".sgwtmp" / "multipart";
    if (!fs::exists(top)) return names;
    for (const fs::directory_entry& object : fs::directory_iterator(top)) {
      for (const fs::directory_entry& upload : fs::directory_iterator(object)) {
        if (upload.is_directory()) names.push_back(upload.path().string());
      }
    }
    return names;
  }

 private:
  std::string bucket_;
  StallProxy proxy_;
};

class S3SourceFixture final : public SourceFixture {
 public:
  Source& source() override { return *source_; }
  void put(const Key& key, std::string_view content, const Attributes& attributes) override {
    writer_->put(key, Body(std::as_bytes(std::span(content)), {}), {attributes, {}}, Context::background());
  }
  void remove(const Key& key) override { writer_->remove(key, Context::background()); }
  bool can_hold(const Key& key) const override {
    const std::vector<Key> beyond = keys_beyond_s3();
    return fits_the_server(key) && std::find(beyond.begin(), beyond.end(), key) == beyond.end();
  }
  AttributesKept attributes_kept() const override { return kept(); }
  size_t more_than_a_page() const override { return 1'100; }
  bool stall() override {
    bucket_.proxy().freeze();
    return true;
  }
  void resume() override { bucket_.proxy().thaw(); }
  std::shared_ptr<Source> missing_store() override { return s3::s3_connector().open_source(bucket_.missing_url()); }

 private:
  S3Bucket bucket_;
  std::shared_ptr<Source> source_ = s3::s3_connector().open_source(bucket_.url_by_proxy());
  std::shared_ptr<Destination> writer_ = s3::s3_connector().open_destination(bucket_.url());
};

class S3DestinationFixture final : public DestinationFixture {
 public:
  Destination& destination() override { return *destination_; }
  std::optional<std::string> content(const Key& key) override { return bucket_.content(key); }
  bool can_hold(const Key& key) const override { return fits_the_server(key); }
  std::vector<Key> refused_keys() const override { return keys_beyond_s3(); }
  std::vector<std::string> strays() override { return bucket_.strays(); }
  std::vector<std::string> leftovers() override { return bucket_.uploads(); }
  AttributesKept attributes_kept() const override { return kept(); }
  size_t more_than_a_page() const override { return 1'100; }
  bool stall() override {
    bucket_.proxy().freeze();
    return true;
  }
  void resume() override { bucket_.proxy().thaw(); }
  std::shared_ptr<Destination> missing_store() override {
    return s3::s3_connector().open_destination(bucket_.missing_url());
  }

 private:
  S3Bucket bucket_;
  std::shared_ptr<Destination> destination_ = s3::s3_connector().open_destination(bucket_.url_by_proxy());
};

}  // namespace

WAYBILL_CONFORMANCE_SOURCE(S3, S3SourceFixture);
WAYBILL_CONFORMANCE_DESTINATION(S3, S3DestinationFixture);

}  // namespace waybill::conformance
