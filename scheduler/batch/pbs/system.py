"""PBS (OpenPBS and PBS Professional): what the output of qsub and qstat means. It runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from scheduler.batch.base import BatchSystem, Key
from scheduler.batch.outcome import NOTHING_QUEUED, Accepted, Full, Outcome, Refused, Unknown
from scheduler.batch.pbs.attributes import TASK, observation, read_dsv, why_it_waits
from scheduler.batch.pbs.directives import header
from scheduler.batch.pbs.states import (
    COUNT_LIMIT,
    ENDED,
    FULL,
    IN_DOUBT,
    LOG_CAUSES,
    NOT_OF_OTHERS,
    RESOURCE_LIMIT,
    STATES,
)
from scheduler.batch.request import BatchRequest
from scheduler.job.evidence import Observation
from scheduler.job.numerals import read_number
from scheduler.job.state import Cause, JobState


class Pbs(BatchSystem):
    """OpenPBS and PBS Professional."""

    name = "pbs"
    directive = "#PBS"
    id_form = re.compile(r"[0-9]{1,18}(\[\])?\.[0-9_.-]*[A-Za-z][A-Za-z0-9_.-]*")
    submit_command = "qsub"
    poll_seconds = 60.0
    log_causes = LOG_CAUSES
    log_prefixes = ("=>> PBS: ", "PBS: ")

    def directives(self, request: BatchRequest) -> str:
        """The ``#PBS`` lines."""
        return header(request)

    def read_submit(self, exit_code: int, output: str) -> Outcome:
        """qsub prints the id alone on a line; a site's hooks may print more."""
        ids = self.ids_in(output)
        if exit_code == 0 and len(ids) == 1:
            return Accepted(*ids)
        if ids or exit_code == 0:
            return Unknown(output, exit_code)
        if exit_code in IN_DOUBT or 128 < exit_code < 144:  # killed by a signal
            return Unknown(output, exit_code)
        message = output.replace("\r", "\n").strip()
        if exit_code in (COUNT_LIMIT, RESOURCE_LIMIT) or FULL.search(output):
            never_fits = NOTHING_QUEUED in output and NOT_OF_OTHERS.search(output) is not None
            return Full(message, exit_code, never_fits=never_fits)
        return Refused(message, exit_code)

    def read_live(self, lines: Iterable[str], counts: Mapping[str, int]) -> Mapping[Key, Observation]:
        """Lines ``name|index|id|state|comment`` from the table of the user's jobs.

        Finished jobs are left to the history. ``deleted``: qdel accepted the job, and the table no longer has it.
        """
        found: dict[Key, Observation] = {}
        for line in lines:
            fields = line.split("|", 4)
            index = read_number(fields[1]) if len(fields) == 5 else None
            if index is not None and index < counts.get(fields[0], 0) and fields[3] not in ENDED:
                state = STATES.get(fields[3])
                cause = Cause.CANCELLED if state is JobState.CANCELLED else Cause.NONE
                reason = why_it_waits(fields[4]) if state is not JobState.RUNNING else ""
                found[fields[0], index] = Observation(fields[3], state, cause, reason=reason, batch_id=fields[2])
        return found

    def read_history(
        self, lines: Iterable[str], names: Mapping[str, str], counts: Mapping[str, int]
    ) -> Mapping[Key, Observation]:
        """Lines ``name|`` and what ``qstat -x -f -F dsv`` printed about one job or array task.

        The line of a whole array is no evidence about its tasks: its exit code is 0 even if some have failed.
        """
        found: dict[Key, Observation] = {}
        for line in lines:
            name, _, attributes = line.partition("|")
            job = read_dsv(attributes)
            task = TASK.match(job.get("id", ""))
            index = int(task[1]) if task else 0
            known = "job_state" in job and "[]" not in job["id"] and job.get("Job_Name", name) == name
            if known and index < counts.get(name, 0):
                found[name, index] = observation(job)
        return found

    def no_history(self, error: str) -> bool:
        return "not configured to maintain job history" in error

    def task_id(self, batch_id: str, index: int) -> str:
        """``231[3].server``"""
        return batch_id.replace("[]", f"[{index}]")


SYSTEM = Pbs()
