"""The tables of the ledger, and its longest statements. A change of SCHEMA raises VERSION, and adds to MIGRATIONS what
makes a file of the version before into one of the new."""

from __future__ import annotations

from collections.abc import Mapping

VERSION = 2
SCHEMA = """
CREATE TABLE bundles (
  token TEXT PRIMARY KEY, site TEXT NOT NULL, site_json TEXT NOT NULL, folder TEXT,
  sent INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '',
  python TEXT NOT NULL DEFAULT '', probe TEXT NOT NULL DEFAULT '', created REAL NOT NULL);
CREATE TABLE batches (
  bundle TEXT NOT NULL REFERENCES bundles, first INTEGER NOT NULL, count INTEGER NOT NULL, name TEXT NOT NULL,
  batch_id TEXT, words TEXT NOT NULL DEFAULT '', packed INTEGER NOT NULL DEFAULT 0,
  place INTEGER NOT NULL DEFAULT 1, full INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bundle, first)) WITHOUT ROWID;
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
  job INTEGER NOT NULL REFERENCES jobs, number INTEGER NOT NULL, bundle TEXT NOT NULL, element INTEGER NOT NULL,
  folder TEXT, batch_id TEXT, state TEXT NOT NULL, cause TEXT NOT NULL, exit_code INTEGER, raw TEXT NOT NULL,
  reason TEXT NOT NULL, node TEXT NOT NULL, started REAL, ended REAL, attempt INTEGER NOT NULL,
  resources TEXT NOT NULL, PRIMARY KEY (job, number)) WITHOUT ROWID;
CREATE TABLE observations (job INTEGER NOT NULL REFERENCES jobs, at REAL NOT NULL, said TEXT NOT NULL);
CREATE INDEX observations_job ON observations (job);
CREATE TABLE sites (
  site TEXT PRIMARY KEY, asked_at REAL NOT NULL DEFAULT 0, history TEXT NOT NULL DEFAULT '',
  room INTEGER, full_at REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
"""
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
  job INTEGER NOT NULL REFERENCES jobs, number INTEGER NOT NULL, bundle TEXT NOT NULL, element INTEGER NOT NULL,
  folder TEXT, batch_id TEXT, state TEXT NOT NULL, cause TEXT NOT NULL, exit_code INTEGER, raw TEXT NOT NULL,
  reason TEXT NOT NULL, node TEXT NOT NULL, started REAL, ended REAL, attempt INTEGER NOT NULL,
  resources TEXT NOT NULL, PRIMARY KEY (job, number)) WITHOUT ROWID;
""",
}
"""Version → what makes the next one of it. Written once, and not changed afterwards."""
JOBS = (
    "SELECT j.*, b.folder, b.sent, s.batch_id, s.name, s.count, s.packed, s.place FROM jobs j"
    " JOIN bundles b ON b.token = j.bundle JOIN batches s ON s.bundle = j.bundle AND s.first = j.first"
)
_NEW = ("bundle", "first", "element", "job_id", "campaign", "site", "type", "working_dir", "patterns", "state")
NEW_JOB = (
    f"INSERT INTO jobs ({', '.join(_NEW)}, created, updated)"  # noqa: S608  (words of this file)
    f" VALUES ({', '.join(':' + name for name in _NEW)}, :now, :now)"
)
NEW_STATUS = (
    "UPDATE jobs SET state=:state, cause=:cause, exit_code=:exit_code, raw=:raw, reason=:reason, node=:node,"
    " started=:started, ended=:ended, attempt=:attempt, updated=:now WHERE key=:key"
)
TAKEN = "SELECT 1 FROM jobs WHERE campaign = :campaign AND site = :site AND job_id = :job_id AND cause != 'refused'"
