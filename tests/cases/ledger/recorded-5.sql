-- A ledger as version 5 left it, after a campaign on this machine.
BEGIN TRANSACTION;
CREATE TABLE attempts (
  job INTEGER NOT NULL REFERENCES jobs, retries INTEGER NOT NULL, bundle TEXT NOT NULL REFERENCES bundles,
  first INTEGER NOT NULL, element INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, exit_code INTEGER,
  raw TEXT NOT NULL, reason TEXT NOT NULL, node TEXT NOT NULL, started REAL, ended REAL, requeues INTEGER NOT NULL,
  resources TEXT NOT NULL, collected INTEGER NOT NULL, results TEXT, replaced REAL NOT NULL,
  PRIMARY KEY (job, retries)) WITHOUT ROWID;
INSERT INTO "attempts" VALUES(6,0,'g2j85gzdxd',0,5,'failed','exit code',7,'RUNNING','the payload ended with exit code 7','vm',1795916478.0,1795916478.0,0,'{"cpus": 1}',0,NULL,1.79591648001433348653e+09);
CREATE TABLE batches (
  bundle TEXT NOT NULL REFERENCES bundles, first INTEGER NOT NULL, count INTEGER NOT NULL, name TEXT NOT NULL,
  batch_id TEXT, words TEXT NOT NULL DEFAULT '', packed INTEGER NOT NULL DEFAULT 0,
  slot INTEGER NOT NULL DEFAULT 1, full INTEGER NOT NULL DEFAULT 0, settled_digest TEXT NOT NULL DEFAULT '',
  handovers INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bundle, first)) WITHOUT ROWID;
INSERT INTO "batches" VALUES('g2j85gzdxd',0,8,'scan.g2j85gzdxd-0','g2j85gzdxd-0','',0,1,0,'',0);
INSERT INTO "batches" VALUES('nh9adsjj56',0,1,'scan.nh9adsjj56-0','nh9adsjj56-0','',0,1,0,'',0);
CREATE TABLE bundles (
  token TEXT PRIMARY KEY, site TEXT NOT NULL, site_json TEXT NOT NULL, folder TEXT,
  sent INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '',
  python TEXT NOT NULL DEFAULT '', probe TEXT NOT NULL DEFAULT '', created REAL NOT NULL,
  owned_at REAL NOT NULL DEFAULT 0);
INSERT INTO "bundles" VALUES('g2j85gzdxd','local','{"name": "local", "sources": ["/home/anna/scheduler/site_configs/local.yaml"], "settings": {"description": "this machine, no batch system", "transport": "local", "host": null, "ssh": {"user": null, "port": null, "identity_file": null, "proxy_jump": null, "known_hosts": null, "accept_new_host_key": false}, "scheduler": "shell", "work_dir": "~/.local/state/scheduler/work", "account": null, "queue": null, "qos": null, "constraint": null, "memory_style": "per_node", "defaults": {"cpus": 1, "memory": null, "walltime": null, "gpus": null, "nodes": null, "tasks": null, "queue": null, "account": null, "qos": null, "constraint": null, "native": []}, "limits": {"walltime": null, "memory": null, "array_size": null, "queued": null, "poll_seconds": 0.5, "running": null, "whole_node": false, "cores_per_node": null, "purge_days": null}, "container": {"runtime": "apptainer", "modules": [], "binds": [], "options": []}, "modules": [], "python": "python3", "environment": {}, "prologue": "", "native": [], "native_options": [], "template": null, "retry": {"times": 0, "on": ["node failure", "preempted"], "memory_factor": 1.5, "walltime_factor": 1.5, "exit_codes": []}, "trust_pickles": false}}','/home/anna/.local/state/scheduler/work/g2j85gzdxd',1,'0cfe15830e34836c','','',1.79591647647240328783e+09,1.79591647649405860903e+09);
INSERT INTO "bundles" VALUES('nh9adsjj56','local','{"name": "local", "sources": ["/home/anna/scheduler/site_configs/local.yaml"], "settings": {"description": "this machine, no batch system", "transport": "local", "host": null, "ssh": {"user": null, "port": null, "identity_file": null, "proxy_jump": null, "known_hosts": null, "accept_new_host_key": false}, "scheduler": "shell", "work_dir": "~/.local/state/scheduler/work", "account": null, "queue": null, "qos": null, "constraint": null, "memory_style": "per_node", "defaults": {"cpus": 1, "memory": null, "walltime": null, "gpus": null, "nodes": null, "tasks": null, "queue": null, "account": null, "qos": null, "constraint": null, "native": []}, "limits": {"walltime": null, "memory": null, "array_size": null, "queued": null, "poll_seconds": 0.5, "running": null, "whole_node": false, "cores_per_node": null, "purge_days": null}, "container": {"runtime": "apptainer", "modules": [], "binds": [], "options": []}, "modules": [], "python": "python3", "environment": {}, "prologue": "", "native": [], "native_options": [], "template": null, "retry": {"times": 0, "on": ["node failure", "preempted"], "memory_factor": 1.5, "walltime_factor": 1.5, "exit_codes": []}, "trust_pickles": false}}','/home/anna/.local/state/scheduler/work/nh9adsjj56',1,'0cfe15830e34836c','','',1.79591648001433348653e+09,1.79591648001927447313e+09);
CREATE TABLE jobs (
  key INTEGER PRIMARY KEY, bundle TEXT NOT NULL REFERENCES bundles, first INTEGER NOT NULL, element INTEGER NOT NULL,
  job_id TEXT NOT NULL, campaign TEXT, site TEXT NOT NULL, type TEXT NOT NULL, working_dir TEXT NOT NULL,
  patterns TEXT NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL DEFAULT '', exit_code INTEGER,
  raw TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', node TEXT NOT NULL DEFAULT '',
  started REAL, ended REAL, requeues INTEGER NOT NULL DEFAULT 0, silent INTEGER NOT NULL DEFAULT 0, silent_since REAL,
  collected INTEGER NOT NULL DEFAULT 0, results TEXT, created REAL NOT NULL, updated REAL NOT NULL,
  resources TEXT NOT NULL DEFAULT '{}', retry TEXT NOT NULL DEFAULT '{}', template TEXT,
  retries INTEGER NOT NULL DEFAULT 0, cancelling INTEGER NOT NULL DEFAULT 0);
INSERT INTO "jobs" VALUES(1,'g2j85gzdxd',0,0,'three','scan','local','function','/home/anna/three','[]','completed','',0,'RUNNING','','vm',1795916477.0,1795916477.0,0,1,1.79591647874545073506e+09,1,'{"result": 3, "exit_code": 0, "output_files": {}, "stdout": "/home/anna/three/job.stdout", "stderr": "/home/anna/three/job.stderr"}',1.79591647647240328783e+09,1.79591647921174120904e+09,'{"cpus": 1}','{}',NULL,0,0);
INSERT INTO "jobs" VALUES(2,'g2j85gzdxd',0,1,'pair','scan','local','function','/home/anna/pair','[]','completed','',0,'RUNNING','','vm',1795916477.0,1795916477.0,0,1,1.79591647874545073506e+09,1,'{"x": 1.5, "error": 0.02, "exit_code": 0, "output_files": {}, "stdout": "/home/anna/pair/job.stdout", "stderr": "/home/anna/pair/job.stderr"}',1.79591647647240328783e+09,1.79591647921174120904e+09,'{"cpus": 1}','{}',NULL,0,0);
INSERT INTO "jobs" VALUES(3,'g2j85gzdxd',0,2,'nothing','scan','local','function','/home/anna/nothing','[]','completed','',0,'QUEUED','','vm',1795916477.0,1795916478.0,0,1,1.79591647874545073506e+09,1,'{"result": null, "exit_code": 0, "output_files": {}, "stdout": "/home/anna/nothing/job.stdout", "stderr": "/home/anna/nothing/job.stderr"}',1.79591647647240328783e+09,1.79591647921174120904e+09,'{"cpus": 1}','{}',NULL,0,0);
INSERT INTO "jobs" VALUES(4,'g2j85gzdxd',0,3,'bad','scan','local','function','/home/anna/bad','[]','failed','exit code',1,'QUEUED','the payload ended with exit code 1','vm',1795916477.0,1795916478.0,0,1,1.79591647874545073506e+09,1,'{"exit_code": 1, "output_files": {}, "stdout": "/home/anna/bad/job.stdout", "stderr": "/home/anna/bad/job.stderr", "error": "failed: exit code 1: the payload ended with exit code 1\nTraceback (most recent call last):\n  File \"/home/anna/.local/state/scheduler/work/g2j85gzdxd/3/function/src/main_of_rec.py\", line 7, in bad\n    def bad(): raise ValueError(\"no beam\")\n               ^^^^^^^^^^^^^^^^^^^^^^^^^^^\nValueError: no beam\n"}',1.79591647647240328783e+09,1.79591647921174120904e+09,'{"cpus": 1}','{}',NULL,0,0);
INSERT INTO "jobs" VALUES(5,'g2j85gzdxd',0,4,'own','scan','local','script','/home/anna/own','["*.root"]','completed','',0,'QUEUED','','vm',1795916478.0,1795916478.0,0,1,1.79591647874545073506e+09,1,'{"mass": 0.5, "stdout": "/home/anna/own/job.stdout", "attempts": 7, "exit_code": 0, "output_files": {"*.root": ["/home/anna/own/a.root"]}, "stderr": "/home/anna/own/job.stderr"}',1.79591647647240328783e+09,1.79591647921174120904e+09,'{"cpus": 1}','{}',NULL,0,0);
INSERT INTO "jobs" VALUES(6,'nh9adsjj56',0,0,'twice','scan','local','script','/home/anna/twice','[]','completed','',0,'','','vm',1795916482.0,1795916482.0,0,1,1.79591648393373775477e+09,1,'{"hits": 41, "exit_code": 0, "output_files": {}, "attempts": 2, "stdout": "/home/anna/twice/job.stdout", "stderr": "/home/anna/twice/job.stderr"}',1.79591647647240328783e+09,1.79591648421113419531e+09,'{"cpus": 1}','{"times": 1, "on": ["node failure", "preempted"], "memory_factor": 1.5, "walltime_factor": 1.5, "exit_codes": [7]}',NULL,1,0);
INSERT INTO "jobs" VALUES(7,'g2j85gzdxd',0,6,'empty','scan','local','script','/home/anna/empty','[]','completed','',0,'RUNNING','','vm',1795916478.0,1795916478.0,0,1,1.79591647999732255932e+09,1,'{"exit_code": 0, "output_files": {}, "stdout": "/home/anna/empty/job.stdout", "stderr": "/home/anna/empty/job.stderr"}',1.79591647647240328783e+09,1.7959164831202344895e+09,'{"cpus": 1}','{}',NULL,0,0);
INSERT INTO "jobs" VALUES(8,'g2j85gzdxd',0,7,'fails','scan','local','script','/home/anna/fails','["*.root"]','failed','exit code',3,'QUEUED','the payload ended with exit code 3','vm',1795916478.0,1795916478.0,0,1,1.79591647999732255932e+09,1,'{"hits": 2, "error": "failed: exit code 3: the payload ended with exit code 3\nlast lines of stderr (/home/anna/fails/job.stderr):\nlast words", "exit_code": 3, "output_files": {"*.root": []}, "stdout": "/home/anna/fails/job.stdout", "stderr": "/home/anna/fails/job.stderr"}',1.79591647647240328783e+09,1.7959164831202344895e+09,'{"cpus": 1}','{}',NULL,0,0);
CREATE TABLE observations (job INTEGER NOT NULL REFERENCES jobs, at REAL NOT NULL, text TEXT NOT NULL);
INSERT INTO "observations" VALUES(1,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(2,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(3,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(4,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(5,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(6,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(7,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(8,1.79591647650130224224e+09,'submit: to local');
INSERT INTO "observations" VALUES(1,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(2,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(3,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(4,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(5,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(6,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(7,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(8,1.79591647684403920171e+09,'submit: accepted');
INSERT INTO "observations" VALUES(1,1.79591647782281494142e+09,'running; queue: RUNNING');
INSERT INTO "observations" VALUES(2,1.79591647782281494142e+09,'running; queue: RUNNING');
INSERT INTO "observations" VALUES(3,1.79591647782281494142e+09,'queued; queue: QUEUED');
INSERT INTO "observations" VALUES(4,1.79591647782281494142e+09,'queued; queue: QUEUED');
INSERT INTO "observations" VALUES(5,1.79591647782281494142e+09,'queued; queue: QUEUED');
INSERT INTO "observations" VALUES(6,1.79591647782281494142e+09,'queued; queue: QUEUED');
INSERT INTO "observations" VALUES(7,1.79591647782281494142e+09,'queued; queue: QUEUED');
INSERT INTO "observations" VALUES(8,1.79591647782281494142e+09,'queued; queue: QUEUED');
INSERT INTO "observations" VALUES(1,1.79591647874586749075e+09,'completed; end file: exit=0 signal=-');
INSERT INTO "observations" VALUES(2,1.79591647874586749075e+09,'completed; end file: exit=0 signal=-');
INSERT INTO "observations" VALUES(3,1.79591647874586749075e+09,'completed; end file: exit=0 signal=-');
INSERT INTO "observations" VALUES(4,1.79591647874586749075e+09,'failed: exit code 1; end file: exit=1 signal=-');
INSERT INTO "observations" VALUES(5,1.79591647874586749075e+09,'completed; end file: exit=0 signal=-');
INSERT INTO "observations" VALUES(6,1.79591647874586749075e+09,'running; queue: RUNNING');
INSERT INTO "observations" VALUES(7,1.79591647874586749075e+09,'running; queue: RUNNING');
INSERT INTO "observations" VALUES(1,1.79591647919076704978e+09,'collected: 3 files downloaded');
INSERT INTO "observations" VALUES(2,1.79591647919076704978e+09,'collected: 3 files downloaded');
INSERT INTO "observations" VALUES(3,1.79591647919076704978e+09,'collected: 3 files downloaded');
INSERT INTO "observations" VALUES(4,1.79591647919076704978e+09,'collected: 3 files downloaded');
INSERT INTO "observations" VALUES(5,1.79591647919076704978e+09,'collected: 4 files downloaded');
INSERT INTO "observations" VALUES(6,1.79591647999758481984e+09,'failed: exit code 7; end file: exit=7 signal=-');
INSERT INTO "observations" VALUES(7,1.79591647999758481984e+09,'completed; end file: exit=0 signal=-');
INSERT INTO "observations" VALUES(8,1.79591647999758481984e+09,'failed: exit code 3; end file: exit=3 signal=-');
INSERT INTO "observations" VALUES(6,1.79591648001433348653e+09,'attempt 2, after failed: exit code 7');
INSERT INTO "observations" VALUES(6,1.79591648002020478247e+09,'submit: to local');
INSERT INTO "observations" VALUES(6,1.79591648279957461355e+09,'submit: accepted');
INSERT INTO "observations" VALUES(7,1.79591648311924576755e+09,'collected: 2 files downloaded');
INSERT INTO "observations" VALUES(8,1.79591648311924576755e+09,'collected: 3 files downloaded');
INSERT INTO "observations" VALUES(6,1.79591648393389725687e+09,'completed; end file: exit=0 signal=-');
INSERT INTO "observations" VALUES(6,1.79591648420584630964e+09,'collected: 3 files downloaded');
CREATE TABLE sites (
  site TEXT PRIMARY KEY, polled_at REAL NOT NULL DEFAULT 0, history TEXT NOT NULL DEFAULT '',
  history_at REAL NOT NULL DEFAULT 0,
  room INTEGER, full_at REAL NOT NULL DEFAULT 0, name TEXT NOT NULL DEFAULT '', identity TEXT NOT NULL DEFAULT '')
  WITHOUT ROWID;
INSERT INTO "sites" VALUES('local',1.79591648362828946116e+09,'',0.0,NULL,0.0,'local','["", "", 22, "shell", "~/.local/state/scheduler/work"]');
CREATE UNIQUE INDEX jobs_element ON jobs (bundle, element);
CREATE INDEX jobs_campaign ON jobs (campaign, site, job_id);
CREATE INDEX jobs_open ON jobs (site, collected) WHERE collected = 0;
CREATE INDEX jobs_lost ON jobs (site, updated) WHERE cause = 'lost';
CREATE INDEX jobs_cancelling ON jobs (site) WHERE cancelling = 1;
CREATE INDEX observations_job ON observations (job);
CREATE INDEX batches_waiting ON batches (bundle) WHERE slot = 0;
CREATE TRIGGER jobs_moved AFTER UPDATE OF bundle, first, element, state, cause, exit_code, raw, reason, node, started,
  ended, requeues, silent, silent_since, retries ON jobs BEGIN UPDATE batches SET settled_digest = ''
  WHERE bundle = OLD.bundle AND first = OLD.first AND settled_digest != ''; END;
COMMIT;
PRAGMA user_version = 5;
