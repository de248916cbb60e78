"""Copies of the ledger, what it has lost, and the record of bundles that were found on a site.

The file ``bundles.log`` beside the ledger has a line for each bundle that was recorded in it. If the last ones are not
in the ledger, it is an older copy, or has lost its write-ahead log.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scheduler.errors import LedgerError
from scheduler.job.outcome.facts import Facts
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger import large_results, stored_facts
from scheduler.ledger.database import Database
from scheduler.ledger.mapping import status_values
from scheduler.ledger.rows import Slot
from scheduler.ledger.tables import (
    KEEP_ATTEMPT,
    NEW_BUNDLE,
    NEW_JOB,
    NEW_STATUS,
    NEXT_ATTEMPT,
    OBSERVATION,
    RENEW,
)

_CHECKED_BYTES = 1 << 14
"""How much of the end of bundles.log is compared with the ledger."""
_EARLIER = Status(JobState.FAILED, Cause.UNKNOWN, reason="an earlier attempt; how it ended is not known")


@dataclass(frozen=True)
class AdoptedBatch:
    """A batch that was found on a site: as in `BatchRow`, and the status of its jobs."""

    first: int
    count: int
    name: str
    packed: bool
    batch_id: str | None
    status: Status


@dataclass(frozen=True)
class AdoptedJob:
    """A job that was found on a site: as in `JobRow`.

    `earlier`: token and element of its attempt before. `patterns`, `resources`: as JSON.
    """

    element: int
    first: int
    job_id: str
    working_dir: str
    type: str
    patterns: str
    resources: str
    campaign: str | None
    earlier: tuple[str, int] | None
    status: Status
    content: str = ""


@dataclass(frozen=True)
class AdoptedBundle:
    """A bundle that was found on a site."""

    token: str
    folder: str
    created: float
    batches: Sequence[AdoptedBatch]
    jobs: Sequence[AdoptedJob]


class Recovery:
    """Backups, losses, and what is found again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = database.folder / "bundles.log"

    def backup(self, target: Path) -> None:
        """Copy the ledger into a new private file, complete and consistent, also while other processes use it.

        Raises:
            LedgerError: the file exists already, or cannot be written.
        """
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with contextlib.closing(sqlite3.connect(part)) as copy, self._database.reading() as db:
                db.backup(copy)
                _include_results(copy, self._database.folder)
                copy.execute("PRAGMA journal_mode = DELETE")
            os.link(part, target)  # unlike a rename, it replaces no file
        except FileExistsError as error:
            raise LedgerError(f"{target} exists already; a backup overwrites no file") from error
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"cannot write the backup {target}: {error}") from error
        finally:
            part.unlink(missing_ok=True)

    def stored(
        self, results: Mapping[int, Mapping[str, Any]], facts: Mapping[int, Facts]
    ) -> dict[int, tuple[str, str]]:
        """Results and facts of jobs, by key, as text for the ledger; long ones are written to files of the folder."""
        query = "SELECT key, bundle, element FROM jobs WHERE key IN (SELECT value FROM json_each(?))"
        with self._database.reading() as db:
            rows = db.execute(query, (json.dumps(list(results)),)).fetchall()
        names, folder = {row["key"]: f"{row['bundle']}-{row['element']}" for row in rows}, self._database.folder
        try:
            return {
                key: (
                    large_results.stored(results[key], folder, name=name),
                    stored_facts.stored(facts.get(key, Facts()), folder, name=name),
                )
                for key, name in names.items()
            }
        except OSError as error:
            raise LedgerError(f"cannot write results in {folder}: {error}. Is the disk full?") from error

    def note(self, token: str, site: str) -> None:
        """Note in bundles.log that a bundle was recorded."""
        self._append(f"+ {token} {site}\n")

    def lost(self) -> dict[str, str]:
        """The bundles that were recorded in this folder and are not in the ledger: token → site."""
        noted: dict[str, str] = {}
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - _CHECKED_BYTES))
            for line in file.read().decode("utf-8", "replace").splitlines():
                sign, _, rest = line.partition(" ")
                token, _, site = rest.partition(" ")
                if sign == "+" and site:
                    noted[token] = site
                elif sign == "-":
                    noted.pop(token, None)
        known = set(self._known(noted)) if noted else set()
        return {token: site for token, site in noted.items() if token not in known}

    def loss_message(self, lost: Mapping[str, str]) -> str:
        """What is lost, and what to do."""
        sites = sorted(set(lost.values()))
        commands = ", ".join(f"scheduler adopt {site}" for site in sites)
        return (
            f"the ledger {self._database.path} lacks submissions that were recorded in this folder ({len(lost)}, to "
            f"{', '.join(sites)}): it is an older copy, or has lost its write-ahead log. To record the jobs that the "
            f"sites have: {commands}"
        )

    def accept_loss(self, site: str) -> None:
        """Note that the bundles of a site that the ledger has lost were looked for."""
        gone = [token for token, where in self.lost().items() if where == site]
        self._append("".join(f"- {token}\n" for token in gone))

    def forget(self, token: str) -> None:
        """Note that a bundle was deleted from the ledger."""
        self._append(f"- {token}\n")

    def campaign_of(self, token: str) -> str | None:
        """The campaign of the jobs of a bundle."""
        with self._database.reading() as db:
            row = db.execute("SELECT campaign FROM jobs WHERE bundle = ? LIMIT 1", (token,)).fetchone()
        return None if row is None else row["campaign"]

    def tokens(self, campaign: str | None = None) -> list[str]:
        """The tokens of all bundles, or of those with attempts of a campaign."""
        query = "SELECT token FROM bundles ORDER BY created"
        if campaign is not None:
            query = (
                "SELECT bundle AS token FROM jobs WHERE campaign = :campaign UNION SELECT a.bundle FROM attempts a"
                " JOIN jobs j ON j.key = a.job WHERE j.campaign = :campaign"
            )
        with self._database.reading() as db:
            return [str(row["token"]) for row in db.execute(query, {"campaign": campaign})]

    def move(self, tokens: Iterable[str], *, site: str) -> None:
        """Record bundles, and the jobs whose last attempt is in them, under another name of their site."""
        tokens = list(tokens)
        with self._database.writing() as db:
            for table, column in (("bundles", "token"), ("jobs", "bundle")):
                which = [(site, token) for token in tokens]
                db.executemany(f"UPDATE {table} SET site = ? WHERE {column} = ?", which)  # noqa: S608

    def record(self, bundles: Iterable[AdoptedBundle], *, site: str, site_json: Mapping[str, Any]) -> int:
        """Record bundles that were found on a site, oldest first. Returns the number of jobs that are new."""
        new = 0
        for bundle in bundles:
            with self._database.writing() as db:
                if db.execute("SELECT 1 FROM bundles WHERE token = ?", (bundle.token,)).fetchone():
                    continue  # another process was first
                _record_bundle(db, bundle, site, site_json)
                new += sum(_record_job(db, job, bundle, site) for job in bundle.jobs)
            self.note(bundle.token, site)
        return new

    def _known(self, tokens: Iterable[str]) -> list[str]:
        query = "SELECT token FROM bundles WHERE token IN (SELECT value FROM json_each(?))"
        with self._database.reading() as db:
            return [str(row["token"]) for row in db.execute(query, (json.dumps(list(tokens)),))]

    def _append(self, text: str) -> None:
        """Append to bundles.log. It is an aid: without it a loss is not noticed."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)


def _include_results(copy: sqlite3.Connection, folder: Path) -> None:
    """Put long results and facts into a copy of the ledger, which has no state folder."""
    completes = {"results": large_results.complete, "facts": stored_facts.complete}
    for table, (column, complete) in itertools.product(("jobs", "attempts"), completes.items()):
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE '@%'"  # noqa: S608
        for (text,) in copy.execute(query).fetchall():
            values = (complete(text, folder), text)
            copy.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", values)  # noqa: S608
    copy.commit()


def _record_bundle(db: sqlite3.Connection, bundle: AdoptedBundle, site: str, site_json: Mapping[str, Any]) -> None:
    values = {"token": bundle.token, "site": site, "site_json": json.dumps(site_json), "owner": "", "owned_at": 0,
              "created": bundle.created, "python": "", "probe": ""}  # fmt: skip
    db.execute(NEW_BUNDLE, values)
    db.execute("UPDATE bundles SET folder = ?, sent = 1 WHERE token = ?", (bundle.folder, bundle.token))
    insert = "INSERT INTO batches (bundle, first, count, name, batch_id, packed, slot) VALUES (?, ?, ?, ?, ?, ?, ?)"
    for one in bundle.batches:
        slot = Slot.NEVER if one.status.cause is Cause.LOST else Slot.HAS
        db.execute(insert, (bundle.token, one.first, one.count, one.name, one.batch_id, one.packed, slot))


def _record_job(db: sqlite3.Connection, job: AdoptedJob, bundle: AdoptedBundle, site: str) -> bool:
    """Record a job, or the next attempt of a job that the ledger has. Returns whether the job is new."""
    now = time.time()
    earlier = "SELECT key, bundle, state, cause, retry FROM jobs WHERE bundle = ? AND element = ?"
    row = db.execute(earlier, tuple(job.earlier)).fetchone() if job.earlier else None
    if row is None:
        names = ("first", "element", "job_id", "campaign", "type", "working_dir", "patterns", "resources", "content")
        own = {name: getattr(job, name) for name in names}
        key = db.execute(NEW_JOB, {
            **own, "bundle": bundle.token, "site": site, "state": job.status.state.word, "retry": "{}",
            "template": None, "created": bundle.created, "updated": now,
        }).lastrowid  # fmt: skip
        retries = 0
    else:
        key = row["key"]
        retries = db.execute("SELECT retries FROM jobs WHERE key = ?", (key,)).fetchone()["retries"]
        if row["state"] in _UNFINISHED:
            db.execute(NEW_STATUS, {**status_values(replace(_EARLIER, retries=retries)), "key": key, "now": now})
            row = db.execute(earlier, tuple(job.earlier or ())).fetchone()
        judged = {"key": key, "was": row["bundle"], "judged": row["state"], "judged_cause": row["cause"]}
        db.execute(KEEP_ATTEMPT, {**judged, "retry": row["retry"], "now": now})
        where = {"first": job.first, "element": job.element, "resources": job.resources, "bundle": bundle.token}
        db.execute(NEXT_ATTEMPT, {"key": key, **where, "state": job.status.state.word, "now": now})
        renewed = {name: getattr(job, name) for name in ("type", "working_dir", "patterns", "content")}
        db.execute(RENEW, {**renewed, "template": None, "retry": "{}", "site": site, "key": key})
        retries += 1
    db.execute(NEW_STATUS, {**status_values(replace(job.status, retries=retries)), "key": key, "now": now})
    db.execute(OBSERVATION, {"job": key, "at": now, "text": f"adopt: found on the site: {job.status}"})
    return row is None


_UNFINISHED = {state.word for state in JobState if not state.final}
