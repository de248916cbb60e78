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
  retries INTEGER NOT NULL DEFAULT 0, cancelling INTEGER NOT NULL DEFAULT 0, facts TEXT);
CREATE UNIQUE INDEX jobs_element ON jobs (bundle, element);
CREATE INDEX jobs_campaign ON jobs (campaign, site, job_id);
CREATE INDEX jobs_open ON jobs (site, collected) WHERE collected = 0;
CREATE INDEX jobs_lost ON jobs (site, updated) WHERE cause = 'lost';
CREATE INDEX jobs_cancelling ON jobs (site) WHERE cancelling = 1;
CREATE TABLE attempts (
  job INTEGER NOT NULL REFERENCES jobs, retries INTEGER NOT NULL, bundle TEXT NOT NULL REFERENCES bundles,
  first INTEGER NOT NULL, element INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, exit_code INTEGER,
  raw TEXT NOT NULL, reason TEXT NOT NULL, node TEXT NOT NULL, started REAL, ended REAL, requeues INTEGER NOT NULL,
  resources TEXT NOT NULL, collected INTEGER NOT NULL, results TEXT, replaced REAL NOT NULL, facts TEXT,
  PRIMARY KEY (job, retries)) WITHOUT ROWID;
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
INSERT INTO bundles (token, site, site_json, folder, sent, created) VALUES ('abcdefghij', 'hpc', '{}', '/work/abcdefghij', 1, 1e9);
INSERT INTO batches (bundle, first, count, name, batch_id) VALUES ('abcdefghij', 0, 2, 'scan.abcdefghij-0', '4711');
INSERT INTO jobs (bundle, first, element, job_id, campaign, site, type, working_dir, patterns, state, created, updated) VALUES
  ('abcdefghij', 0, 0, 'a', 'scan', 'hpc', 'script', '/home/a', '["*.root"]', 'running', 1e9, 1e9),
  ('abcdefghij', 0, 1, 'b', 'scan', 'hpc', 'script', '/home/b', '[]', 'completed', 1e9, 1e9);
INSERT INTO observations VALUES (1, 1e9, 'submit: accepted');
INSERT INTO attempts (job, retries, bundle, first, element, state, cause, raw, reason, node, requeues, resources, collected,
  replaced) VALUES (2, 0, 'abcdefghij', 0, 1, 'failed', 'unknown', '', '', '', 0, '{}', 1, 1e9);
UPDATE jobs SET retries = 1 WHERE key = 2;
PRAGMA user_version = 6;
