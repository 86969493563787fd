// SPDX-License-Identifier: Apache-2.0
//
// The filesystem connector under the conformance suite. Files are put and looked at with system calls, beside a sibling
// folder that nothing may touch.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "conformance/conformance.hpp"
#include "connectors/filesystem/filesystem.hpp"

namespace waybill::conformance {

namespace {

namespace fs = std::filesystem;

/// A folder of its own, with the store in `root()`; removed at the end.
class TemporaryTree {
 public:
  TemporaryTree() {
    std::string pattern = (fs::temp_directory_path() / "waybill-conformance-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), pattern);
    top_ = pattern;
    fs::create_directory(root());
    fs::create_directory(top_ / "sibling");
  }
  ~TemporaryTree() {
    std::error_code ignored;
    fs::remove_all(top_, ignored);
  }
  TemporaryTree(const TemporaryTree&) = delete;
  TemporaryTree& operator=(const TemporaryTree&) = delete;

  fs::path root() const { return top_ / "root"; }
  fs::path top() const { return top_; }
  fs::path path(const Key& key) const { return fs::path(root().string() + "/" + key); }
  Url url() const {
    Url url;
    url.scheme = "file";
    url.path = root().string();
    return url;
  }
  Url missing_url() const {
    Url url;
    url.scheme = "file";
    url.path = (top_ / "not there").string();
    return url;
  }

 private:
  fs::path top_;
};

bool fits_a_path(const Key& key) {
  if (key.empty() || key.front() == '/' || key.find('\0') != Key::npos || key.find("//") != Key::npos) return false;
  for (const fs::path& component : fs::path(key)) {
    if (component == "." || component == ".." || component.string().size() > 255) return false;
  }
  return key.size() < 3'500;
}

void set_attributes(const fs::path& path, const Attributes& attributes) {
  if (attributes.mode) ::chmod(path.c_str(), *attributes.mode);
  if (attributes.mtime_ns) {
    const timespec times[2] = {{0, UTIME_OMIT},
                               {static_cast<time_t>(*attributes.mtime_ns / 1'000'000'000), *attributes.mtime_ns % 1'000'000'000}};
    ::utimensat(AT_FDCWD, path.c_str(), times, 0);
  }
}

AttributesKept kept() {
  AttributesKept attributes;
  attributes.mode = true;
  attributes.mtime = true;
  return attributes;
}

class FilesystemSourceFixture final : public SourceFixture {
 public:
  Source& source() override { return *source_; }
  void put(const Key& key, std::string_view content, const Attributes& attributes) override {
    const fs::path path = tree_.path(key);
    if (key.ends_with('/')) {
      fs::create_directories(path);
    } else {
      fs::create_directories(path.parent_path());
      std::ofstream file(path, std::ios::binary | std::ios::trunc);
      file.write(content.data(), static_cast<std::streamsize>(content.size()));
      if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
    }
    set_attributes(path, attributes);
  }
  void remove(const Key& key) override { fs::remove(tree_.path(key)); }
  bool can_hold(const Key& key) const override { return fits_a_path(key); }
  AttributesKept attributes_kept() const override { return kept(); }
  size_t more_than_a_page() const override { return 5'000; }
  std::shared_ptr<Source> missing_store() override {
    return filesystem::filesystem_connector().open_source(tree_.missing_url());
  }

 private:
  TemporaryTree tree_;
  std::shared_ptr<Source> source_ = filesystem::filesystem_connector().open_source(tree_.url());
};

class FilesystemDestinationFixture final : public DestinationFixture {
 public:
  Destination& destination() override { return *destination_; }
  std::optional<std::string> content(const Key& key) override {
    std::ifstream file(tree_.path(key), std::ios::binary);
    struct stat status{};
    if (!file || ::stat(tree_.path(key).c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  std::vector<Key> refused_keys() const override {
    std::vector<Key> refused;
    for (const Key& key : hostile_keys()) {
      if (!fits_a_path(key)) refused.push_back(key);
    }
    return refused;
  }
  std::vector<std::string> strays() override {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(tree_.top())) {
      if (entry.path().filename() != "root" && entry.path().filename() != "sibling") names.push_back(entry.path().string());
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(tree_.top() / "sibling")) names.push_back(entry.path().string());
    for (const char* name : {"/absolute", "/double", "/tmp/up", "/etc/up"}) {
      if (fs::exists(name)) names.emplace_back(name);
    }
    return names;
  }
  std::vector<std::string> leftovers() override {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(tree_.root())) {
      if (entry.is_regular_file() && entry.path().string().find(".waybill-tmp") != std::string::npos) {
        names.push_back(entry.path().string());
      }
    }
    return names;
  }
  AttributesKept attributes_kept() const override { return kept(); }
  size_t more_than_a_page() const override { return 5'000; }

 private:
  TemporaryTree tree_;
  std::shared_ptr<Destination> destination_ = filesystem::filesystem_connector().open_destination(tree_.url());
};

}  // namespace

WAYBILL_CONFORMANCE_SOURCE(Filesystem, FilesystemSourceFixture);
WAYBILL_CONFORMANCE_DESTINATION(Filesystem, FilesystemDestinationFixture);

}  // namespace waybill::conformance
