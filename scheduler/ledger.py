"""The durable record of every job, one SQLite file. It stores and finds; what states mean is decided elsewhere.

Written before anything is sent, with `synchronous=FULL`: what it says survives a killed process and a lost battery.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scheduler.errors import LedgerError
from scheduler.job.state import JobState, Status
from scheduler.ledger_rows import BatchRow, JobRow, job_row, status_values
from scheduler.ledger_schema import JOBS, MIGRATIONS, NEW_JOB, NEW_STATUS, SCHEMA, TAKEN, VERSION


def state_folder() -> Path:
    """Where this user's ledger and spool are: ``$SCHEDULER_STATE_DIR``, else the platform's folder for such things."""
    own = os.environ.get("SCHEDULER_STATE_DIR")
    if own:
        return Path(own)
    from platformdirs import user_state_path

    return user_state_path("scheduler")


def owner() -> str:
    """This process, for others to see whether it is still there."""
    return f"{platform.node()}:{os.getpid()}"


def is_gone(process: str) -> bool:
    """The process of that name has ended (or is this one); on another machine nobody can tell, so it has not."""
    host, _, pid = process.rpartition(":")
    if process == owner():
        return True
    if host != platform.node() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class Ledger:
    """The record. Safe for several processes; one object belongs to one thread at a time.

    Raises:
        LedgerError: from any method: the file cannot be opened, read or written, and why.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else state_folder()
        self.path = self.folder / "ledger.sqlite"
        with self._told("open"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / "spool").mkdir(mode=0o700, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._prepare()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._db.close()

    def spool(self, token: str) -> Path:
        """The file that holds a bundle until the site has it."""
        return self.folder / "spool" / f"{token}.tar.gz"

    def record_intent(
        self, *, token: str, site: str, site_json: Mapping[str, Any], python: str, probe: str,
        batches: Iterable[tuple[int, int, str]], jobs: Iterable[Mapping[str, Any]],
    ) -> list[int]:  # fmt: skip
        """That these jobs are about to be sent. On disk when this returns. Gives the keys of the jobs, in order.

        Nothing is recorded, and no keys are given, if the campaign of a job has it already: another process was faster.
        """
        now, jobs = time.time(), list(jobs)
        with self._writing():
            if any(self._db.execute(TAKEN, {**job, "site": site}).fetchone() for job in jobs if job["campaign"]):
                return []
            values = (token, site, json.dumps(site_json), owner(), python, probe, now)
            columns = "token, site, site_json, owner, python, probe, created"
            self._db.execute(f"INSERT INTO bundles ({columns}) VALUES (?,?,?,?,?,?,?)", values)  # noqa: S608
            self._db.executemany(
                "INSERT INTO batches (bundle, first, count, name) VALUES (?,?,?,?)",
                ((token, *b) for b in batches),
            )
            rows = [{**j, "bundle": token, "site": site, "state": JobState.SUBMITTING.word, "now": now} for j in jobs]
            self._db.executemany(NEW_JOB, rows)
            keys = self._db.execute("SELECT key FROM jobs WHERE bundle = ? ORDER BY element", (token,)).fetchall()
        return [row["key"] for row in keys]

    def forget(self, token: str) -> None:
        """Strike out a bundle of which nothing has been, or ever will be, submitted."""
        with self._writing():
            for table in ("jobs", "batches"):
                self._db.execute(f"DELETE FROM {table} WHERE bundle = ?", (token,))  # noqa: S608
            self._db.execute("DELETE FROM bundles WHERE token = ?", (token,))

    def record_folder(self, token: str, folder: str) -> None:
        """Where a bundle is over there."""
        with self._writing():
            self._db.execute("UPDATE bundles SET folder = ? WHERE token = ?", (folder, token))

    def record_sent(self, token: str) -> None:
        """Every batch of the bundle has an answer; nothing of it is to be sent again."""
        with self._writing():
            self._db.execute("UPDATE bundles SET sent = 1 WHERE token = ?", (token,))

    def record_ids(self, token: str, ids: Mapping[int, str]) -> None:
        """The batch system's ids, by first element."""
        with self._writing():
            self._db.executemany(
                "UPDATE batches SET batch_id = ? WHERE bundle = ? AND first = ?",
                [(batch_id, token, first) for first, batch_id in ids.items()],
            )

    def observe(self, changes: Mapping[int, Status], said: Mapping[int, str]) -> None:
        """New statuses of jobs, and what was seen that led to them."""
        now = time.time()
        with self._writing():
            self._db.executemany(
                NEW_STATUS,
                [{**status_values(status), "key": key, "now": now} for key, status in changes.items()],
            )
            self._db.executemany(
                "INSERT INTO observations VALUES (?,?,?)", [(k, now, text) for k, text in said.items()]
            )

    def record_silence(self, silence: Mapping[int, tuple[int, float | None]]) -> None:
        """For how many polls, and since when, nobody has known anything of these jobs."""
        with self._writing():
            self._db.executemany(
                "UPDATE jobs SET silent = ?, silent_since = ? WHERE key = ?",
                [(n, at, k) for k, (n, at) in silence.items()],
            )

    def record_results(self, results: Mapping[int, Mapping[str, Any]]) -> None:
        """What came home: the jobs are done with."""
        with self._writing():
            self._db.executemany(
                "UPDATE jobs SET results = ?, collected = 1, updated = ? WHERE key = ?",
                [(json.dumps(r), time.time(), key) for key, r in results.items()],
            )

    def claim_poll(self, site: str, floor: float) -> bool:
        """May the site be asked now? If so, this process does it, and others read what it brings."""
        with self._writing():
            row = self._db.execute("SELECT asked_at FROM sites WHERE site = ?", (site,)).fetchone()
            now = time.time()
            if row is not None and 0 <= now - row["asked_at"] < floor:
                return False
            self._db.execute("INSERT OR IGNORE INTO sites (site) VALUES (?)", (site,))
            self._db.execute("UPDATE sites SET asked_at = ? WHERE site = ?", (now, site))
        return True

    def history_of(self, site: str) -> str:
        """What is known of the site's history: ``none``, or empty."""
        with self._told("read"):
            row = self._db.execute("SELECT history FROM sites WHERE site = ?", (site,)).fetchone()
        return str(row["history"]) if row else ""

    def record_history(self, site: str, history: str) -> None:
        """Whether the site keeps a history."""
        with self._writing():
            self._db.execute("UPDATE sites SET history = ? WHERE site = ?", (history, site))

    def of_keys(self, keys: Iterable[int]) -> list[JobRow]:
        """The jobs of these keys, oldest first."""
        return self._jobs("j.key IN (SELECT value FROM json_each(?))", json.dumps(list(keys)))

    def of_bundle(self, token: str) -> list[JobRow]:
        """The jobs of one submission, in order."""
        return self._jobs("j.bundle = ?", token)

    def of_campaign(self, campaign: str, site: str) -> list[JobRow]:
        """All that a campaign has submitted to a site, oldest first."""
        return self._jobs("j.campaign = ? AND j.site = ?", campaign, site)

    def going_on(self, site: str) -> list[JobRow]:
        """Jobs of a site that have not ended and whose place over there is known."""
        final = ", ".join(f"'{state.word}'" for state in JobState if state.final)
        return self._jobs(f"j.site = ? AND j.collected = 0 AND j.state NOT IN ({final}) AND b.folder IS NOT NULL", site)

    def chosen(
        self, *, site: str | None = None, campaign: str | None = None, job_id: str | None = None,
        not_done: bool = False, since: float = math.inf,
    ) -> list[JobRow]:  # fmt: skip
        """Jobs that fit all that is given, oldest first.

        `not_done`: only those that have not ended, or are not home, or have changed after `since`.
        """
        given = {"j.site": site, "j.campaign": campaign, "j.job_id": job_id}
        conditions = [f"{column} = ?" for column, value in given.items() if value is not None]
        conditions += ["(j.collected = 0 OR j.updated > ?)"] if not_done else []
        values = [v for v in given.values() if v is not None] + ([since] if not_done else [])
        return self._jobs(" AND ".join(conditions) or "1", *values)

    def _jobs(self, where: str, *values: object) -> list[JobRow]:
        """Jobs that fit a condition of ours (never text of a user), oldest first."""
        query = f"{JOBS} WHERE {where} ORDER BY j.key"
        with self._told("read"):
            return [job_row(row) for row in self._db.execute(query, values)]

    def count(self) -> int:
        """How many jobs there are in all."""
        with self._told("read"):
            return int(self._db.execute("SELECT count(*) FROM jobs").fetchone()[0])

    def batches(self, token: str) -> list[BatchRow]:
        """The batches of a bundle, in order."""
        with self._told("read"):
            rows = self._db.execute("SELECT * FROM batches WHERE bundle = ? ORDER BY first", (token,)).fetchall()
        return [BatchRow(r["bundle"], r["first"], r["count"], r["name"], r["batch_id"], r["words"]) for r in rows]

    def unsent(self, site: str) -> list[sqlite3.Row]:
        """Bundles of which it is not known that the site has all of them."""
        with self._told("read"):
            return self._db.execute(
                "SELECT * FROM bundles WHERE site = ? AND sent = 0 ORDER BY created", (site,)
            ).fetchall()

    def bundle(self, token: str) -> sqlite3.Row:
        """One bundle."""
        with self._told("read"):
            row: sqlite3.Row = self._db.execute("SELECT * FROM bundles WHERE token = ?", (token,)).fetchone()
        return row

    def sites_with_jobs(self) -> dict[str, str]:
        """Sites that have jobs which are not done with → the newest record of the site, as JSON."""
        query = (
            "SELECT b.site, b.site_json FROM bundles b WHERE EXISTS (SELECT 1 FROM jobs j WHERE j.bundle = b.token"
            " AND j.collected = 0) ORDER BY b.created"
        )
        with self._told("read"):
            return {row["site"]: row["site_json"] for row in self._db.execute(query)}

    def site_json(self, site: str) -> str | None:
        """The newest record of a site by its name, as JSON."""
        with self._told("read"):
            row = self._db.execute(
                "SELECT site_json FROM bundles WHERE site = ? ORDER BY created DESC", (site,)
            ).fetchone()
        return None if row is None else str(row["site_json"])

    def history(self, key: int) -> list[tuple[float, str]]:
        """Every observation of a job: when, and what was said."""
        with self._told("read"):
            rows = self._db.execute("SELECT at, said FROM observations WHERE job = ? ORDER BY at", (key,)).fetchall()
        return [(row["at"], row["said"]) for row in rows]

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self.path.chmod(0o600)
        with self._writing():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise LedgerError(
                    f"{self.path}: was written by a newer scheduler (format {version}, this one knows {VERSION})"
                )
            steps = [SCHEMA] if version == 0 else [MIGRATIONS[older] for older in range(version, VERSION)]
            for statement in (one for step in steps for one in step.split(";\n")):
                self._db.execute(statement)
            if steps:
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._told("write"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _told(self, act: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(
                f"cannot {act} the ledger {self.path}: {error}. Is the disk full, or the folder read-only? "
                "Another folder can be named by the environment variable SCHEDULER_STATE_DIR"
            ) from error
