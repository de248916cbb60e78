"""``scheduler logs``: the last lines of what a job printed, from here if it is home, else from over there."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

from scheduler.cli import selection
from scheduler.cli.screen import console
from scheduler.errors import SchedulerError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow


def logs(job_id: str, kind: str, *, site: str | None, campaign: str | None, lines: int, attempt: int | None) -> int:
    """Print the last lines of ``stdout`` or ``stderr``, as far as there are any."""
    ledger = Ledger()
    job = selection.newest(ledger, job_id, site=site, campaign=campaign)
    if attempt is not None:
        job = _attempt(job, attempt, ledger)
    home = (job.results or {}).get(kind)
    if home is not None and Path(home).is_file():
        console.say(console.visible(home), "dim")
        said = _end_of(Path(home), lines)
    elif job.folder is None:
        raise SchedulerError(
            f"job {job.job_id!r} has printed nothing: {job.status.reason or job.status.state.sentence}"
        )
    else:
        said = _end_over_there(job, kind, ledger, lines)
    shown = said.decode("utf-8", "backslashreplace").splitlines()[-lines:]
    for line in shown:
        console.print_line(line)
    if not shown:
        console.say(f"{kind} of {job.job_id} is empty ({job.status})", "dim")
    return 0


def _attempt(job: JobRow, number: int, ledger: Ledger) -> JobRow:
    """The job as it was in an attempt of it. The logs of earlier ones are over there."""
    if number > job.tries + 1:
        only = "only one attempt" if not job.tries else f"{job.tries + 1} attempts"
        raise SchedulerError(f"job {job.job_id!r} has had {only}, and no attempt {number}")
    if number == job.tries + 1:
        return job
    one = ledger.attempts.of([job.key])[number - 1]
    return replace(job, folder=one.folder, element=one.element, status=one.status, results=None)


def _end_of(path: Path, lines: int) -> bytes:
    try:
        with path.open("rb") as file:
            return b"".join(deque(file, maxlen=lines))
    except OSError as error:
        raise SchedulerError(f"cannot read {path}: {error.strerror}") from error


def _end_over_there(job: JobRow, kind: str, ledger: Ledger, lines: int) -> bytes:
    """In one remote command."""
    from scheduler.cli.reconnect import session_at
    from scheduler.engine import programs

    with session_at(job.site, ledger) as work:
        arguments = [job.folder or "", str(job.element), kind, str(lines)]
        reply = work.context.transport.run(programs.program("tail"), arguments)
    if reply.exit_code != 0:
        raise SchedulerError(f"job {job.job_id!r} on {job.site}: {reply.err.strip()}")
    return reply.stdout
