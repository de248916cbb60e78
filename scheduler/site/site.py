"""Site: where jobs go, which batch system, which account, which limits. A checked value; no connection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from scheduler.errors import ConfigError, JobError, did_you_mean
from scheduler.job.resources import Constraint, Directive, Name, Resources, Retry, memory_mib
from scheduler.job.units import format_walltime
from scheduler.job.validation import RESERVED_NAMES
from scheduler.schema.model import Checked, Flag, Text, listed, printable, problems
from scheduler.site.settings import (
    ContainerSettings,
    FileHere,
    Host,
    Limits,
    Modules,
    PathThere,
    Program,
    SshSettings,
)
from scheduler.transports.find import traits_of, transport_names

if TYPE_CHECKING:
    from typing_extensions import Self

_PACKAGE = Path(__file__).parent.parent
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLACED = ("queue", "account", "qos", "constraint", "native")


def batch_systems() -> list[str]:
    """The words that `scheduler:` may be: the folders of ``scheduler/batch/``."""
    return sorted(found.parent.name for found in (_PACKAGE / "batch").glob("*/system.py"))


def _batch_system(word: str) -> str:
    if word not in batch_systems():
        raise ValueError(f"no such batch system: {word[:60]!r}; {did_you_mean(word, batch_systems())}")
    return word


def _transport(word: str) -> str:
    if word not in transport_names():
        raise ValueError(f"no such transport: {word[:60]!r}; {did_you_mean(word, transport_names())}")
    return word


def _environment(variables: object) -> object:
    if not isinstance(variables, Mapping):
        return variables
    for name, value in variables.items():
        if not isinstance(name, str) or not _VARIABLE.match(name) or name in RESERVED_NAMES:
            raise ValueError(f"{name!r} is no variable's name that can be set here (letters, digits, '_')")
        if isinstance(value, bool) or not isinstance(value, str | int | float) or "\0" in str(value):
            raise ValueError(f"{name} must be text or a number, not {value!r}")
    return {name: str(value) for name, value in variables.items()}


def _shell_lines(text: str) -> str:
    if any(not (c.isprintable() or c in "\n\t") for c in text):
        raise ValueError("must be lines of shell text without control characters")
    return text


class Site(Checked):
    """Where jobs go: one YAML file, checked. `find_site` finds one, `Site.from_mapping` makes one.

    Attributes:
        name: the file's name without ``.yaml``.
        path: the file, or None if it was made from a mapping.
        sources: the files it was read from; each one overrides those before it.
        resources: what a job gets that asks for nothing: the defaults with queue, account and the rest.

    The other attributes are the keys of the file; ``site_configs/example.yaml`` explains each.
    """

    description: Annotated[Text, AfterValidator(printable)] = ""
    transport: Annotated[Text, AfterValidator(_transport)]
    host: Host | None = None
    ssh: SshSettings = SshSettings()
    scheduler: Annotated[Text, AfterValidator(_batch_system)]
    work_dir: PathThere
    account: Name | None = None
    queue: Name | None = None
    qos: Name | None = None
    constraint: Constraint | None = None
    memory_style: Literal["per_node", "per_cpu", "omit"] = "per_node"
    defaults: Resources = Resources()
    limits: Limits = Limits()
    container: ContainerSettings = ContainerSettings()
    modules: Modules = ()
    python: Program = "python3"
    environment: Annotated[dict[str, str], BeforeValidator(_environment)] = Field(default_factory=dict)
    prologue: Annotated[Text, AfterValidator(_shell_lines)] = ""
    native: Annotated[tuple[Directive, ...], BeforeValidator(listed)] = ()
    template: FileHere | None = None
    retry: Retry = Retry()
    trust_pickles: Flag = False

    _name: str = PrivateAttr(default="")
    _path: Path | None = PrivateAttr(default=None)
    _sources: tuple[Path, ...] = PrivateAttr(default=())

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, name: str, sources: Sequence[Path] = ()) -> Self:
        """A site of the keys that a site file has. A key that is null is as if it were not there.

        Args:
            values: the keys and their values.
            name: what the site is called.
            sources: the files that they come from; each one overrides those before it.

        Raises:
            ConfigError: an unknown key (with the nearest known one), a missing key or a wrong value; the
                message names the files and the key.
        """
        try:
            site = cls.model_validate(_without_nulls(values))
        except ValidationError as error:
            where = " over ".join(str(path) for path in reversed(sources)) or f"site {name!r}"
            raise ConfigError("\n".join(f"{where}: {line}" for line in problems(error, cls))) from error
        site._name, site._sources = name, tuple(sources)
        site._path = site._sources[-1] if site._sources else None
        return site

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.host is None and traits_of(self.transport).needs_host:
            raise ValueError(f"host: is missing; transport: {self.transport} needs to know where to")
        for key in _PLACED:
            if getattr(self.defaults, key):
                raise ValueError(f"defaults.{key}: is a key of the site itself; write it one level up")
        over = self._over_limits(self.defaults)
        if over:
            raise ValueError(f"defaults.{over[0]}: is over limits.{over[0]}")
        return self

    @property
    def name(self) -> str:
        """What the site is called: its file's name without ``.yaml``."""
        return self._name

    @property
    def path(self) -> Path | None:
        """The file that had the last word, or None if it was made from a mapping."""
        return self._path

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files it was read from; each one overrides those before it."""
        return self._sources

    @property
    def is_local(self) -> bool:
        """The site's programs and jobs run on this machine and on this machine's file system."""
        return traits_of(self.transport).is_local

    @property
    def resources(self) -> Resources:
        """What a job gets that asks for nothing."""
        return Resources.from_json({**self.defaults.to_json(), **{key: getattr(self, key) for key in _PLACED}})

    def resources_for(self, asked: Resources) -> Resources:
        """What a job gets that asks for `asked`: that, over what the site gives.

        Raises:
            JobError: it is more than the site allows.
        """
        granted = asked.over(self.resources)
        self.check_limits(granted)
        return granted

    def check_limits(self, asked: Resources) -> None:
        """Is all that is asked for within the limits?

        Raises:
            JobError: it is more than the site allows.
        """
        over = self._over_limits(asked)
        if over:
            key, asked_for, allowed = over
            raise JobError(f"resources: {key}: {asked_for} is over what site {self.name!r} allows: {allowed}")

    def _over_limits(self, asked: Resources) -> tuple[str, str, str] | None:
        """The first key that is over its limit, what is asked for, and what is allowed."""
        longest, most = self.limits.walltime, self.limits.memory
        if longest and asked.walltime and asked.walltime > longest:
            return "walltime", format_walltime(asked.walltime), format_walltime(longest)
        if most and asked.memory and (asked.memory_mib or 0) > memory_mib(most):
            return "memory", asked.memory, most
        return None

    def to_json(self) -> dict[str, Any]:
        """All of it, in values that JSON can hold. There are no secrets in a site."""
        settings = self.model_dump(mode="json")
        return {"name": self.name, "sources": [str(path) for path in self.sources], "settings": settings}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `to_json` gave, as a site again; the files are not read.

        Raises:
            ConfigError: it holds what this version does not know.
        """
        sources = [Path(path) for path in values["sources"]]
        return cls.from_mapping(values["settings"], name=values["name"], sources=sources)


def _without_nulls(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {key: _without_nulls(value) for key, value in values.items() if value is not None}
