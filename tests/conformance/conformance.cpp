// SPDX-License-Identifier: Apache-2.0
//
// What the suites share: sample data, awkward keys, cancelling a call that hangs, and the checks of listings.
#include "conformance/conformance.hpp"

#include <algorithm>
#include <future>
#include <set>
#include <thread>

namespace waybill::conformance {

using namespace std::chrono_literals;

std::string sample_content(size_t size, uint64_t seed) {
  std::string content(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (char& byte : content) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state >> 32);
  }
  return content;
}

std::vector<Key> awkward_keys() {
  return {
      "!first",
      "a!",
      "a-b",
      "a.txt",
      "a/b",
      "a/b-c",
      "a/b.d/e",
      "a0",
      "aa",
      "A",
      "Z/z",
      "_",
      "~last",
      "with space",
      " leading and trailing ",
      "plus+plus",
      "percent%41%2F%",
      "quote\"and'quote",
      "a=b&c=d?e#f",
      "back\\slash",
      "<xml>&amp;",
      "colon:semi;comma,",
      "[glob]*?{x}",
      "new\nline",
      "carriage\rreturn",
      "tab\tdelete\x7f",
      "control\x01\x1f",
      "\xc3\xa9t\xc3\xa9",              // é t é, composed
      "e\xcc\x81te\xcc\x81",            // the same, decomposed: another key
      "\xf0\x9f\x9a\x9a/\xe2\x9c\x93",  // emoji
      "not\xff\xfeutf8",
      "-dash",
      "--option=value",
      ".hidden",
      "..two",
      "three...",
      std::string(255, 'n'),
      std::string(127, '\xc3') + "x",
      "d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12/d13/d14/d15/d16/deep",
      "x/" + std::string(200, 'p') + "/" + std::string(200, 'q') + "/" + std::string(200, 'r'),
  };
}

std::vector<Key> hostile_keys() {
  return {
      "../up",        "../../etc/up",       "a/../../up", "a/..",           "..",          ".",
      "./a",          "a/./b",              "a//b",       "/absolute",      "//double",    "",
      "a/b/..",       std::string("n\0ul", 4), "/",      "dir/../sibling", "a/b/../../../up",
      std::string(300, 'c'),                 std::string(5000, 'k'),
  };
}

::testing::AssertionResult same(const std::optional<std::string>& got, const std::optional<std::string>& want) {
  if (got == want) return ::testing::AssertionSuccess();
  if (!got) return ::testing::AssertionFailure() << "there is nothing";
  if (!want) return ::testing::AssertionFailure() << "there is something: " << printable(got->substr(0, 60));
  const auto [in_got, in_want] = std::mismatch(got->begin(), got->end(), want->begin(), want->end());
  return ::testing::AssertionFailure() << got->size() << " bytes instead of " << want->size() << ", equal up to byte "
                                       << (in_got - got->begin()) << ", then \""
                                       << printable(std::string(in_got, got->end()).substr(0, 30)) << "\" instead of \""
                                       << printable(std::string(in_want, want->end()).substr(0, 30)) << "\"";
}

std::optional<Error> error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

std::optional<Error> cancel_during(const std::function<void(Context&)>& call, std::chrono::milliseconds wait) {
  // On the heap and detached from this frame: a call that never returns must fail the case, not hang or crash it.
  struct Shared {
    testing::TestContext context;
    std::promise<std::optional<Error>> ended;
  };
  auto shared = std::make_shared<Shared>();
  std::future<std::optional<Error>> ended = shared->ended.get_future();
  std::thread thread([shared, call] {
    try {
      shared->ended.set_value(error_of([&] { call(shared->context); }));
    } catch (...) {
      shared->ended.set_exception(std::current_exception());
    }
  });
  ended.wait_for(wait);
  const auto cancelled_at = std::chrono::steady_clock::now();
  shared->context.cancel();
  if (ended.wait_for(10s) != std::future_status::ready) {
    ADD_FAILURE() << "the call had not returned 10 s after it was cancelled";
    thread.detach();
    return std::nullopt;
  }
  const auto took = std::chrono::steady_clock::now() - cancelled_at;
  EXPECT_LT(took, 1s) << "after it was cancelled";
  thread.join();
  return ended.get();
}

namespace {

void expect_same_keys(std::vector<Key> got, std::vector<Key> want) {
  std::sort(got.begin(), got.end());
  std::sort(want.begin(), want.end());
  if (got == want) return;
  for (const Key& key : want) {
    if (!std::binary_search(got.begin(), got.end(), key)) ADD_FAILURE() << "not listed: " << printable(key);
  }
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::binary_search(want.begin(), want.end(), got[i])) ADD_FAILURE() << "listed: " << printable(got[i]);
    if (i > 0 && got[i] == got[i - 1]) ADD_FAILURE() << "listed twice: " << printable(got[i]);
  }
}

std::vector<Key> between(const std::vector<Key>& keys, const Key& after, const Key& before) {
  std::vector<Key> out;
  for (const Key& key : keys) {
    if (key > after && (before.empty() || key < before)) out.push_back(key);
  }
  return out;
}

}  // namespace

template <typename Store>
void check_order(Store& store, const std::vector<Key>& keys, Context& context) {
  const std::vector<Key> got = keys_of(list_all(store, {}, context));
  expect_same_keys(got, keys);
  if (store.capabilities().order != Order::byte_key) return;
  for (size_t i = 1; i < got.size(); ++i) {
    EXPECT_LT(got[i - 1], got[i]) << printable(got[i]) << " was listed after " << printable(got[i - 1]);
  }
}

template <typename Store>
void check_bounds(Store& store, const std::vector<Key>& keys, Context& context) {
  std::vector<Key> bounds = {"", "a", "a/", "a/b", "a/b-c", "a0", "m", "\xff", "a\xff", std::string(1, '\x01')};
  for (size_t i = 0; i < keys.size(); i += 7) bounds.push_back(keys[i]);
  for (const Key& bound : bounds) {
    SCOPED_TRACE("bound " + printable(bound));
    expect_same_keys(keys_of(list_all(store, {"", bound, "", ""}, context)), between(keys, bound, ""));
    if (!bound.empty()) {
      expect_same_keys(keys_of(list_all(store, {"", "", bound, ""}, context)), between(keys, "", bound));
    }
    const Key end = bound + "z";
    expect_same_keys(keys_of(list_all(store, {"", bound, end, ""}, context)), between(keys, bound, end));
  }
}

template <typename Store>
void check_resume(Store& store, const std::vector<Key>& keys, Context& context) {
  // Every page's resume, used by a new lister, gives exactly what the pages after it gave.
  std::vector<Page> pages;
  const std::unique_ptr<Lister> lister = store.list({}, context);
  do {
    pages.push_back(lister->next(context));
    ASSERT_LT(pages.size(), 100'000U);
  } while (!pages.back().is_last);

  std::vector<Key> all;
  for (const Page& page : pages) {
    for (const Item& item : page.items) all.push_back(item.id.key);
  }
  expect_same_keys(all, keys);
  if (pages.size() < 2) {
    std::printf("[  LEFT    ] the whole listing came as one page: nothing to resume\n");
    return;
  }
  const size_t step = std::max<size_t>(1, pages.size() / 5);
  for (size_t n = 0; n + 1 < pages.size(); n += step) {
    if (pages[n].resume.empty()) {
      std::printf("[  LEFT    ] page %zu cannot be resumed from\n", n);
      continue;
    }
    std::vector<Key> rest;
    for (size_t i = n + 1; i < pages.size(); ++i) {
      for (const Item& item : pages[i].items) rest.push_back(item.id.key);
    }
    SCOPED_TRACE("resumed after page " + std::to_string(n));
    expect_same_keys(keys_of(list_all(store, {"", "", "", pages[n].resume}, context)), rest);
  }
}

template void check_order(Source&, const std::vector<Key>&, Context&);
template void check_order(Destination&, const std::vector<Key>&, Context&);
template void check_bounds(Source&, const std::vector<Key>&, Context&);
template void check_bounds(Destination&, const std::vector<Key>&, Context&);
template void check_resume(Source&, const std::vector<Key>&, Context&);
template void check_resume(Destination&, const std::vector<Key>&, Context&);

}  // namespace waybill::conformance
