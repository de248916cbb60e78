"""What a job asks for, and when it is tried again. Checked values; nothing here acts on them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, ValidationError

from scheduler.errors import JobError
from scheduler.job.units import checked_walltime, format_walltime, parse_memory, parse_walltime
from scheduler.schema.model import Checked, Text, Whole, listed, printable, problems

# What goes into a directive cannot be quoted, so only harmless characters get in. `*[]()&|` are Slurm's
# operators in --constraint; a comma separates several partitions; PBS says queue@server.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:+@=/-]{0,254}\Z")
_CONSTRAINT = re.compile(r"[A-Za-z0-9_\[(][A-Za-z0-9_.,:+@=/&|*\[\]()-]{0,999}\Z")
_DIRECTIVE = re.compile(r"-{1,2}[A-Za-z]")

if TYPE_CHECKING:
    from typing_extensions import Self

RetryCause = Literal["node failure", "preempted", "out of memory", "time limit"]


def _memory(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text with a unit, as '3 GB' or '500 MB', not {value!r}")
    return f"{parse_memory(value)}M"


def memory_mib(memory: str) -> int:
    """An amount of memory that was checked, in MiB."""
    return int(memory[:-1])


def _walltime(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return checked_walltime(value)
    if not isinstance(value, str):
        raise ValueError(
            f"must be a timedelta, or text as '2:00:00', '90m' or '1.5 h' (a unit is needed), not {value!r}"
        )
    return parse_walltime(value)


def _name(text: str) -> str:
    if not _NAME.match(text):
        raise ValueError(f"must be letters, digits and _ . , : + @ = / - with no - at the start, not {text[:60]!r}")
    return text


def _constraint(text: str) -> str:
    if not _CONSTRAINT.match(text):
        raise ValueError(f"must be features joined by & | , with [ ] ( ) *, without spaces, not {text[:60]!r}")
    return text


def directive(text: str) -> str:
    """`text`, if it can stand as a directive of a batch system: one line that begins with an option.

    Raises:
        ValueError: it does not begin with ``-x`` or ``--word``, or holds a control character.
    """
    if not _DIRECTIVE.match(printable(text)):
        raise ValueError(f"must begin with an option, as '--gres=disk:4G' or '-l filesystems=home', not {text[:60]!r}")
    return text


Name = Annotated[Text, AfterValidator(_name)]
Constraint = Annotated[Text, AfterValidator(_constraint)]
Directive = Annotated[Text, AfterValidator(directive)]
Memory = Annotated[str, PlainValidator(_memory)]
Walltime = Annotated[timedelta, PlainValidator(_walltime), PlainSerializer(format_walltime, when_used="json")]
Factor = Annotated[float, Field(ge=1, le=10, strict=True, allow_inf_nan=False)]


class _OfAJob(Checked):
    """A value of a job: wrong ones end in a JobError that names the field."""

    if not TYPE_CHECKING:

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                lines = "; ".join(problems(error, type(self)))
                raise JobError(f"{type(self).__name__.lower()}: {lines}") from error

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `to_json` gave, as a value again.

        Raises:
            JobError: an unknown key or a wrong value.
        """
        return cls(**values)


class Resources(_OfAJob):
    """What a job asks for. What is None is left to the site's defaults.

    Attributes:
        cpus: cores of each task.
        memory: memory of each node the job gets, as ``4G``, ``3 GB``, ``500MB``, ``2.5 GiB``. A unit is
            needed and counts in 1024s (``GB`` is ``GiB``), because that is what batch systems mean. Kept in
            one notation: ``3072M``.
        walltime: the longest it may run: a timedelta, ``01:30:00``, ``2-00:00:00``, ``1-12``, ``90m``,
            ``1h30m``, ``1.5 h``; ``30:00`` is thirty minutes, as in Slurm and PBS.
        gpus: graphics processors of each node.
        nodes, tasks: for payloads that start themselves on several.
        queue, account, qos, constraint: names the batch system knows (`queue` is Slurm's partition).
        native: directives passed on as they are: ``["--gres=disk:4G"]``.

    Raises:
        JobError: an unknown field, with the nearest known one, or a wrong value, with what is allowed.
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
        """Memory of each node in MiB."""
        return None if self.memory is None else memory_mib(self.memory)

    def over(self, defaults: Resources) -> Resources:
        """These where they are set, else `defaults`; native directives of both, the defaults' first."""
        native = dict.fromkeys((*defaults.native, *self.native))
        return Resources(**{**defaults.to_json(), **self.to_json(), "native": list(native)})

    def to_json(self) -> dict[str, Any]:
        """What is set, in values that JSON can hold."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Retry(_OfAJob):
    """When a job that failed is tried again, by whichever command sees that it has failed. Off by default.

    Attributes:
        times: at most so many further attempts, each with whatever cause.
        on: the causes that are worth another attempt: ``node failure``, ``preempted``, ``out of memory``,
            ``time limit``.
        memory_factor: after ``out of memory``, so much more memory than the attempt before, up to what the site allows.
        walltime_factor: after ``time limit``, so much more time than the attempt before, up to what the site allows.
        exit_codes: exit codes of the payload (1 to 255) that are worth another attempt too.

    Raises:
        JobError: an unknown field, with the nearest known one, or a wrong value, with what is allowed.
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
        """All of it, in values that JSON can hold."""
        return self.model_dump(mode="json")
