"""``scheduler logs``: prints the last lines of a job's output, from the local copy or the remote directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scheduler.cli import selection
from scheduler.cli.screen import console
from scheduler.engine.file_end import end_of_file, last_lines, window
from scheduler.errors import SchedulerError
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow


def logs(job_id: str, stream: str, *, site: str | None, campaign: str | None, lines: int, attempt: int | None) -> int:
    """Print the last lines of a job's standard output or standard error. Returns the exit code.

    Args:
        stream: ``stdout`` or ``stderr``.
        lines: how many lines at most.
        attempt: the number of the attempt, from 1; None prints the last one.

    Raises:
        SchedulerError: there is no such job or attempt, or its output cannot be read.
    """
    ledger = Ledger()
    job = selection.newest(ledger, job_id, site=site, campaign=campaign)
    if attempt is not None:
        job = _at_attempt(job, attempt, ledger)
    local = job.facts.log(stream) if job.facts is not None else None
    if local is not None and Path(local).is_file():
        console.print_message(console.printable(local), "dim")
        output = _end_of_file(Path(local), lines)
    elif job.folder is None:
        raise SchedulerError(
            f"job {job.job_id!r} on {job.site}: no output: {job.status.reason or job.status.state.sentence}"
        )
    else:
        output = _end_of_remote_file(job, stream, ledger, lines)
    last = last_lines(output, lines)
    for line in last:
        console.print_line(line)
    if not last:
        console.print_message(f"{stream} of {job.job_id} is empty ({job.status})", "dim")
    return 0


def _at_attempt(job: JobRow, number: int, ledger: Ledger) -> JobRow:
    """The job as it was in one of its attempts. Logs of earlier attempts are only in their remote directories."""
    last = job.retries + 1
    if number > last:
        raise SchedulerError(
            f"job {job.job_id!r} on {job.site}: no attempt {number}; it has {console.number_of(last, 'attempt')}"
        )
    if number == last:
        return job
    earlier = ledger.attempts.of([job.key])[number - 1]
    return replace(job, folder=earlier.folder, element=earlier.element, status=earlier.status, results=None, facts=None)


def _end_of_file(path: Path, lines: int) -> bytes:
    try:
        return end_of_file(path, window(lines))
    except OSError as error:
        raise SchedulerError(f"cannot read {path}: {error.strerror}") from error


def _end_of_remote_file(job: JobRow, stream: str, ledger: Ledger, lines: int) -> bytes:
    """The end of the file in the remote directory, with one remote command."""
    from scheduler.cli.reconnect import open_session
    from scheduler.engine import programs

    with open_session(job.site, ledger) as session:
        arguments = [job.folder or "", str(job.element), stream, str(lines), str(window(lines))]
        reply = session.context.transport.run(programs.program("tail"), arguments)
    if reply.exit_code != 0:
        raise SchedulerError(f"job {job.job_id!r} on {job.site}: {reply.err.strip()}")
    return reply.stdout[-window(lines) :]
