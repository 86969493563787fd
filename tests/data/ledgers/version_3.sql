-- A ledger of schema version 3, by sqlite3's .dump: that of version_2.sql, brought to version 3 by a waybill of then.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE ledger (
  one INTEGER PRIMARY KEY CHECK (one = 1), migration TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL,
  source TEXT NOT NULL, destination TEXT NOT NULL, source_url TEXT NOT NULL, destination_url TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL, time_base_s INTEGER NOT NULL, seq INTEGER NOT NULL, last_event_at_ms INTEGER
) STRICT;
INSERT INTO ledger VALUES(1,'def7d653e1e66b80','an old one',replace('source=file:///ledger/src/\ndestination=file:///ledger/dst/\nkeys=same\ntransform=none\nversions=latest','\n',char(10)),'file:///ledger/src/','file:///ledger/dst/','file:///ledger/src','file:///ledger/dst',1795266298621,1794266298,18,1795266300136);
CREATE TABLE lease (
  one INTEGER PRIMARY KEY CHECK (one = 1), is_held INTEGER NOT NULL, host TEXT NOT NULL, boot_id TEXT NOT NULL,
  pid INTEGER NOT NULL, process_start INTEGER NOT NULL, epoch INTEGER NOT NULL, beat INTEGER NOT NULL,
  heartbeat_at_ms INTEGER, lease_ms INTEGER NOT NULL
) STRICT;
INSERT INTO lease VALUES(1,0,'vm','7cacbeb8-25a3-4653-b324-78066ebb278f',8128,522919,3,15,1795266300136,30000);
CREATE TABLE runs (
  run INTEGER PRIMARY KEY, phase INTEGER NOT NULL, state INTEGER NOT NULL, reason TEXT NOT NULL,
  started_at_ms INTEGER NOT NULL, ended_at_ms INTEGER, active_seconds REAL NOT NULL, listing_complete INTEGER NOT NULL,
  options TEXT NOT NULL, engine_version TEXT NOT NULL
, host TEXT NOT NULL DEFAULT '', pid INTEGER NOT NULL DEFAULT 0, expected_items INTEGER) STRICT;
INSERT INTO runs VALUES(1,0,5,'',1795266298629,1795266298885,0.25208963600000000582,1,'{"concurrency":0,"max_concurrency":512,"body_budget_bytes":100663296,"part_size_bytes":16777216,"part_threshold_bytes":16777216,"max_attempts":8,"retry_base_ms":100,"retry_cap_ms":20000,"overwrite":"own","digest":"crc64nvme","server_side_copy":true,"include":[],"exclude":[],"max_size_bytes":0,"commit_interval_ms":100,"lease_ms":30000,"heartbeat_ms":10000,"take_over":false,"resume_paused":false,"tracker_patience_ms":300000,"drain_ms":1000}','0.1.0','',0,NULL);
INSERT INTO runs VALUES(2,0,5,'',1795266299385,1795266299540,0.1513683769999999984,1,'{"concurrency":0,"max_concurrency":512,"body_budget_bytes":100663296,"part_size_bytes":16777216,"part_threshold_bytes":16777216,"max_attempts":8,"retry_base_ms":100,"retry_cap_ms":20000,"overwrite":"own","digest":"crc64nvme","server_side_copy":true,"include":[],"exclude":[],"max_size_bytes":0,"commit_interval_ms":100,"lease_ms":30000,"heartbeat_ms":10000,"take_over":false,"resume_paused":false,"tracker_patience_ms":300000,"drain_ms":1000}','0.1.0','',0,NULL);
INSERT INTO runs VALUES(3,1,5,'',1795266299978,1795266300136,0.15143462499999998938,1,'{"concurrency":0,"max_concurrency":512,"body_budget_bytes":100663296,"part_size_bytes":16777216,"part_threshold_bytes":16777216,"max_attempts":8,"retry_base_ms":100,"retry_cap_ms":20000,"overwrite":"own","digest":"crc64nvme","server_side_copy":true,"include":[],"exclude":[],"max_size_bytes":0,"commit_interval_ms":100,"lease_ms":30000,"heartbeat_ms":10000,"take_over":false,"resume_paused":false,"tracker_patience_ms":300000,"drain_ms":1000}','0.1.0','',0,NULL);
CREATE TABLE partitions (partition INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE) STRICT;
INSERT INTO partitions VALUES(1,X'');
CREATE TABLE items (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL,
  status INTEGER NOT NULL, revision INTEGER NOT NULL, error_class INTEGER NOT NULL, size INTEGER, etag ANY,
  mtime_ns INTEGER, opaque BLOB, crc64 INTEGER, sha256 BLOB, copied_at INTEGER, verified_at INTEGER,
  stored_size INTEGER, stored_etag ANY, more BLOB,
  PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
INSERT INTO items VALUES(1,X'666f6c6465722f74776f',X'',50524490,1,0,4,NULL,1795266298050538803,NULL,8025002681316670535,NULL,1000000,1000001,NULL,NULL,NULL);
INSERT INTO items VALUES(1,X'6f6e65',X'',50524490,1,0,4,NULL,1795266298050538803,NULL,2257596166406292009,NULL,1000000,1000001,NULL,NULL,NULL);
INSERT INTO items VALUES(1,X'70697065',X'',50331651,1,11,0,NULL,1795266298054538803,NULL,-9223372036854775808,NULL,1000002,NULL,NULL,NULL,NULL);
CREATE TABLE segments (
  partition INTEGER NOT NULL, first_key BLOB NOT NULL, last_key BLOB NOT NULL, n_rows INTEGER NOT NULL,
  n_pending INTEGER NOT NULL, claimed_to BLOB, PRIMARY KEY (partition, first_key)
) STRICT, WITHOUT ROWID;
INSERT INTO segments VALUES(1,X'',X'70697065',3,0,NULL);
CREATE TABLE counters (
  frame INTEGER NOT NULL, partition INTEGER NOT NULL, excluded INTEGER NOT NULL, pending INTEGER NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, unchanged INTEGER NOT NULL, verified INTEGER NOT NULL,
  failed INTEGER NOT NULL, waived INTEGER NOT NULL, vanished INTEGER NOT NULL, bytes_total INTEGER NOT NULL,
  bytes_done INTEGER NOT NULL, attempts_total INTEGER NOT NULL, attempts_failed INTEGER NOT NULL,
  PRIMARY KEY (frame, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES(0,0,0,0,0,0,2,2,1,0,0,8,8,2,0);
INSERT INTO counters VALUES(0,1,0,0,0,0,2,2,1,0,0,8,8,2,0);
INSERT INTO counters VALUES(1,0,0,0,2,0,0,0,1,0,0,8,8,2,0);
INSERT INTO counters VALUES(2,0,0,0,0,0,2,0,1,0,0,8,8,0,0);
INSERT INTO counters VALUES(3,0,0,0,0,0,2,2,1,0,0,8,8,0,0);
INSERT INTO counters VALUES(3,1,0,0,0,0,2,2,1,0,0,8,8,0,0);
CREATE TABLE classes (
  frame INTEGER NOT NULL, error_class INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (frame, error_class)
) STRICT, WITHOUT ROWID;
INSERT INTO classes VALUES(1,11,1);
INSERT INTO classes VALUES(2,11,1);
INSERT INTO classes VALUES(3,11,1);
CREATE TABLE failures (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, error_class INTEGER NOT NULL,
  code INTEGER NOT NULL, message TEXT NOT NULL, retryable INTEGER NOT NULL, http_status INTEGER NOT NULL,
  provider_code TEXT NOT NULL, request_id TEXT NOT NULL, attempts INTEGER NOT NULL, at_ms INTEGER NOT NULL, endpoint TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
INSERT INTO failures VALUES(1,X'70697065',X'',11,9,'a FIFO (named pipe)',0,0,'','',0,1795266299390,'');
CREATE TABLE listings (
  scope BLOB PRIMARY KEY, resume BLOB NOT NULL, partition BLOB NOT NULL, last_key BLOB NOT NULL,
  is_listed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE uploads (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, upload_id TEXT NOT NULL,
  part_size INTEGER NOT NULL, size INTEGER, etag TEXT NOT NULL, mtime_ns INTEGER, source_version TEXT NOT NULL,
  opaque BLOB NOT NULL, PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE upload_parts (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, number INTEGER NOT NULL,
  size INTEGER NOT NULL, etag TEXT NOT NULL, crc64 INTEGER, sha256 BLOB, PRIMARY KEY (partition, key, version, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE findings (
  run INTEGER NOT NULL, n INTEGER NOT NULL, kind INTEGER NOT NULL, partition BLOB NOT NULL, key BLOB NOT NULL,
  version BLOB NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (run, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE finding_counts (
  run INTEGER NOT NULL, kind INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (run, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, run INTEGER NOT NULL, kind INTEGER NOT NULL, level INTEGER NOT NULL,
  text TEXT NOT NULL, data TEXT NOT NULL
) STRICT;
INSERT INTO events VALUES(3,1795266298633,1,0,1,'copy run 1 started','');
INSERT INTO events VALUES(4,1795266298634,1,4,0,'','');
INSERT INTO events VALUES(7,1795266298885,1,0,1,'copy run 1 ended: completed_with_differences','');
INSERT INTO events VALUES(10,1795266299389,2,0,1,'copy run 2 started','');
INSERT INTO events VALUES(11,1795266299390,2,4,0,'','');
INSERT INTO events VALUES(13,1795266299540,2,0,1,'copy run 2 ended: completed_with_differences','');
INSERT INTO events VALUES(16,1795266299985,3,0,1,'verify run 3 started','');
INSERT INTO events VALUES(17,1795266300085,3,4,0,'','');
INSERT INTO events VALUES(18,1795266300136,3,0,1,'verify run 3 ended: completed_with_differences','');
CREATE TABLE requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, verb INTEGER NOT NULL, who TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE live (
  one INTEGER PRIMARY KEY CHECK (one = 1), in_progress INTEGER NOT NULL, concurrency INTEGER NOT NULL,
  items_per_second REAL NOT NULL, bytes_per_second REAL NOT NULL, eta_low_seconds REAL, eta_high_seconds REAL,
  stalled_since_ms INTEGER, reason TEXT NOT NULL
) STRICT;
INSERT INTO live VALUES(1,0,8,0.0,0.0,NULL,NULL,NULL,'');
CREATE TABLE in_flight (
  n INTEGER PRIMARY KEY, partition BLOB NOT NULL, key BLOB NOT NULL, bytes_done INTEGER NOT NULL, bytes_total INTEGER,
  attempt INTEGER NOT NULL, started_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE waivers (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
  at_ms INTEGER NOT NULL, PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE rates (
  run INTEGER NOT NULL, at_ms INTEGER NOT NULL, seconds REAL NOT NULL, items INTEGER NOT NULL, bytes INTEGER NOT NULL,
  attempts_failed INTEGER NOT NULL, concurrency INTEGER NOT NULL, PRIMARY KEY (run, at_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE results (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, result TEXT NOT NULL,
  PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE words (
  vocabulary TEXT NOT NULL, number INTEGER NOT NULL, word TEXT NOT NULL, PRIMARY KEY (vocabulary, number)
) STRICT, WITHOUT ROWID;
INSERT INTO words VALUES('basis',0,'none');
INSERT INTO words VALUES('basis',1,'written');
INSERT INTO words VALUES('basis',2,'matched_checksum');
INSERT INTO words VALUES('basis',3,'matched_weak');
INSERT INTO words VALUES('change',0,'new');
INSERT INTO words VALUES('change',1,'updated');
INSERT INTO words VALUES('change',2,'unchanged');
INSERT INTO words VALUES('error_class',0,'none');
INSERT INTO words VALUES('error_class',1,'configuration');
INSERT INTO words VALUES('error_class',2,'auth');
INSERT INTO words VALUES('error_class',3,'permission');
INSERT INTO words VALUES('error_class',4,'missing');
INSERT INTO words VALUES('error_class',5,'throttled');
INSERT INTO words VALUES('error_class',6,'network');
INSERT INTO words VALUES('error_class',7,'timeout');
INSERT INTO words VALUES('error_class',8,'server');
INSERT INTO words VALUES('error_class',9,'checksum');
INSERT INTO words VALUES('error_class',10,'source_changed');
INSERT INTO words VALUES('error_class',11,'unsupported');
INSERT INTO words VALUES('error_class',12,'occupied');
INSERT INTO words VALUES('error_class',13,'collision');
INSERT INTO words VALUES('error_class',14,'too_large');
INSERT INTO words VALUES('error_class',15,'archived');
INSERT INTO words VALUES('error_class',16,'local_io');
INSERT INTO words VALUES('error_class',17,'transform');
INSERT INTO words VALUES('error_class',18,'conflict');
INSERT INTO words VALUES('error_class',19,'tracker');
INSERT INTO words VALUES('error_class',20,'locked');
INSERT INTO words VALUES('error_class',21,'fenced');
INSERT INTO words VALUES('error_class',22,'callback');
INSERT INTO words VALUES('error_class',23,'endpoint');
INSERT INTO words VALUES('error_class',24,'forked');
INSERT INTO words VALUES('error_class',25,'cancelled');
INSERT INTO words VALUES('error_class',26,'internal');
INSERT INTO words VALUES('error_code',0,'ok');
INSERT INTO words VALUES('error_code',1,'cancelled');
INSERT INTO words VALUES('error_code',2,'unknown');
INSERT INTO words VALUES('error_code',3,'invalid_argument');
INSERT INTO words VALUES('error_code',4,'deadline_exceeded');
INSERT INTO words VALUES('error_code',5,'not_found');
INSERT INTO words VALUES('error_code',6,'already_exists');
INSERT INTO words VALUES('error_code',7,'permission_denied');
INSERT INTO words VALUES('error_code',8,'resource_exhausted');
INSERT INTO words VALUES('error_code',9,'failed_precondition');
INSERT INTO words VALUES('error_code',10,'aborted');
INSERT INTO words VALUES('error_code',11,'out_of_range');
INSERT INTO words VALUES('error_code',12,'unimplemented');
INSERT INTO words VALUES('error_code',13,'internal');
INSERT INTO words VALUES('error_code',14,'unavailable');
INSERT INTO words VALUES('error_code',15,'data_loss');
INSERT INTO words VALUES('error_code',16,'unauthenticated');
INSERT INTO words VALUES('event',0,'run');
INSERT INTO words VALUES('event',1,'phase');
INSERT INTO words VALUES('event',2,'error');
INSERT INTO words VALUES('event',3,'log');
INSERT INTO words VALUES('event',4,'progress');
INSERT INTO words VALUES('event',5,'request');
INSERT INTO words VALUES('event',6,'audit');
INSERT INTO words VALUES('finding',0,'missing');
INSERT INTO words VALUES('finding',1,'extra');
INSERT INTO words VALUES('finding',2,'size');
INSERT INTO words VALUES('finding',3,'checksum');
INSERT INTO words VALUES('finding',4,'metadata');
INSERT INTO words VALUES('finding',5,'unknown');
INSERT INTO words VALUES('level',0,'debug');
INSERT INTO words VALUES('level',1,'info');
INSERT INTO words VALUES('level',2,'warning');
INSERT INTO words VALUES('level',3,'error');
INSERT INTO words VALUES('phase',0,'copy');
INSERT INTO words VALUES('phase',1,'verify');
INSERT INTO words VALUES('phase',2,'cutover');
INSERT INTO words VALUES('phase',3,'rollback');
INSERT INTO words VALUES('phase',4,'track');
INSERT INTO words VALUES('run_state',0,'created');
INSERT INTO words VALUES('run_state',1,'running');
INSERT INTO words VALUES('run_state',2,'paused');
INSERT INTO words VALUES('run_state',3,'cancelling');
INSERT INTO words VALUES('run_state',4,'completed');
INSERT INTO words VALUES('run_state',5,'completed_with_differences');
INSERT INTO words VALUES('run_state',6,'failed');
INSERT INTO words VALUES('run_state',7,'cancelled');
INSERT INTO words VALUES('run_state',8,'interrupted');
INSERT INTO words VALUES('state',0,'pending');
INSERT INTO words VALUES('state',1,'copied');
INSERT INTO words VALUES('state',2,'verified');
INSERT INTO words VALUES('state',3,'failed');
INSERT INTO words VALUES('state',4,'excluded');
INSERT INTO words VALUES('state',5,'vanished');
DELETE FROM sqlite_sequence;
CREATE VIEW waiver_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(w.key AS TEXT) AS key, CAST(w.version AS TEXT) AS version, w.who, w.why,
  strftime('%Y-%m-%dT%H:%M:%S', w.at_ms / 1000, 'unixepoch') || printf('.%03dZ', w.at_ms % 1000) AS at
  FROM waivers w JOIN partitions p ON p.partition = w.partition;
CREATE VIEW rate_view AS SELECT
  run, strftime('%Y-%m-%dT%H:%M:%S', at_ms / 1000, 'unixepoch') || printf('.%03dZ', at_ms % 1000) AS at, seconds,
  items, bytes, attempts_failed, concurrency FROM rates;
CREATE VIEW result_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(r.key AS TEXT) AS key, CAST(r.version AS TEXT) AS version, r.result
  FROM results r JOIN partitions p ON p.partition = r.partition;
CREATE VIEW item_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(i.key AS TEXT) AS key, CAST(i.version AS TEXT) AS version,
  s.word AS state, b.word AS basis, CASE WHEN i.status & 7 IN (1, 2) THEN c.word END AS change,
  CASE WHEN i.error_class > 0 THEN e.word END AS error_class, i.status >> 24 AS run, i.revision, i.size,
  CASE typeof(i.etag) WHEN 'blob' THEN lower(hex(i.etag)) ELSE i.etag END AS etag, i.mtime_ns,
  CASE WHEN i.status & 4096 THEN printf('%016x', i.crc64) END AS crc64nvme, lower(hex(i.sha256)) AS sha256,
  CASE WHEN i.status & 8192 THEN strftime('%Y-%m-%dT%H:%M:%SZ', i.copied_at + l.time_base_s, 'unixepoch') END
    AS copied_at,
  CASE WHEN i.status & 16384 THEN strftime('%Y-%m-%dT%H:%M:%SZ', i.verified_at + l.time_base_s, 'unixepoch') END
    AS verified_at,
  CASE WHEN i.status & 32768 THEN coalesce(i.stored_size, i.size) END AS stored_size,
  CASE WHEN i.status & 32768 THEN CASE typeof(i.stored_etag) WHEN 'null' THEN
    CASE typeof(i.etag) WHEN 'blob' THEN lower(hex(i.etag)) ELSE i.etag END
    WHEN 'blob' THEN lower(hex(i.stored_etag)) ELSE i.stored_etag END END AS stored_etag,
  (i.status >> 9) & 1 AS gone_at_source, (i.status >> 10) & 1 AS waived, (i.status >> 11) & 1 AS left
  FROM items i JOIN ledger l JOIN partitions p ON p.partition = i.partition
  LEFT JOIN words s ON s.vocabulary = 'state' AND s.number = i.status & 7
  LEFT JOIN words b ON b.vocabulary = 'basis' AND b.number = (i.status >> 3) & 3
  LEFT JOIN words c ON c.vocabulary = 'change' AND c.number = (i.status >> 5) & 3
  LEFT JOIN words e ON e.vocabulary = 'error_class' AND e.number = i.error_class;
CREATE VIEW failure_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(f.key AS TEXT) AS key, CAST(f.version AS TEXT) AS version,
  e.word AS error_class, c.word AS code, f.message, f.retryable, f.http_status, f.provider_code, f.request_id,
  f.endpoint, f.attempts, strftime('%Y-%m-%dT%H:%M:%S', f.at_ms / 1000, 'unixepoch') || printf('.%03dZ', f.at_ms % 1000) AS at
  FROM failures f JOIN partitions p ON p.partition = f.partition
  LEFT JOIN words e ON e.vocabulary = 'error_class' AND e.number = f.error_class
  LEFT JOIN words c ON c.vocabulary = 'error_code' AND c.number = f.code;
CREATE VIEW account_view AS SELECT
  CASE c.frame WHEN 0 THEN 'migration' ELSE 'run' END AS frame, nullif(c.frame, 0) AS run,
  CASE c.partition WHEN 0 THEN NULL ELSE CAST(p.name AS TEXT) END AS partition, c.partition = 0 AS is_total,
  excluded + pending + created + updated + unchanged + failed + waived + vanished AS discovered, excluded,
  pending + created + updated + unchanged + failed + waived + vanished AS eligible, pending AS pending_and_in_progress,
  created + updated + unchanged AS done, created AS new, updated, unchanged, verified, failed, waived, vanished,
  pending + failed + waived + vanished AS outstanding, bytes_total, bytes_done, attempts_total, attempts_failed
  FROM counters c LEFT JOIN partitions p ON p.partition = c.partition;
CREATE VIEW run_view AS SELECT
  r.run, p.word AS phase, s.word AS stored_state, r.reason,
  strftime('%Y-%m-%dT%H:%M:%S', r.started_at_ms / 1000, 'unixepoch') || printf('.%03dZ', r.started_at_ms % 1000) AS started_at,
  strftime('%Y-%m-%dT%H:%M:%S', r.ended_at_ms / 1000, 'unixepoch') || printf('.%03dZ', r.ended_at_ms % 1000) AS ended_at,
  r.active_seconds, r.listing_complete, r.expected_items, r.options, r.engine_version, r.host, r.pid,
  coalesce(a.discovered, 0) AS discovered, coalesce(a.excluded, 0) AS excluded, coalesce(a.eligible, 0) AS eligible,
  coalesce(a.pending_and_in_progress, 0) AS pending_and_in_progress, coalesce(a.done, 0) AS done,
  coalesce(a.new, 0) AS new, coalesce(a.updated, 0) AS updated, coalesce(a.unchanged, 0) AS unchanged,
  coalesce(a.verified, 0) AS verified, coalesce(a.failed, 0) AS failed, coalesce(a.waived, 0) AS waived,
  coalesce(a.vanished, 0) AS vanished, coalesce(a.outstanding, 0) AS outstanding,
  coalesce(a.bytes_total, 0) AS bytes_total, coalesce(a.bytes_done, 0) AS bytes_done,
  coalesce(a.attempts_total, 0) AS attempts_total, coalesce(a.attempts_failed, 0) AS attempts_failed
  FROM runs r LEFT JOIN account_view a ON a.run = r.run AND a.is_total
  LEFT JOIN words p ON p.vocabulary = 'phase' AND p.number = r.phase
  LEFT JOIN words s ON s.vocabulary = 'run_state' AND s.number = r.state;
CREATE VIEW finding_view AS SELECT
  f.run, w.word AS kind, CAST(f.partition AS TEXT) AS partition, CAST(f.key AS TEXT) AS key,
  CAST(f.version AS TEXT) AS version, f.detail
  FROM findings f LEFT JOIN words w ON w.vocabulary = 'finding' AND w.number = f.kind;
CREATE VIEW event_view AS SELECT
  e.seq, strftime('%Y-%m-%dT%H:%M:%S', e.at_ms / 1000, 'unixepoch') || printf('.%03dZ', e.at_ms % 1000) AS at,
  e.run, k.word AS kind, l.word AS level, e.text, e.data
  FROM events e LEFT JOIN words k ON k.vocabulary = 'event' AND k.number = e.kind
  LEFT JOIN words l ON l.vocabulary = 'level' AND l.number = e.level;
COMMIT;
PRAGMA application_id = 1465467441;
PRAGMA user_version = 3;
