"""Resources: what a job requests. Retry: when it is retried automatically. Checked values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, ValidationError

from scheduler.errors import JobError
from scheduler.job.units import checked_walltime, format_walltime, parse_memory, parse_walltime
from scheduler.schema.model import Checked, Text, Whole, listed, printable, problems

# A value in a directive cannot be quoted, so only harmless characters are accepted. `*[]()&|` are Slurm's operators in
# --constraint; a comma separates partitions; PBS writes queue@server.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:+@=/-]{0,254}\Z")
_CONSTRAINT = re.compile(r"[A-Za-z0-9_\[(][A-Za-z0-9_.,:+@=/&|*\[\]()-]{0,999}\Z")
_DIRECTIVE = re.compile(r"-{1,2}[A-Za-z]")

if TYPE_CHECKING:
    from typing_extensions import Self

RetryCause = Literal["node failure", "preempted", "out of memory", "time limit"]


def _memory(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text with a unit, such as '3 GB' or '500 MB', not {value!r}")
    return f"{parse_memory(value)}M"


def memory_mib(memory: str) -> int:
    """A checked amount of memory (``3072M``) in MiB."""
    return int(memory[:-1])


def _walltime(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return checked_walltime(value)
    if not isinstance(value, str):
        raise ValueError(
            f"must be a timedelta, or text with a unit, such as '2:00:00', '90m' or '1.5 h', not {value!r}"
        )
    return parse_walltime(value)


def _name(text: str) -> str:
    if not _NAME.match(text):
        raise ValueError(f"may contain letters, digits and _ . , : + @ = / - and not begin with -, not {text[:60]!r}")
    return text


def _constraint(text: str) -> str:
    if not _CONSTRAINT.match(text):
        raise ValueError(f"must be features joined by & | , with [ ] ( ) *, without spaces, not {text[:60]!r}")
    return text


def directive(text: str) -> str:
    """`text`, if it can be a directive of a batch system: one line that begins with an option.

    Raises:
        ValueError: it does not begin with ``-x`` or ``--word``, or contains a control character.
    """
    if not _DIRECTIVE.match(printable(text)):
        raise ValueError(
            f"must begin with an option, such as '--gres=disk:4G' or '-l filesystems=home', not {text[:60]!r}"
        )
    return text


Name = Annotated[Text, AfterValidator(_name)]
Constraint = Annotated[Text, AfterValidator(_constraint)]
Directive = Annotated[Text, AfterValidator(directive)]
Memory = Annotated[str, PlainValidator(_memory)]
Walltime = Annotated[timedelta, PlainValidator(_walltime), PlainSerializer(format_walltime, when_used="json")]
Factor = Annotated[float, Field(ge=1, le=10, strict=True, allow_inf_nan=False)]


class _JobValue(Checked):
    """A value of a job: a wrong field raises a JobError that names it."""

    if not TYPE_CHECKING:

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                lines = "; ".join(problems(error, type(self)))
                raise JobError(f"{type(self).__name__.lower()}: {lines}") from error

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The value for which `to_json` gave `values`.

        Raises:
            JobError: an unknown key or a wrong value.
        """
        return cls(**values)


class Resources(_JobValue):
    """The resources that a job requests. A field that is None is filled in from the site's defaults.

    Attributes:
        cpus: cores per task.
        memory: memory per node: ``4G``, ``3 GB``, ``500MB``, ``2.5 GiB``. A unit is required, and counts in 1024s
            (``GB`` means ``GiB``), as in Slurm and PBS. Stored in MiB: ``3072M``.
        walltime: the longest time it may run: a timedelta, ``01:30:00``, ``2-00:00:00``, ``1-12``, ``90m``, ``1h30m``,
            ``1.5 h``. ``30:00`` is thirty minutes, as in Slurm and PBS.
        gpus: GPUs per node.
        nodes: number of nodes, for payloads that start processes on several nodes.
        tasks: number of tasks, for payloads that start several processes (MPI).
        queue: PBS queue or Slurm partition.
        account: the account to charge.
        qos: Slurm quality of service.
        constraint: required node features, in the batch system's notation.
        native: directives that are passed to the batch system unchanged: ``["--gres=disk:4G"]``.

    Raises:
        JobError: an unknown field (with the nearest known one), or a wrong value (with what is allowed).
    """

    cpus: Annotated[Whole, Field(gt=0)] | None = None
    memory: Memory | None = None
    walltime: Walltime | None = None
    gpus: Annotated[Whole, Field(ge=0)] | None = None
    nodes: Annotated[Whole, Field(gt=0)] | None = None
    tasks: Annotated[Whole, Field(gt=0)] | None = None
    queue: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    constraint: Constraint | None = None
    native: Annotated[tuple[Directive, ...], BeforeValidator(listed)] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            cpus: int | None = None,
            memory: str | None = None,
            walltime: timedelta | str | None = None,
            gpus: int | None = None,
            nodes: int | None = None,
            tasks: int | None = None,
            queue: str | None = None,
            account: str | None = None,
            qos: str | None = None,
            constraint: str | None = None,
            native: Sequence[str] = (),
        ) -> None: ...

    @property
    def memory_mib(self) -> int | None:
        """Memory per node in MiB, or None."""
        return None if self.memory is None else memory_mib(self.memory)

    def over(self, defaults: Resources) -> Resources:
        """These resources, with unset fields from `defaults`; `native` combines both, the defaults' first."""
        native = dict.fromkeys((*defaults.native, *self.native))
        return Resources(**{**defaults.to_json(), **self.to_json(), "native": list(native)})

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, as JSON values."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Retry(_JobValue):
    """When a failed job is retried automatically, by any command that polls its site. Default: never.

    Attributes:
        times: the most retries of a job, for all causes together.
        on: the causes after which it is retried: ``node failure``, ``preempted``, ``out of memory``, ``time limit``.
        memory_factor: after ``out of memory``, the factor on the memory of the attempt before, up to the site's limit.
        walltime_factor: after ``time limit``, the factor on the walltime of the attempt before, up to the site's limit.
        exit_codes: exit codes of the payload (1 to 255) after which it is also retried.

    Raises:
        JobError: an unknown field (with the nearest known one), or a wrong value (with what is allowed).
    """

    times: Annotated[Whole, Field(ge=0, le=100)] = 0
    on: Annotated[tuple[RetryCause, ...], BeforeValidator(listed)] = ("node failure", "preempted")
    memory_factor: Factor = 1.5
    walltime_factor: Factor = 1.5
    exit_codes: Annotated[tuple[Annotated[Whole, Field(ge=1, le=255)], ...], BeforeValidator(listed)] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            times: int = 0,
            on: Sequence[RetryCause] = ("node failure", "preempted"),
            memory_factor: float = 1.5,
            walltime_factor: float = 1.5,
            exit_codes: Sequence[int] = (),
        ) -> None: ...

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return self.model_dump(mode="json")
