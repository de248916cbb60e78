"""The durable record of every job, one SQLite file. It stores and finds; what states mean is decided elsewhere.

Written before anything is sent, with `synchronous=FULL`: what it says survives a killed process and a lost battery.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from scheduler.job.state import JobState, Status
from scheduler.ledger.attempts import Attempts
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import batch_row, job_rows, new_batches, state_row, status_values
from scheduler.ledger.owner import owner
from scheduler.ledger.polls import Polls
from scheduler.ledger.rows import BatchRow, JobRow, StateRow
from scheduler.ledger.sites import Sites
from scheduler.ledger.slots import Slots
from scheduler.ledger.tables import (
    JOBS,
    NEW_BATCH,
    NEW_BUNDLE,
    NEW_JOB,
    NEW_JOB_DEFAULTS,
    NEW_STATUS,
    NEW_STATUS_IF,
    OBSERVATION,
    OBSERVATION_OF_ATTEMPT,
    RESULTS,
    TAKEN,
)

_FINAL = json.dumps([state.word for state in JobState if state.final])


class Ledger:
    """The record. Safe for several processes; one object belongs to one thread at a time.

    Raises:
        LedgerError: from any method: the file cannot be opened, read or written, and why.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.database = Database(folder)
        self.folder, self.path = self.database.folder, self.database.path

    def close(self) -> None:
        """Close the file. May be called twice."""
        self.database.close()

    @cached_property
    def polls(self) -> Polls:
        """What one poll reads and writes."""
        return Polls(self.database)

    @cached_property
    def slots(self) -> Slots:
        """Which batches may be submitted now."""
        return Slots(self.database)

    @cached_property
    def attempts(self) -> Attempts:
        """How a job gets its next attempt, and its earlier ones."""
        return Attempts(self.database)

    @cached_property
    def sites(self) -> Sites:
        """When a site was polled last, and what is known of it."""
        return Sites(self.database)

    def spool(self, token: str) -> Path:
        """The file that holds a bundle until the site has it."""
        return self.folder / "spool" / f"{token}.tar.gz"

    def record_intent(
        self, *, token: str, site: str, site_json: Mapping[str, Any], python: str, probe: str,
        batches: Iterable[tuple[int, int, str, bool]], jobs: Iterable[Mapping[str, Any]],
    ) -> list[int]:  # fmt: skip
        """That these jobs are about to be sent. On disk when this returns. Gives the keys of the jobs, in order.

        Nothing is recorded, and no keys are given, if the campaign of a job has it already: another process was faster.
        """
        now, jobs = time.time(), list(jobs)
        with self.database.writing() as db:
            if any(db.execute(TAKEN, {**job, "site": site}).fetchone() for job in jobs if job["campaign"]):
                return []
            bundle = {"token": token, "site": site, "site_json": json.dumps(site_json), "owner": owner(),
                      "created": now, "python": python, "probe": probe}  # fmt: skip
            db.execute(NEW_BUNDLE, bundle)
            db.executemany(NEW_BATCH, new_batches(token, batches))
            new = {"bundle": token, "site": site, "state": JobState.SUBMITTING.word, "created": now, "updated": now}
            db.executemany(NEW_JOB, ({**NEW_JOB_DEFAULTS, **job, **new} for job in jobs))
            keys = db.execute("SELECT key FROM jobs WHERE bundle = ? ORDER BY element", (token,)).fetchall()
        return [row["key"] for row in keys]

    def forget(self, token: str) -> None:
        """Strike out a bundle of which nothing has been, or ever will be, submitted."""
        with self.database.writing() as db:
            for table in ("jobs", "batches"):
                db.execute(f"DELETE FROM {table} WHERE bundle = ?", (token,))  # noqa: S608
            db.execute("DELETE FROM bundles WHERE token = ?", (token,))

    def record_folder(self, token: str, folder: str) -> None:
        """Where a bundle is over there."""
        with self.database.writing() as db:
            db.execute("UPDATE bundles SET folder = ? WHERE token = ?", (folder, token))

    def record_sent(self, token: str) -> None:
        """Every batch of the bundle has an answer; nothing of it is to be sent again."""
        with self.database.writing() as db:
            db.execute("UPDATE bundles SET sent = 1 WHERE token = ?", (token,))

    def record_ids(self, token: str, ids: Mapping[int, str]) -> None:
        """The batch system's ids, by first element."""
        with self.database.writing() as db:
            db.executemany(
                "UPDATE batches SET batch_id = ? WHERE bundle = ? AND first = ?",
                [(batch_id, token, first) for first, batch_id in ids.items()],
            )

    def observe(self, changes: Mapping[int, Status], said: Mapping[int, str], *, was: JobState | None = None) -> None:
        """New statuses of jobs, and what was seen; nothing new of those that are tried again, or are home, meanwhile,
        nor, if that is given, of those that are no longer in the state `was`."""
        now, before = time.time(), was.word if was is not None else None
        new = ({**status_values(s), "key": key, "now": now, "was": before} for key, s in changes.items())
        with self.database.writing() as db:
            db.executemany(NEW_STATUS if was is None else NEW_STATUS_IF, new)
            texts = [
                {"job": key, "at": now, "text": text, "retries": changes[key].retries if key in changes else None}
                for key, text in said.items()
            ]
            db.executemany(OBSERVATION_OF_ATTEMPT, (text for text in texts if text["retries"] is not None))
            db.executemany(OBSERVATION, (text for text in texts if text["retries"] is None))

    def record_results(
        self, results: Mapping[int, Mapping[str, Any]], retries: Mapping[int, int] | None = None
    ) -> None:
        """What came home of these jobs, and of which of their retries (else of the first): they are done with."""
        now, of = time.time(), retries or {}
        with self.database.writing() as db:
            db.executemany(
                RESULTS,
                (
                    {"results": json.dumps(r), "now": now, "key": key, "retries": of.get(key, 0), "final": _FINAL}
                    for key, r in results.items()
                ),
            )

    def of_keys(self, keys: Iterable[int]) -> list[JobRow]:
        """The jobs of these keys, oldest first."""
        return self._jobs("j.key IN (SELECT value FROM json_each(?))", json.dumps(list(keys)))

    def ended(self, keys: Iterable[int]) -> list[JobRow]:
        """Those of these jobs that have ended and are not home, oldest first."""
        of_keys, in_state = ("j.key IN (SELECT value FROM json_each(?))", "j.state IN (SELECT value FROM json_each(?))")
        return self._jobs(f"{of_keys} AND j.collected = 0 AND {in_state}", json.dumps(list(keys)), _FINAL)

    def of_bundle(self, token: str) -> list[JobRow]:
        """The jobs of one submission, in order."""
        return self._jobs("j.bundle = ?", token)

    def states(self, token: str) -> list[StateRow]:
        """How the jobs of one submission stand, in order: cheaper than all that is known of them."""
        query = "SELECT key, first, element, state FROM jobs WHERE bundle = ? ORDER BY element"
        with self.database.reading() as db:
            return [state_row(row) for row in db.execute(query, (token,))]

    def of_campaign(self, campaign: str, site: str) -> list[JobRow]:
        """All that a campaign has submitted to a site, oldest first."""
        return self._jobs("j.campaign = ? AND j.site = ?", campaign, site)

    def failed(self, site: str) -> list[JobRow]:
        """Jobs of a site that failed, may be tried again and are not done with."""
        where = "j.site = ? AND j.collected = 0 AND j.state = ? AND j.retry != '{}' AND b.folder IS NOT NULL"
        return self._jobs(where, site, JobState.FAILED.word)

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
        with self.database.reading() as db:
            return job_rows(db.execute(query, values))

    def count(self) -> int:
        """How many jobs there are in all."""
        with self.database.reading() as db:
            return int(db.execute("SELECT count(*) FROM jobs").fetchone()[0])

    def batches(self, token: str) -> list[BatchRow]:
        """The batches of a bundle, in order."""
        with self.database.reading() as db:
            rows = db.execute("SELECT * FROM batches WHERE bundle = ? ORDER BY first", (token,)).fetchall()
        return [batch_row(row) for row in rows]

    def unsent(self, site: str) -> list[sqlite3.Row]:
        """Bundles of which it is not known that the site has all of them."""
        query = "SELECT * FROM bundles WHERE site = ? AND sent = 0 ORDER BY created"
        with self.database.reading() as db:
            return db.execute(query, (site,)).fetchall()

    def bundle(self, token: str) -> sqlite3.Row:
        """One bundle."""
        with self.database.reading() as db:
            row: sqlite3.Row = db.execute("SELECT * FROM bundles WHERE token = ?", (token,)).fetchone()
        return row

    def history(self, key: int) -> list[tuple[float, str]]:
        """Every observation of a job: when, and what was said."""
        with self.database.reading() as db:
            rows = db.execute("SELECT at, text FROM observations WHERE job = ? ORDER BY at", (key,)).fetchall()
        return [(row["at"], row["text"]) for row in rows]
