"""The toy batch system: it starts every array task at once, as a process of this machine. It runs nothing here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.batch.base import BatchSystem, Key
from scheduler.batch.outcome import Accepted, Outcome, Refused
from scheduler.batch.request import BatchRequest
from scheduler.errors import ConfigError
from scheduler.job.evidence import Observation
from scheduler.job.state import Cause, JobState

STATES = {
    "WAIT": (JobState.QUEUED, Cause.NONE),
    "RUN": (JobState.RUNNING, Cause.NONE),
    "STOPPED": (JobState.CANCELLED, Cause.CANCELLED),
}


class Toy(BatchSystem):
    """Ids are ``toy-TOKEN-FIRST``, those of array tasks ``toy-TOKEN-FIRST.INDEX``."""

    name = "toy"
    directive = "#TOY"
    submit_command = "toyq"
    has_queues = False
    poll_seconds = 0.2
    bundle_files = ("toy_start.sh",)
    log_causes: Mapping[str, Cause] = {"toyq: the walltime is over": Cause.TIME_LIMIT}

    def directives(self, request: BatchRequest) -> str:
        if request.resources.native:
            raise ConfigError("native: the toy has no directives of its own")
        return f"#TOY name={request.name}\n#TOY tasks={request.count}"

    def read_submit(self, exit_code: int, output: str) -> Outcome:
        return Accepted(output.strip()) if exit_code == 0 else Refused(output.strip(), exit_code)

    def read_live(self, lines: Iterable[str], counts: Mapping[str, int]) -> Mapping[Key, Observation]:
        found: dict[Key, Observation] = {}
        for line in lines:
            name, index, word, batch_id = line.split("|")
            state, cause = STATES[word]
            if name not in counts:
                continue
            found[name, int(index)] = Observation(word, state, cause, batch_id=batch_id)
        return found

    def read_history(
        self, lines: Iterable[str], names: Mapping[str, str], counts: Mapping[str, int]
    ) -> Mapping[Key, Observation]:
        return {}

    def no_history(self, error: str) -> bool:
        return "no accounting" in error

    def task_id(self, batch_id: str, index: int) -> str:
        return f"{batch_id}.{index}"


SYSTEM = Toy()
