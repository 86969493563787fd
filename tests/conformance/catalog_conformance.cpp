// SPDX-License-Identifier: Apache-2.0
//
// What every Catalog keeps (include/waybill/catalog.hpp).
#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "conformance/conformance.hpp"
#include "waybill/item.hpp"

namespace waybill::conformance {

using namespace std::chrono_literals;
using Status = UpdateResult::Status;
using Value = std::optional<std::string>;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CatalogConformance);

namespace {

/// Ids that differ, but not to everybody.
const std::vector<std::string> awkward_records = {
    "7", "07", "007", "+7", "7.0", " 7", "7 ", "abc", "ABC", "Abc", "-1", "0", "9223372036854775807", "9223372036854775808", "1e3",
    "a'b", "a\"b", "a;b--", "a%b_", "\xc3\xa9", "e\xcc\x81", "\xf0\x9f\x9a\x9a", "a/b?c=d&e", "row\nbreak"};

/// Values that differ, but not to everybody; the null one is among them.
const std::vector<Value> awkward_values = {
    std::nullopt, "", " ", "0", "7", "007", "NULL", "https://old.example/a.pdf", "https://old.example/A.pdf",
    "https://old.example/a.pdf ", "https://old.example/\xc3\xa9", "https://old.example/e\xcc\x81", "it's \"quoted\"; -- %s ? :x",
    "https://old.example/a?b=c&d=%20e#f", "two\nlines", "\xf0\x9f\x9a\x9a"};

std::string shown(const Value& value) { return value ? "\"" + printable(*value) + "\"" : "null"; }

struct Listing {
  std::vector<ReferencePage> pages;

  std::vector<ReferenceValue> references(size_t first_page = 0) const {
    std::vector<ReferenceValue> all;
    for (size_t i = first_page; i < pages.size(); ++i) {
      all.insert(all.end(), pages[i].references.begin(), pages[i].references.end());
    }
    return all;
  }
};

Listing list_catalog(Catalog& catalog, const Since& since, Context& context) {
  Listing listing;
  const auto lister = catalog.list(since, context);
  do {
    listing.pages.push_back(lister->next(context));
    if (listing.pages.size() > 100'000) {
      ADD_FAILURE() << "the listing has no last page";
      break;
    }
  } while (!listing.pages.back().is_last);
  return listing;
}

std::vector<std::string> records_of(const std::vector<ReferenceValue>& references) {
  std::vector<std::string> records;
  for (const ReferenceValue& reference : references) records.push_back(reference.id.record);
  std::sort(records.begin(), records.end());
  return records;
}

ReferenceValue row(const std::string& record, Value value, const std::string& partition = "") {
  ReferenceValue made;
  made.id.record = record;
  made.value = std::move(value);
  made.partition = partition;
  return made;
}

/// Numbers of records to their rows, and how the suite speaks of them.
struct Records {
  CatalogFixture& fixture;
  Context& context;

  ReferenceId id(const std::string& record) const { return {fixture.catalog().identity(), record, fixture.field()}; }
  std::string put(int number, Value value) const {
    const std::string record = fixture.record(number);
    const ReferenceValue made = row(record, std::move(value));
    fixture.put({&made, 1});
    return record;
  }
  ReferenceUpdate update(const std::string& record, Value expected, Value value) const {
    return {id(record), std::move(expected), std::move(value), read(record).stamp};
  }
  ReferenceValue read(const std::string& record) const {
    const ReferenceId one = id(record);
    const auto values = fixture.catalog().read({&one, 1}, context);
    EXPECT_EQ(values.size(), 1U);
    return values.empty() ? ReferenceValue{} : values.front();
  }
  std::vector<UpdateResult> apply(const std::vector<ReferenceUpdate>& updates) const {
    std::vector<UpdateResult> results;
    const size_t most = fixture.catalog().capabilities().max_batch;
    for (size_t at = 0; at < updates.size(); at += most) {
      const auto some = fixture.catalog().update(std::span(updates).subspan(at, std::min(most, updates.size() - at)), context);
      results.insert(results.end(), some.begin(), some.end());
    }
    EXPECT_EQ(results.size(), updates.size());
    results.resize(updates.size());
    return results;
  }
};

}  // namespace

TEST_P(CatalogConformance, IdentityAndEndpointAreStable) {
  Catalog& catalog = fixture().catalog();
  EXPECT_FALSE(catalog.identity().empty());
  EXPECT_EQ(catalog.identity(), catalog.identity());
  EXPECT_EQ(catalog.identity().find_first_of("\n\r"), std::string::npos);
  EXPECT_FALSE(catalog.endpoint().empty());
  EXPECT_EQ(catalog.endpoint(), catalog.endpoint());
  EXPECT_GT(catalog.capabilities().max_batch, 0U);
}

TEST_P(CatalogConformance, CheckPassesOnACatalogThatIsThereAndChangesNothing) {
  const Records records{fixture(), context()};
  const std::string record = records.put(1, "old");
  fixture().catalog().check(CatalogAccess::read, context());
  fixture().catalog().check(CatalogAccess::update, context());
  EXPECT_EQ(fixture().value(record), "old");
}

TEST_P(CatalogConformance, CheckOfACatalogThatIsMissingNamesIt) {
  const std::shared_ptr<Catalog> missing = fixture().missing_store();
  if (missing == nullptr) GTEST_SKIP() << "such a catalog cannot be missing";
  const auto error = error_of([&] { missing->check(CatalogAccess::read, context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing) << error->message();
  EXPECT_FALSE(error->message().empty());
  EXPECT_EQ(error->message().find('\n'), std::string::npos);
  EXPECT_FALSE(error->retryable());
}

TEST_P(CatalogConformance, WhoMayOnlyReadReadsAndIsRefusedUpdates) {
  const std::shared_ptr<Catalog> reader = fixture().without_right_to_update();
  if (reader == nullptr) GTEST_SKIP() << "the fixture has no such user";
  const Records records{fixture(), context()};
  const std::string record = records.put(1, "old");
  reader->check(CatalogAccess::read, context());
  EXPECT_EQ(list_catalog(*reader, {}, context()).references().size(), 1U);
  const ReferenceUpdate update{{reader->identity(), record, fixture().field()}, "old", "new", ""};
  EXPECT_EQ(reader->read({&update.id, 1}, context()).at(0).value, "old");
  const auto error = error_of([&] { reader->check(CatalogAccess::update, context()); });
  ASSERT_TRUE(error) << "check(update) let it pass";
  EXPECT_EQ(error->error_class(), ErrorClass::permission) << error->message();
  std::vector<UpdateResult> results;
  const auto refused = error_of([&] { results = reader->update({&update, 1}, context()); });
  if (refused) {
    EXPECT_EQ(refused->error_class(), ErrorClass::permission) << refused->message();
  } else {
    EXPECT_EQ(results.at(0).status, Status::failed);
    EXPECT_EQ(results.at(0).error_class, ErrorClass::permission) << results.at(0).message;
  }
  EXPECT_EQ(fixture().value(record), "old");
}

TEST_P(CatalogConformance, AnEmptyCatalogListsNothing) {
  const Listing listing = list_catalog(fixture().catalog(), {}, context());
  EXPECT_TRUE(listing.references().empty());
}

TEST_P(CatalogConformance, ListsAndReadsEveryRecordAsItIs) {
  const Records records{fixture(), context()};
  const CatalogFixture::Kept kept = fixture().kept();
  std::map<std::string, ReferenceValue> put;
  const auto add = [&](const std::string& record, const Value& value) {
    ReferenceValue made = row(record, value);
    if (kept.partition) made.partition = record.size() % 2 == 0 ? "" : "account 7";
    if (kept.partition_name) made.partition_name = made.partition.empty() ? "" : "\xc3\x9cnal & Co";
    for (const std::string& name : kept.names) made.names[name] = name + " of " + record;
    fixture().put({&made, 1});
    put[record] = made;
  };
  for (const std::string& record : awkward_records) {
    if (fixture().can_hold_record(record)) {
      add(record, "value of " + record);
    } else {
      note("the catalog cannot hold the record \"" + printable(record) + "\"");
    }
  }
  for (size_t i = 0; i < awkward_values.size(); ++i) {
    if (fixture().can_hold_value(awkward_values[i])) add(fixture().record(static_cast<int>(1'000 + i)), awkward_values[i]);
  }
  const auto listed = list_catalog(fixture().catalog(), {}, context()).references();
  EXPECT_EQ(listed.size(), put.size());
  for (const ReferenceValue& reference : listed) {
    SCOPED_TRACE(printable(reference.id.record));
    ASSERT_TRUE(put.contains(reference.id.record)) << "it was never put";
    const ReferenceValue want = put.extract(reference.id.record).mapped();
    EXPECT_EQ(reference.id, records.id(want.id.record));
    EXPECT_EQ(reference.value, want.value);
    EXPECT_EQ(reference.partition, want.partition);
    EXPECT_EQ(reference.partition_name, want.partition_name);
    EXPECT_EQ(reference.names, want.names);
    EXPECT_FALSE(reference.is_gone);
    const ReferenceValue read = records.read(want.id.record);
    EXPECT_EQ(read.id, reference.id);
    EXPECT_EQ(read.value, reference.value);
    EXPECT_EQ(read.stamp, reference.stamp);
    EXPECT_EQ(read.partition, reference.partition);
    EXPECT_EQ(read.names, reference.names);
    EXPECT_FALSE(read.is_gone);
  }
  for (const auto& [record, unused] : put) ADD_FAILURE() << "not listed, or listed as another one: " << printable(record);
}

TEST_P(CatalogConformance, ListingsGoOnFromEveryPage) {
  std::vector<ReferenceValue> rows;
  for (size_t i = 0; i < fixture().more_than_a_page(); ++i) rows.push_back(row(fixture().record(static_cast<int>(i)), "value"));
  fixture().put(rows);
  const Listing listing = list_catalog(fixture().catalog(), {}, context());
  EXPECT_EQ(records_of(listing.references()), records_of(rows));
  if (listing.pages.size() < 2) {
    note("the whole listing came as one page: nothing to resume");
    return;
  }
  for (size_t n = 0; n + 1 < listing.pages.size(); ++n) {
    SCOPED_TRACE("resumed after page " + std::to_string(n));
    if (listing.pages[n].resume.empty()) {
      note("page " + std::to_string(n) + " cannot be resumed from");
      continue;
    }
    const Listing rest = list_catalog(fixture().catalog(), {"", listing.pages[n].resume}, context());
    EXPECT_EQ(records_of(rest.references()), records_of(listing.references(n + 1)));
  }
}

TEST_P(CatalogConformance, AListingLosesNoRecordThatIsThereAllAlong) {
  const auto count = static_cast<int>(fixture().more_than_a_page());
  std::vector<ReferenceValue> rows;
  std::vector<std::string> steady;
  std::vector<std::string> passing;
  for (int i = 0; i < count; ++i) {
    rows.push_back(row(fixture().record(i), "value"));
    (i % 3 == 0 ? passing : steady).push_back(rows.back().id.record);
  }
  fixture().put(rows);
  const auto lister = fixture().catalog().list({}, context());
  std::vector<ReferenceValue> listed;
  for (int page = 0;; ++page) {
    const ReferencePage got = lister->next(context());
    listed.insert(listed.end(), got.references.begin(), got.references.end());
    if (got.is_last) break;
    ASSERT_LT(page, 100'000);
    // Others remove, change and add records, before and behind where the listing is.
    for (int i = 0; i < 20 && passing.size() >= 2; ++i) {
      fixture().remove(passing.back());
      fixture().remove(passing.front());
      passing = {passing.begin() + 1, passing.end() - 1};
    }
    for (size_t i = 0; i < steady.size(); i += 1 + steady.size() / 20) fixture().set(steady[i], "changed " + std::to_string(page));
    const ReferenceValue added = row(fixture().record(count + page), "added");
    fixture().put({&added, 1});
  }
  std::map<std::string, int> times;
  for (const ReferenceValue& reference : listed) ++times[reference.id.record];
  for (const std::string& record : steady) EXPECT_EQ(times[record], 1) << printable(record);
}

TEST_P(CatalogConformance, ReadsInTheOrderOfTheQuestionsAndSaysWhatIsGone) {
  const Records records{fixture(), context()};
  const std::string first = records.put(1, "one");
  const std::string second = records.put(2, std::nullopt);
  const std::string third = records.put(3, "three");
  fixture().remove(third);
  if (fixture().catalog().capabilities().max_batch < 5) GTEST_SKIP() << "no more than one at a time";
  const std::vector<ReferenceId> ids = {records.id(second), records.id(third), records.id(first), records.id(fixture().record(99)),
                                        records.id(first)};
  const auto values = fixture().catalog().read(ids, context());
  ASSERT_EQ(values.size(), ids.size());
  const std::vector<Value> want = {std::nullopt, std::nullopt, "one", std::nullopt, "one"};
  const std::vector<bool> gone = {false, true, false, true, false};
  for (size_t i = 0; i < ids.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(values[i].id, ids[i]);
    EXPECT_EQ(values[i].value, want[i]);
    EXPECT_EQ(values[i].is_gone, gone[i]);
  }
  EXPECT_TRUE(fixture().catalog().read({}, context()).empty());
  EXPECT_TRUE(fixture().catalog().update({}, context()).empty());
}

TEST_P(CatalogConformance, UpdatesWhereTheValueIsAsExpectedAndNowhereElse) {
  const bool compares = fixture().catalog().capabilities().conditional != Catalog::Conditional::none;
  if (!compares) note("the catalog compares nothing");
  const Records records{fixture(), context()};
  int number = 0;
  for (const Value& held : awkward_values) {
    if (!fixture().can_hold_value(held)) continue;
    SCOPED_TRACE("held " + shown(held));
    const std::string record = records.put(++number, held);
    for (const Value& expected : awkward_values) {
      if (!compares || expected == held) continue;
      const UpdateResult result = records.apply({records.update(record, expected, "https://new.example/x")}).front();
      EXPECT_EQ(result.status, Status::conflict) << "expected " << shown(expected) << ": " << result.message;
      ASSERT_EQ(fixture().value(record), held) << "an edit was lost; expected was " << shown(expected);
    }
    const UpdateResult result = records.apply({records.update(record, held, "https://new.example/x")}).front();
    EXPECT_EQ(result.status, Status::updated) << result.message;
    EXPECT_EQ(fixture().value(record), "https://new.example/x");
    // And back, to the byte.
    const UpdateResult back = records.apply({records.update(record, "https://new.example/x", held)}).front();
    EXPECT_EQ(back.status, Status::updated) << back.message;
    EXPECT_EQ(fixture().value(record), held);
    EXPECT_EQ(records.read(record).value, held);
  }
}

TEST_P(CatalogConformance, OneResultForEachUpdateInOrder) {
  Catalog& catalog = fixture().catalog();
  const size_t batch = std::min<size_t>(catalog.capabilities().max_batch, 1'000);
  if (batch < 4) GTEST_SKIP() << "no more than " << batch << " at a time";
  const Records records{fixture(), context()};
  const bool compares = catalog.capabilities().conditional != Catalog::Conditional::none;
  std::vector<ReferenceValue> rows;
  for (size_t i = 0; i < batch; ++i) rows.push_back(row(fixture().record(static_cast<int>(i)), "old " + std::to_string(i)));
  fixture().put(rows);
  std::vector<ReferenceUpdate> updates;
  for (size_t i = 0; i < batch; ++i) {
    updates.push_back({records.id(rows[i].id.record), rows[i].value, "new " + std::to_string(i), ""});
  }
  for (const ReferenceValue& now : list_catalog(catalog, {}, context()).references()) {
    for (ReferenceUpdate& update : updates) {
      if (update.id == now.id) update.expected_stamp = now.stamp;
    }
  }
  std::reverse(updates.begin(), updates.end());
  for (size_t i = 0; i < batch; ++i) {
    if (i % 4 == 1) fixture().set(updates[i].id.record, "edited");
    if (i % 4 == 2) fixture().remove(updates[i].id.record);
  }
  const auto results = records.apply(updates);
  for (size_t i = 0; i < batch; ++i) {
    SCOPED_TRACE(i);
    const std::string& record = updates[i].id.record;
    if (i % 4 == 1) {
      if (!compares) continue;
      EXPECT_EQ(results[i].status, Status::conflict) << results[i].message;
      EXPECT_EQ(fixture().value(record), "edited");
    } else if (i % 4 == 2) {
      EXPECT_EQ(results[i].status, Status::failed);
      EXPECT_EQ(results[i].error_class, ErrorClass::missing) << results[i].message;
      EXPECT_FALSE(results[i].retryable);
      EXPECT_TRUE(records.read(record).is_gone);
    } else {
      EXPECT_EQ(results[i].status, Status::updated) << results[i].message;
      EXPECT_EQ(fixture().value(record), updates[i].value);
    }
  }
}

TEST_P(CatalogConformance, ARefusedValueFailsAloneAndSaysWhy) {
  const auto refused = fixture().refused_value();
  if (!refused) GTEST_SKIP() << "the field takes every value";
  const Records records{fixture(), context()};
  std::vector<ReferenceUpdate> updates;
  for (int i = 0; i < 5; ++i) {
    const std::string record = records.put(i, "old");
    updates.push_back(records.update(record, "old", i == 2 ? *refused : "new"));
  }
  const auto results = records.apply(updates);
  for (size_t i = 0; i < updates.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(results[i].status, i == 2 ? Status::failed : Status::updated) << results[i].message;
    EXPECT_EQ(fixture().value(updates[i].id.record), i == 2 ? "old" : "new");
  }
  EXPECT_NE(results[2].error_class, ErrorClass::none);
  EXPECT_FALSE(results[2].message.empty());
  EXPECT_EQ(results[2].message.find('\n'), std::string::npos);
  EXPECT_EQ(results[2].message.find(refused->substr(0, 40)), std::string::npos) << "a value may be secret";
  EXPECT_FALSE(results[2].retryable);
}

TEST_P(CatalogConformance, ARecordThatOnlyLooksLikeItIsNotTouched) {
  const Records records{fixture(), context()};
  std::vector<std::string> held;
  for (const std::string& record : awkward_records) {
    if (!fixture().can_hold_record(record)) continue;
    if (held.size() % 2 == 0) {
      const ReferenceValue made = row(record, "of " + record);
      fixture().put({&made, 1});
    }
    held.push_back(record);
  }
  for (size_t i = 1; i < held.size(); i += 2) {
    SCOPED_TRACE(printable(held[i]));
    EXPECT_TRUE(records.read(held[i]).is_gone);
    const UpdateResult result = records.apply({{records.id(held[i]), "of " + held[i - 1], "new", ""}}).front();
    EXPECT_EQ(result.status, Status::failed);
    EXPECT_EQ(result.error_class, ErrorClass::missing) << result.message;
  }
  for (size_t i = 0; i < held.size(); i += 2) EXPECT_EQ(fixture().value(held[i]), "of " + held[i]);
}

TEST_P(CatalogConformance, OfManyThatUpdateAtOnceOneWins) {
  Catalog& catalog = fixture().catalog();
  if (catalog.capabilities().conditional != Catalog::Conditional::exact) GTEST_SKIP() << "the condition is not exact";
  const Records records{fixture(), context()};
  constexpr int rounds = 5;
  constexpr int writers = 4;
  for (int round = 0; round < rounds; ++round) {
    const std::string record = records.put(round, "old");
    std::atomic<int> won{0};
    std::atomic<int> ready{0};
    std::vector<std::string> mine(writers);
    std::vector<std::thread> threads;
    for (int writer = 0; writer < writers; ++writer) {
      threads.emplace_back([&, writer] {
        ++ready;
        while (ready < writers) std::this_thread::yield();
        const ReferenceUpdate update{records.id(record), "old", "writer " + std::to_string(writer), ""};
        // Busy is no answer: it is asked again.
        for (bool is_over = false; !is_over;) {
          try {
            const UpdateResult result = catalog.update({&update, 1}, context()).at(0);
            is_over = result.status != Status::failed || !result.retryable;
            if (result.status == Status::updated) {
              ++won;
              mine[static_cast<size_t>(writer)] = *update.value;
            }
          } catch (const Error& error) {
            is_over = !error.retryable();
            if (is_over) ADD_FAILURE() << error.message();
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(won, 1);
    EXPECT_TRUE(std::find(mine.begin(), mine.end(), fixture().value(record)) != mine.end()) << "the value is not the winner's";
  }
}

TEST_P(CatalogConformance, ListsWhatChangedSinceAStamp) {
  if (!fixture().kept().stamps) GTEST_SKIP() << "the catalog keeps no stamps";
  const Records records{fixture(), context()};
  for (int i = 0; i < 20; ++i) records.put(i, "old");
  for (const ReferenceValue& reference : list_catalog(fixture().catalog(), {}, context()).references()) {
    EXPECT_FALSE(reference.stamp.empty());
  }
  fixture().set(fixture().record(3), "changed");
  const std::string since = records.read(fixture().record(3)).stamp;
  fixture().set(fixture().record(7), "changed");
  records.put(20, "new");
  const auto changed = records_of(list_catalog(fixture().catalog(), {since, ""}, context()).references());
  for (const int number : {3, 7, 20}) {
    EXPECT_TRUE(std::binary_search(changed.begin(), changed.end(), fixture().record(number))) << number;
  }
  EXPECT_LT(changed.size(), 21U) << "records that did not change are listed too";
}

TEST_P(CatalogConformance, ACancelledContextEndsEveryCallAndChangesNothing) {
  const Records records{fixture(), context()};
  const std::string record = records.put(1, "old");
  const ReferenceId id = records.id(record);
  const ReferenceUpdate update{id, "old", "new", ""};
  Catalog& catalog = fixture().catalog();
  const std::map<std::string, std::function<void(Context&)>> calls = {
      {"check", [&](Context& c) { catalog.check(CatalogAccess::update, c); }},
      {"list", [&](Context& c) { list_catalog(catalog, {}, c); }},
      {"read", [&](Context& c) { catalog.read({&id, 1}, c); }},
      {"update", [&](Context& c) { catalog.update({&update, 1}, c); }},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    testing::TestContext cancelled;
    cancelled.cancel();
    const auto error = error_of([&] { call(cancelled); });
    if (name == "check" && !error) continue;  // the default asks nobody
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::cancelled) << error->message();
  }
  EXPECT_EQ(fixture().value(record), "old");
}

TEST_P(CatalogConformance, EveryCallThatHangsEndsWithinASecondOfItsCancellation) {
  const Records records{fixture(), context()};
  const std::string record = records.put(1, "old");
  const auto update = std::make_shared<ReferenceUpdate>(records.update(record, "old", "new"));
  Catalog& catalog = fixture().catalog();
  if (!fixture().stall()) GTEST_SKIP() << "calls to this catalog cannot be made to hang";
  const std::map<std::string, std::function<void(Context&)>> calls = {
      {"check", [&catalog](Context& c) { catalog.check(CatalogAccess::update, c); }},
      {"list", [&catalog](Context& c) { list_catalog(catalog, {}, c); }},
      {"read", [&catalog, update](Context& c) { catalog.read({&update->id, 1}, c); }},
      {"update", [&catalog, update](Context& c) { catalog.update({update.get(), 1}, c); }},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    const auto error = cancel_during(call, 200ms);
    if (name == "check" && !error) continue;  // the default asks nobody
    ASSERT_TRUE(error) << "it was not hanging";
    EXPECT_EQ(error->error_class(), ErrorClass::cancelled) << error->message();
    EXPECT_FALSE(error->retryable());
  }
  fixture().resume();
  EXPECT_EQ(fixture().value(record), "old") << "an update that was cancelled before it began was made";
  EXPECT_EQ(records.apply({*update}).front().status, Status::updated) << "the store works again, so must the catalog";
}

}  // namespace waybill::conformance
