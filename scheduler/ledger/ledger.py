"""The ledger: the durable record of every job, in one SQLite file. It stores and finds; it does not decide states.

Intents are recorded before anything is sent; what is recorded survives a killed process and a power failure.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from scheduler.job.outcome.facts import Facts
from scheduler.job.state import JobState, Status
from scheduler.ledger.attempts import Attempts, Changed, delete_last, record_jobs
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import batch_row, job_rows, new_batches, state_rows, status_values, storable
from scheduler.ledger.polls import LOST_SECONDS, Polls
from scheduler.ledger.recovery import Recovery
from scheduler.ledger.rows import BatchRow, JobRow, StateRow
from scheduler.ledger.sites import Sites
from scheduler.ledger.slots import Slots
from scheduler.ledger.soundness import LATEST
from scheduler.ledger.tables import (
    JOBS,
    LOST_SINCE,
    NEW_BATCH,
    NEW_BUNDLE,
    NEW_JOB_DEFAULTS,
    NEW_STATUS,
    NEW_STATUS_IF,
    OBSERVATION,
    OBSERVATION_OF_ATTEMPT,
    OF_FOLDERS,
    RESULTS,
)

_FINAL = json.dumps([state.word for state in JobState if state.final])


class Ledger:
    """The record of every job. Several processes may use the same file, and several threads one object.

    Args:
        folder: where the file is; default: ``$SCHEDULER_STATE_DIR``, else the platform's folder for user state.

    Attributes:
        folder, path: the folder, and the SQLite file in it.
        database: the open file.

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
        """What a poll reads and writes."""
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
        """When each site was polled last, and its recorded settings."""
        return Sites(self.database)

    @cached_property
    def recovery(self) -> Recovery:
        """Copies of the ledger, what it has lost, and what is found on a site."""
        return Recovery(self.database)

    def spool(self, token: str) -> Path:
        """The local file of a bundle, kept until the bundle is uploaded."""
        return self.folder / "spool" / f"{token}.tar.gz"

    def record_intent(
        self, *, token: str, site: str, site_json: Mapping[str, Any], python: str, probe: str,
        batches: Iterable[tuple[int, int, str, bool]], jobs: Iterable[Mapping[str, Any]],
        contents: Mapping[str, tuple[str, str]] | None = None, renewed: Mapping[int, tuple[JobRow, str]] | None = None,
    ) -> list[int]:  # fmt: skip
        """Record the intent to submit these jobs. It is on disk when this returns.

        Args:
            token: of their bundle.
            site, site_json: the site's name and settings.
            python, probe: the Python command that their functions need, and the sh program that checks it; or empty.
            batches: of each batch the first element, the count, the name, and whether it is packed.
            jobs: the values of the columns of `NEW_JOB`.
            contents: of the jobs: digest → parts and paths, as JSON.
            renewed: element → a job that the ledger has, and why it gets another attempt; the other jobs are new.

        Returns:
            The keys of the jobs, in order. Empty, and nothing is recorded, if another process was first.
        """
        now = time.time()
        new = {"bundle": token, "site": site, "state": JobState.SUBMITTING.word, "created": now, "updated": now}
        rows = {job["element"]: {**NEW_JOB_DEFAULTS, **job, **new} for job in jobs}
        bundle = {"token": token, "site": site, "site_json": json.dumps(site_json), "owner": self.database.me(),
                  "created": now, "python": python, "probe": probe, "owned_at": now}  # fmt: skip
        try:
            with self.database.writing() as db:
                db.execute(NEW_BUNDLE, bundle)
                db.executemany(NEW_BATCH, new_batches(token, batches))
                keys = record_jobs(db, rows, renewed or {}, contents or {})
        except Changed:
            return []
        self.recovery.note(token, site)
        return keys

    def delete_bundle(self, token: str) -> None:
        """Delete a bundle and the attempts in it. Nothing of it was submitted, and nothing can be in future."""
        with self.database.writing() as db:
            delete_last(db, token)
            db.execute("DELETE FROM batches WHERE bundle = ?", (token,))
            db.execute("DELETE FROM bundles WHERE token = ?", (token,))
        self.recovery.forget(token)

    def record_folder(self, token: str, folder: str) -> None:
        """Record the remote folder of a bundle."""
        with self.database.writing() as db:
            db.execute("UPDATE bundles SET folder = ? WHERE token = ?", (folder, token))

    def record_sent(self, token: str) -> None:
        """Record that the site has answered for every batch of the bundle: it is not sent a second time."""
        with self.database.writing() as db:
            db.execute("UPDATE bundles SET sent = 1 WHERE token = ?", (token,))

    def record_ids(self, token: str, ids: Mapping[int, str]) -> None:
        """Record the batch system's ids of batches, by the first element of each."""
        with self.database.writing() as db:
            db.executemany(
                "UPDATE batches SET batch_id = ? WHERE bundle = ? AND first = ?",
                [(batch_id, token, first) for first, batch_id in ids.items()],
            )

    def count_handovers(self, token: str, firsts: Iterable[int]) -> None:
        """Record that these batches, by the first element of each, are handed to the batch system once more."""
        with self.database.writing() as db:
            count = "UPDATE batches SET handovers = handovers + 1 WHERE bundle = ? AND first = ?"
            db.executemany(count, [(token, first) for first in firsts])

    def observe(self, changes: Mapping[int, Status], texts: Mapping[int, str], *, was: JobState | None = None) -> None:
        """Record new statuses of jobs. A job that is collected, or has another attempt by now, keeps its status.

        Args:
            changes: key of a job → its new status.
            texts: key of a job → what was observed, for its history.
            was: if given, only jobs in this state are changed.
        """
        now, before = time.time(), was.word if was is not None else None
        new = ({**status_values(s), "key": key, "now": now, "was": before} for key, s in changes.items())
        with self.database.writing() as db:
            db.executemany(NEW_STATUS if was is None else NEW_STATUS_IF, new)
            for key, text in texts.items():
                observed = {"job": key, "at": now, "text": storable(text)}
                if key in changes:
                    db.execute(OBSERVATION_OF_ATTEMPT, {**observed, "retries": changes[key].retries})
                else:
                    db.execute(OBSERVATION, observed)

    def record_results(
        self, results: Mapping[int, Mapping[str, Any]], retries: Mapping[int, int] | None = None, *,
        facts: Mapping[int, Facts] | None = None,
    ) -> None:  # fmt: skip
        """Record the results of collected jobs.

        Args:
            results: key of a job → its results.
            retries: key of a job → the `retries` of the attempt that the results are of; default: 0.
            facts: key of a job → what else is known of it; default: nothing.
        """
        now, of = time.time(), retries or {}
        texts = self.recovery.stored(results, facts or {})
        with self.database.writing() as db:
            common = {"now": now, "final": _FINAL}
            for key, (text, more) in texts.items():
                db.execute(RESULTS, {"results": text, "facts": more, "key": key, "retries": of.get(key, 0), **common})

    def of_keys(self, keys: Iterable[int]) -> list[JobRow]:
        """The jobs with these keys, oldest first."""
        return self._jobs("j.key IN (SELECT value FROM json_each(?))", json.dumps(list(keys)))

    def uncollected(self, keys: Iterable[int]) -> list[JobRow]:
        """The finished jobs among `keys` whose outputs are not collected yet, oldest first."""
        of_keys, in_state = ("j.key IN (SELECT value FROM json_each(?))", "j.state IN (SELECT value FROM json_each(?))")
        return self._jobs(f"{of_keys} AND j.collected = 0 AND {in_state}", json.dumps(list(keys)), _FINAL)

    def of_bundle(self, token: str) -> list[JobRow]:
        """The jobs of a bundle, in order."""
        return self._jobs("j.bundle = ?", token)

    def states(self, token: str) -> list[StateRow]:
        """The states of the jobs of a bundle, in order; cheaper than `of_bundle`."""
        query = "SELECT key, first, element, state, silent, cancelling FROM jobs WHERE bundle = ? ORDER BY element"
        with self.database.reading() as db:
            return list(state_rows(db.execute(query, (token,))))

    def of_folders(self, folders: Iterable[str], *, at_least: int = 1) -> list[JobRow]:
        """The jobs with these working_dirs, oldest first; only of folders that at least so many jobs have."""
        return self._jobs(OF_FOLDERS, json.dumps(list(set(folders))), at_least)

    def of_campaign(self, campaign: str, site: str | None = None, *, ids: Iterable[str] | None = None) -> list[JobRow]:
        """The jobs of a campaign (at this site, with these ids, if they are given), oldest first."""
        return self.chosen(sites=None if site is None else [site], campaign=campaign, ids=ids)

    def failed(self, site: str) -> list[JobRow]:
        """The failed jobs of a site that have an automatic retry and are not collected yet."""
        where = "j.site = ? AND j.collected = 0 AND j.state = ? AND j.retry != '{}' AND b.folder IS NOT NULL"
        return self._jobs(where, site, JobState.FAILED.word)

    def lost(self, keys: Iterable[int] | None = None) -> list[JobRow]:
        """The jobs, among `keys` if given, that were declared lost in the last days: polls look at them again."""
        since = time.time() - LOST_SECONDS
        if keys is None:
            return self._jobs(LOST_SINCE, since)
        of_keys = "j.key IN (SELECT value FROM json_each(?))"
        return self._jobs(f"{LOST_SINCE} AND {of_keys}", since, json.dumps(list(keys)))

    def chosen(
        self, *, sites: Sequence[str] | None = None, campaign: str | None = None, job_id: str | None = None,
        ids: Iterable[str] | None = None, not_done: bool = False, since: float = math.inf,
    ) -> list[JobRow]:  # fmt: skip
        """The jobs that match every given condition, oldest first.

        Args:
            sites: the names under which their sites are recorded; None: any.
            campaign, job_id, ids: None: any.
            not_done: only jobs that are not collected yet, or have changed after `since`.
            since: seconds since 1970.
        """
        given = {"j.campaign = ?": campaign, "j.job_id = ?": job_id}
        given["j.site IN (SELECT value FROM json_each(?))"] = None if sites is None else json.dumps(list(sites))
        given["j.job_id IN (SELECT value FROM json_each(?))"] = None if ids is None else json.dumps(list(ids))
        conditions = [condition for condition, value in given.items() if value is not None]
        conditions += ["(j.collected = 0 OR j.updated > ?)"] if not_done else []
        values = [v for v in given.values() if v is not None] + ([since] if not_done else [])
        return self._jobs(" AND ".join(conditions) or "1", *values)

    def _jobs(self, where: str, *values: object) -> list[JobRow]:
        """The jobs that match an SQL condition, oldest first. The condition contains no text of a user."""
        return self.database.rows(f"{JOBS} WHERE {where} ORDER BY j.key", values, partial(job_rows, folder=self.folder))

    def count(self) -> int:
        """How many jobs are recorded."""
        with self.database.reading() as db:
            return int(db.execute("SELECT count(*) FROM jobs").fetchone()[0])

    def batches(self, token: str) -> list[BatchRow]:
        """The batches of a bundle, in order."""
        with self.database.reading() as db:
            rows = db.execute("SELECT * FROM batches WHERE bundle = ? ORDER BY first", (token,)).fetchall()
        return [batch_row(row) for row in rows]

    def unsent(self, site: str) -> list[sqlite3.Row]:
        """The bundles for which the site has not replied about every batch, oldest first."""
        query = "SELECT * FROM bundles WHERE site = ? AND sent = 0 ORDER BY created"
        with self.database.reading() as db:
            return db.execute(query, (site,)).fetchall()

    def unsent_tokens(self) -> set[str]:
        """The tokens of all bundles that may have to be sent."""
        with self.database.reading() as db:
            return {row["token"] for row in db.execute("SELECT token FROM bundles WHERE sent = 0")}

    def is_sent(self, token: str) -> bool:
        """Whether a bundle is recorded, and is not sent a second time."""
        with self.database.reading() as db:
            return db.execute("SELECT 1 FROM bundles WHERE token = ? AND sent = 1", (token,)).fetchone() is not None

    def bundle(self, token: str) -> sqlite3.Row:
        """The row of a bundle."""
        with self.database.reading() as db:
            return db.execute("SELECT * FROM bundles WHERE token = ?", (token,)).fetchone()  # type: ignore[no-any-return]

    def history(self, key: int) -> list[tuple[float, str]]:
        """Every observation of a job: its time (seconds since 1970) and text."""
        with self.database.reading() as db:
            rows = db.execute("SELECT at, text FROM observations WHERE job = ? ORDER BY at", (key,)).fetchall()
        known = [row for row in rows if isinstance(row["at"], int | float) and 0 <= row["at"] < LATEST]
        return [(row["at"], str(row["text"])) for row in known]
