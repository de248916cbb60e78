"""The tables of the ledger, and its longest statements. A change of SCHEMA raises VERSION, and adds to MIGRATIONS what
makes a file of the version before into one of the new."""

from __future__ import annotations

from collections.abc import Mapping

VERSION = 3
SCHEMA = """
CREATE TABLE bundles (
  token TEXT PRIMARY KEY, site TEXT NOT NULL, site_json TEXT NOT NULL, folder TEXT,
  sent INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '',
  python TEXT NOT NULL DEFAULT '', probe TEXT NOT NULL DEFAULT '', created REAL NOT NULL);
CREATE TABLE batches (
  bundle TEXT NOT NULL REFERENCES bundles, first INTEGER NOT NULL, count INTEGER NOT NULL, name TEXT NOT NULL,
  batch_id TEXT, words TEXT NOT NULL DEFAULT '', packed INTEGER NOT NULL DEFAULT 0,
  place INTEGER NOT NULL DEFAULT 1, full INTEGER NOT NULL DEFAULT 0, heard TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (bundle, first)) WITHOUT ROWID;
CREATE TABLE jobs (
  key INTEGER PRIMARY KEY, bundle TEXT NOT NULL REFERENCES bundles, first INTEGER NOT NULL, element INTEGER NOT NULL,
  job_id TEXT NOT NULL, campaign TEXT, site TEXT NOT NULL, type TEXT NOT NULL, working_dir TEXT NOT NULL,
  patterns TEXT NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL DEFAULT '', exit_code INTEGER,
  raw TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', node TEXT NOT NULL DEFAULT '',
  started REAL, ended REAL, attempt INTEGER NOT NULL DEFAULT 0, silent INTEGER NOT NULL DEFAULT 0, silent_since REAL,
  collected INTEGER NOT NULL DEFAULT 0, results TEXT, created REAL NOT NULL, updated REAL NOT NULL,
  resources TEXT NOT NULL DEFAULT '{}', retry TEXT NOT NULL DEFAULT '{}', template TEXT,
  tries INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX jobs_element ON jobs (bundle, element);
CREATE INDEX jobs_campaign ON jobs (campaign, site, job_id);
CREATE INDEX jobs_open ON jobs (site, collected) WHERE collected = 0;
CREATE TABLE attempts (
  job INTEGER NOT NULL REFERENCES jobs, tries INTEGER NOT NULL, bundle TEXT NOT NULL REFERENCES bundles,
  first INTEGER NOT NULL, element INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, exit_code INTEGER,
  raw TEXT NOT NULL, reason TEXT NOT NULL, node TEXT NOT NULL, started REAL, ended REAL, attempt INTEGER NOT NULL,
  resources TEXT NOT NULL, collected INTEGER NOT NULL, results TEXT, over REAL NOT NULL,
  PRIMARY KEY (job, tries)) WITHOUT ROWID;
CREATE TABLE observations (job INTEGER NOT NULL REFERENCES jobs, at REAL NOT NULL, said TEXT NOT NULL);
CREATE INDEX observations_job ON observations (job);
CREATE TABLE sites (
  site TEXT PRIMARY KEY, asked_at REAL NOT NULL DEFAULT 0, history TEXT NOT NULL DEFAULT '',
  room INTEGER, full_at REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX batches_waiting ON batches (bundle) WHERE place = 0;
CREATE TRIGGER jobs_moved AFTER UPDATE OF bundle, first, element, state, cause, exit_code, raw, reason, node, started,
  ended, attempt, silent, silent_since, tries ON jobs BEGIN UPDATE batches SET heard = ''
  WHERE bundle = OLD.bundle AND first = OLD.first AND heard != ''; END;
"""
"""The trigger: what a poll knows to be settled of a batch is so no more, whoever has written of a job of it."""
MIGRATIONS: Mapping[int, str] = {
    1: """
ALTER TABLE batches ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN place INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batches ADD COLUMN full INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sites ADD COLUMN room INTEGER;
ALTER TABLE sites ADD COLUMN full_at REAL NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN resources TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN retry TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN template TEXT;
ALTER TABLE jobs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
CREATE TABLE attempts (
  job INTEGER NOT NULL REFERENCES jobs, tries INTEGER NOT NULL, bundle TEXT NOT NULL REFERENCES bundles,
  first INTEGER NOT NULL, element INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, exit_code INTEGER,
  raw TEXT NOT NULL, reason TEXT NOT NULL, node TEXT NOT NULL, started REAL, ended REAL, attempt INTEGER NOT NULL,
  resources TEXT NOT NULL, collected INTEGER NOT NULL, results TEXT, over REAL NOT NULL,
  PRIMARY KEY (job, tries)) WITHOUT ROWID;
""",
    2: """
ALTER TABLE batches ADD COLUMN heard TEXT NOT NULL DEFAULT '';
CREATE INDEX batches_waiting ON batches (bundle) WHERE place = 0;
CREATE TRIGGER jobs_moved AFTER UPDATE OF bundle, first, element, state, cause, exit_code, raw, reason, node, started,
  ended, attempt, silent, silent_since, tries ON jobs BEGIN UPDATE batches SET heard = ''
  WHERE bundle = OLD.bundle AND first = OLD.first AND heard != ''; END;
""",
}
"""Version → what makes the next one of it. Written once, and not changed afterwards."""
_STANDS = "j.state, j.cause, j.exit_code, j.raw, j.reason, j.node, j.started, j.ended, j.attempt, j.tries"
_BATCH_SYSTEM = "coalesce(json_extract(b.site_json, '$.settings.scheduler'), '') AS batch_system"
_JOB = (
    "j.key, j.bundle, j.first, j.element, b.folder, b.sent, s.name, s.batch_id, j.job_id, j.campaign, j.site,"
    f" j.type, j.working_dir, j.patterns, {_STANDS}, j.silent, j.silent_since, j.collected, j.results, j.created,"
    f" j.updated, s.count, s.packed, s.place, j.resources, j.retry, j.template, {_BATCH_SYSTEM}"
)
JOBS = (
    f"SELECT {_JOB} FROM jobs j"  # noqa: S608  (words of this file)
    " JOIN bundles b ON b.token = j.bundle JOIN batches s ON s.bundle = j.bundle AND s.first = j.first"
)
_NEW = (
    "bundle", "first", "element", "job_id", "campaign", "site", "type", "working_dir", "patterns", "state", "resources",
    "retry", "template",
)  # fmt: skip
NEW_JOB_DEFAULTS: Mapping[str, str | None] = {"resources": "{}", "retry": "{}", "template": None}
NEW_JOB = (
    f"INSERT INTO jobs ({', '.join(_NEW)}, created, updated)"  # noqa: S608  (words of this file)
    f" VALUES ({', '.join(':' + name for name in _NEW)}, :now, :now)"
)
NEW_STATUS = (
    "UPDATE jobs SET state=:state, cause=:cause, exit_code=:exit_code, raw=:raw, reason=:reason, node=:node,"
    " started=:started, ended=:ended, attempt=:attempt, updated=:now WHERE key=:key AND tries=:tries AND collected=0"
)
"""Not if the job has gone on to another attempt, or is home: then somebody else's question has overtaken this one."""
NEW_STATUS_IF = f"{NEW_STATUS} AND state=:was"
TAKEN = "SELECT 1 FROM jobs WHERE campaign = :campaign AND site = :site AND job_id = :job_id AND cause != 'refused'"
_KEPT = (
    "tries", "bundle", "first", "element", "state", "cause", "exit_code", "raw", "reason", "node", "started", "ended",
    "attempt", "resources", "collected", "results",
)  # fmt: skip
KEEP_ATTEMPT = (
    f"INSERT INTO attempts (job, {', '.join(_KEPT)}, over)"  # noqa: S608  (words of this file)
    f" SELECT key, {', '.join(_KEPT)}, :now FROM jobs WHERE key = :key AND bundle = :was"
    " AND state = :judged AND cause = :judged_cause AND retry = :retry"
)
"""The attempt that a job has made, beside the job; nothing is kept if the job has moved on since it was judged."""
NEXT_ATTEMPT = (
    "UPDATE jobs SET bundle = :bundle, first = :first, element = :element, state = :state, resources = :resources,"
    " tries = tries + 1, cause = '', exit_code = NULL, raw = '', reason = '', node = '', started = NULL, ended = NULL,"
    " attempt = 0, silent = 0, silent_since = NULL, collected = 0, results = NULL, updated = :now WHERE key = :key"
)
TAKE_BACK = (
    f"UPDATE jobs SET ({', '.join(_KEPT)}) = (SELECT {', '.join(_KEPT)} FROM attempts"  # noqa: S608  (words of this file)
    " WHERE job = :key ORDER BY tries DESC LIMIT 1), retry = '{}', updated = :now WHERE key = :key"
)
"""A job is again what it was before its last attempt, of which nothing came, and is not tried again by itself."""
ADD_REASON = (
    "UPDATE jobs SET reason = CASE reason WHEN '' THEN :why ELSE reason || '; ' || :why END"
    " WHERE key = :key AND collected = 0"
)
"""What is home has its results, with an error that says why it failed; its history says the rest."""
DROP_LAST = "DELETE FROM attempts WHERE job = :key AND tries = (SELECT tries FROM jobs WHERE key = :key)"
OBSERVATION = "INSERT INTO observations VALUES (?,?,?)"
OBSERVATION_OF_TRY = "INSERT INTO observations SELECT key, ?, ? FROM jobs WHERE key = ? AND tries = ?"
ASKED = """
SELECT j.bundle, j.first, s.count, s.name, s.batch_id, s.packed, b.folder, s.heard, j.elements, j.keys FROM (
  SELECT bundle, first, group_concat(element) AS elements, group_concat(key) AS keys, MIN(key) AS oldest FROM jobs
  WHERE site = ? AND collected = 0 AND state IN (SELECT value FROM json_each(?)) GROUP BY bundle, first) j
JOIN bundles b ON b.token = j.bundle JOIN batches s ON s.bundle = j.bundle AND s.first = j.first
WHERE b.folder NOT NULL AND s.place = 1 ORDER BY j.oldest
"""
"""Batches of which something goes on, oldest first, with the elements of them that do: a row a batch, not a job."""
ELEMENTS = (
    f"SELECT j.key, j.bundle, j.first, j.element, {_STANDS}, j.silent, j.silent_since FROM jobs j"  # noqa: S608
    " WHERE j.key IN (SELECT value FROM json_each(?)) AND j.collected = 0"
    " AND j.state IN (SELECT value FROM json_each(?))"
)
RESULTS = (
    "UPDATE jobs SET results = ?, collected = 1, updated = ? WHERE key = ? AND tries = ?"
    " AND state IN (SELECT value FROM json_each(?))"
)
"""Not if somebody has seen meanwhile that the job goes on."""
SILENCE = "UPDATE jobs SET silent = ?, silent_since = ? WHERE key = ? AND tries = ?"
HEARD = "UPDATE batches SET heard = ? WHERE bundle = ? AND first = ?"
ATTEMPTS = (
    f"SELECT a.*, b.folder, s.batch_id, s.name, s.count, s.packed, {_BATCH_SYSTEM} FROM attempts a"  # noqa: S608
    " JOIN bundles b ON b.token = a.bundle"
    " JOIN batches s ON s.bundle = a.bundle AND s.first = a.first"
    " WHERE a.job IN (SELECT value FROM json_each(?)) ORDER BY a.job, a.tries"
)
