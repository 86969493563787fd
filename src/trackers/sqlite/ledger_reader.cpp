// SPDX-License-Identifier: Apache-2.0
//
// See ledger_reader.hpp.
#include "trackers/sqlite/ledger_reader.hpp"

#include <cstring>

#include "base/references.hpp"
#include "trackers/sqlite/reference_reader.hpp"

namespace waybill::internal {
namespace {

std::optional<int64_t> find_partition(Database& database, const std::string& name) {
  Statement& find = database.prepared("SELECT partition FROM partitions WHERE name = ?").bind_blob(1, name);
  const std::optional<int64_t> number = find.step() ? std::optional(find.integer(0)) : std::nullopt;
  find.reset();
  return number;
}

std::optional<uint64_t> as_unsigned(const std::optional<int64_t>& value) noexcept {
  if (!value) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

std::vector<PartInfo> read_parts(Database& database, int64_t partition, const ItemId& id) {
  Statement& rows = database.prepared(
      "SELECT number, size, etag, crc64, sha256 FROM upload_parts WHERE partition = ? AND key = ? AND version = ? "
      "ORDER BY number");
  rows.bind(1, partition).bind_blob(2, id.key).bind_blob(3, id.version);
  std::vector<PartInfo> parts;
  while (rows.step()) {
    PartInfo part;
    part.number = static_cast<uint32_t>(rows.integer(0));
    part.size = static_cast<uint64_t>(rows.integer(1));
    part.etag = rows.text(2);
    part.digest.crc64nvme = as_unsigned(rows.optional_integer(3));
    const std::string_view sha = rows.bytes(4);
    if (sha.size() == sizeof(Sha256)) {
      std::memcpy(part.digest.sha256.emplace().data(), sha.data(), sizeof(Sha256));
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

constexpr const char* upload_sql =
    "SELECT p.name, u.key, u.version, u.upload_id, u.part_size, u.size, u.etag, u.mtime_ns, u.source_version, "
    "u.opaque, "
    "u.partition FROM uploads u JOIN partitions p ON p.partition = u.partition ORDER BY p.name, u.key, u.version";
constexpr const char* one_upload_sql =
    "SELECT ?4, u.key, u.version, u.upload_id, u.part_size, u.size, u.etag, u.mtime_ns, u.source_version, u.opaque, "
    "u.partition FROM uploads u WHERE u.partition = ?1 AND u.key = ?2 AND u.version = ?3";

UploadRecord decode_upload(const Statement& row) {
  UploadRecord upload;
  upload.id = {row.text(0), row.text(1), row.text(2)};
  upload.upload_id = row.text(3);
  upload.part_size = static_cast<uint64_t>(row.integer(4));
  upload.stamp.size = as_unsigned(row.optional_integer(5));
  upload.stamp.etag = row.text(6);
  upload.stamp.mtime_ns = row.optional_integer(7);
  upload.stamp.version = row.text(8);
  upload.stamp.opaque = row.text(9);
  return upload;
}

LiveState read_live(Database& database) {
  LiveState live;
  Statement& row = database.prepared(
      "SELECT in_progress, concurrency, items_per_second, bytes_per_second, eta_low_seconds, eta_high_seconds, "
      "stalled_since_ms, reason FROM live");
  if (!row.step()) return live;
  live.in_progress = row.integer(0);
  live.concurrency = row.integer(1);
  live.items_per_second = row.real(2);
  live.bytes_per_second = row.real(3);
  if (!row.is_null(4)) live.eta_low_seconds = row.real(4);
  if (!row.is_null(5)) live.eta_high_seconds = row.real(5);
  live.stalled_since_ms = row.optional_integer(6);
  live.reason = row.text(7);
  Statement& items = database.prepared(
      "SELECT partition, key, bytes_done, bytes_total, attempt, started_at_ms FROM in_flight ORDER BY n");
  while (items.step()) {
    InFlight item;
    item.partition = items.text(0);
    item.key = items.text(1);
    item.bytes_done = static_cast<uint64_t>(items.integer(2));
    item.bytes_total = as_unsigned(items.optional_integer(3));
    item.attempt = static_cast<int>(items.integer(4));
    item.started_at_ms = items.integer(5);
    live.in_flight.push_back(std::move(item));
  }
  return live;
}

RunRecord decode_run(const Statement& row) {
  RunRecord record;
  record.run = static_cast<uint64_t>(row.integer(0));
  record.phase = static_cast<Phase>(row.integer(1));
  record.state = static_cast<RunState>(row.integer(2));
  record.reason = row.text(3);
  record.started_at_ms = row.integer(4);
  record.ended_at_ms = row.optional_integer(5);
  record.active_seconds = row.real(6);
  record.listing_complete = row.integer(7) != 0;
  record.options = row.text(8);
  record.engine_version = row.text(9);
  record.host = row.text(10);
  record.pid = row.integer(11);
  record.expected_items = as_unsigned(row.optional_integer(12));
  record.references = as_unsigned(row.optional_integer(13));
  return record;
}

std::map<std::string, int64_t> read_failed_by_class(Database& database, uint64_t run) {
  std::map<std::string, int64_t> by_class;
  Statement& classes = database.prepared("SELECT error_class, n FROM classes WHERE frame = ? AND n <> 0");
  classes.bind(1, static_cast<int64_t>(run));
  while (classes.step()) by_class[to_string(static_cast<ErrorClass>(classes.integer(0)))] += classes.integer(1);
  return by_class;
}

std::map<std::string, int64_t> read_finding_counts(Database& database, uint64_t run) {
  std::map<std::string, int64_t> by_kind;
  Statement& findings = database.prepared("SELECT kind, n FROM finding_counts WHERE run = ?");
  findings.bind(1, static_cast<int64_t>(run));
  while (findings.step()) by_kind[to_string(static_cast<FindingKind>(findings.integer(0)))] = findings.integer(1);
  return by_kind;
}

}  // namespace

Counters read_counters(Database& database, uint64_t frame, int64_t partition) {
  Statement& row = database.prepared(
      "SELECT excluded, pending, created, updated, unchanged, verified, failed, waived, vanished, bytes_total, "
      "bytes_done, attempts_total, attempts_failed FROM counters WHERE frame = ? AND partition = ?");
  row.bind(1, static_cast<int64_t>(frame)).bind(2, partition);
  Counters counters;
  if (!row.step()) return counters;
  for (size_t i = 0; i < n_counters; ++i) counters.values[i] = row.integer(static_cast<int>(i));
  return counters;
}

TimeBase read_time_base(Database& database) {
  Statement& row = database.prepared("SELECT time_base_s FROM ledger");
  return {row.step() ? row.integer(0) : 0};
}

std::optional<MigrationInfo> read_migration(Database& database) {
  Statement& row = database.prepared(
      "SELECT migration, name, fingerprint, source, destination, source_url, destination_url, created_at_ms FROM "
      "ledger");
  if (!row.step() || row.bytes(0).empty()) return std::nullopt;
  MigrationInfo info;
  info.id = row.text(0);
  info.name = row.text(1);
  info.fingerprint = row.text(2);
  info.source = row.text(3);
  info.destination = row.text(4);
  info.source_url = row.text(5);
  info.destination_url = row.text(6);
  info.created_at_ms = row.integer(7);
  return info;
}

std::vector<std::optional<ItemRecord>> read_items(Database& database, TimeBase base, std::span<const ItemId> ids) {
  std::vector<std::optional<ItemRecord>> records;
  records.reserve(ids.size());
  std::optional<std::string> name;  // of the partition that was looked up last
  std::optional<int64_t> partition;
  for (const ItemId& id : ids) {
    auto& record = records.emplace_back();
    if (name != id.partition) {
      name = id.partition;
      partition = find_partition(database, id.partition);
    }
    if (!partition) continue;
    Statement& find =
        database.prepared("SELECT " WAYBILL_ITEM_COLUMNS " FROM items WHERE partition = ? AND key = ? AND version = ?");
    find.bind(1, *partition).bind_blob(2, id.key).bind_blob(3, id.version);
    if (!find.step()) continue;
    record.emplace();
    record->id = id;
    decode_row(database, find, 0, base, *record);
  }
  return records;
}

std::vector<UploadRecord> read_uploads(Database& database) {
  std::vector<UploadRecord> uploads;
  std::vector<int64_t> partitions;
  Statement& rows = database.prepared(upload_sql);
  while (rows.step()) {
    uploads.push_back(decode_upload(rows));
    partitions.push_back(rows.integer(10));
  }
  for (size_t i = 0; i < uploads.size(); ++i) uploads[i].parts = read_parts(database, partitions[i], uploads[i].id);
  return uploads;
}

std::optional<UploadRecord> read_upload(Database& database, const ItemId& id) {
  const std::optional<int64_t> partition = find_partition(database, id.partition);
  if (!partition) return std::nullopt;
  Statement& row = database.prepared(one_upload_sql);
  row.bind(1, *partition).bind_blob(2, id.key).bind_blob(3, id.version).bind_blob(4, id.partition);
  if (!row.step()) return std::nullopt;
  UploadRecord upload = decode_upload(row);
  upload.parts = read_parts(database, *partition, id);
  return upload;
}

std::vector<ListingRecord> read_listings(Database& database) {
  std::vector<ListingRecord> listings;
  Statement& rows =
      database.prepared("SELECT scope, resume, partition, last_key, is_listed FROM listings ORDER BY scope");
  while (rows.step()) {
    listings.push_back({rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.integer(4) != 0});
  }
  return listings;
}

std::vector<Finding> read_findings(Database& database, uint64_t run, uint64_t offset, size_t limit) {
  std::vector<Finding> findings;
  Statement& rows = database.prepared(
      "SELECT kind, partition, key, version, detail FROM findings WHERE run = ? AND n >= ? ORDER BY n LIMIT ?");
  rows.bind(1, static_cast<int64_t>(run)).bind(2, static_cast<int64_t>(offset)).bind(3, static_cast<int64_t>(limit));
  while (rows.step()) {
    findings.push_back(
        {run, static_cast<FindingKind>(rows.integer(0)), {rows.text(1), rows.text(2), rows.text(3)}, rows.text(4)});
  }
  return findings;
}

std::vector<Event> read_events(Database& database, uint64_t after, size_t limit) {
  std::vector<Event> events;
  Statement& rows = database.prepared(
      "SELECT seq, at_ms, run, kind, level, text, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?");
  rows.bind(1, static_cast<int64_t>(after)).bind(2, static_cast<int64_t>(limit));
  while (rows.step()) {
    Event event;
    event.seq = static_cast<uint64_t>(rows.integer(0));
    event.at_ms = rows.integer(1);
    event.run = static_cast<uint64_t>(rows.integer(2));
    event.kind = static_cast<EventKind>(rows.integer(3));
    event.level = static_cast<LogLevel>(rows.integer(4));
    event.text = rows.text(5);
    event.data = rows.text(6);
    events.push_back(std::move(event));
  }
  return events;
}

std::vector<RunRecord> read_runs(Database& database, size_t limit) {
  std::vector<RunRecord> runs;
  Statement& rows = database.prepared("SELECT * FROM runs ORDER BY run DESC LIMIT ?");
  rows.bind(1, static_cast<int64_t>(limit));
  while (rows.step()) runs.push_back(decode_run(rows));
  return runs;
}

std::vector<RunSummary> read_history(Database& database, size_t limit) {
  std::vector<RunSummary> history;
  for (RunRecord& record : read_runs(database, limit)) {
    RunSummary& summary = history.emplace_back();
    const Counters counters = read_counters(database, record.run);
    summary.items = to_accounts(counters, 0);
    summary.bytes_total = static_cast<uint64_t>(counters[Counter::bytes_total]);
    summary.bytes_done = static_cast<uint64_t>(counters[Counter::bytes_done]);
    summary.attempts_total = static_cast<uint64_t>(counters[Counter::attempts_total]);
    summary.attempts_failed = static_cast<uint64_t>(counters[Counter::attempts_failed]);
    summary.failed_by_class = read_failed_by_class(database, record.run);
    if (record.phase == Phase::verify) summary.findings = read_finding_counts(database, record.run);
    if (switches_references(record.phase)) summary.references = read_reference_accounts(database, record.run);
    summary.record = std::move(record);
  }
  return history;
}

std::vector<PartitionSummary> read_partitions(Database& database, const std::optional<std::string>& after,
                                              size_t limit) {
  const uint64_t run = read_runs(database, 1).empty() ? 0 : read_runs(database, 1).front().run;
  std::vector<PartitionSummary> partitions;
  Statement& rows = database.prepared(
      "SELECT partition, name FROM partitions WHERE ?1 IS NULL OR name > ?1 ORDER BY name LIMIT ?2");
  if (after) rows.bind_blob(1, *after);
  rows.bind(2, static_cast<int64_t>(limit));
  while (rows.step()) {
    PartitionSummary& summary = partitions.emplace_back();
    const int64_t partition = rows.integer(0);
    summary.name = rows.text(1);
    if (run != 0) summary.items = to_accounts(read_counters(database, run, partition), 0);
    const Counters counters = read_counters(database, 0, partition);
    summary.migration_items = to_accounts(counters, 0);
    summary.bytes_total = static_cast<uint64_t>(counters[Counter::bytes_total]);
    summary.bytes_done = static_cast<uint64_t>(counters[Counter::bytes_done]);
    summary.references = read_reference_accounts(database, 0, partition);
  }
  return partitions;
}

std::vector<RateSample> read_rates(Database& database, uint64_t run, int64_t after_ms, size_t limit) {
  std::vector<RateSample> samples;
  Statement& rows = database.prepared(
      "SELECT at_ms, seconds, items, bytes, attempts_failed, concurrency FROM rates WHERE run = ? AND at_ms > ? "
      "ORDER BY at_ms LIMIT ?");
  rows.bind(1, static_cast<int64_t>(run)).bind(2, after_ms).bind(3, static_cast<int64_t>(limit));
  while (rows.step()) {
    RateSample& sample = samples.emplace_back();
    sample.run = run;
    sample.at_ms = rows.integer(0);
    sample.seconds = rows.real(1);
    sample.items = static_cast<uint64_t>(rows.integer(2));
    sample.bytes = static_cast<uint64_t>(rows.integer(3));
    sample.attempts_failed = static_cast<uint64_t>(rows.integer(4));
    sample.concurrency = rows.integer(5);
  }
  return samples;
}

std::vector<Request> read_requests(Database& database) {
  std::vector<Request> requests;
  Statement& rows = database.prepared("SELECT id, verb, who, at_ms FROM requests ORDER BY id");
  while (rows.step()) {
    requests.push_back(
        {static_cast<uint64_t>(rows.integer(0)), static_cast<Verb>(rows.integer(1)), rows.text(2), rows.integer(3)});
  }
  return requests;
}

StoredSnapshot read_snapshot(Database& database) {
  StoredSnapshot stored;
  Snapshot& snapshot = stored.snapshot;
  if (const auto migration = read_migration(database)) {
    snapshot.migration = migration->id;
    snapshot.name = migration->name;
    snapshot.source = migration->source;
    snapshot.destination = migration->destination;
  }
  Statement& ledger = database.prepared("SELECT seq, last_event_at_ms FROM ledger");
  if (ledger.step()) {
    snapshot.seq = static_cast<uint64_t>(ledger.integer(0));
    snapshot.last_event_at_ms = ledger.optional_integer(1);
  }
  for (const RunRecord& run : read_runs(database, 1)) {
    snapshot.run = run.run;
    snapshot.phase = run.phase;
    snapshot.state = run.state;
    snapshot.reason = run.reason;
    snapshot.started_at_ms = run.started_at_ms;
    snapshot.ended_at_ms = run.ended_at_ms;
    snapshot.active_seconds = run.active_seconds;
    snapshot.listing_complete = run.listing_complete;
    snapshot.expected_items = run.expected_items;
    if (!switches_references(run.phase)) continue;
    snapshot.run_references = run_account(read_reference_accounts(database, run.run), run.references.value_or(0));
  }
  snapshot.references = read_reference_accounts(database, 0);
  stored.lease = read_lease(database);
  snapshot.heartbeat_at_ms = stored.lease.heartbeat_at_ms;
  snapshot.owner = stored.lease.owner;
  snapshot.live = read_live(database);
  stored.migration = read_counters(database, 0);
  if (snapshot.run != 0) stored.run = read_counters(database, snapshot.run);
  snapshot.failed_by_class = read_failed_by_class(database, snapshot.run);
  Statement& verified = database.prepared("SELECT max(run) FROM runs WHERE phase = ?");
  verified.bind(1, static_cast<int64_t>(Phase::verify));
  if (verified.step()) snapshot.findings = read_finding_counts(database, static_cast<uint64_t>(verified.integer(0)));
  return stored;
}

}  // namespace waybill::internal
