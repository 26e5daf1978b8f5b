-- Written from db/migrations by the store's tests (vitest -u); do not edit.

CREATE TABLE schema_version (
  version INTEGER PRIMARY KEY,
  file TEXT NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE run (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,                               -- the folder's name
  name TEXT NOT NULL,
  spec TEXT NOT NULL CHECK (json_valid(spec)),
  task TEXT NOT NULL,
  blocks TEXT NOT NULL,
  device TEXT NOT NULL,
  seed INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (
    status IN ('queued', 'starting', 'running', 'paused', 'finished', 'stopped', 'failed', 'interrupted')),
  why TEXT,
  step INTEGER NOT NULL DEFAULT 0,
  tokens INTEGER NOT NULL DEFAULT 0,
  seconds REAL NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  heartbeat_at INTEGER,
  owner_pid INTEGER,
  queue INTEGER,                                         -- order in the queue; NULL when not queued
  facts TEXT CHECK (json_valid(facts)),                  -- BuiltFacts of the newest start
  speed_median REAL,                                     -- tokens a second, with the 10th and 90th percentile
  speed_low REAL,
  speed_high REAL,
  size_bytes INTEGER,
  deleted_at INTEGER,
  seq INTEGER NOT NULL DEFAULT 0,                        -- newest event read
  log_offset INTEGER NOT NULL DEFAULT 0,                 -- bytes of events.jsonl read
  stretch_seq INTEGER NOT NULL DEFAULT 0,                -- first event of the newest start,
  stretch_step INTEGER NOT NULL DEFAULT 0                -- and the step that it went on from
) STRICT;

CREATE INDEX run_by_time ON run (deleted_at, created_at);

CREATE INDEX run_by_queue ON run (queue) WHERE queue IS NOT NULL;

CREATE TABLE metric_series (
  key INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
  name TEXT NOT NULL,
  last REAL,
  best REAL,                                             -- NULL while no report was a number
  UNIQUE (run, name)
) STRICT;

CREATE TABLE metric_point (
  series INTEGER NOT NULL REFERENCES metric_series (key) ON DELETE CASCADE,
  step INTEGER NOT NULL CHECK (step >= 0),
  value REAL,                                            -- NULL when not a number: the run diverged here
  tokens INTEGER NOT NULL,
  seconds REAL NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (series, step)
) STRICT, WITHOUT ROWID;

CREATE INDEX metric_point_by_seq ON metric_point (series, seq);

CREATE TABLE warning (
  run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  step INTEGER NOT NULL,
  code TEXT NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE sample (
  run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  step INTEGER NOT NULL,
  prompt TEXT NOT NULL,
  text TEXT NOT NULL, fills TEXT CHECK (json_valid(fills)),
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
  run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
  step INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  file TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  final INTEGER NOT NULL CHECK (final IN (0, 1)),
  PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_mark (
  run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE saved_model (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  model TEXT NOT NULL CHECK (json_valid(model)),
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER
) STRICT;

CREATE TABLE setting (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL CHECK (json_valid(value))
) STRICT;

CREATE TABLE text (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  added_at INTEGER NOT NULL,
  deleted_at INTEGER
) STRICT;

CREATE TABLE agreement (
  block TEXT NOT NULL,
  device TEXT NOT NULL,
  device_detail TEXT NOT NULL,
  kernel_version TEXT NOT NULL,
  tested_at INTEGER NOT NULL,
  ok INTEGER NOT NULL CHECK (ok IN (0, 1)),
  cases INTEGER NOT NULL,
  tensors INTEGER NOT NULL,
  worst TEXT CHECK (json_valid(worst)),                  -- the tensor nearest to its tolerance; NULL if none was compared
  failures TEXT NOT NULL CHECK (json_valid(failures)),   -- a list of sentences
  PRIMARY KEY (block, device)
) STRICT, WITHOUT ROWID;
