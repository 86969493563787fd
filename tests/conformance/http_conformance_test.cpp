// SPDX-License-Identifier: Apache-2.0
//
// The http connector under the conformance suite: files of a real web server, listed by a manifest.
#include <set>

#include "base/uri.hpp"
#include "conformance/conformance.hpp"
#include "engine/support.hpp"
#include "support/nginx.hpp"
#include "waybill/connectors.hpp"

namespace waybill::conformance {
namespace {

class HttpSourceFixture final : public SourceFixture {
 public:
  HttpSourceFixture() { write(); }
  ~HttpSourceFixture() override { server_.answer_again(); }

  Source& source() override { return *source_; }
  void put(const Key& key, std::string_view content, const Attributes&) override {
    server_.put(key, content, --age_s_);
    if (keys_.insert(key).second) write();
  }
  void remove(const Key& key) override {
    std::filesystem::remove(server_.folder() / key);
    keys_.erase(key);
    write();
  }
  // A key is a URL reference, and here the name of a file.
  bool can_hold(const Key& key) const override {
    const bool is_path =
        !key.empty() && key.front() != '/' && key.back() != '/' && key.find("//") == Key::npos && key.size() < 200;
    return is_path && key.find_first_of(std::string("%?#\\\0", 5)) == Key::npos && key.find("./") == Key::npos &&
           key != "." && key != ".." && !key.ends_with("/.") && !key.ends_with("/..") && key.find("://") == Key::npos;
  }
  size_t more_than_a_page() const override { return 1'100; }
  bool stall() override {
    server_.stop_answering();
    return true;
  }
  void resume() override { server_.answer_again(); }
  bool lists_from_store() const override { return false; }
  std::shared_ptr<Source> missing_store() override {
    return open_source("manifest://" + folder_.path("none.csv") + "?base=" + server_.url());
  }

 private:
  void write() {
    std::string text = "key\n";
    for (const Key& key : keys_) {
      text += '"';
      for (const char c : key) text += c == '"' ? "\"\"" : std::string(1, c);
      text += "\"\n";
    }
    std::FILE* file = std::fopen(folder_.path("list.csv").c_str(), "w");
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  }

  testing::Nginx server_;
  testing::TemporaryFolder folder_;
  std::set<Key> keys_;
  int age_s_ = 10'000'000;
  std::shared_ptr<Source> source_ = open_source("manifest://" + folder_.path("list.csv") + "?base=" + server_.url());
};

}  // namespace

WAYBILL_CONFORMANCE_SOURCE(Http, HttpSourceFixture);

}  // namespace waybill::conformance
