// SPDX-License-Identifier: Apache-2.0
//
// Errors and their words, Contexts, Bodies, and what connectors inherit.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "waybill/context.hpp"
#include "waybill/destination.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"
#include "waybill/source.hpp"
#include "waybill/transform.hpp"
#include "waybill/version.hpp"

namespace waybill {
namespace {

TEST(ErrorWords, AreInverses) {
  for (int number = 0; number <= static_cast<int>(ErrorClass::internal); ++number) {
    const auto error_class = static_cast<ErrorClass>(number);
    EXPECT_EQ(error_class_from(to_string(error_class)), error_class);
  }
  EXPECT_STREQ(to_string(ErrorClass::source_changed), "source_changed");
  EXPECT_STREQ(to_string(static_cast<ErrorClass>(999)), "internal");
  EXPECT_STREQ(to_string(ErrorCode::unauthenticated), "unauthenticated");
  EXPECT_STREQ(to_string(ErrorCode::aborted), "aborted");
  EXPECT_FALSE(error_class_from("nonsense").has_value());
  for (int number = 0; number <= 5; ++number) {
    EXPECT_EQ(item_state_from(to_string(static_cast<ItemState>(number))), static_cast<ItemState>(number));
  }
  EXPECT_STREQ(to_string(Basis::matched_weak), "matched_weak");
  EXPECT_STREQ(to_string(LogLevel::warning), "warning");
  EXPECT_STREQ(version(), WAYBILL_VERSION);
}

TEST(SystemError, SaysWhatTheNumberMeans) {
  struct Case {
    int number;
    ErrorCode code;
    ErrorClass error_class;
    bool retryable;
    const char* name;
  };
  for (const Case& each : {Case{ENOENT, ErrorCode::not_found, ErrorClass::missing, false, "ENOENT"},
                           Case{EACCES, ErrorCode::permission_denied, ErrorClass::permission, false, "EACCES"},
                           Case{ENOSPC, ErrorCode::resource_exhausted, ErrorClass::local_io, true, "ENOSPC"},
                           Case{EIO, ErrorCode::unavailable, ErrorClass::local_io, true, "EIO"},
                           Case{ELOOP, ErrorCode::unknown, ErrorClass::local_io, false, "ELOOP"}}) {
    Error error = system_error(each.number, "/x");
    EXPECT_EQ(error.code(), each.code) << each.name;
    EXPECT_EQ(error.error_class(), each.error_class) << each.name;
    EXPECT_EQ(error.retryable(), each.retryable) << each.name;
    EXPECT_EQ(error.provider_code(), each.name);
    EXPECT_TRUE(error.message().starts_with("/x: ")) << error.what();
    EXPECT_STREQ(error.prepend("copy").what(), ("copy: /x: " + std::string(std::strerror(each.number))).c_str());
  }
}

/// A Context of which only cancellation and deadline matter.
class FixedContext final : public Context {
 public:
  FixedContext(bool is_cancelled, int fd, Clock::time_point deadline)
      : is_cancelled_(is_cancelled), fd_(fd), deadline_(deadline) {}
  bool cancelled() const noexcept override { return is_cancelled_ || Clock::now() >= deadline_; }
  int cancel_fd() const noexcept override { return fd_; }
  Clock::time_point deadline() const noexcept override { return deadline_; }
  bool sleep(std::chrono::milliseconds) override { return true; }
  Ticket acquire(uint64_t) override { return {}; }
  int attempt() const noexcept override { return 0; }
  uint64_t epoch() const noexcept override { return 0; }
  std::string_view migration() const noexcept override { return {}; }
  void log(LogLevel, std::string_view) override {}
  void count(std::string_view, uint64_t) override {}

 private:
  bool is_cancelled_;
  int fd_;
  Clock::time_point deadline_;
};

ErrorCode code_of(const Context& context) {
  try {
    context.check();
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::ok;
}

TEST(ContextCheck, TellsCancellationFromADeadline) {
  constexpr auto never = Context::Clock::time_point::max();
  const auto past = Context::Clock::now() - std::chrono::seconds(1);
  const int fd = eventfd(0, EFD_CLOEXEC);
  EXPECT_EQ(code_of(FixedContext(false, fd, never)), ErrorCode::ok);
  EXPECT_EQ(code_of(FixedContext(true, fd, never)), ErrorCode::cancelled);
  EXPECT_EQ(code_of(FixedContext(false, fd, past)), ErrorCode::deadline_exceeded);
  EXPECT_EQ(code_of(FixedContext(false, -1, past)), ErrorCode::deadline_exceeded);
  eventfd_write(fd, 1);
  EXPECT_EQ(code_of(FixedContext(true, fd, past)), ErrorCode::cancelled);
  close(fd);
}

TEST(ContextBackground, NeverEnds) {
  Context& context = Context::background();
  EXPECT_FALSE(context.cancelled());
  EXPECT_NO_THROW(context.check());
  EXPECT_EQ(context.cancel_fd(), -1);
  EXPECT_TRUE(context.sleep(std::chrono::milliseconds(1)));
  Ticket ticket = context.acquire(100);
  EXPECT_EQ(ticket.bytes(), 100u);
  Ticket moved = std::move(ticket);
  EXPECT_EQ(moved.bytes(), 100u);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(BodyRead, IsTheSameForBothKinds) {
  const std::string text = "0123456789";
  const Body contiguous(bytes_of(text), {});
  const Body windowed(text.size(), [&](uint64_t offset, std::span<std::byte> out) {
    std::memcpy(out.data(), text.data() + offset, out.size());
    return out.size();
  });
  for (const Body* body : {&contiguous, &windowed}) {
    std::vector<std::byte> out(4);
    EXPECT_EQ(body->read(3, out), 4u);
    EXPECT_EQ(text_of(out), "3456");
    EXPECT_EQ(body->read(8, out), 2u);
    EXPECT_EQ(text_of(std::span(out).first(2)), "89");
    EXPECT_EQ(body->read(10, out), 0u);
    EXPECT_EQ(body->read(UINT64_MAX, out), 0u);
    EXPECT_EQ(body->read(0, {}), 0u);
  }
  EXPECT_TRUE(contiguous.is_contiguous());
  EXPECT_FALSE(windowed.is_contiguous());
  const Body lying(4, [](uint64_t, std::span<std::byte> out) { return out.size() + 1; });
  std::vector<std::byte> out(4);
  EXPECT_THROW(lying.read(0, out), Error);
}

/// A positioned source of one item, whose revision and behaviour a test can change.
class OneItemSource final : public Source {
 public:
  Capabilities capabilities() const override { return {}; }
  std::string identity() const override { return "one://"; }
  std::string endpoint() const override { return "one"; }
  std::unique_ptr<Lister> list(const ListRequest&, Context&) override { return nullptr; }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context&) override {
    ++reads;
    if (item.key() != "k") throw Error(ErrorCode::not_found, ErrorClass::missing, "gone");
    ReadResult result;
    result.stamp.etag = etag;
    result.attributes.content_type = "text/plain";
    if (knows_size) result.total_size = claimed_size.value_or(content.size());
    if (offset < content.size()) {
      result.count = std::min<size_t>(out.size(), content.size() - offset);
      if (result.count > 0) std::memcpy(out.data(), content.data() + offset, result.count);
    }
    return result;
  }
  std::string content;
  std::string etag = "1";
  std::optional<uint64_t> claimed_size;
  bool knows_size = true;
  int reads = 0;
};

Item item_named(std::string key) {
  Item item;
  item.id.key = std::move(key);
  return item;
}

std::string drain(Stream& stream, size_t chunk) {
  std::string all;
  std::vector<std::byte> out(chunk);
  while (const size_t count = stream.read(out, Context::background())) all += text_of(std::span(out).first(count));
  EXPECT_EQ(stream.read(out, Context::background()), 0u);
  return all;
}

TEST(SourceStream, ReadsAPositionedSourceInOrder) {
  OneItemSource source;
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{100'000}, size_t{1} << 20, (size_t{1} << 20) + 1, size_t{5} << 20}) {
    source.content.resize(size);
    for (size_t i = 0; i < size; ++i) source.content[i] = static_cast<char>(i * 7 + i / 251);
    for (const bool knows_size : {true, false}) {
      source.knows_size = knows_size;
      for (const size_t chunk : {size_t{4096}, size_t{3} << 20}) {
        auto stream = source.stream(item_named("k"), Context::background());
        if (knows_size) {
          EXPECT_EQ(stream->size(), size);
        }
        EXPECT_EQ(stream->stamp().etag, "1");
        EXPECT_EQ(stream->attributes().content_type, "text/plain");
        EXPECT_TRUE(drain(*stream, chunk) == source.content) << size << " " << chunk;
      }
    }
  }
}

TEST(SourceStream, AsksOnceForASmallItem) {
  OneItemSource source;
  source.content = "small";
  Item item = item_named("k");
  item.stamp.size = 5;
  auto stream = source.stream(item, Context::background());
  EXPECT_EQ(drain(*stream, 2), "small");
  EXPECT_EQ(source.reads, 1);
}

TEST(SourceStream, NoticesAChangeAndAnEarlyEnd) {
  OneItemSource source;
  source.content.assign(3 << 20, 'x');
  auto stream = source.stream(item_named("k"), Context::background());
  source.etag = "2";
  try {
    drain(*stream, 4096);
    ADD_FAILURE() << "the change was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::source_changed);
  }
  stream = source.stream(item_named("k"), Context::background());
  source.content.resize(2 << 20);
  source.claimed_size = 3 << 20;
  try {
    drain(*stream, 4096);
    ADD_FAILURE() << "the early end was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::data_loss);
    EXPECT_EQ(error.error_class(), ErrorClass::network);
    EXPECT_TRUE(error.retryable());
  }
}

TEST(SourceStat, SaysNothingWhereTheItemIsGone) {
  OneItemSource source;
  source.content = "abc";
  EXPECT_FALSE(source.stat({"", "gone", ""}, Context::background()).has_value());
  const auto item = source.stat({"p", "k", "v"}, Context::background());
  ASSERT_TRUE(item.has_value());
  EXPECT_EQ(item->id, (ItemId{"p", "k", "v"}));
  EXPECT_EQ(item->stamp.size, 3u);
  EXPECT_EQ(item->stamp.etag, "1");
}

/// Implements nothing that has a default.
class BareSource final : public Source {
 public:
  Capabilities capabilities() const override { return {}; }
  std::string identity() const override { return "bare://"; }
  std::string endpoint() const override { return "bare"; }
  std::unique_ptr<Lister> list(const ListRequest&, Context&) override { return nullptr; }
};

class BareDestination final : public Destination {
 public:
  Capabilities capabilities() const override { return {}; }
  std::string identity() const override { return "bare://"; }
  std::string endpoint() const override { return "bare"; }
  std::unique_ptr<Lister> list(const ListRequest&, Context&) override { return nullptr; }
  std::optional<Item> stat(const Key&, Context&) override { return std::nullopt; }
  Stored put(const Key&, const Body&, const WriteOptions&, Context&) override { return {}; }
};

template <typename Call>
ErrorCode code_thrown_by(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("bare://"), std::string::npos) << error.what();
    return error.code();
  }
  return ErrorCode::ok;
}

TEST(Defaults, SayThatTheyCannot) {
  Context& context = Context::background();
  BareSource source;
  const Item item = item_named("k");
  EXPECT_EQ(code_thrown_by([&] { source.read(item, 0, {}, context); }), ErrorCode::unimplemented);
  EXPECT_EQ(code_thrown_by([&] { source.stream(item, context); }), ErrorCode::unimplemented);
  EXPECT_FALSE(source.locator(item).has_value());
  EXPECT_NO_THROW(source.check(context));
  BareDestination destination;
  EXPECT_EQ(code_thrown_by([&] { destination.begin_parts("k", {}, {}, context); }), ErrorCode::unimplemented);
  EXPECT_EQ(code_thrown_by([&] { destination.read(item, 0, {}, context); }), ErrorCode::unimplemented);
  EXPECT_EQ(code_thrown_by([&] { destination.remove("k", context); }), ErrorCode::unimplemented);
  EXPECT_FALSE(destination.copy("k", {}, {}, context).has_value());
  EXPECT_NO_THROW(destination.flush(context));
  EXPECT_NO_THROW(destination.sweep({}, context));
  EXPECT_NO_THROW(destination.check(context));
}

}  // namespace
}  // namespace waybill
