"""Adopt the bundles of a site that the ledger does not know: one remote command, then the record. Submits nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.batch.base import BatchSystem
from scheduler.batch.outcome import Accepted, Refused
from scheduler.engine import programs
from scheduler.engine.adopt.reply import FoundBatch, FoundBundle, read_adopt_reply
from scheduler.engine.context import SiteContext
from scheduler.engine.site_identity import identity_of
from scheduler.engine.submit.reply import status_of
from scheduler.errors import BatchError
from scheduler.job.numerals import is_number
from scheduler.job.state import Cause, JobState, Status
from scheduler.ledger.recovery import AdoptedBatch, AdoptedBundle, AdoptedJob
from scheduler.quoting import quote_path
from scheduler.transports.base import Expanded

TRIAL_FOLDER = "scheduler-check-"
"""How the name of the temporary local folder of trial jobs begins. They are nobody's jobs, and are not adopted."""
_SECONDS = 300.0
_NEVER = "found in the work_dir, but it was never submitted to the batch system; scheduler retry submits it"
_TRIED = "not known yet whether the batch system has it"


@dataclass
class Findings:
    """What a site has that the ledger does not know.

    Attributes:
        bundles: what can be recorded, oldest first.
        moved: tokens that the ledger has under another name of this site.
        elsewhere: the names of the sites of bundles that were submitted to another site and are left out.
        unreadable: how many bundles have no job that can be recorded.
    """

    bundles: list[AdoptedBundle] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    unreadable: int = 0

    @property
    def jobs(self) -> list[AdoptedJob]:
        """The jobs of all bundles."""
        return [job for bundle in self.bundles for job in bundle.jobs]

    def outside(self, folder: Path) -> list[str]:
        """The working_dirs of jobs that are not inside this folder."""
        dirs = sorted({job.working_dir for job in self.jobs})
        return [text for text in dirs if not Path(text).is_relative_to(folder)]


def find_unknown(context: SiteContext) -> Findings:
    """Ask a site for the bundles that the ledger does not know.

    Raises:
        TransportError: the site could not be reached.
        BatchError: its work_dir cannot be read.
    """
    site, recovery = context.site, context.ledger.recovery
    tokens = recovery.tokens()
    request = "".join(f"{token}\n" for token in tokens).encode()
    work_dir = Expanded(quote_path(site.work_dir, what="work_dir"))
    reply = context.transport.run(programs.program("adopt"), [work_dir], stdin=request, timeout=_SECONDS)
    if reply.exit_code != 0:
        words = reply.err.strip()[:2000]
        message = f"site {site.name!r}: its jobs cannot be listed: {words}"
        raise BatchError(message, command="adopt", exit_code=reply.exit_code, words=words)
    found = read_adopt_reply(reply)
    findings = Findings(moved=[token for token in found.known if _is_under_another_name(token, context)])
    for bundle in sorted(found.bundles.values(), key=lambda one: (one.created, one.token)):
        if bundle.directive != context.system.directive or not _is_of_this_site(bundle, context):
            findings.elsewhere.append(bundle.site or bundle.batch_system or bundle.directive)
        elif bundle.jobs and all(map(_is_trial, bundle.jobs)):
            continue
        elif bundle.jobs and bundle.batches:
            findings.bundles.append(_adopted(bundle, context.system))
        else:
            findings.unreadable += 1
    return findings


def record_found(findings: Findings, context: SiteContext) -> int:
    """Record what `find_unknown` has found. Returns the number of jobs that are new in the ledger."""
    recovery = context.ledger.recovery
    recovery.move(findings.moved, site=context.key)
    return recovery.record(findings.bundles, site=context.key, site_json=context.site.to_json())


def _is_of_this_site(bundle: FoundBundle, context: SiteContext) -> bool:
    """Two clusters may share a file system: a bundle belongs to the site to which it was submitted."""
    if bundle.batch_system and bundle.batch_system != context.site.scheduler:
        return False
    return not bundle.identity or bundle.identity == identity_of(context.site) or bundle.site == context.site.name


def _is_trial(job: Mapping[str, Any]) -> bool:
    return any(part.startswith(TRIAL_FOLDER) for part in Path(job["working_dir"]).parts)


def _is_under_another_name(token: str, context: SiteContext) -> bool:
    """The ledger has this bundle under another name of a site that has the same name in its file."""
    row = context.ledger.bundle(token)
    names = context.ledger.sites.of_name(context.site.name).values()
    return row is not None and row["site"] != context.key and row["site"] in names


def _adopted(bundle: FoundBundle, system: BatchSystem) -> AdoptedBundle:
    batches = [_batch(one, system) for one in bundle.batches]
    jobs = [
        AdoptedJob(**{name: job[name] for name in _FIELDS}, first=first, status=status, content=job.get("content", ""))
        for job in bundle.jobs
        for first, status in _of_batch(job["element"], bundle.batches, batches)
    ]
    return AdoptedBundle(bundle.token, bundle.folder, bundle.created, batches, jobs)


_FIELDS = ("element", "job_id", "working_dir", "type", "patterns", "resources", "campaign", "earlier")


def _of_batch(
    element: int, found: Sequence[FoundBatch], batches: Iterable[AdoptedBatch]
) -> Iterable[tuple[int, Status]]:
    for one, batch in zip(found, batches, strict=True):
        if one.first <= element < one.first + one.count:
            yield one.first, batch.status


def _batch(found: FoundBatch, system: BatchSystem) -> AdoptedBatch:
    """A batch with its id and the status of its jobs, from what the batch system replied."""
    batch_id, status = None, Status(JobState.SUBMITTING, reason=_TRIED)
    if is_number(found.outcome):
        outcome = system.read_submit(int(found.outcome), found.words)
        if isinstance(outcome, Accepted):
            batch_id, status = outcome.batch_id, Status(JobState.QUEUED)
        elif isinstance(outcome, Refused):
            status = status_of(outcome, system)
        else:
            status = Status(JobState.SUBMITTING, reason=_TRIED)
    elif found.outcome == "never":
        status = Status(JobState.FAILED, Cause.LOST, reason=_NEVER)
    return AdoptedBatch(found.first, found.count, found.name, found.packed, batch_id, status)
