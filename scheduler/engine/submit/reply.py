"""What submit.sh prints, as values, and the status of a job that follows from it. The ledger is written elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from scheduler.batch.base import BatchSystem
from scheduler.batch.outcome import Accepted, Full, GivenUp, Outcome, Refused, Unknown
from scheduler.job.numerals import is_number
from scheduler.job.remote_text import cut, read_id
from scheduler.job.state import Cause, JobState, Status
from scheduler.transports.base import Reply

_GIVEN_UP = "given up"
MISSING_FOLDER, CANNOT_WRITE = 66, 70
"""Exit codes of submit.sh itself for a batch: an earlier attempt's folder does not exist; a file cannot be written."""

MOST_HANDOVERS = 3
"""A batch is handed to the batch system at most so often; if no poll has observed it then, it is withdrawn and has
failed."""
_LINE_BYTES = 64 << 10
_MOST_UNKNOWN = 1000


@dataclass
class SubmitReply:
    """The reply to the submission of a bundle.

    Attributes:
        folder: the bundle's remote folder; empty if submit.sh did not get so far.
        busy: the process that works on the same bundle at the moment; then nothing was done.
        empty: the site does not have the bundle, and none was sent.
        unknown: tokens of bundles of the same campaign that the ledger did not know; then nothing was done.
        python: the version of the site's Python, if pickles need a certain one.
        held: elements of which an earlier attempt may still run: element → why; they never run.
        outcomes: first element of a batch → its outcome. A batch that is not in it was not submitted.
    """

    folder: str = ""
    busy: str = ""
    empty: bool = False
    unknown: tuple[str, ...] = ()
    python: str = ""
    held: dict[int, str] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)


def read_submit_reply(reply: Reply, system: BatchSystem, firsts: Collection[int] = ()) -> SubmitReply:
    """Read the lines of submit.sh. A line that cannot be read is skipped: its batch has no outcome yet.

    Args:
        reply: what submit.sh printed.
        system: the batch system of the site.
        firsts: the first elements of the batches of the bundle; other outcomes are skipped. Empty: not known.
    """
    found = SubmitReply()
    for line in reply.lines(_LINE_BYTES):
        key, _, rest = line.partition("\t")
        if key == "folder":
            found.folder = rest
        elif key == "busy":
            found.busy = cut(rest)
        elif key == "unknown":
            found.unknown = tuple(rest.split()[:_MOST_UNKNOWN])
        elif key == "empty":
            found.empty = True
        elif key == "held":
            element, _, why = rest.partition("\t")
            if is_number(element):
                found.held[int(element)] = cut(why)
        elif key == "python":
            found.python = cut(rest.strip())
        elif is_number(key) and (not firsts or int(key) in firsts):
            code, _, words = rest.partition("\t")
            found.outcomes[int(key)] = _outcome(code, words, system)
    return found


def _outcome(code: str, words: str, system: BatchSystem) -> Outcome:
    """A batch without an exit code was not tried (the disk is full), or its exit code could not be written to disk, or
    the command printed an id and failed."""
    if code.startswith(_GIVEN_UP):
        last = code.removeprefix(_GIVEN_UP).strip()
        return GivenUp(words.replace("\r", "\n").strip(), int(last) if is_number(last) else -1)
    if not is_number(code):
        return Unknown(words, None)
    outcome = system.read_submit(int(code), words)
    if isinstance(outcome, Accepted) and not read_id(outcome.batch_id):
        return Unknown(words, int(code))
    return outcome


def status_of(outcome: Outcome, system: BatchSystem) -> Status:
    """The status of the jobs of a batch after this outcome."""
    if isinstance(outcome, Accepted):
        return Status(JobState.QUEUED)
    if isinstance(outcome, Full):
        return Status(JobState.SUBMITTING, reason=f"waiting for a free slot: {outcome.words}")
    if isinstance(outcome, GivenUp):
        code = f" (exit code {outcome.exit_code})" if outcome.exit_code >= 0 else ""
        reason = (
            f"given up after {MOST_HANDOVERS} submissions, because no poll has observed it. The last output of"
            f" {system.submit_command}{code}: {outcome.words or 'nothing'}"
        )
        return Status(JobState.FAILED, Cause.REFUSED, reason=reason)
    if isinstance(outcome, Refused):
        reason = f"{system.submit_command} refused it (exit code {outcome.exit_code}): {outcome.words}"
        return Status(JobState.FAILED, Cause.REFUSED, reason=reason)
    words = outcome.words.strip().replace("\r", "\n")
    return Status(JobState.SUBMITTING, reason=words or "not known yet whether the batch system has it")
