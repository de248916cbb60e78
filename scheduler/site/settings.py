"""The parts of a site: login, limits, containers. Checked values."""

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


def remote_path(text: str) -> str:
    """`text`, if it is a remote path that does not depend on the current directory.

    Raises:
        ValueError: it does not begin with ``/``, ``~/`` or a variable, contains ``..``, or cannot be quoted.
    """
    if not re.match(r"/|~(?:/|\Z)|\$", text) or ".." in text.split("/"):
        raise ValueError(f"must begin with '/', '~/' or a variable, and not contain '..', not {text[:60]!r}")
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
    return remote_path(text)


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


Host = Annotated[Text, AfterValidator(_pattern(_HOST, "the name of a host (the user is ssh.user)"))]
User = Annotated[Text, AfterValidator(_pattern(_USER, "the name of a user"))]
Jumps = Annotated[
    Text, AfterValidator(_pattern(rf"{_HOP}(?:,{_HOP})*", "[user@]host[:port], several separated by commas"))
]
Module = Annotated[
    Text, AfterValidator(_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.+/:@=-]*", "the name of a module, such as gcc/12.2"))
]
Modules = Annotated[tuple[Module, ...], BeforeValidator(listed)]
NativeOption = Annotated[
    Text, AfterValidator(_pattern(r"[A-Za-z][A-Za-z0-9-]*", "the long name of an option without dashes: oom-kill-step"))
]
RemotePath = Annotated[Text, AfterValidator(remote_path)]
Program = Annotated[Text, AfterValidator(_program)]
LocalFile = Annotated[Text, AfterValidator(_file)]
Option = Annotated[Text, AfterValidator(printable)]


class SshSettings(Checked):
    """How to log in. A value that is None comes from ``~/.ssh/config``.

    Attributes:
        user: the user name on the host.
        port: the port of its SSH server.
        identity_file: the local path of a private key.
        proxy_jump: the hosts to connect through, ``[user@]host[:port]``, separated by commas.
        known_hosts: the local path of a file of host keys, instead of ``~/.ssh/known_hosts``.
        accept_new_host_key: accept the key of a host that is not known yet; a changed key is refused even so.
    """

    user: User | None = None
    port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    identity_file: LocalFile | None = None
    proxy_jump: Jumps | None = None
    known_hosts: LocalFile | None = None
    accept_new_host_key: Flag = False


class Limits(Checked):
    """The limits of a site. A value that is None is not limited, or not known.

    Attributes:
        walltime: the longest walltime that a job may request.
        memory: the most memory per node that a job may request. Jobs that share a node use no more together.
        array_size: the most tasks of one job array.
        queued: the queue limit: how many jobs and array tasks of one user the batch system accepts at a time. Further
            jobs wait on this machine.
        poll_seconds: the least number of seconds between two polls; None: the default of the batch system.
        running: for ``scheduler: shell``: how many jobs run at once; None: as many as the machine has cores.
        whole_node: jobs get whole nodes. Jobs of fewer cores that are submitted together share one.
        cores_per_node: the cores of one node, for sites with whole nodes.
        purge_days: after how many days without access the site deletes files in `work_dir`.
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
        """The memory limit in MiB, or None."""
        return None if self.memory is None else memory_mib(self.memory)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.whole_node and self.cores_per_node is None:
            raise ValueError("cores_per_node: is missing; with whole_node it must be given")
        return self


class ContainerSettings(Checked):
    """How container jobs are run on the nodes.

    Attributes:
        runtime: the command that runs them.
        modules: environment modules that provide the command, loaded for container jobs only.
        binds: folders of the node that are mounted in the container, each ``source[:target[:options]]``.
        options: further options of the runtime's ``exec``, one word each.
    """

    runtime: Literal["apptainer", "singularity"] = "apptainer"
    modules: Modules = ()
    binds: Annotated[tuple[Annotated[Text, AfterValidator(_bind)], ...], BeforeValidator(listed)] = ()
    options: Annotated[tuple[Option, ...], BeforeValidator(listed), AfterValidator(_options)] = ()
