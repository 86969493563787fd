// SPDX-License-Identifier: Apache-2.0
//
// What the gates of a cutover's plan look at: new values as the people see them who will use them, references of which no
// copy knows, and what they say.

#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "connectors/s3_scripted_server.hpp"
#include "engine/cutover_support.hpp"

namespace waybill::testing {
namespace {

/// The store that new values "probe://h/KEY" point at: what was copied, seen through a hook.
class ProbedSource final : public ScriptedSource {
 public:
  using ScriptedSource::ScriptedSource;
  std::optional<ItemId> item_at(std::string_view url) const override {
    constexpr std::string_view place = "probe://h/";
    return url.starts_with(place) ? std::optional(ItemId{"", Key(url.substr(place.size())), ""}) : std::nullopt;
  }
};

class CutoverGates : public Cutovers {
 protected:
  Hook probe_hook = [](const std::string&, const Key&, Context&) {};

  CutoverOptions probing(uint64_t probes) {
    register_connector("probe", {[this](const Url&) { return std::make_shared<ProbedSource>(open_source(to), probe_hook); }, nullptr, nullptr});
    CutoverOptions options = Cutovers::options();
    options.url_template = "probe://h/{destination_key}";
    options.probes = probes;
    return options;
  }
  CutoverPlan plan(const CutoverOptions& options) { return migration().plan_cutover(options); }

  /// Whether a text stands in the ledger, in any of its files.
  bool is_in_ledger(const std::string& text) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string content{std::istreambuf_iterator<char>(file), {}};
      if (content.find(text) != std::string::npos) return true;
    }
    return false;
  }
};

TEST_F(CutoverGates, AsManyNewValuesAreAskedForAsWasSaidEachOnceAndSeveralAtOnce) {
  back_up(60);
  std::mutex mutex;
  std::condition_variable changed;
  std::multiset<Key> asked;
  int now = 0;
  int most = 0;
  bool is_met = false;
  probe_hook = [&](const std::string&, const Key& key, Context&) {
    std::unique_lock lock(mutex);
    asked.insert(key);
    most = std::max(most, ++now);
    // The first one waits for another to be under way.
    is_met = is_met || now > 1;
    changed.notify_all();
    changed.wait_for(lock, std::chrono::seconds(60), [&] { return is_met; });
    --now;
  };
  const Gate some = gate(plan(probing(10)), "urls");
  EXPECT_TRUE(some.is_passed) << some.evidence;
  EXPECT_EQ(some.evidence, "10 new values were asked for without credentials, and answered with the right size");
  EXPECT_EQ(asked.size(), 10u);
  EXPECT_TRUE(is_met);
  EXPECT_LE(most, 8);
  EXPECT_EQ(std::set<Key>(asked.begin(), asked.end()).size(), 10u);
  asked.clear();
  const Gate all = gate(plan(probing(1'000'000)), "urls");
  EXPECT_EQ(all.evidence, "all 60 new values were asked for without credentials, and answered with the right size");
  EXPECT_EQ(asked.size(), 60u);
  EXPECT_EQ(std::set<Key>(asked.begin(), asked.end()).size(), 60u);
}

TEST_F(CutoverGates, OnePoorAnswerAmongAllIsFound) {
  back_up(40);
  put(to, key(17), "of another size");
  open_destination(to)->remove(key(23), Context::background());
  const Gate urls = gate(plan(probing(40)), "urls");
  EXPECT_FALSE(urls.is_passed);
  EXPECT_EQ(urls.count, 2);
  EXPECT_NE(urls.evidence.find("2 of 40 new values"), std::string::npos) << urls.evidence;
  EXPECT_TRUE(urls.evidence.find("15 bytes are there, not 10") != std::string::npos || urls.evidence.find("nothing is there") != std::string::npos) << urls.evidence;
}

TEST_F(CutoverGates, AHiccupOfTheHostRefusesNothing) {
  back_up(5);
  std::atomic<int> failures{0};
  probe_hook = [&](const std::string&, const Key& key, Context&) {
    if (key == this->key(3) && failures++ < 2) throw Error(ErrorCode::unavailable, ErrorClass::server, "busy").set_retryable();
  };
  EXPECT_TRUE(gate(plan(probing(5)), "urls").is_passed);
  EXPECT_EQ(failures, 3);
}

TEST_F(CutoverGates, ACredentialThatIsGivenIsSentAndKeptNowhere) {
  back_up(4);
  ScriptedServer server([](const ScriptedRequest& request) {
    if (request.header("authorization") != "Bearer planted-secret") return ScriptedAnswer{401, "", "who are you", true};
    return ScriptedAnswer{206, "Content-Range: bytes 0-0/10\r\nETag: \"e\"\r\n", "x", true};
  });
  CutoverOptions asking = options();
  asking.url_template = "http://127.0.0.1:" + std::to_string(server.port()) + "/{destination_key}";
  asking.probes = 4;
  const Gate anonymous = gate(plan(asking), "urls");
  EXPECT_FALSE(anonymous.is_passed);
  EXPECT_NE(anonymous.evidence.find("4 of 4 new values, asked for without credentials,"), std::string::npos) << anonymous.evidence;
  EXPECT_NE(anonymous.evidence.find("401"), std::string::npos) << anonymous.evidence;
  asking.probe_as = "header:env:WAYBILL_TEST_HEADER";
  ::unsetenv("WAYBILL_TEST_HEADER");
  const Gate unset = gate(plan(asking), "urls");
  EXPECT_FALSE(unset.is_passed);
  EXPECT_NE(unset.evidence.find("no variable WAYBILL_TEST_HEADER"), std::string::npos) << unset.evidence;
  ::setenv("WAYBILL_TEST_HEADER", "Authorization: Bearer another-planted-secret", 1);
  const Gate refused = gate(plan(asking), "urls");
  EXPECT_FALSE(refused.is_passed);
  EXPECT_EQ(refused.evidence.find("planted-secret"), std::string::npos) << refused.evidence;
  ::setenv("WAYBILL_TEST_HEADER", "Authorization: Bearer planted-secret", 1);
  const CutoverPlan accepted = plan(asking);
  ::unsetenv("WAYBILL_TEST_HEADER");
  EXPECT_TRUE(gate(accepted, "urls").is_passed) << gate(accepted, "urls").evidence;
  EXPECT_EQ(gate(accepted, "urls").evidence,
            "all 4 new values were asked for with the header of env:WAYBILL_TEST_HEADER, and answered with the right size");
  EXPECT_TRUE(is_in_ledger("env:WAYBILL_TEST_HEADER")) << "whom the plan asked for";
  EXPECT_FALSE(is_in_ledger("planted-secret"));
}

TEST_F(CutoverGates, ACredentialThatIsNoReferenceIsRefusedAndNotShown) {
  back_up(1);
  for (const char* wrong : {"", "me", "profile:", "header:Authorization: Bearer planted-secret", "header:env:", "header:env:a b"}) {
    CutoverOptions asking = options();
    asking.probe_as = wrong;
    try {
      plan(asking);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.error_class(), ErrorClass::configuration);
      EXPECT_EQ(error.message().find("planted-secret"), std::string::npos);
      EXPECT_NE(error.message().find("profile:NAME"), std::string::npos) << error.message();
    }
  }
}

TEST_F(CutoverGates, ThereIsNothingToSwitchOnlyWhereNothingIs) {
  back_up(3);
  const Gate plain = gate(plan(options()), "references");
  EXPECT_TRUE(plain.is_passed);
  EXPECT_EQ(plain.count, 3);
  EXPECT_EQ(plain.evidence, "3 to be switched");
  for (int i = 0; i < 3; ++i) catalog->set(record(i), old_url("came later"));
  put(from, "came later", "x");
  const CutoverPlan held = plan(options());
  EXPECT_FALSE(held.is_ready);
  EXPECT_EQ(gate(held, "delta").count, 3);
  EXPECT_TRUE(gate(held, "references").is_passed) << "what is held back is the other gate's to refuse";
  EXPECT_EQ(gate(held, "references").evidence, "0 to be switched, 3 held back by other gates");
  for (int i = 0; i < 3; ++i) catalog->set(record(i), std::nullopt);
  const Gate nothing = gate(plan(options()), "references");
  EXPECT_FALSE(nothing.is_passed);
  EXPECT_EQ(nothing.count, 3);
  EXPECT_EQ(nothing.evidence, "there is nothing to switch: 3 references, and each is to stay as it is");
  for (int i = 0; i < 3; ++i) catalog->set(record(i), old_url(key(i)));
  ASSERT_EQ(cut_over(plan(options()).hash).exit_code, 0);
  EXPECT_EQ(gate(plan(options()), "references").evidence, "0 to be switched, 3 switched already");
}

TEST_F(CutoverGates, AReferenceToNothingIsVanishedAndKeepsNobodyFromSwitching) {
  back_up(5);
  std::atomic<int> asked{0};
  std::atomic<int> failures{0};
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation != "stat") return;
    ++asked;
    if (key == "dead-0" && failures++ < 2) throw Error(ErrorCode::unavailable, ErrorClass::server, "busy").set_retryable();
  };
  for (int i = 0; i < 30; ++i) catalog->put("dead-" + std::to_string(i), {old_url("dead-" + std::to_string(i)), i < 20 ? "p" : "q", "", {}});
  const CutoverPlan plan = this->plan(options());
  EXPECT_EQ(asked, 32) << "only those that no copy knows, and one of them three times";
  EXPECT_TRUE(plan.is_ready) << to_json(plan);
  EXPECT_EQ(plan.references.vanished, 30);
  EXPECT_EQ(reference("dead-7")->error_class, ErrorClass::missing);
  EXPECT_EQ(reference("dead-7")->reason, "its old place is dead: nothing is there");
  EXPECT_EQ(plan.unswitched.size(), 30u);
  asked = 0;
  CutoverOptions some = options();
  some.partitions = {"q"};
  this->plan(some);
  EXPECT_EQ(asked, 10) << "those that are not selected are not asked for";
  // Somebody has put one there.
  put(from, "dead-7", "x");
  const CutoverPlan later = this->plan(options());
  EXPECT_FALSE(later.is_ready);
  EXPECT_EQ(gate(later, "delta").count, 1);
  EXPECT_EQ(state("dead-7"), ReferenceState::original);
  copy_and_verify();
  EXPECT_EQ(cut_over(this->plan(options()).hash).exit_code, 0);
  EXPECT_EQ(catalog->value("dead-7"), new_url("dead-7"));
  EXPECT_EQ(catalog->value("dead-8"), old_url("dead-8"));
}

TEST_F(CutoverGates, WhatTheSourceDoesNotTellOfStaysNew) {
  back_up(2);
  catalog->put("secret", {old_url("secret"), "p", "", {}});
  source_hook = [](const std::string& operation, const Key&, Context&) {
    if (operation == "stat") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "you may not look");
  };
  const CutoverPlan plan = this->plan(options());
  EXPECT_EQ(gate(plan, "delta").count, 1) << "a store that refuses us says nothing of what it holds";
  EXPECT_EQ(state("secret"), ReferenceState::original);
  source_hook = [](const std::string& operation, const Key&, Context&) {
    if (operation == "stat") throw Error(ErrorCode::unavailable, ErrorClass::network, "nobody answers").set_retryable();
  };
  try {
    this->plan(options());
    ADD_FAILURE() << "a plan without its source";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::network);
  }
}

TEST_F(CutoverGates, UnknownItemsAreAskedForSeveralAtOnce) {
  back_up(1);
  for (int i = 0; i < 20; ++i) catalog->put("dead-" + std::to_string(i), {old_url("dead-" + std::to_string(i)), "p", "", {}});
  std::mutex mutex;
  std::condition_variable changed;
  int now = 0;
  int most = 0;
  bool is_met = false;
  source_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation != "stat") return;
    std::unique_lock lock(mutex);
    most = std::max(most, ++now);
    is_met = is_met || now > 1;
    changed.notify_all();
    changed.wait_for(lock, std::chrono::seconds(60), [&] { return is_met; });
    --now;
  };
  EXPECT_EQ(plan(options()).references.vanished, 20);
  EXPECT_TRUE(is_met);
  EXPECT_LE(most, 8);
}

/// Where the source is the catalog itself: items are the values, each in its record's account.
class CutoverOfLinks : public CutoverGates {
 protected:
  Migration migration() {
    // As the source of links that it is, also through the hook.
    class Content final : public ScriptedSource {
     public:
      using ScriptedSource::ScriptedSource;
      std::optional<ItemId> item_at(std::string_view url) const override { return LinkedSource(nullptr, {}).item_at(url); }
    };
    const auto content = std::make_shared<Content>(open_source(from), [this](const std::string& operation, const Key& key, Context& context) {
      source_hook(operation, key, context);
    });
    Migration result(open_catalog_source(catalog, {content}), open_destination(to), open_tracker(ledger));
    result.set_key_template("{partition}/{name}");
    result.set_catalog(catalog);
    return result;
  }
  // With a path, whose last word is the name of the item.
  static std::string link(int number) { return old_url("x/" + key(number)); }
  void fill(int count) {
    for (int i = 0; i < count; ++i) put(from, "x/" + key(i), "content");
  }
  CutoverPlan plan() { return migration().plan_cutover(options()); }
  void copy_and_verify() {
    const Report copied = migration().run(quick());
    EXPECT_EQ(copied.snapshot.items.failed, 0) << failure_text();
    migration().verify(VerifyLevel::checksum, quick());
  }
  std::string failure_text() {
    const ScanPage page = open_tracker(ledger, OpenMode::read_only)->scan({}, "", 10);
    for (const ScanRow& row : page.rows) {
      if (row.failure) return row.failure->message;
    }
    return {};
  }
};

TEST_F(CutoverOfLinks, AValueOfTwoAccountsIsAnItemOfEach) {
  fill(2);
  catalog->put("a", {link(0), "acme", "", {}});
  catalog->put("b", {link(0), "beta", "", {}});
  catalog->put("c", {link(1), "beta", "", {}});
  copy_and_verify();
  const CutoverPlan made = plan();
  ASSERT_TRUE(made.is_ready) << to_json(made);
  EXPECT_EQ(migration().start_cutover(made.hash, options(), quick())->wait().exit_code, 0);
  EXPECT_EQ(catalog->value("a"), new_url("acme/" + key(0)));
  EXPECT_EQ(catalog->value("b"), new_url("beta/" + key(0)));
  EXPECT_EQ(catalog->value("c"), new_url("beta/" + key(1)));
}

TEST_F(CutoverOfLinks, ARecordThatMovedKeepsWhatWasCopiedForIt) {
  fill(2);
  catalog->put("a", {link(0), "acme", "", {}});
  catalog->put("b", {link(1), "acme", "", {}});
  copy_and_verify();
  ASSERT_TRUE(plan().is_ready);
  catalog->put("a", {link(0), "beta", "", {}});
  const CutoverPlan moved = plan();
  EXPECT_TRUE(moved.is_ready) << to_json(moved);
  EXPECT_EQ(moved.references.pending, 2);
  EXPECT_EQ(reference("a")->item.partition, "acme");
  // The next copy lists it for its new account, where the link is dead by now.
  open_destination(from)->remove("x/" + key(0), Context::background());
  copy_and_verify();
  const CutoverPlan dead = plan();
  EXPECT_EQ(dead.references.pending, 2) << to_json(dead);
  EXPECT_EQ(reference("a")->item.partition, "acme");
  EXPECT_EQ(migration().start_cutover(dead.hash, options(), quick())->wait().exit_code, 0);
  EXPECT_EQ(catalog->value("a"), new_url("acme/" + key(0)));
}

TEST_F(CutoverOfLinks, ARecordThatMovedBeforeAnyPlanIsCopiedForItsNewAccount) {
  fill(1);
  catalog->put("a", {link(0), "acme", "", {}});
  copy_and_verify();
  catalog->put("a", {link(0), "beta", "", {}});
  EXPECT_EQ(gate(plan(), "delta").count, 1);
  copy_and_verify();
  const CutoverPlan made = plan();
  EXPECT_TRUE(made.is_ready) << to_json(made);
  EXPECT_EQ(migration().start_cutover(made.hash, options(), quick())->wait().exit_code, 0);
  EXPECT_EQ(catalog->value("a"), new_url("beta/" + key(0)));
}

TEST_F(CutoverOfLinks, ALinkThatIsRefusedOrExpiredIsVanishedWithItsClass) {
  fill(3);
  catalog->put("good", {link(0), "acme", "", {}});
  copy_and_verify();
  catalog->put("forbidden", {old_url("forbidden"), "acme", "", {}});
  catalog->put("gone", {old_url("gone"), "acme", "", {}});
  source_hook = [](const std::string& operation, const Key& key, Context&) {
    if (operation == "stat" && key == "forbidden") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "GET answered 403").set_http_status(403);
  };
  const CutoverPlan made = plan();
  EXPECT_TRUE(made.is_ready) << to_json(made);
  EXPECT_EQ(reference("forbidden")->error_class, ErrorClass::permission);
  EXPECT_EQ(reference("forbidden")->reason, "its old place is dead: it refuses us");
  EXPECT_EQ(reference("gone")->error_class, ErrorClass::missing);
  EXPECT_EQ(state("forbidden"), ReferenceState::vanished);
  EXPECT_EQ(migration().start_cutover(made.hash, options(), quick())->wait().exit_code, 0);
  EXPECT_EQ(catalog->value("good"), new_url("acme/" + key(0)));
  EXPECT_EQ(catalog->value("forbidden"), old_url("forbidden"));
}

TEST_F(CutoverOfLinks, ALinkWhoseHostDoesNotAnswerIsNewAndStopsNothing) {
  fill(3);
  catalog->put("good", {link(0), "acme", "", {}});
  copy_and_verify();
  catalog->put("nowhere", {old_url("nowhere"), "acme", "", {}});
  source_hook = [](const std::string& operation, const Key& key, Context&) {
    if (operation == "stat" && key == "nowhere") throw Error(ErrorCode::unavailable, ErrorClass::network, "no such host").set_retryable();
  };
  const CutoverPlan made = plan();
  EXPECT_EQ(made.references.pending, 1) << to_json(made);
  EXPECT_EQ(state("nowhere"), ReferenceState::original);
  EXPECT_FALSE(gate(made, "delta").is_passed) << to_json(made);
}

}  // namespace
}  // namespace waybill::testing
