"""The contract of a batch system. A batch system is one folder and one template; no other file names it.

``scheduler/batch/NAME/system.py``
    A module-level ``SYSTEM``: an instance of a subclass of `BatchSystem`. Pure: it writes directives and reads what the
    commands of the batch system printed. It runs nothing and has no state.

``templates/NAME.sh.j2``
    The job's script: the directives, and where a running job learns its bundle folder, its id and its attempt.

``scheduler/batch/NAME/NAME.sh``
    POSIX sh that runs on the login node. It sets ``unfinished``, an awk pattern that matches the lines of `batch_live`
    for jobs that wait or run normally: their logs are not read yet. If in doubt, a line does not match. It may set
    ``unexplained``: it matches lines of jobs that ended for a reason that only the history knows. It may set
    ``never_starts``, a pattern of grep -E that matches the lines of jobs that wait and can never start, because a job
    on which they depend has failed: polls cancel them. Its functions
    (the comments in ``batch/slurm/slurm.sh`` show what they read):

    ``batch_prepare RUNNING``            before the first batch of a bundle is submitted
    ``batch_submit SCRIPT FIRST COUNT``  submit one batch; print what the submit command printed; return its exit code
    ``batch_id``                         read that output; print the id if it has one, else nothing
    ``batch_submitted``                  after all batches of a bundle were submitted
    ``batch_live FILE``                  query the queue once; one line for each job or array task, ``batch name|…``
    ``batch_history FILE``               query the accounting for the jobs that left the queue without an end file;
                                         ``unanswered|ID`` or ``unanswered|NAME`` if the query fails for one of them
    ``batch_cancel FILE``                cancel batches or array tasks
    ``batch_check QUEUE ACCOUNT SCRIPT`` report the batch system's capabilities (``batch/capabilities.py``)

The methods below read the output of these functions. A line that cannot be read concerns one job: the others count.
The cluster is not trusted: what they return is bounded by the request, whatever was printed.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from scheduler.batch.outcome import Outcome
from scheduler.batch.request import BatchRequest
from scheduler.job.evidence import Observation
from scheduler.job.state import Cause

Key = tuple[str, int]
"""The name of a batch on the cluster, and the index of one of its array tasks (0 for a single job)."""
REST = -1
"""The index of a row about all array tasks of a batch that have no row of their own."""


class BatchSystem(ABC):
    """One batch system: tables of its words, and a few rules. An instance has no state."""

    name: str
    """The name of its folder, and the value of ``scheduler:`` in a site file."""
    directive: str = ""
    """The first word of its directives in a script, such as ``#SBATCH``; empty if it has no directives."""
    submit_command: str
    """As a user would type it, for messages."""
    arrays: bool = True
    """It has job arrays."""
    has_queues: bool = True
    """It has queues and accounts, and jobs run on other nodes than the login node."""
    drops_cancelled_tasks: bool = False
    """An array task that is cancelled while it waits disappears from queue and history, though its array is listed."""
    excludes_nodes: bool = False
    """It has a directive for the nodes to avoid."""
    id_form: re.Pattern[str] = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\[\]-]*")
    """What an id of a batch looks like, as ``batch_id`` prints it. Nothing else is recorded or sent as an id."""
    poll_seconds: float = 30.0
    """The shortest time between two polls where the site file has no ``limits.poll_seconds``."""
    core_variables: tuple[str, ...] = ()
    """Environment variables in which it gives a job its number of cores. A job of a pack finds its own number there."""
    bundle_files: tuple[str, ...] = ()
    """Files of its folder that every bundle contains."""
    log_causes: Mapping[str, Cause] = {}
    """Text that it writes into a job's log when it ends the job → the cause. The first text that is found counts."""

    log_prefixes: tuple[str, ...] = ()
    """How lines that it writes into a job's log begin."""

    @abstractmethod
    def directives(self, request: BatchRequest) -> str:
        """The directives at the top of the batch's script, one per line; may be empty.

        Raises:
            ConfigError: a value cannot be written as a directive, or a native directive is unknown or sets what
                `scheduler` sets itself.
        """

    @abstractmethod
    def read_submit(self, exit_code: int, output: str) -> Outcome:
        """Whether the batch was accepted. If in doubt the outcome is `Unknown`: a refusal must be certain.

        Args:
            exit_code: of the submit command.
            output: its stdout if it succeeded, else its stdout and stderr.
        """

    @abstractmethod
    def read_live(self, lines: Iterable[str], counts: Mapping[str, int]) -> Mapping[Key, Observation]:
        """What the queue reports.

        Args:
            lines: what ``batch_live`` printed.
            counts: the name of each batch in the request → how many indices it has. A row about another batch or
                index is skipped, and a range of indices is clipped before it is expanded.
        """

    @abstractmethod
    def read_history(
        self, lines: Iterable[str], names: Mapping[str, str], counts: Mapping[str, int]
    ) -> Mapping[Key, Observation]:
        """What the accounting reports.

        Args:
            lines: what ``batch_history`` printed.
            names: batch id → batch name. A row that has another name belongs to someone else's job.
            counts: as for `read_live`.
        """

    def no_history(self, error: str) -> bool:
        """Whether this message of a failed history query means that the site keeps no history at all."""
        return False

    def task_id(self, batch_id: str, index: int) -> str:
        """The id of one array task, as the batch system's own commands accept it."""
        return f"{batch_id}_{index}"

    def is_id(self, text: str | None) -> bool:
        """Whether this is an id of a batch. Older versions have recorded other text."""
        return text is not None and self.id_form.fullmatch(text) is not None

    def ids_in(self, output: str) -> set[str]:
        """The ids of batches, each alone on its line, that the submit command printed."""
        return {line.strip() for line in re.split(r"[\r\n]", output) if self.is_id(line.strip())}

    def job_id(self, batch_id: str) -> str:
        """The id of a batch that is not an array, as the batch system's own commands accept it."""
        return batch_id

    def own_lines(self, log: Sequence[str]) -> Sequence[str]:
        """The lines of a job's log that the batch system or a script of ours wrote; others are not evidence."""
        causes, prefixes = {**self.log_causes, **_PACK_CAUSES}, (*self.log_prefixes, "scheduler: ")
        return [line for line in log if line.startswith(prefixes) or any(text in line for text in causes)]

    def log_cause(self, log: Sequence[str]) -> Cause | None:
        """Why a job was ended, from the last lines of its log. None if they do not show it."""
        causes = {_NEVER_STARTS: Cause.DEPENDENCY, **self.log_causes, **_PACK_CAUSES}
        return next((cause for text, cause in causes.items() if any(text in line for line in log)), None)


_NEVER_STARTS = "scheduler: cancelled, because its dependency can never be satisfied"
"""What ``engine/poll/poll.sh`` writes before it cancels such a job."""
_PACK_CAUSES = {"DUE TO TIME LIMIT": Cause.TIME_LIMIT, "CANCELLED AT": Cause.CANCELLED}
"""What ``render/runtime/pack.sh`` writes when it ends one of the jobs that share a node, on every batch system."""


def find(name: str) -> BatchSystem:
    """The batch system in the folder of this name. `Site` has checked that the folder exists."""
    system = importlib.import_module(f"scheduler.batch.{name}.system").SYSTEM
    assert isinstance(system, BatchSystem)  # noqa: S101  (the contract above)
    return system


@cache
def text_of(name: str, file: str) -> str:
    """The text of a file in the folder of the batch system of this name."""
    return (files(f"scheduler.batch.{name}") / file).read_text(encoding="utf-8")
