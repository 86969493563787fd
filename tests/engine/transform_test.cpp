// SPDX-License-Identifier: Apache-2.0
//
// Transforms whose output length is not known before: gzip over whole files and parts, and one that fails.

#include <gtest/gtest.h>
#include <zlib.h>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

class GzipStream final : public Stream {
 public:
  explicit GzipStream(std::unique_ptr<Stream> input) : input_(std::move(input)), window_(64 << 10) {
    if (deflateInit2(&zip_, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { deflateEnd(&zip_); }

  size_t read(std::span<std::byte> out, Context& context) override {
    zip_.next_out = reinterpret_cast<Bytef*>(out.data());
    zip_.avail_out = static_cast<uInt>(out.size());
    while (zip_.avail_out > 0 && !is_over_) {
      if (zip_.avail_in == 0 && !is_drained_) {
        const size_t count = input_->read(window_, context);
        is_drained_ = count == 0;
        zip_.next_in = reinterpret_cast<Bytef*>(window_.data());
        zip_.avail_in = static_cast<uInt>(count);
      }
      is_over_ = deflate(&zip_, is_drained_ ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_END;
    }
    return out.size() - zip_.avail_out;
  }

 private:
  std::unique_ptr<Stream> input_;
  std::vector<std::byte> window_;
  z_stream zip_{};
  bool is_drained_ = false;
  bool is_over_ = false;
};

class Gzip final : public Transform {
 public:
  std::string identity() const override { return "gzip-6"; }
  std::unique_ptr<Stream> apply(const Item&, std::unique_ptr<Stream> input, Context&) override {
    return std::make_unique<GzipStream>(std::move(input));
  }
  Attributes attributes(const Item&, Attributes source) const override {
    source.content_encoding = "gzip";
    return source;
  }
};

std::string gunzip(const std::string& packed) {
  z_stream zip{};
  inflateInit2(&zip, 15 + 16);
  zip.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  zip.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  std::string window(1 << 20, '\0');
  int result = Z_OK;
  while (result == Z_OK) {
    zip.next_out = reinterpret_cast<Bytef*>(window.data());
    zip.avail_out = static_cast<uInt>(window.size());
    result = inflate(&zip, Z_NO_FLUSH);
    out.append(window, 0, window.size() - zip.avail_out);
  }
  inflateEnd(&zip);
  return result == Z_STREAM_END ? out : "not gzip";
}

std::string noise(size_t size) {
  std::string content(size, '\0');
  uint64_t state = 88172645463325252u;
  for (char& c : content) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    c = static_cast<char>(state);
  }
  return content;
}

using WithTransform = Stores;

TEST_F(WithTransform, GzipOverSmallItemsAndParts) {
  transform = std::make_shared<Gzip>();
  std::map<Key, std::string> contents = {
      {"empty", ""}, {"small", "hello"}, {"text", std::string(3 << 20, 'a')}, {"noise", noise(12 << 20)}, {"grows", noise(40 << 10)}};
  for (const auto& [key, content] : contents) put(from, key, content);
  Options options = quick();
  options.part_size_bytes = uint64_t{5} << 20;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  for (const auto& [key, content] : contents) {
    const std::optional<std::string> packed = get(to, key);
    ASSERT_TRUE(packed) << key;
    EXPECT_EQ(gunzip(*packed), content) << key;
    // Both sides are kept apart: the source's size and digest, and those of what was stored.
    const ItemRecord record = *row(key);
    EXPECT_EQ(record.stamp.size, content.size());
    EXPECT_EQ(record.digest.crc64nvme, internal::crc64nvme(internal::as_bytes(content)));
    ASSERT_TRUE(record.stored);
    EXPECT_EQ(record.stored->size, packed->size());
    EXPECT_EQ(record.stored->digest.crc64nvme, internal::crc64nvme(internal::as_bytes(*packed)));
  }
  const Report verified = migration().verify(VerifyLevel::checksum, quick());
  EXPECT_EQ(verified.exit_code, 0) << verified.message;
  EXPECT_EQ(verified.snapshot.items.verified, 5);
}

TEST_F(WithTransform, SecondRunMovesNothing) {
  transform = std::make_shared<Gzip>();
  put(from, "a", "content");
  EXPECT_EQ(copy().exit_code, 0);
  const Report second = copy();
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_EQ(second.snapshot.items.unchanged, 1);
  EXPECT_EQ(second.snapshot.attempts_total, 0u);
}

TEST_F(WithTransform, AnotherTransformIsAnotherMigration) {
  put(from, "a", "content");
  EXPECT_EQ(copy().exit_code, 0);
  transform = std::make_shared<Gzip>();
  try {
    copy();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::configuration);
  }
}

class Failing final : public Transform {
 public:
  std::string identity() const override { return "failing"; }
  std::unique_ptr<Stream> apply(const Item& item, std::unique_ptr<Stream> input, Context&) override {
    if (item.key() == "bad-apply") throw std::runtime_error("cannot be transformed");
    class Bad final : public Stream {
     public:
      explicit Bad(std::unique_ptr<Stream> inner) : inner_(std::move(inner)) {}
      size_t read(std::span<std::byte> out, Context& context) override {
        const size_t count = inner_->read(out, context);
        if (count == 0) throw std::runtime_error("no end mark");
        return count;
      }

     private:
      std::unique_ptr<Stream> inner_;
    };
    if (item.key() == "bad-end") return std::make_unique<Bad>(std::move(input));
    return input;
  }
};

TEST_F(WithTransform, FailureOfATransformFailsItsItemAlone) {
  transform = std::make_shared<Failing>();
  for (const char* key : {"bad-apply", "bad-end", "good"}) put(from, key, "content");
  put(from, "unreadable", "content");
  source_hook = [](const std::string& operation, const Key& key, Context&) {
    if (operation == "stream" && key == "unreadable") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "no right");
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.snapshot.items.done, 1);
  EXPECT_EQ(get(to, "good"), "content");
  EXPECT_FALSE(get(to, "bad-end"));
  EXPECT_EQ(failure("bad-apply")->error_class, ErrorClass::transform);
  EXPECT_EQ(failure("bad-end")->error_class, ErrorClass::transform);
  EXPECT_NE(failure("bad-end")->message.find("no end mark"), std::string::npos);
  EXPECT_EQ(failure("unreadable")->error_class, ErrorClass::permission) << "an error of the input stays what it is";
}

}  // namespace
}  // namespace waybill::testing
