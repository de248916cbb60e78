"""Imports point one way, and what reaches out of the process is in few places. Read from the files; nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter

from .code import Import, Module, modules

# The lowest first: a module imports from floors below its own, and from its own package. A new one gets a place here.
FLOORS = (
    ("errors", "packaged", "sweep", "ledger_schema", "ledger_wal", "process", "landing"),
    ("quoting", "checked", "yamlfile", "members", "archive"),
    ("command_places", "elements"),
    ("command", "job", "transports"),
    ("site", "batch", "remote", "stream", "parts", "ledger_rows", "jobfile_keys", "poll_reply"),
    ("listing", "stripes"),
    ("packing", "render_payload", "render_template", "ledger", "collector", "staging", "jobfile", "reach"),
    ("render", "results", "ledger_attempts", "ledger_places", "ledger_polls", "ledger_sites", "spool"),
    ("weighing",),
    ("poller",),
    ("submission", "render_retry"),
    ("retry", "withdrawal"),
    ("sending", "cancelling"),
    ("work",),
    ("runner",),
    ("check",),
    ("",),  # the package itself, with its public names
    ("cli",),
)

# Who may know less than its floor allows: these and nothing else of ours. A subpackage's row goes before its package's.
KNOWS = {
    "remote.run_function": (),  # runs over there, alone
    "remote": ("transports.base",),
    "job.source": (),
    "job": ("errors", "checked"),
    "transports": ("errors", "quoting"),
    "batch": ("errors", "job.evidence", "job.resources", "job.state", "job.units"),
    "site": ("errors", "quoting", "checked", "packaged", "yamlfile", "job.payload", "job.resources", "job.units"),
    "command_places": ("errors", "quoting"),
    "command": ("errors", "quoting", "command_places"),
    "archive": (),
    "elements": ("errors", "archive"),
    "render_payload": ("errors", "quoting", "command", "elements", "job", "site.site"),
    "render_template": ("errors", "quoting", "packaged", "site.site"),
    "packing": ("job.resources", "site.settings"),
    "render": (
        *("errors", "quoting", "job", "site.site", "batch.base", "remote", "packing", "render_payload"),
        "render_template",
    ),
    "ledger_rows": ("job.state",),
    "ledger_sites": ("ledger",),
    "ledger_polls": ("job.state", "ledger", "ledger_rows", "ledger_schema"),
    "poll_reply": ("job.evidence", "transports.base"),
    "ledger_places": ("job.state", "ledger", "ledger_rows", "ledger_schema"),
    "ledger": ("errors", "job.state", "ledger_rows", "ledger_schema", "ledger_wal", "process"),
    "ledger_attempts": ("job.state", "ledger", "ledger_rows", "ledger_schema", "process"),
    "render_retry": (
        *("errors", "job.resources", "job.retry", "site.site", "batch.base", "ledger_rows", "packing", "render"),
        "render_template",
    ),
}

# Values in, values out: no process, socket, database, thread or clock.
PURE = (
    *("errors", "quoting", "checked", "packaged", "yamlfile", "sweep", "command", "jobfile", "jobfile_keys"),
    "command_places",
    *("job", "site", "batch", "packing", "render", "render_payload", "render_template", "ledger_rows", "ledger_schema"),
    *("results", "render_retry", "poll_reply"),
    *("check.facts", "check.finding", "check.findings", "check.system"),
    *("transports.base", "transports.wire", "transports.exchange", "transports.hostkeys", "transports.ssh_settings"),
)
REACHES_OUT = {
    *("subprocess", "socket", "select", "selectors", "ssl", "http", "urllib", "ftplib", "asyncio", "threading"),
    *("multiprocessing", "concurrent", "signal", "pty", "tempfile", "shutil", "time", "paramiko"),
}

# What is foreign and heavy or sharp has one home.
ONLY_IN = {
    "paramiko": ("transports.ssh*",),
    "cryptography": ("transports.ssh*",),
    "socket": ("transports.ssh*",),
    "subprocess": ("transports.*",),
    "sqlite3": ("ledger", "ledger_*"),
    "pickle": ("job.function", "remote.run_function"),
    "cloudpickle": ("job.function", "remote.run_function"),
    "simple_slurm": ("batch.slurm_header",),
    "yaml": ("yamlfile",),
    "jinja2": ("render", "render_template", "command", "jobfile"),
    "platformdirs": ("ledger", "site.catalog"),
    "typer": ("cli*",),
    "rich": ("cli*",),
}

PACKAGE = modules("scheduler")


def short(name: str) -> str:
    """The name without the package's own."""
    return name.removeprefix("scheduler").removeprefix(".")


def is_of(name: str, places: Iterable[str]) -> bool:
    """`name` is one of these modules, or lies in one of these packages."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def floor_of(name: str) -> int:
    """The number of its floor."""
    for number, rooms in enumerate(FLOORS):
        if name.split(".")[0] in rooms:
            return number
    raise AssertionError(f"scheduler.{name} has no floor yet: give it one in {__name__}.FLOORS")


def of_ours(module: Module) -> list[Import]:
    """What it imports of this package, by short names."""
    return [one._replace(name=short(one.name)) for one in module.imports() if one.name.split(".")[0] == "scheduler"]


def at(module: Module, one: Import) -> str:
    return f"{module.at(one.line)} imports {one.name or 'scheduler'}"


def test_imports_come_from_below() -> None:
    def from_above(module: Module) -> Iterator[Import]:
        name = short(module.name)
        for one in of_ours(module):
            if one.name.split(".")[0] != name.split(".")[0] and floor_of(one.name) >= floor_of(name):
                yield one

    assert [at(module, one) for module in PACKAGE for one in from_above(module)] == []


def test_some_know_even_less() -> None:
    def strangers(module: Module) -> Iterator[Import]:
        row = next((row for row in KNOWS if is_of(short(module.name), [row])), None)
        return (one for one in of_ours(module) if row and not is_of(one.name, [row, *KNOWS[row]]))

    assert [at(module, one) for module in PACKAGE for one in strangers(module)] == []


def test_no_module_needs_itself() -> None:
    graph = {short(m.name): {one.name for one in of_ours(m) if not one.for_types} for m in PACKAGE}
    assert list(TopologicalSorter(graph).static_order())  # else it raises CycleError, which names the circle


def test_what_is_pure_reaches_nothing() -> None:
    def reaching(module: Module) -> Iterator[Import]:
        return (one for one in module.imports() if one.name.split(".")[0] in REACHES_OUT and not one.for_types)

    pure = [module for module in PACKAGE if is_of(short(module.name), PURE)]
    assert [at(module, one) for module in pure for one in reaching(module)] == []


def test_what_is_foreign_has_one_home() -> None:
    def strays(module: Module) -> Iterator[Import]:
        for one in module.imports():
            homes = ONLY_IN.get(one.name.split(".")[0], ("*",))
            if not any(fnmatchcase(short(module.name), home) for home in homes):
                yield one

    assert [at(module, one) for module in PACKAGE for one in strays(module)] == []


def test_the_tables_name_only_what_there_is() -> None:
    names = [short(module.name) for module in PACKAGE]
    rooms = [room for floor in FLOORS for room in floor if room]
    named = {*rooms, *KNOWS, *PURE, *(known for row in KNOWS.values() for known in row)}
    assert sorted(place for place in named if not any(is_of(name, [place]) for name in names)) == []


def test_nobody_may_know_what_it_does_not_use() -> None:
    def is_used(row: str, known: str) -> bool:
        return any(is_of(one.name, [known]) for m in PACKAGE if is_of(short(m.name), [row]) for one in of_ours(m))

    assert [(row, known) for row in KNOWS for known in KNOWS[row] if not is_used(row, known)] == []
