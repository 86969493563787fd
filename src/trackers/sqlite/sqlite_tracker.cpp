// SPDX-License-Identifier: Apache-2.0
//
// Tracker over a SQLite file: three connections, each behind its own mutex: one writes; one reads rows, a page at a
// time; one reads the few rows that tell how the run is, so that a snapshot waits neither for a commit nor for a page.
// Ownership, and what request() does where nobody owns the ledger, are here as well. What records mean in SQL is in
// ledger_writer, ledger_reader and ledger_scan, and of references in reference_writer and reference_reader.
//
// Invariants: only a handle that holds the lock file has an epoch; every write of the owner checks, in its transaction,
// that this epoch is still the newest; the order of locks is write_mutex_, then a reader's.
#include "trackers/sqlite/sqlite_tracker.hpp"

#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <type_traits>

#include "base/clock.hpp"
#include "base/fingerprint.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "trackers/sqlite/ledger_reader.hpp"
#include "trackers/sqlite/ledger_writer.hpp"
#include "trackers/sqlite/lock_file.hpp"
#include "trackers/sqlite/ownership.hpp"
#include "trackers/sqlite/reference_reader.hpp"
#include "trackers/sqlite/schema.hpp"
#include "trackers/sqlite/targets.hpp"

namespace waybill::internal {
namespace {

bool is_alive_state(RunState state) noexcept { return state == RunState::running || state == RunState::cancelling; }

bool exists(const std::string& path) noexcept {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

class SqliteTracker final : public Tracker {
 public:
  SqliteTracker(const std::string& path, OpenMode mode) : path_(path), lock_path_(path + ".lock"), pid_(::getpid()) {
    if (mode == OpenMode::read_only) {
      rows_.database = open_ledger_for_reading(path_, rows_.is_immutable);
    } else {
      write_ = open_ledger_for_writing(path_, mode, &is_hurried_);
    }
    Database& first = write_ ? *write_ : *rows_.database;
    Transaction transaction(first, Transaction::Kind::read);
    base_ = read_time_base(first);
    transaction.commit();
    if (write_) writer_ = std::make_unique<LedgerWriter>(*write_, queue_, base_);
  }

  ~SqliteTracker() override {
    if (::getpid() == pid_) {
      release(epoch_);
      close();
      return;
    }
    // In a forked child the connections are the parent's: nothing is closed.
    for (auto& database : {rows_.database.get(), status_.database.get(), write_.get()}) {
      if (database != nullptr) database->abandon();
    }
  }

  MigrationInfo bind(const MigrationInfo& wanted) override;
  std::optional<MigrationInfo> migration() override {
    return read(status_, [](Database& database) { return read_migration(database); });
  }

  uint64_t acquire(const LeaseOptions& options) override;
  void release(uint64_t epoch) noexcept override;
  void hurry() noexcept override { is_hurried_ = true; }
  uint64_t commit(uint64_t epoch, const Batch& batch) override;
  std::vector<Claimed> claim(uint64_t epoch, size_t limit) override;

  std::vector<std::optional<ItemRecord>> lookup(std::span<const ItemId> ids) override {
    return read(rows_, [&](Database& database) { return read_items(database, base_, ids); });
  }
  ScanPage scan(const Query& query, const std::string& resume, size_t limit) override {
    return read(rows_, [&](Database& database) { return read_page(database, base_, query, resume, limit); });
  }
  TargetPage scan_targets(const Key& from, const std::string& resume, size_t limit) override {
    return read(rows_, [&](Database& database) { return read_targets(database, base_, from, resume, limit); });
  }
  std::vector<UploadRecord> uploads() override {
    return read(rows_, [](Database& database) { return read_uploads(database); });
  }
  std::optional<UploadRecord> upload(const ItemId& id) override {
    return read(rows_, [&](Database& database) { return read_upload(database, id); });
  }
  std::vector<ListingRecord> listings() override {
    return read(rows_, [](Database& database) { return read_listings(database); });
  }
  std::vector<Finding> findings(uint64_t run, uint64_t offset, size_t limit) override {
    return read(rows_, [&](Database& database) { return read_findings(database, run, offset, limit); });
  }
  std::vector<std::optional<ReferenceRecord>> lookup_references(std::span<const ReferenceId> ids) override {
    return read(rows_, [&](Database& database) { return read_references(database, ids); });
  }
  ReferenceRecordPage scan_references(const ReferenceQuery& query, const std::string& resume, size_t limit) override {
    return read(rows_, [&](Database& database) { return read_reference_page(database, query, resume, limit); });
  }
  std::vector<std::optional<JournalRecord>> lookup_journal(std::span<const ReferenceId> ids) override {
    return read(rows_, [&](Database& database) { return read_newest_journal(database, ids); });
  }
  std::vector<JournalRecord> journal(const ReferenceId& id) override {
    return read(rows_, [&](Database& database) { return read_journal(database, id); });
  }
  std::optional<CutoverPlanRecord> cutover_plan() override {
    return read(rows_, [](Database& database) { return read_cutover_plan(database); });
  }
  std::vector<Event> events(uint64_t after, size_t limit) override {
    return read(rows_, [&](Database& database) { return read_events(database, after, limit); });
  }
  std::vector<RunRecord> runs(size_t limit) override {
    return read(rows_, [&](Database& database) { return read_runs(database, limit); });
  }
  std::vector<RunSummary> history(size_t limit) override {
    return read(rows_, [&](Database& database) { return read_history(database, limit); });
  }
  std::vector<PartitionSummary> partitions(const std::optional<std::string>& after, size_t limit) override {
    return read(rows_, [&](Database& database) { return read_partitions(database, after, limit); });
  }
  std::vector<RateSample> rates(uint64_t run, int64_t after_ms, size_t limit) override {
    return read(rows_, [&](Database& database) { return read_rates(database, run, after_ms, limit); });
  }
  Snapshot snapshot() override;
  void request(Verb verb, std::string_view who) override;
  std::vector<Request> requests() override {
    return read(status_, [](Database& database) { return read_requests(database); });
  }

 private:
  struct Reader {
    int cache_kib;
    std::mutex mutex = {};
    std::unique_ptr<Database> database = {};  // guarded by mutex; opened by the first who reads
    bool is_immutable = false;                // guarded by mutex
  };

  /// The result of `function` in a read transaction on the reader's connection.
  template <typename Function>
  std::invoke_result_t<Function, Database&> read(Reader& reader, Function function);
  void open(Reader& reader);
  void close() noexcept;
  void check_process() const;
  std::unique_lock<std::mutex> lock_for_writing();
  void check_epoch(uint64_t epoch);
  Error fenced() const;

  const std::string path_;
  const std::string lock_path_;
  const pid_t pid_;
  TimeBase base_;
  std::atomic<bool> is_hurried_ = false;  ///< see hurry()

  std::mutex write_mutex_;
  std::unique_ptr<Database> write_;  ///< none: read-only
  Queue queue_;
  std::unique_ptr<LedgerWriter> writer_;
  std::optional<LockFile> lock_;
  std::atomic<uint64_t> epoch_ = 0;  ///< 0: not the owner

  Reader rows_{.cache_kib = 2048};
  Reader status_{.cache_kib = 256};
  LeaseWatch watch_;  // guarded by status_.mutex
};

// The caches were filled by threads that have ended since. What they leave in glibc's arenas of such threads, some twenty
// megabytes, would stay there, and the next ledger of the process would fill others.
void SqliteTracker::close() noexcept {
  rows_.database.reset();
  status_.database.reset();
  writer_.reset();
  write_.reset();
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

void SqliteTracker::check_process() const {
  if (::getpid() == pid_) return;
  throw Error(ErrorCode::failed_precondition, ErrorClass::forked,
              "the ledger " + path_ + " was opened before fork(); open it again in the child");
}

std::unique_lock<std::mutex> SqliteTracker::lock_for_writing() {
  check_process();
  if (!write_) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::tracker, "the ledger " + path_ + " was opened read-only");
  }
  return std::unique_lock(write_mutex_);
}

void SqliteTracker::open(Reader& reader) {
  if (write_) {
    if (!reader.database) {
      reader.database = std::make_unique<Database>(path_, Database::Access::read_only, &is_hurried_);
      reader.database->execute(("PRAGMA cache_size = -" + std::to_string(reader.cache_kib)).c_str());
      reader.database->execute("PRAGMA mmap_size = 0");
    }
    return;
  }
  // What is immutable now may have an owner the next time.
  if (!reader.database || reader.is_immutable) reader.database = open_ledger_for_reading(path_, reader.is_immutable);
}

template <typename Function>
std::invoke_result_t<Function, Database&> SqliteTracker::read(Reader& reader, Function function) {
  check_process();
  const std::lock_guard guard(reader.mutex);
  for (int round = 0;; ++round) {
    open(reader);
    Transaction transaction(*reader.database, Transaction::Kind::read);
    auto result = function(*reader.database);
    transaction.commit();
    // A writer that came meanwhile may have changed the file under an immutable connection.
    if (!reader.is_immutable || !exists(path_ + "-wal") || round == 10) return result;
  }
}

MigrationInfo SqliteTracker::bind(const MigrationInfo& wanted) {
  const auto check = [&](const MigrationInfo& info) {
    if (info.fingerprint == wanted.fingerprint) return;
    throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                "the ledger " + path_ + " belongs to another migration (" + difference(info, wanted) +
                    "); use another ledger for this one");
  };
  if (!write_) {
    const std::optional<MigrationInfo> info = migration();
    if (!info) {
      throw Error(ErrorCode::failed_precondition, ErrorClass::tracker, "the ledger " + path_ + " was opened read-only");
    }
    check(*info);
    return *info;
  }
  const auto guard = lock_for_writing();
  Transaction transaction(*write_, Transaction::Kind::write);
  const std::optional<MigrationInfo> stored = read_migration(*write_);
  MigrationInfo info = wanted;
  if (stored) {
    check(*stored);
    info = *stored;
    // Names and addresses are no part of the identity: the latest ones are kept.
    if (!wanted.name.empty()) info.name = wanted.name;
    if (!wanted.source_url.empty()) info.source_url = wanted.source_url;
    if (!wanted.destination_url.empty()) info.destination_url = wanted.destination_url;
  } else {
    info.id = hex_id(8);
    info.created_at_ms = now_ms();
  }
  write_
      ->prepared(
          "UPDATE ledger SET migration = ?, name = ?, fingerprint = ?, source = ?, destination = ?, source_url = ?, "
          "destination_url = ?, created_at_ms = ?")
      .bind_text(1, info.id)
      .bind_text(2, info.name)
      .bind_text(3, info.fingerprint)
      .bind_text(4, info.source)
      .bind_text(5, info.destination)
      .bind_text(6, info.source_url)
      .bind_text(7, info.destination_url)
      .bind(8, info.created_at_ms)
      .run();
  transaction.commit();
  return info;
}

Error SqliteTracker::fenced() const {
  return Error(ErrorCode::aborted, ErrorClass::fenced,
               "this process no longer owns the ledger " + path_ + "; it writes nothing more to it");
}

void SqliteTracker::check_epoch(uint64_t epoch) {
  if (epoch == 0 || epoch != epoch_) throw fenced();
  const Lease lease = read_lease(*write_);
  if (!lease.is_held || lease.owner.epoch != epoch) throw fenced();
}

uint64_t SqliteTracker::commit(uint64_t epoch, const Batch& batch) {
  const auto guard = lock_for_writing();
  uint64_t seq = 0;
  try {
    Transaction transaction(*write_, Transaction::Kind::write);
    check_epoch(epoch);
    seq = writer_->write(batch);
    if (batch.live) {
      write_->prepared("UPDATE lease SET beat = beat + 1, heartbeat_at_ms = ?").bind(1, now_ms()).run();
    }
    transaction.commit();
  } catch (...) {
    // Nothing of the batch is in the ledger, so nothing of it may stay in memory: the same batch can be tried again.
    queue_.set_stale();
    writer_->forget();
    throw;
  }
  writer_->release_claims(batch);
  return seq;
}

std::vector<Claimed> SqliteTracker::claim(uint64_t epoch, size_t limit) {
  const auto guard = lock_for_writing();
  Taken taken;
  try {
    Transaction transaction(*write_, Transaction::Kind::write);
    check_epoch(epoch);
    queue_.load(*write_);
    const uint64_t run = present_run(*write_).run;
    if (limit > 0 && queue_.has_available()) queue_.take(*write_, base_, run, limit, taken);
    std::pair<int64_t, std::string> name{0, ""};
    for (auto& [claimed, partition] : taken) {
      if (name.first != partition) name = {partition, writer_->partition_name(partition)};
      claimed.record.id.partition = name.second;
    }
    queue_.write(*write_, run);
    transaction.commit();
  } catch (...) {
    queue_.forget(taken);
    throw;
  }
  std::vector<Claimed> claims;
  claims.reserve(taken.size());
  for (auto& [claimed, partition] : taken) claims.push_back(std::move(claimed));
  return claims;
}

uint64_t SqliteTracker::acquire(const LeaseOptions& options) {
  const auto guard = lock_for_writing();
  if (lock_) {
    throw Error(ErrorCode::aborted, ErrorClass::locked,
                "the ledger " + path_ + " is in use by this very process (" + std::to_string(pid_) +
                    "); end the run that owns it first");
  }
  Ownership ownership = take_ownership(*write_, lock_path_, options);
  queue_.clear();
  writer_->forget();
  lock_.emplace(std::move(ownership.lock));
  epoch_ = ownership.epoch;
  return epoch_;
}

void SqliteTracker::release(uint64_t epoch) noexcept {
  if (::getpid() != pid_ || epoch == 0) return;
  const std::lock_guard guard(write_mutex_);
  if (epoch != epoch_) return;
  try {
    Transaction transaction(*write_, Transaction::Kind::write);
    write_->prepared("UPDATE lease SET is_held = 0 WHERE epoch = ?").bind(1, static_cast<int64_t>(epoch)).run();
    transaction.commit();
  } catch (const Error&) {
    // Where it cannot be written, the free lock says the same.
  }
  lock_.reset();
  epoch_ = 0;
  is_hurried_ = false;
  queue_.clear();
}

Snapshot SqliteTracker::snapshot() {
  std::optional<std::pair<uint64_t, int64_t>> dead_beat;
  while (true) {
    StoredSnapshot stored = read(status_, [](Database& database) { return read_snapshot(database); });
    const Lease& lease = stored.lease;
    Liveness liveness = Liveness::alive;
    if (!lease.is_held || epoch_ != lease.owner.epoch) {
      const std::lock_guard guard(status_.mutex);
      liveness = watch_.look(lease, lock_path_, boot_time_ms());
    }
    // An owner writes the end of its run before it lets go of the lock. So what was read before the lock was seen free
    // may be old; what is read after it is not.
    const std::pair<uint64_t, int64_t> beat{lease.owner.epoch, lease.beat};
    if (liveness != Liveness::alive && is_alive_state(stored.snapshot.state) && dead_beat != beat) {
      dead_beat = beat;
      continue;
    }
    finish_snapshot(stored.snapshot, stored.run, stored.migration, liveness == Liveness::alive,
                    interrupted_reason(lease, liveness));
    return stored.snapshot;
  }
}

void SqliteTracker::request(Verb verb, std::string_view who) {
  const auto guard = lock_for_writing();
  std::optional<LockFile> lock;
  if (!lock_) {
    const Lease lease = read(status_, [](Database& database) { return read_lease(database); });
    const std::lock_guard read_guard(status_.mutex);
    const Liveness liveness = watch_.look(lease, lock_path_, boot_time_ms());
    // A stopped owner still has its lock: the request waits for it, or for whoever takes over.
    if (liveness != Liveness::alive) lock = LockFile::try_lock(lock_path_);
  }
  Transaction transaction(*write_, Transaction::Kind::write);
  check_request(*write_, verb, !lock);
  if (lock) {
    carry_out_request(*write_, verb, who);
  } else {
    leave_request(*write_, verb, who);
  }
  transaction.commit();
}

}  // namespace

std::shared_ptr<Tracker> open_sqlite_tracker(const std::string& path, OpenMode mode) {
  return std::make_shared<SqliteTracker>(path, mode);
}

std::string sqlite_version_number() { return sqlite3_libversion(); }

}  // namespace waybill::internal
