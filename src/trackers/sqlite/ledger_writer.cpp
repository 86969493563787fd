// SPDX-License-Identifier: Apache-2.0
//
// See ledger_writer.hpp.
#include "trackers/sqlite/ledger_writer.hpp"

#include "base/text.hpp"
#include "trackers/sqlite/targets.hpp"

namespace waybill::internal {
namespace {

constexpr size_t max_remembered_partitions = 100'000;

// Of an excluded row, the failure is the rule that left it out.
bool keeps_failure(ItemState state) noexcept {
  return state == ItemState::failed || state == ItemState::vanished || state == ItemState::excluded;
}

void bind_id(Statement& statement, int64_t partition, const ItemId& id) {
  statement.bind(1, partition).bind_blob(2, id.key).bind_blob(3, id.version);
}

void bind_sha(Statement& statement, int index, const std::optional<Sha256>& digest) {
  if (!digest) return;
  statement.bind_blob(index, {reinterpret_cast<const char*>(digest->data()), digest->size()});
}

}  // namespace

PresentRun present_run(Database& database) {
  Statement& row = database.prepared("SELECT run, state FROM runs ORDER BY run DESC LIMIT 1");
  if (!row.step()) return {};
  return {static_cast<uint64_t>(row.integer(0)), static_cast<RunState>(row.integer(1))};
}

uint64_t write_events(Database& database, const std::vector<Event>& events) {
  Statement& last = database.prepared("SELECT seq FROM ledger");
  int64_t seq = last.step() ? last.integer(0) : 0;
  last.reset();
  std::optional<int64_t> last_event_at_ms;
  for (const Event& event : events) {
    database.prepared("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(1, ++seq)
        .bind(2, event.at_ms)
        .bind(3, static_cast<int64_t>(event.run))
        .bind(4, static_cast<int64_t>(event.kind))
        .bind(5, static_cast<int64_t>(event.level))
        .bind_text(6, event.text)
        .bind_text(7, event.data)
        .run();
    last_event_at_ms = event.at_ms;
  }
  if (events.empty()) ++seq;
  database.prepared("UPDATE ledger SET seq = ?, last_event_at_ms = coalesce(?, last_event_at_ms)")
      .bind(1, seq)
      .bind_optional(2, last_event_at_ms)
      .run();
  return static_cast<uint64_t>(seq);
}

uint64_t LedgerWriter::write(const Batch& batch) {
  changes_.clear();
  classes_.clear();
  queue_.load(database_);
  if (batch.run) write_run(*batch.run);
  run_ = present_run(database_).run;
  if (!has_targets_) has_targets_ = has_targets(database_);
  const int64_t now = now_ms();
  for (const ItemChange& change : batch.items) write_item(change, now);
  for (const ListingRecord& listing : batch.listings) write_listing(listing);
  for (const UploadChange& change : batch.uploads) write_upload(change);
  for (const Finding& finding : batch.findings) write_finding(finding);
  references_.begin(run_);
  for (const ReferenceChange& change : batch.references) write_reference(change);
  for (const JournalRecord& record : batch.journal) references_.write(record);
  if (batch.plan) references_.write(*batch.plan);
  references_.write_counts();
  for (const RateSample& sample : batch.rates) write_rate(sample);
  if (batch.live) write_live(*batch.live);
  for (const uint64_t id : batch.served_requests) {
    database_.prepared("DELETE FROM requests WHERE id = ?").bind(1, static_cast<int64_t>(id)).run();
  }
  write_counters();
  queue_.write(database_, run_);
  return write_events(database_, batch.events);
}

void LedgerWriter::release_claims(const Batch& batch) {
  for (const ItemChange& change : batch.items) {
    const auto partition = partitions_.find(change.record.id.partition);
    if (partition == partitions_.end()) continue;
    queue_.release(partition->second, change.record.id, is_claimable(change.record, run_));
  }
}

int64_t LedgerWriter::partition_number(const std::string& name) {
  const auto known = partitions_.find(name);
  if (known != partitions_.end()) return known->second;
  Statement& find = database_.prepared("SELECT partition FROM partitions WHERE name = ?").bind_blob(1, name);
  int64_t number = 0;
  if (find.step()) {
    number = find.integer(0);
  } else {
    database_.prepared("INSERT INTO partitions (name) VALUES (?)").bind_blob(1, name).run();
    number = sqlite3_last_insert_rowid(database_.handle());
  }
  partitions_.emplace(name, number);
  return number;
}

std::string LedgerWriter::partition_name(int64_t partition) {
  Statement& find = database_.prepared("SELECT name FROM partitions WHERE partition = ?").bind(1, partition);
  return find.step() ? find.text(0) : std::string();
}

void LedgerWriter::write_run(const RunRecord& record) {
  Statement& find =
      database_.prepared("SELECT state FROM runs WHERE run = ?").bind(1, static_cast<int64_t>(record.run));
  const bool is_known = find.step();
  const auto stored = is_known ? static_cast<RunState>(find.integer(0)) : RunState::created;
  const uint64_t present = present_run(database_).run;
  const std::string name = "run " + std::to_string(record.run);
  if (is_known && stored != record.state && !is_legal_move(stored, record.state)) {
    throw Error(ErrorCode::internal, ErrorClass::internal,
                name + " cannot go from " + to_string(stored) + " to " + to_string(record.state));
  }
  if (!is_known && record.run <= present) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::internal,
                name + " cannot begin: the last one is run " + std::to_string(present));
  }
  database_.prepared("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(1, static_cast<int64_t>(record.run))
      .bind(2, static_cast<int64_t>(record.phase))
      .bind(3, static_cast<int64_t>(record.state))
      .bind_text(4, record.reason)
      .bind(5, record.started_at_ms)
      .bind_optional(6, record.ended_at_ms)
      .bind_double(7, record.active_seconds)
      .bind(8, record.listing_complete ? 1 : 0)
      .bind_text(9, record.options)
      .bind_text(10, record.engine_version)
      .bind_text(11, record.host)
      .bind(12, record.pid)
      .bind_optional(13, record.expected_items)
      .bind_optional(14, record.references)
      .run();
  if (is_known) return;
  // The frame of a run begins at zero. Of earlier runs the totals stay for history, without their partitions.
  database_.prepared("DELETE FROM counters WHERE frame <> 0 AND partition <> 0").run();
  database_.prepared("DELETE FROM listings").run();
  queue_.begin_run(database_);
}

void LedgerWriter::write_item(const ItemChange& change, int64_t now) {
  static_assert(n_item_columns == 14);
  static constexpr const char* insert_sql = "INSERT INTO items (partition, key, version, " WAYBILL_ITEM_COLUMNS
                                            ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
  static constexpr const char* update_sql = "UPDATE items SET (" WAYBILL_ITEM_COLUMNS
                                            ") = (?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) "
                                            "WHERE partition = ?1 AND key = ?2 AND version = ?3";
  const ItemRecord& record = change.record;
  const int64_t partition = partition_number(record.id.partition);
  bool is_beyond = false;
  Segment& segment = queue_.place(partition, record.id.key, is_beyond);

  ItemRecord before;
  const std::optional<Brief> claimed = queue_.take_brief(partition, record.id);
  bool is_known = claimed.has_value();
  if (is_known) {
    decode_brief(*claimed, before);
  } else if (!is_beyond) {
    Statement& find = database_.prepared(
        "SELECT status, error_class, size FROM items WHERE partition = ? AND key = ? AND version = ?");
    bind_id(find, partition, record.id);
    is_known = find.step();
    if (is_known) decode_brief(read_brief(find, 0), before);
    find.reset();
  }
  const ItemRecord* old = is_known ? &before : nullptr;

  if (!record.destination_key.empty()) has_targets_ = true;
  if (*has_targets_) write_target(database_, partition, record.id, record.destination_key, is_known);
  Statement& write = database_.prepared(is_known ? update_sql : insert_sql);
  bind_id(write, partition, record.id);
  run_with_row(write, 4, record, base_, now / 1000 - base_.seconds);

  const int64_t was_pending = old != nullptr && is_claimable(*old, run_) ? 1 : 0;
  const int64_t is_pending = is_claimable(record, run_) ? 1 : 0;
  queue_.change(segment, record.id.key, !is_known, is_pending - was_pending);

  add_change(changes_[partition], old, record, run_);
  add_attempts(partition, change.attempts, change.attempts_failed);
  add_class_change(classes_, old, record, run_);
  const bool was_failed = old != nullptr && keeps_failure(old->state);
  if (was_failed || keeps_failure(record.state)) write_failure(partition, change, record, was_failed, now);
  if (change.waiver || (old != nullptr && old->waived && !record.waived)) write_waiver(partition, change);
  if (change.result || (old != nullptr && is_done(*old) && !is_done(record))) write_result(partition, change);
}

void LedgerWriter::add_attempts(int64_t partition, uint32_t attempts, uint32_t attempts_failed) {
  FrameChanges& changes = changes_[partition];
  for (Counters* counters : {&changes.run, &changes.migration}) {
    (*counters)[Counter::attempts_total] += attempts;
    (*counters)[Counter::attempts_failed] += attempts_failed;
  }
}

void LedgerWriter::write_reference(const ReferenceChange& change) {
  const int64_t partition = references_.write(change);
  if (change.attempts > 0 || change.attempts_failed > 0) {
    add_attempts(partition, change.attempts, change.attempts_failed);
  }
}

void LedgerWriter::write_result(int64_t partition, const ItemChange& change) {
  const bool is_kept = change.result && is_done(change.record);
  Statement& write = database_.prepared(is_kept ? "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)"
                                                : "DELETE FROM results WHERE partition = ? AND key = ? AND version = ?");
  bind_id(write, partition, change.record.id);
  if (is_kept) write.bind_text(4, *change.result);
  write.run();
}

void LedgerWriter::write_waiver(int64_t partition, const ItemChange& change) {
  const bool is_kept = change.waiver && change.record.waived;
  Statement& write = database_.prepared(is_kept ? "INSERT OR REPLACE INTO waivers VALUES (?, ?, ?, ?, ?, ?)"
                                                : "DELETE FROM waivers WHERE partition = ? AND key = ? AND version = ?");
  bind_id(write, partition, change.record.id);
  if (is_kept) write.bind_text(4, change.waiver->who).bind_text(5, change.waiver->why).bind(6, change.waiver->at_ms);
  write.run();
}

void LedgerWriter::write_rate(const RateSample& sample) {
  database_.prepared("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?, ?, ?, ?)")
      .bind(1, static_cast<int64_t>(sample.run))
      .bind(2, sample.at_ms)
      .bind_double(3, sample.seconds)
      .bind(4, static_cast<int64_t>(sample.items))
      .bind(5, static_cast<int64_t>(sample.bytes))
      .bind(6, static_cast<int64_t>(sample.attempts_failed))
      .bind(7, sample.concurrency)
      .run();
}

void LedgerWriter::write_failure(int64_t partition, const ItemChange& change, const ItemRecord& record, bool was_failed,
                                 int64_t now) {
  if (!keeps_failure(record.state)) {
    Statement& remove = database_.prepared("DELETE FROM failures WHERE partition = ? AND key = ? AND version = ?");
    bind_id(remove, partition, record.id);
    remove.run();
    return;
  }
  if (!change.failure && was_failed) return;  // the old one is kept
  // Every failed or vanished row has a failure: lists of them are read from here.
  Failure failure = change.failure.value_or(Failure{});
  if (!change.failure) {
    failure.error_class = record.error_class;
    failure.at_ms = now;
  }
  Statement& write = database_.prepared("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  bind_id(write, partition, record.id);
  write.bind(4, static_cast<int64_t>(failure.error_class))
      .bind(5, static_cast<int64_t>(failure.code))
      .bind_text(6, failure.message)
      .bind(7, failure.retryable ? 1 : 0)
      .bind(8, failure.http_status)
      .bind_text(9, failure.provider_code)
      .bind_text(10, failure.request_id)
      .bind(11, failure.attempts)
      .bind(12, failure.at_ms)
      .bind_text(13, failure.endpoint)
      .run();
}

void LedgerWriter::write_counters() {
  FrameChanges total;
  for (const auto& [partition, changes] : changes_) {
    total.run += changes.run;
    total.migration += changes.migration;
    write_counters_of(0, partition, changes.migration);
    if (run_ != 0) write_counters_of(run_, partition, changes.run);
  }
  write_counters_of(0, 0, total.migration);
  if (run_ != 0) write_counters_of(run_, 0, total.run);
  for (const auto& [error_class, change] : classes_) {
    if (change == 0) continue;
    database_
        .prepared("INSERT INTO classes VALUES (?1, ?2, ?3) ON CONFLICT (frame, error_class) DO UPDATE SET n = n + ?3")
        .bind(1, static_cast<int64_t>(run_))
        .bind(2, static_cast<int64_t>(error_class))
        .bind(3, change)
        .run();
  }
}

void LedgerWriter::write_counters_of(uint64_t frame, int64_t partition, const Counters& change) {
  static constexpr const char* add_sql =
      "UPDATE counters SET excluded = excluded + ?3, pending = pending + ?4, created = created + ?5, "
      "updated = updated + ?6, unchanged = unchanged + ?7, verified = verified + ?8, failed = failed + ?9, "
      "waived = waived + ?10, vanished = vanished + ?11, bytes_total = bytes_total + ?12, "
      "bytes_done = bytes_done + ?13, attempts_total = attempts_total + ?14, attempts_failed = attempts_failed + ?15 "
      "WHERE frame = ?1 AND partition = ?2";
  static constexpr const char* insert_sql = "INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
  if (change.is_zero()) return;
  for (const char* sql : {add_sql, insert_sql}) {
    Statement& write = database_.prepared(sql);
    write.bind(1, static_cast<int64_t>(frame)).bind(2, partition);
    for (size_t i = 0; i < n_counters; ++i) write.bind(static_cast<int>(i) + 3, change.values[i]);
    write.run();
    if (database_.changes() > 0) return;
  }
}

void LedgerWriter::write_listing(const ListingRecord& listing) {
  database_.prepared("INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?)")
      .bind_blob(1, listing.scope)
      .bind_blob(2, listing.resume)
      .bind_blob(3, listing.partition)
      .bind_blob(4, listing.last_key)
      .bind(5, listing.is_listed ? 1 : 0)
      .run();
}

void LedgerWriter::write_upload(const UploadChange& change) {
  static constexpr const char* remove_upload = "DELETE FROM uploads WHERE partition = ? AND key = ? AND version = ?";
  static constexpr const char* remove_parts =
      "DELETE FROM upload_parts WHERE partition = ? AND key = ? AND version = ?";
  const int64_t partition = partition_number(change.id.partition);
  if (change.begin || change.ended) {
    for (const char* sql : {remove_upload, remove_parts}) {
      Statement& remove = database_.prepared(sql);
      bind_id(remove, partition, change.id);
      remove.run();
    }
  }
  if (change.ended) return;
  if (!change.begin) {
    Statement& find = database_.prepared("SELECT 1 FROM uploads WHERE partition = ? AND key = ? AND version = ?");
    bind_id(find, partition, change.id);
    if (!find.step()) return;  // parts of an upload that is not open
  } else {
    const UploadRecord& upload = *change.begin;
    Statement& write = database_.prepared("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    bind_id(write, partition, change.id);
    write.bind_text(4, upload.upload_id)
        .bind(5, static_cast<int64_t>(upload.part_size))
        .bind_optional(6, upload.stamp.size)
        .bind_text(7, upload.stamp.etag)
        .bind_optional(8, upload.stamp.mtime_ns)
        .bind_text(9, upload.stamp.version)
        .bind_blob(10, upload.stamp.opaque)
        .run();
  }
  const auto write_parts = [&](const std::vector<PartInfo>& parts) {
    for (const PartInfo& part : parts) {
      Statement& write = database_.prepared("INSERT OR REPLACE INTO upload_parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
      bind_id(write, partition, change.id);
      write.bind(4, part.number).bind(5, static_cast<int64_t>(part.size)).bind_text(6, part.etag);
      write.bind_optional(7, part.digest.crc64nvme);
      bind_sha(write, 8, part.digest.sha256);
      write.run();
    }
  };
  if (change.begin) write_parts(change.begin->parts);
  write_parts(change.parts);
}

void LedgerWriter::write_finding(const Finding& finding) {
  const auto run = static_cast<int64_t>(finding.run);
  Statement& last = database_.prepared("SELECT coalesce(max(n) + 1, 0) FROM findings WHERE run = ?").bind(1, run);
  const int64_t n = last.step() ? last.integer(0) : 0;
  database_.prepared("INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?)")
      .bind(1, run)
      .bind(2, n)
      .bind(3, static_cast<int64_t>(finding.kind))
      .bind_blob(4, finding.id.partition)
      .bind_blob(5, finding.id.key)
      .bind_blob(6, finding.id.version)
      .bind_text(7, finding.detail)
      .run();
  database_.prepared("INSERT INTO finding_counts VALUES (?, ?, 1) ON CONFLICT (run, kind) DO UPDATE SET n = n + 1")
      .bind(1, run)
      .bind(2, static_cast<int64_t>(finding.kind))
      .run();
}

void LedgerWriter::write_live(const LiveState& live) {
  Statement& write = database_.prepared("INSERT OR REPLACE INTO live VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)");
  write.bind(1, live.in_progress).bind(2, live.concurrency);
  write.bind_double(3, live.items_per_second).bind_double(4, live.bytes_per_second);
  if (live.eta_low_seconds) write.bind_double(5, *live.eta_low_seconds);
  if (live.eta_high_seconds) write.bind_double(6, *live.eta_high_seconds);
  write.bind_optional(7, live.stalled_since_ms).bind_text(8, live.reason).run();
  database_.prepared("DELETE FROM in_flight").run();
  int64_t n = 0;
  for (const InFlight& item : live.in_flight) {
    database_.prepared("INSERT INTO in_flight VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(1, ++n)
        .bind_blob(2, item.partition)
        .bind_blob(3, item.key)
        .bind(4, static_cast<int64_t>(item.bytes_done))
        .bind_optional(5, item.bytes_total)
        .bind(6, item.attempt)
        .bind(7, item.started_at_ms)
        .run();
  }
}

}  // namespace waybill::internal
