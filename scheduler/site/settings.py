"""The parts of a site: how to log in, its limits, its containers. Checked values; nothing acts on them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scheduler.errors import ConfigError
from scheduler.job.resources import Memory, Walltime, memory_mib
from scheduler.quoting import quote_path
from scheduler.schema.model import Checked, Flag, Text, Whole, listed, printable

if TYPE_CHECKING:
    from typing_extensions import Self

_USER = r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*"
_HOST = r"(?:[A-Za-z0-9_:][A-Za-z0-9_.:-]*)"
_HOP = rf"(?:{_USER}@)?(?:\[{_HOST}\]|{_HOST})(?::[0-9]{{1,5}})?"


def _pattern(pattern: str, allowed: str) -> Callable[[str], str]:
    compiled = re.compile(rf"(?:{pattern})\Z")

    def check(text: str) -> str:
        if not compiled.match(text):
            raise ValueError(f"must be {allowed}, not {text[:60]!r}")
        return text

    return check


def path_there(text: str) -> str:
    """`text`, if it is a path over there that does not depend on the current directory.

    Raises:
        ValueError: it does not begin with ``/``, ``~/`` or a variable, has a ``..``, or cannot be quoted.
    """
    if not re.match(r"/|~(?:/|\Z)|\$", text) or ".." in text.split("/"):
        raise ValueError(f"must begin with '/', '~/' or a variable, and have no '..', not {text[:60]!r}")
    return _expandable(text)


def _expandable(text: str) -> str:
    try:
        quote_path(text, what="path")
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("path: ")) from None
    return text


def _bind(text: str) -> str:
    if "," in text:
        raise ValueError(f"must be one bind (source, source:target or source:target:options), not {text[:60]!r}")
    return path_there(text)


def _program(text: str) -> str:
    if not text or text.startswith("-"):
        raise ValueError(f"must be a command or the path of one, not {text[:60]!r}")
    return _expandable(text)


def _options(options: tuple[str, ...]) -> tuple[str, ...]:
    if options and not options[0].startswith("-"):
        raise ValueError(f"must begin with an option such as --cleanenv, not {options[0][:60]!r}")
    return options


def _file(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return printable(text)


Host = Annotated[Text, AfterValidator(_pattern(_HOST, "a host's name (give the user as ssh.user)"))]
User = Annotated[Text, AfterValidator(_pattern(_USER, "a user's name"))]
Jumps = Annotated[Text, AfterValidator(_pattern(rf"{_HOP}(?:,{_HOP})*", "[user@]host[:port], several with commas"))]
Module = Annotated[
    Text, AfterValidator(_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.+/:@=-]*", "a module's name, such as gcc/12.2"))
]
Modules = Annotated[tuple[Module, ...], BeforeValidator(listed)]
PathThere = Annotated[Text, AfterValidator(path_there)]
Program = Annotated[Text, AfterValidator(_program)]
FileHere = Annotated[Text, AfterValidator(_file)]
Option = Annotated[Text, AfterValidator(printable)]


class SshSettings(Checked):
    """How to log in. What is None comes from ``~/.ssh/config``."""

    user: User | None = None
    port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    identity_file: FileHere | None = None
    proxy_jump: Jumps | None = None
    known_hosts: FileHere | None = None
    accept_new_host_key: Flag = False


class Limits(Checked):
    """What the site allows. What is None is not limited, or not known.

    Attributes:
        walltime: the longest that a job may ask for.
        memory: of one node: the most that a job may ask for there; no more jobs share it than it has memory for.
        array_size: the most elements of one job array.
        queued: the most jobs and array elements of one user that the batch system keeps at a time; the rest waits.
        poll_seconds: never ask after jobs more often than this; None: as the batch system's module says.
        running: for `scheduler: shell`, which has no queue of its own: at most so many jobs at once. None: as
            many as the machine has cores.
        whole_node: jobs get nodes to themselves: those of fewer cores that are submitted together share one.
        cores_per_node: of a site that gives out whole nodes.
        purge_days: the site deletes files in `work_dir` that nobody has touched for so long; None: not known.
    """

    walltime: Walltime | None = None
    memory: Memory | None = None
    array_size: Annotated[Whole, Field(gt=0)] | None = None
    queued: Annotated[Whole, Field(gt=0)] | None = None
    poll_seconds: Annotated[float, Field(strict=True, gt=0, le=86400)] | None = None
    running: Annotated[Whole, Field(gt=0)] | None = None
    whole_node: Flag = False
    cores_per_node: Annotated[Whole, Field(gt=0)] | None = None
    purge_days: Annotated[Whole, Field(gt=0)] | None = None

    @property
    def memory_mib(self) -> int | None:
        """Memory of one node in MiB."""
        return None if self.memory is None else memory_mib(self.memory)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.whole_node and self.cores_per_node is None:
            raise ValueError("cores_per_node: is missing; whole_node needs to know how many jobs a node has room for")
        return self


class ContainerSettings(Checked):
    """How container jobs are run over there.

    Attributes:
        runtime: the command that runs them.
        modules: environment modules that bring it, loaded for container jobs only.
        binds: folders of the host that are visible inside, each ``source[:target[:options]]``.
        options: further options of ``exec``, one word each.
    """

    runtime: Literal["apptainer", "singularity"] = "apptainer"
    modules: Modules = ()
    binds: Annotated[tuple[Annotated[Text, AfterValidator(_bind)], ...], BeforeValidator(listed)] = ()
    options: Annotated[tuple[Option, ...], BeforeValidator(listed), AfterValidator(_options)] = ()
