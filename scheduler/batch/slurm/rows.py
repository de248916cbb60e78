"""Rows of squeue and sacct: text to observations of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from scheduler.batch.base import REST, Key
from scheduler.batch.indices import read_indices
from scheduler.batch.slurm.states import HELD_REASONS, KILLED_REASONS, NEVER_STARTS, meaning
from scheduler.job.evidence import Observation
from scheduler.job.numerals import read_exit_code, read_signal, read_time
from scheduler.job.remote_text import cut
from scheduler.job.state import Cause, JobState

_SQUEUE_FIELDS = 7
_SACCT_FIELDS = 9
_MOST_ROWS = 8
"""The most rows and steps of sacct that are kept for each index: a job that was requeued has several."""
_EXPRESSION = tuple("[0123456789")
"""How the indices of an array begin; a single job has N/A or nothing."""


def read_squeue(lines: Iterable[str], counts: Mapping[str, int]) -> dict[Key, Observation]:
    """Read ``squeue -o '%j|%K|%F|%T|%N|%S|%r'``, as ``batch_live`` prints it.

    The reason (%r) is the last field because it may contain anything.

    Args:
        lines: the rows.
        counts: batch name → how many indices it has.
    """
    found: dict[Key, Observation] = {}
    for line in lines:
        fields = line.split("|", _SQUEUE_FIELDS - 1)
        if len(fields) == _SQUEUE_FIELDS and fields[0] in counts:
            observation = _squeue_row(*map(cut, fields[2:]))
            for index in [REST] if fields[1] == "rest" else _indices(fields[1], counts[fields[0]]):
                _add(found, (fields[0], index), observation)
    return found


def read_sacct(lines: Iterable[str], names: Mapping[str, str], counts: Mapping[str, int]) -> dict[Key, Observation]:
    """Read ``sacct -P -o JobID,JobName,State,ExitCode,NodeList,Start,End,MaxRSS,ReqMem``, with the rows of steps.

    Args:
        lines: the rows.
        names: batch id → batch name.
        counts: batch name → how many indices it has.
    """
    peaks: dict[str, int] = {}
    rows: list[list[str]] = []
    most = _MOST_ROWS * (1 + sum(counts.values()))
    for line in lines:
        fields = [cut(field) for field in line.split("|", _SACCT_FIELDS)]
        job, step, _ = fields[0].partition(".")
        if len(fields) != _SACCT_FIELDS:
            continue
        if step and (job in peaks or len(peaks) < most):
            peaks[job] = max(peaks.get(job, 0), _kibibytes(fields[7]))
        # Not a job of another name that got this id after a reset of the controller.
        elif not step and fields[1] in counts and names.get(job.partition("_")[0], fields[1]) == fields[1]:
            rows += [fields] if len(rows) < most else []
    found: dict[Key, Observation] = {}
    for fields in rows:
        row = _sacct_row(fields, peaks.get(fields[0], 0))
        for number in _indices(fields[0].partition("_")[2], counts[fields[1]]):
            _add(found, (fields[1], number), row)
    return found


def _indices(text: str, count: int) -> list[int]:
    """The indices of a row; 0 if it has none, as a single job."""
    return read_indices(text, below=count) if text[:1] in _EXPRESSION else [0]


def _add(found: dict[Key, Observation], key: Key, observation: Observation) -> None:
    """Keep the row that counts. Two jobs have one name if the controller reported an error and accepted the batch all
    the same: the job that started first runs the payload, the other one ends at once or is cancelled."""
    known = found.get(key)
    if known is None or _precedence(observation) < _precedence(known):
        found[key] = observation


def _precedence(observation: Observation) -> tuple[bool, bool, bool, float]:
    """Running jobs first, then jobs that have run, then waiting ones; of two alike the one that started first."""
    has_started = observation.started is not None
    started_at = observation.started.timestamp() if observation.started else 0.0
    return (not (has_started and observation.active), not has_started, not observation.active, started_at)


@lru_cache(maxsize=1 << 14)  # most rows are the same as in the last poll
def _squeue_row(batch_id: str, raw: str, node: str, start: str, reason: str) -> Observation:
    state, cause = meaning(raw)
    if state is JobState.QUEUED and reason in HELD_REASONS:
        state = JobState.HELD
    if state in (JobState.QUEUED, JobState.CANCELLED) and reason == NEVER_STARTS:  # some sites cancel it themselves
        state, cause = JobState.FAILED, Cause.DEPENDENCY
    if cause is Cause.UNKNOWN and reason.startswith(KILLED_REASONS):
        cause = Cause.SIGNAL
    # A cancelled job has the reason for which it waited before.
    shown = "" if reason in ("None", "(null)") or state is JobState.CANCELLED else reason
    started = read_time(start) if node else None  # without a node: when it may start, or when it was cancelled
    return Observation(raw, state, cause, reason=shown, node=node, started=started, batch_id=batch_id)


def _sacct_row(fields: list[str], peak_kib: int) -> Observation:
    """One job or array task.

    Without cgroups, a job that was killed for its memory is FAILED with ``0:9``, and the peak of its batch step is
    above the request. The exit codes ``0:0`` and ``0:15`` of a cancelled or timed-out job are not those of the payload.
    """
    job, _, raw, exit_pair, node, start, end, _, requested = fields
    state, cause = meaning(raw)
    code, _, signal = exit_pair.partition(":")
    exit_code = read_exit_code(code) if code != "0" or state is JobState.COMPLETED else None
    if state is JobState.FAILED and cause is Cause.UNKNOWN:
        if signal == "9" and _kibibytes(requested) and peak_kib > _kibibytes(requested):
            cause = Cause.OUT_OF_MEMORY
        elif number := read_signal(signal):
            cause, exit_code = Cause.SIGNAL, 128 + number
        elif exit_code:
            cause = Cause.EXIT_CODE
    started = None if node in ("", "None assigned") else read_time(start)
    node = node.replace("None assigned", "")
    base = job.partition("_")[0]
    return Observation(raw, state, cause, exit_code, node=node, started=started, ended=read_time(end), batch_id=base)


_UNITS = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}


def _kibibytes(text: str) -> int:
    """``3072M``, ``1.50G``, ``4Gn`` (per node, before Slurm 21.08), ``2048`` (bytes). 0 if it cannot be read."""
    number, unit = text.rstrip("nc"), "B"
    if number and number[-1] in _UNITS:
        number, unit = number[:-1], number[-1]
    try:
        return int(float(number) * _UNITS[unit]) if unit != "B" else int(float(number or 0) / 1024)
    except (ValueError, OverflowError):  # float() accepts "inf"
        return 0
