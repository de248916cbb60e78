"""The tables of the ledger's database, the migrations between their versions, and the longer SQL statements.

To add a column: add it to SCHEMA, raise VERSION, and add to MIGRATIONS the statements that turn the version before into
the new one. Jobs and attempts are read with ``*`` and by column name: a new field of `JobRow` or `AttemptRow` finds its
column by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

VERSION = 7
SCHEMA = """
CREATE TABLE bundles (
  token TEXT PRIMARY KEY, site TEXT NOT NULL, site_json TEXT NOT NULL, folder TEXT,
  sent INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '',
  python TEXT NOT NULL DEFAULT '', probe TEXT NOT NULL DEFAULT '', created REAL NOT NULL,
  owned_at REAL NOT NULL DEFAULT 0);
CREATE TABLE batches (
  bundle TEXT NOT NULL REFERENCES bundles, first INTEGER NOT NULL, count INTEGER NOT NULL, name TEXT NOT NULL,
  batch_id TEXT, words TEXT NOT NULL DEFAULT '', packed INTEGER NOT NULL DEFAULT 0,
  slot INTEGER NOT NULL DEFAULT 1, full INTEGER NOT NULL DEFAULT 0, settled_digest TEXT NOT NULL DEFAULT '',
  handovers INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bundle, first)) WITHOUT ROWID;
CREATE TABLE jobs (
  key INTEGER PRIMARY KEY, bundle TEXT NOT NULL REFERENCES bundles, first INTEGER NOT NULL, element INTEGER NOT NULL,
  job_id TEXT NOT NULL, campaign TEXT, site TEXT NOT NULL, type TEXT NOT NULL, working_dir TEXT NOT NULL,
  patterns TEXT NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL DEFAULT '', exit_code INTEGER,
  raw TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', node TEXT NOT NULL DEFAULT '',
  started REAL, ended REAL, requeues INTEGER NOT NULL DEFAULT 0, silent INTEGER NOT NULL DEFAULT 0, silent_since REAL,
  collected INTEGER NOT NULL DEFAULT 0, results TEXT, created REAL NOT NULL, updated REAL NOT NULL,
  resources TEXT NOT NULL DEFAULT '{}', retry TEXT NOT NULL DEFAULT '{}', template TEXT,
  retries INTEGER NOT NULL DEFAULT 0, cancelling INTEGER NOT NULL DEFAULT 0, facts TEXT,
  content TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX jobs_element ON jobs (bundle, element);
CREATE INDEX jobs_campaign ON jobs (campaign, job_id);
CREATE INDEX jobs_open ON jobs (site, collected) WHERE collected = 0;
CREATE INDEX jobs_lost ON jobs (site, updated) WHERE cause = 'lost';
CREATE INDEX jobs_cancelling ON jobs (site) WHERE cancelling = 1;
CREATE TABLE attempts (
  job INTEGER NOT NULL REFERENCES jobs, retries INTEGER NOT NULL, bundle TEXT NOT NULL REFERENCES bundles,
  first INTEGER NOT NULL, element INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, exit_code INTEGER,
  raw TEXT NOT NULL, reason TEXT NOT NULL, node TEXT NOT NULL, started REAL, ended REAL, requeues INTEGER NOT NULL,
  resources TEXT NOT NULL, collected INTEGER NOT NULL, results TEXT, replaced REAL NOT NULL, facts TEXT,
  content TEXT NOT NULL DEFAULT '', type TEXT NOT NULL DEFAULT '', working_dir TEXT NOT NULL DEFAULT '',
  patterns TEXT NOT NULL DEFAULT '[]', template TEXT,
  PRIMARY KEY (job, retries)) WITHOUT ROWID;
CREATE TABLE contents (digest TEXT PRIMARY KEY, parts TEXT NOT NULL, paths TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE observations (job INTEGER NOT NULL REFERENCES jobs, at REAL NOT NULL, text TEXT NOT NULL);
CREATE INDEX observations_job ON observations (job);
CREATE TABLE sites (
  site TEXT PRIMARY KEY, polled_at REAL NOT NULL DEFAULT 0, history TEXT NOT NULL DEFAULT '',
  history_at REAL NOT NULL DEFAULT 0,
  room INTEGER, full_at REAL NOT NULL DEFAULT 0, name TEXT NOT NULL DEFAULT '', identity TEXT NOT NULL DEFAULT '')
  WITHOUT ROWID;
CREATE INDEX batches_waiting ON batches (bundle) WHERE slot = 0;
CREATE TRIGGER jobs_moved AFTER UPDATE OF bundle, first, element, state, cause, exit_code, raw, reason, node, started,
  ended, requeues, silent, silent_since, retries ON jobs BEGIN UPDATE batches SET settled_digest = ''
  WHERE bundle = OLD.bundle AND first = OLD.first AND settled_digest != ''; END;
"""
"""The trigger: when any process changes a job, the next poll must read the jobs of its batch again."""
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
    3: """
ALTER TABLE jobs RENAME COLUMN attempt TO requeues;
ALTER TABLE jobs RENAME COLUMN tries TO retries;
ALTER TABLE attempts RENAME COLUMN attempt TO requeues;
ALTER TABLE attempts RENAME COLUMN tries TO retries;
ALTER TABLE attempts RENAME COLUMN over TO replaced;
ALTER TABLE batches RENAME COLUMN place TO slot;
ALTER TABLE batches RENAME COLUMN heard TO settled_digest;
ALTER TABLE observations RENAME COLUMN said TO text;
ALTER TABLE sites RENAME COLUMN asked_at TO polled_at;
""",
    4: """
ALTER TABLE bundles ADD COLUMN owned_at REAL NOT NULL DEFAULT 0;
UPDATE bundles SET owner = '';
ALTER TABLE sites ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE sites ADD COLUMN identity TEXT NOT NULL DEFAULT '';
INSERT OR IGNORE INTO sites (site) SELECT DISTINCT site FROM bundles;
UPDATE sites SET name = site;
CREATE INDEX jobs_lost ON jobs (site, updated) WHERE cause = 'lost';
ALTER TABLE jobs ADD COLUMN cancelling INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_cancelling ON jobs (site) WHERE cancelling = 1;
ALTER TABLE batches ADD COLUMN handovers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sites ADD COLUMN history_at REAL NOT NULL DEFAULT 0;
""",
    5: """
ALTER TABLE jobs ADD COLUMN facts TEXT;
ALTER TABLE attempts ADD COLUMN facts TEXT;
""",
    6: """
ALTER TABLE jobs ADD COLUMN content TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN content TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN type TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN working_dir TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN patterns TEXT NOT NULL DEFAULT '[]';
ALTER TABLE attempts ADD COLUMN template TEXT;
UPDATE attempts SET (type, working_dir, patterns, template) =
  (SELECT type, working_dir, patterns, template FROM jobs WHERE key = attempts.job);
CREATE TABLE contents (digest TEXT PRIMARY KEY, parts TEXT NOT NULL, paths TEXT NOT NULL) WITHOUT ROWID;
DROP INDEX jobs_campaign;
CREATE INDEX jobs_campaign ON jobs (campaign, job_id);
""",
}
"""Version → the statements that turn a database of that version into one of the next. A step that was released is
never changed."""

_OBSERVED = ("state", "cause", "exit_code", "raw", "reason", "node", "started", "ended", "requeues")
STATUS = (*_OBSERVED, "retries")
"""The columns of `jobs` and `attempts` that hold a `Status`; each has the name of its field."""


def _insert(table: str, *columns: str) -> str:
    """An INSERT statement with the named parameters ``:column``."""
    values = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608  (names from this file)


NEW_BUNDLE = _insert("bundles", "token", "site", "site_json", "owner", "python", "probe", "created", "owned_at")
NEW_BATCH = _insert("batches", "bundle", "first", "count", "name", "packed", "slot")
NEW_JOB = _insert(
    "jobs", "bundle", "first", "element", "job_id", "campaign", "site", "type", "working_dir", "patterns", "state",
    "resources", "retry", "template", "content", "created", "updated",
)  # fmt: skip
NEW_JOB_DEFAULTS: Mapping[str, str | None] = {"resources": "{}", "retry": "{}", "template": None, "content": ""}
NEW_CONTENT = "INSERT OR IGNORE INTO contents (digest, parts, paths) VALUES (?, ?, ?)"
TAKEN = "SELECT 1 FROM jobs WHERE campaign = :campaign AND job_id = :job_id AND cause != 'refused'"
"""At any site: a campaign is one over all of them."""
_BATCH_SYSTEM = (
    "CASE WHEN json_valid(b.site_json) THEN coalesce(json_extract(b.site_json, '$.settings.scheduler'), '') ELSE '' END"
    " AS batch_system"
)
JOBS = (
    f"SELECT j.*, b.folder, b.sent, s.name, s.batch_id, s.count, s.packed, s.slot, {_BATCH_SYSTEM} FROM jobs j"  # noqa: S608
    " LEFT JOIN bundles b ON b.token = j.bundle LEFT JOIN batches s ON s.bundle = j.bundle AND s.first = j.first"
)
"""A job without a bundle or batch, as a damaged ledger has, is a row too: it makes no sense, and is reported."""

NEW_STATUS = (
    f"UPDATE jobs SET {', '.join(f'{column} = :{column}' for column in _OBSERVED)}, updated = :now"  # noqa: S608
    " WHERE key = :key AND retries = :retries AND collected = 0"
)
"""Changes nothing if the job has another attempt by now, or is collected: a later observation has been recorded."""
NEW_STATUS_IF = f"{NEW_STATUS} AND state = :was"
FORGOTTEN = "forgotten by its user while its site could not be reached; if it was submitted, it may still run"
"""The reason of a lost job that is not looked at again."""
_LOST = f"cause = 'lost' AND reason != '{FORGOTTEN}'"
REOPEN = (
    f"UPDATE jobs SET collected = 0, results = NULL, facts = NULL WHERE key = :key AND retries = :retries AND {_LOST}"  # noqa: S608
)
"""Before the new status of a lost job is recorded: what was collected of it is collected anew."""
OF_FOLDERS = (
    "j.working_dir IN (SELECT working_dir FROM jobs WHERE working_dir IN (SELECT value FROM json_each(?))"
    " GROUP BY working_dir HAVING count(*) >= ?)"
)
LOST_SINCE = f"j.{_LOST} AND j.updated > ? AND b.folder IS NOT NULL"
OBSERVATION = _insert("observations", "job", "at", "text")
OBSERVATION_OF_ATTEMPT = (
    "INSERT INTO observations (job, at, text) SELECT key, :at, :text FROM jobs WHERE key = :job AND retries = :retries"
)
RESULTS = (
    "UPDATE jobs SET results = :results, facts = :facts, collected = 1, updated = :now"
    " WHERE key = :key AND retries = :retries AND state IN (SELECT value FROM json_each(:final))"
)
"""Changes nothing if another process has observed meanwhile that the job is not finished."""

POLLED = f"""
SELECT j.bundle, j.first, s.count AS size, s.name, s.batch_id, s.packed, b.folder, s.settled_digest, j.elements, j.keys,
  j.cancelling
FROM (
  SELECT bundle, first, group_concat(element) AS elements, group_concat(key) AS keys, MIN(key) AS oldest,
    coalesce(group_concat(CASE cancelling WHEN 1 THEN element END), '') AS cancelling FROM (
    SELECT key, bundle, first, element, cancelling FROM jobs
    WHERE site = :site AND collected = 0 AND state IN (SELECT value FROM json_each(:unfinished))
    UNION ALL SELECT key, bundle, first, element, cancelling FROM jobs
    WHERE site = :site AND updated > :lost_since AND {_LOST}
    UNION ALL SELECT key, bundle, first, element, cancelling FROM jobs
    WHERE site = :site AND cancelling = 1 AND state = 'cancelled' AND updated > :watched_since)
  GROUP BY bundle, first) j
JOIN bundles b ON b.token = j.bundle JOIN batches s ON s.bundle = j.bundle AND s.first = j.first
WHERE b.folder NOT NULL AND s.slot = 1 ORDER BY j.oldest
"""  # noqa: S608
"""The batches with unfinished jobs, recently lost ones, and ones that were cancelled while it was not known whether the
batch system had them, oldest first: one row for each batch, not for each job."""
ELEMENTS = (
    f"SELECT key, bundle, first, element, silent, silent_since, {', '.join(STATUS)} FROM jobs"  # noqa: S608
    " WHERE key IN (SELECT value FROM json_each(?))"
    f" AND (collected = 0 AND state IN (SELECT value FROM json_each(?)) OR {_LOST})"
)
SILENCE = "UPDATE jobs SET silent = ?, silent_since = ? WHERE key = ? AND retries = ?"
SETTLED = "UPDATE batches SET settled_digest = ? WHERE bundle = ? AND first = ?"

_RENEWED = ("type", "working_dir", "patterns", "template", "content")
"""The columns of a job that an attempt with other content changes."""
_KEPT = ", ".join((*STATUS, "bundle", "first", "element", "resources", "collected", "results", "facts", *_RENEWED))
"""The columns of a job that its row in `attempts` keeps."""
KEEP_ATTEMPT = (
    f"INSERT INTO attempts (job, {_KEPT}, replaced) SELECT key, {_KEPT}, :now FROM jobs"  # noqa: S608
    " WHERE key = :key AND bundle = :was AND state = :judged AND cause = :judged_cause AND retry = :retry"
)
"""Copies the job's last attempt into `attempts`; copies nothing if the job has changed since it was judged."""
NEXT_ATTEMPT = (
    "UPDATE jobs SET bundle = :bundle, first = :first, element = :element, state = :state, resources = :resources,"
    " retries = retries + 1, cause = '', exit_code = NULL, raw = '', reason = '', node = '', started = NULL,"
    " ended = NULL, requeues = 0, silent = 0, silent_since = NULL, collected = 0, results = NULL, facts = NULL,"
    " cancelling = 0,"
    " updated = :now WHERE key = :key"
)
RENEW = (
    f"UPDATE jobs SET {', '.join(f'{column} = :{column}' for column in (*_RENEWED, 'site', 'retry'))}"  # noqa: S608
    " WHERE key = :key"
)
"""After `NEXT_ATTEMPT`: the attempt has the content that is here now."""
RESTORE_PREVIOUS = (
    f"UPDATE jobs SET ({_KEPT}) = (SELECT {_KEPT} FROM attempts"  # noqa: S608
    " WHERE job = :key ORDER BY retries DESC LIMIT 1), retry = '{}', updated = :now WHERE key = :key"
)
"""Makes the job's previous attempt its last one, and disables its automatic retry."""
RESTORE_SITE = "UPDATE jobs SET site = (SELECT site FROM bundles WHERE token = jobs.bundle) WHERE key = :key"
DROP_LAST = "DELETE FROM attempts WHERE job = :key AND retries = (SELECT retries FROM jobs WHERE key = :key)"
ADD_REASON = (
    "UPDATE jobs SET reason = CASE reason WHEN '' THEN :why ELSE reason || '; ' || :why END"
    " WHERE key = :key AND collected = 0"
)
"""Changes nothing if the job is collected: its results contain the error already, and its history gets the reason."""
ATTEMPTS = (
    f"SELECT a.*, b.folder, s.batch_id, s.name, s.count, s.packed, {_BATCH_SYSTEM} FROM attempts a"  # noqa: S608
    " JOIN bundles b ON b.token = a.bundle JOIN batches s ON s.bundle = a.bundle AND s.first = a.first"
    " WHERE a.job IN (SELECT value FROM json_each(?)) ORDER BY a.job, a.retries"
)
