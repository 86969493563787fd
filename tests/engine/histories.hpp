// SPDX-License-Identifier: Apache-2.0
//
// Histories drawn by chance: runs, retries, limits, verifications, waivers, faults, interruptions, kills, changes at the
// source and meddling at the destination, in any order. After every step the invariants hold; at the end, with the faults
// gone, one more run brings everything over.
//
// A kill leaves what it leaves of a process: the ledger as it was committed at that instant, and whatever has reached the
// destination. A copy of the ledger is drawn at the instant, every call after it fails, and the copy takes its place.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <random>
#include <set>

#include "base/thread.hpp"
#include "engine/support.hpp"
#include "waybill/maintenance.hpp"

namespace waybill::testing {

class History {
 public:
  explicit History(uint64_t seed, bool is_strict) : random_(seed), is_sequential_(draw(4) != 0), is_strict_(is_strict) {}
  ~History() {
    for (const std::string& url : {from_, to_}) {
      const auto store = open_destination(url);
      for (const auto& [key, content] : get_all(url)) store->remove(key, Context::background());
    }
  }

  void run(int steps) {
    change_source();
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      step();
      check("after " + told_.back());
    }
    if (!::testing::Test::HasFailure()) converge();
  }

  /// The steps so far, for whoever reads of a failure.
  std::string told() const {
    std::string text;
    for (const std::string& step : told_) text += "\n  " + step;
    return text;
  }

 private:
  static constexpr size_t n_keys = 24;

  size_t draw(size_t below) { return static_cast<size_t>(random_() % below); }
  Key draw_key() {
    char text[16];
    std::snprintf(text, sizeof text, "key %02zu", draw(n_keys));
    return text;
  }

  void step() {
    switch (draw(10)) {
      case 0:
      case 1: return change_source();
      case 2: return meddle();
      case 3: return copy("run", {});
      case 4: {
        Options options;
        options.limit = 1 + draw(5);
        return copy("run --limit", options);
      }
      case 5: {
        Options options;
        options.failed_only = true;
        return copy("retry", options);
      }
      case 6: return verify();
      case 7: return waive();
      case 8: return copy("run, killed", {}, 1 + static_cast<int>(draw(40)), End::kill);
      default: return copy("run, interrupted", {}, 1 + static_cast<int>(draw(40)), End::interrupt);
    }
  }

  void change_source() {
    told_.push_back("the source changes");
    const auto store = open_destination(from_);
    for (size_t i = 0, n = 1 + draw(8); i < n; ++i) {
      const Key key = draw_key();
      if (draw(4) == 0) {
        store->remove(key, Context::background());
        source_.erase(key);
      } else {
        // Lengths come again, so that contents of one length differ; some are empty.
        const std::string content = draw(12) == 0 ? "" : key + " revision " + std::to_string(10 + draw(80)) + std::string(draw(3), '.');
        put(from_, key, content);
        source_[key] = content;
        ever_[key].insert(content);
      }
    }
  }

  void meddle() {
    told_.push_back("somebody meddles with the destination");
    const auto store = open_destination(to_);
    for (size_t i = 0, n = 1 + draw(3); i < n; ++i) {
      const Key key = draw(4) == 0 ? "extra " + std::to_string(draw(5)) : draw_key();
      if (draw(2) == 0) {
        store->remove(key, Context::background());
        foreign_.erase(key);
        lost_.insert(key);
      } else {
        foreign_[key] = "somebody's " + std::to_string(random_());
        put(to_, key, foreign_[key]);
      }
    }
  }

  enum class End { itself, kill, interrupt };

  void copy(const std::string& name, Options options, int at_event = 0, End end = End::itself) {
    told_.push_back(name + (at_event > 0 ? " at event " + std::to_string(at_event) : ""));
    if (!std::filesystem::exists(ledger_) && options.failed_only) return;
    options.commit_interval_ms = 10;
    options.retry_base_ms = 1;
    options.retry_cap_ms = 2;
    options.max_attempts = 3;
    options.drain_ms = 0;
    options.concurrency = is_sequential_ ? 1 : 4;
    fault_percent_ = is_calm_ ? 0 : draw(2) * draw(12);
    faults_.seed(random_());
    events_ = 0;
    kill_at_ = end == End::kill ? at_event : 0;
    interrupt_at_ = end == End::interrupt ? at_event : 0;
    is_dead_ = false;
    is_listed_anew_ = has_come_to_an_end();
    try {
      Migration migration = make_migration();
      std::unique_ptr<waybill::Run> run = migration.start(options);
      {
        std::scoped_lock lock(mutex_);
        live_ = run.get();
        if (is_interrupt_due_) run->interrupt();
      }
      report_ = run->wait();
      std::scoped_lock lock(mutex_);
      live_ = nullptr;
      is_interrupt_due_ = false;
    } catch (const Error& error) {
      report_.reset();
      // A retry finds a run that has to be carried on first; a dead process says nothing that counts.
      const bool is_refusal = error.code() == ErrorCode::failed_precondition || error.error_class() == ErrorClass::locked;
      EXPECT_TRUE(is_refusal || is_dead_ || fault_percent_ > 0) << error.message();
    }
    if (is_dead_) {
      take_the_copy();
      report_.reset();
    }
    if (report_ && end == End::itself) {
      told_.back() += ": " + std::string(to_string(report_->snapshot.state));
    }
    is_limited_ = options.limit > 0 || options.failed_only;
  }

  // What was interrupted is carried on, with the listing as it was made.
  bool has_come_to_an_end() const {
    if (!std::filesystem::exists(ledger_)) return true;
    const Snapshot snapshot = open_tracker(ledger_, OpenMode::read_only)->snapshot();
    return snapshot.run == 0 || snapshot.state == RunState::completed || snapshot.state == RunState::completed_with_differences;
  }

  void verify() {
    told_.push_back("verify");
    report_.reset();
    if (!std::filesystem::exists(ledger_)) return;
    fault_percent_ = 0;
    kill_at_ = interrupt_at_ = 0;
    is_dead_ = false;
    Options options;
    options.commit_interval_ms = 10;
    try {
      const Report report = make_migration().verify(draw(2) == 0 ? VerifyLevel::content : VerifyLevel::checksum, options);
      EXPECT_TRUE(is_ended(report.snapshot.state)) << report.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::failed_precondition) << error.message();
    }
  }

  void waive() {
    told_.push_back("waive");
    report_.reset();
    if (!std::filesystem::exists(ledger_)) return;
    Options options;
    options.failed_only = true;
    try {
      make_migration().waive(options, "somebody@here", "not wanted");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::failed_precondition) << error.message();
    }
  }

  Migration make_migration() {
    const Hook hook = [this](const std::string& operation, const Key& key, Context&) { meet(operation, key); };
    return Migration(std::make_shared<ScriptedSource>(open_source(from_), hook),
                     std::make_shared<ScriptedDestination>(open_destination(to_), hook), open_tracker(ledger_));
  }

  // Every call of a store comes by here.
  void meet(const std::string& operation, const Key& key) {
    std::scoped_lock lock(mutex_);
    if (is_dead_) throw Error(ErrorCode::aborted, ErrorClass::auth, "the process is dead");
    ++events_;
    if (kill_at_ > 0 && events_ >= kill_at_ && std::filesystem::exists(ledger_)) {
      draw_copy();
      is_dead_ = true;
      // What was put stays put, and nobody is left to hear of it.
      throw Error(ErrorCode::aborted, ErrorClass::auth, "the process is dead");
    }
    if (interrupt_at_ > 0 && events_ == interrupt_at_) {
      live_ != nullptr ? live_->interrupt() : void(is_interrupt_due_ = true);
    }
    if (operation == "check" || faults_() % 100 >= fault_percent_) return;
    switch (faults_() % 4) {
      case 0: throw Error(ErrorCode::unavailable, ErrorClass::server, "busy").set_retryable();
      case 1: throw Error(ErrorCode::unavailable, ErrorClass::network, "the answer was lost").set_retryable();
      case 2: throw Error(ErrorCode::data_loss, ErrorClass::checksum, "wrong bytes").set_retryable();
      default:
        if (operation == "put" || operation == "read")
          throw Error(ErrorCode::out_of_range, ErrorClass::too_large, printable(key) + " is too large today");
    }
  }

  void draw_copy() {
    std::filesystem::remove(copy_);
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open_v2(ledger_.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr), SQLITE_OK);
    sqlite3_busy_timeout(database, 10'000);
    const std::string statement = "VACUUM INTO '" + copy_ + "'";
    EXPECT_EQ(sqlite3_exec(database, statement.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  void take_the_copy() {
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(ledger_ + suffix);
    std::filesystem::permissions(copy_, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    std::filesystem::rename(copy_, ledger_);
  }

  static std::string etag_of(const std::string& content) {
    char text[20];
    std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(internal::crc64nvme(internal::as_bytes(content))));
    return text;
  }

  void check(const std::string& when) {
    SCOPED_TRACE(when);
    const std::map<Key, std::string> there = get_all(to_);
    for (const auto& [key, content] : foreign_) {
      const auto found = there.find(key);
      EXPECT_TRUE(found != there.end() && found->second == content) << key << " was not ours to replace";
    }
    for (const auto& [key, content] : there) {
      if (foreign_.contains(key)) continue;
      const auto known = ever_.find(key);
      EXPECT_TRUE(known != ever_.end() && known->second.contains(content)) << key << " holds what its source never had: " << content;
    }
    if (!std::filesystem::exists(ledger_)) return;
    const std::shared_ptr<Tracker> tracker = open_tracker(ledger_, OpenMode::read_only);
    const Snapshot snapshot = tracker->snapshot();
    EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
    check_rows(*tracker, snapshot, there);
    if (!report_) return;
    EXPECT_EQ(report_->snapshot.items, snapshot.items) << report_->message << " " << to_json(report_->snapshot) << "\n" << to_json(snapshot);
    const RunState state = snapshot.state;
    if (state != RunState::completed && state != RunState::completed_with_differences) return;
    EXPECT_EQ(snapshot.items.settled, snapshot.items.eligible);
    if (!is_limited_) {
      EXPECT_EQ(snapshot.progress(), 1.0);
    }
    EXPECT_EQ(snapshot.items.failed + snapshot.items.vanished == 0, state == RunState::completed);
    const bool is_everything = is_listed_anew_ && !is_limited_ && snapshot.items.waived == 0;
    if (state == RunState::completed && is_everything) expect_everything(there);
    report_.reset();
  }

  // The counters are those of the rows, and what a row says is done is there.
  void check_rows(Tracker& tracker, const Snapshot& snapshot, const std::map<Key, std::string>& there) {
    ItemAccounts counted;
    ScanPage page;
    do {
      page = tracker.scan({}, page.resume, 100);
      for (const ScanRow& row : page.rows) {
        const ItemRecord& record = row.record;
        if (record.left) continue;
        const bool is_done = record.state == ItemState::copied || record.state == ItemState::verified;
        counted.done += is_done;
        counted.excluded += record.state == ItemState::excluded;
        counted.waived += record.waived && (record.state == ItemState::failed || record.state == ItemState::vanished);
        counted.failed += !record.waived && record.state == ItemState::failed;
        counted.vanished += !record.waived && record.state == ItemState::vanished;
        counted.pending += record.state == ItemState::pending;
        const Key& key = record.id.key;
        if (!is_done || foreign_.contains(key) || lost_.contains(key)) continue;
        const auto found = there.find(key);
        EXPECT_TRUE(found != there.end()) << key << " is said to be done, and is not there";
        if (found == there.end() || !record.stored) continue;
        EXPECT_EQ(etag_of(found->second), record.stored->etag) << key << " is not what the ledger says was stored";
      }
    } while (!page.is_last);
    const ItemAccounts& kept = snapshot.migration_items;
    EXPECT_EQ(kept.done, counted.done);
    EXPECT_EQ(kept.excluded, counted.excluded);
    EXPECT_EQ(kept.waived, counted.waived);
    EXPECT_EQ(kept.failed, counted.failed);
    EXPECT_EQ(kept.vanished, counted.vanished);
    EXPECT_EQ(kept.pending + kept.in_progress, counted.pending);
  }

  // Where the answer to a put was lost and the item then failed, nothing says that what is there is ours: if the source
  // has changed since, it is listed as occupied, and somebody has to say that it may be replaced.
  void replace_what_is_left() {
    Query query;
    query.states = {ItemState::failed};
    const std::map<Key, std::string> there = get_all(to_);
    for (const ScanRow& row : open_tracker(ledger_, OpenMode::read_only)->scan(query, "", 100).rows) {
      const Key& key = row.record.id.key;
      EXPECT_EQ(row.record.error_class, ErrorClass::occupied) << key;
      EXPECT_TRUE(there.contains(key) && ever_[key].contains(there.at(key))) << key << " was never ours";
    }
    Options options;
    options.failed_only = true;
    options.overwrite = Overwrite::always;
    copy("retry --overwrite always", options);
  }

  std::string why_failed() const {
    std::string text;
    Query query;
    query.states = {ItemState::failed};
    for (const ScanRow& row : open_tracker(ledger_, OpenMode::read_only)->scan(query, "", 10).rows)
      text += "\n  " + row.record.id.key + ": " + (row.failure ? row.failure->message : "?");
    return text;
  }

  void expect_everything(const std::map<Key, std::string>& there) {
    for (const auto& [key, content] : source_) {
      const auto found = there.find(key);
      EXPECT_TRUE(found != there.end() && found->second == content) << key << " did not arrive";
      lost_.erase(key);
    }
  }

  // Without faults, and with what is not ours out of the way, one run that lists brings everything over.
  void converge() {
    is_calm_ = true;
    const auto store = open_destination(to_);
    for (const auto& [key, content] : foreign_) {
      store->remove(key, Context::background());
      lost_.insert(key);
    }
    foreign_.clear();
    copy("what was left", {});
    check(told_.back());
    copy("the last run", {});
    ASSERT_TRUE(report_);
    EXPECT_TRUE(is_ended(report_->snapshot.state)) << report_->message;
    if (!is_strict_ && report_->snapshot.items.failed > 0) replace_what_is_left();
    ASSERT_TRUE(report_);
    EXPECT_EQ(report_->snapshot.items.failed, 0) << report_->message << why_failed();
    check("at the end");
    expect_everything(get_all(to_));
    const LedgerCheck ledger = check_ledger(ledger_);
    EXPECT_TRUE(ledger.problems.empty()) << ledger.problems.front();
    copy("once more", {});
    ASSERT_TRUE(report_);
    EXPECT_EQ(report_->snapshot.items.unchanged, report_->snapshot.items.done) << "nothing was left to do";
    EXPECT_EQ(report_->snapshot.attempts_total, 0u);
  }

  std::mt19937_64 random_;
  const bool is_sequential_;
  const bool is_strict_;  // no leftover of a failed item is forgiven
  const std::string from_ = "memory://" + unique_name("history-from");
  const std::string to_ = "memory://" + unique_name("history-to");
  TemporaryFolder folder_;
  const std::string ledger_ = folder_.path("waybill.db");
  const std::string copy_ = folder_.path("copy.db");
  std::vector<std::string> told_;
  bool is_calm_ = false;
  bool is_limited_ = false;
  bool is_listed_anew_ = true;
  std::optional<Report> report_;

  std::map<Key, std::string> source_;
  std::map<Key, std::set<std::string>> ever_;  // all contents that the source has ever had
  std::map<Key, std::string> foreign_;         // what somebody else has put at the destination
  std::set<Key> lost_;                         // what somebody else has removed there, until a run has put it back

  std::mutex mutex_;
  std::mt19937_64 faults_;                 // guarded by mutex_
  waybill::Run* live_ = nullptr;           // guarded by mutex_
  bool is_interrupt_due_ = false;          // guarded by mutex_
  int events_ = 0;                         // guarded by mutex_
  std::atomic<bool> is_dead_{false};
  size_t fault_percent_ = 0;
  int kill_at_ = 0;
  int interrupt_at_ = 0;
};

/// Histories of the seeds from `first` on, some at once, as they wait more than they work. After a failure no more are
/// begun, and each that was under way tells its steps and how it is repeated alone.
inline void try_histories(uint64_t first, uint64_t count, int steps, int at_once, bool is_strict = false) {
  std::atomic<uint64_t> next{first};
  std::vector<internal::Thread> threads;
  for (int i = 0; i < at_once; ++i) {
    threads.emplace_back("history", [&] {
      for (uint64_t seed = next++; seed < first + count && !::testing::Test::HasFailure(); seed = next++) {
        History history(seed, is_strict);
        history.run(steps);
        if (::testing::Test::HasFailure()) {
          ADD_FAILURE() << "repeat it with: WAYBILL_HISTORY=" << seed
                        << " build/dev/tests/engine_test --gtest_filter=Histories.*\nits steps:" << history.told();
        }
      }
    });
  }
  for (internal::Thread& thread : threads) thread.join();
}

}  // namespace waybill::testing
