"""Site: the settings of one cluster or machine, as a checked value. It holds no connection."""

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
    Host,
    Limits,
    LocalFile,
    Modules,
    NativeOption,
    Program,
    RemotePath,
    SshSettings,
)
from scheduler.transports.find import traits_of, transport_names

if TYPE_CHECKING:
    from typing_extensions import Self

_PACKAGE = Path(__file__).parent.parent
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLACED = ("queue", "account", "qos", "constraint", "native")


def batch_systems() -> list[str]:
    """The values that `scheduler:` may have: the names of the folders in ``scheduler/batch/``."""
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
            raise ValueError(f"{name!r} is not a valid name of a variable, or is reserved; use letters, digits and '_'")
        if isinstance(value, bool) or not isinstance(value, str | int | float) or "\0" in str(value):
            raise ValueError(f"{name} must be text or a number without a NUL, not a {type(value).__name__}")
    return {name: str(value) for name, value in variables.items()}


def _shell_lines(text: str) -> str:
    if any(not (c.isprintable() or c in "\n\t") for c in text):
        raise ValueError("must be lines of shell text without control characters")
    return text


class Site(Checked):
    """The settings of one cluster or machine: a checked site file. `find_site` reads one.

    Attributes:
        description: one line about the site.
        transport: how commands reach it: ``ssh``, ``openssh`` or ``local``.
        host: its host name, or a Host of ``~/.ssh/config``.
        ssh: how to log in.
        scheduler: its batch system.
        work_dir: the remote directory for bundles and jobs.
        account: the account to charge.
        queue: the default PBS queue or Slurm partition.
        qos: the default Slurm quality of service.
        constraint: the node features that jobs require by default.
        memory_style: how memory is requested: ``per_node``, ``per_cpu`` or ``omit``.
        defaults: resources of a job that does not request them.
        limits: the limits of the site.
        container: how container jobs are run.
        modules: environment modules that every job loads.
        python: the Python command for function jobs, on the nodes.
        environment: environment variables of every job.
        prologue: shell text that runs before every payload.
        native: directives that are passed to the batch system unchanged.
        native_options: options of sbatch that `native` may use although simple-slurm does not know them.
        template: the local path of a Jinja template that replaces the batch system's own.
        retry: the default of a job's `Retry`.
        trust_pickles: whether functions may return values that JSON cannot hold.

    ``site_configs/example.yaml`` explains each of these keys in full.
    """

    description: Annotated[Text, AfterValidator(printable)] = ""
    transport: Annotated[Text, AfterValidator(_transport)]
    host: Host | None = None
    ssh: SshSettings = SshSettings()
    scheduler: Annotated[Text, AfterValidator(_batch_system)]
    work_dir: RemotePath
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
    native_options: Annotated[tuple[NativeOption, ...], BeforeValidator(listed)] = ()
    template: LocalFile | None = None
    retry: Retry = Retry()
    trust_pickles: Flag = False

    _name: str = PrivateAttr(default="")
    _path: Path | None = PrivateAttr(default=None)
    _sources: tuple[Path, ...] = PrivateAttr(default=())
    _guarded: bool = PrivateAttr(default=False)

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], *, name: str, sources: Sequence[Path] = (), guarded: bool = False
    ) -> Self:
        """Make a site from the keys of a site file.

        Args:
            values: the keys and their values. A key with the value null counts as missing.
            name: the site's name.
            sources: the files that the keys come from; later ones override earlier ones.
            guarded: its template is of a folder that needs trust.

        Returns:
            The site.

        Raises:
            ConfigError: an unknown key (with the nearest known one), a missing key, or a wrong value; the message names
                the files and the key.
        """
        try:
            site = cls.model_validate(_without_nulls(values))
        except ValidationError as error:
            where = " over ".join(str(path) for path in reversed(sources)) or f"site {name!r}"
            raise ConfigError("\n".join(f"{where}: {line}" for line in problems(error, cls))) from error
        site._name, site._sources, site._guarded = name, tuple(sources), guarded
        site._path = site._sources[-1] if site._sources else None
        return site

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.host is None and traits_of(self.transport).needs_host:
            raise ValueError(f"host: is missing; with transport: {self.transport} it must be given")
        for key in _PLACED:
            if getattr(self.defaults, key):
                raise ValueError(f"defaults.{key}: is a key of the site itself; move it out of defaults")
        over = self._over_limits(self.defaults)
        if over:
            raise ValueError(f"defaults.{over[0]}: is above limits.{over[0]}")
        return self

    @property
    def name(self) -> str:
        """The site's name: its file's name without ``.yaml``."""
        return self._name

    @property
    def path(self) -> Path | None:
        """The file whose keys override all others, or None if the site was made from a mapping."""
        return self._path

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that it was read from; later ones override earlier ones."""
        return self._sources

    @property
    def guarded(self) -> bool:
        """Whether its template is used only as long as the user's trust in it is recorded."""
        return self._guarded

    @property
    def is_local(self) -> bool:
        """Whether its commands run on this machine, so that its jobs use the file system of this machine."""
        return traits_of(self.transport).is_local

    @property
    def resources(self) -> Resources:
        """The resources of a job that requests none: `defaults`, with account, queue, qos, constraint and native."""
        return Resources.from_json({**self.defaults.to_json(), **{key: getattr(self, key) for key in _PLACED}})

    def resources_for(self, requested: Resources) -> Resources:
        """The resources of a job that requests `requested`: unset fields are taken from `resources`.

        Args:
            requested: the job's own resources.

        Returns:
            The complete resources.

        Raises:
            JobError: they are above a limit of the site.
        """
        granted = requested.over(self.resources)
        self.check_limits(granted)
        return granted

    def check_limits(self, resources: Resources) -> None:
        """Check resources against the limits of the site.

        Raises:
            JobError: they are above a limit.
        """
        over = self._over_limits(resources)
        if over:
            key, requested, allowed = over
            raise JobError(f"resources: {key}: {requested} is above the limit of site {self.name!r}, {allowed}")

    def _over_limits(self, resources: Resources) -> tuple[str, str, str] | None:
        """The first key that is above its limit, its value, and the limit."""
        longest, most = self.limits.walltime, self.limits.memory
        if longest and resources.walltime and resources.walltime > longest:
            return "walltime", format_walltime(resources.walltime), format_walltime(longest)
        if most and resources.memory and (resources.memory_mib or 0) > memory_mib(most):
            return "memory", resources.memory, most
        return None

    def to_json(self) -> dict[str, Any]:
        """The name, the files and all settings, as JSON values. A site contains no secrets."""
        settings = self.model_dump(mode="json")
        sources = [str(path) for path in self.sources]
        guarded = {"guarded": True} if self.guarded else {}
        return {"name": self.name, "sources": sources, "settings": settings, **guarded}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The site for which `to_json` gave `values`. The files are not read.

        Raises:
            ConfigError: it has a key that this version does not know.
        """
        sources = [Path(path) for path in values["sources"]]
        guarded = values.get("guarded") is True
        return cls.from_mapping(values["settings"], name=values["name"], sources=sources, guarded=guarded)


def _without_nulls(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {key: _without_nulls(value) for key, value in values.items() if value is not None}
