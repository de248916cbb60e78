"""Imports point one way, and what reaches out of the process is in few places. Read from the files; nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter

from tests import ROOT

from .code import Import, Module, modules

# The architecture, the lowest row first: a package imports from rows below its own, and from itself.
ROWS = (
    ("errors",),
    ("quoting", "schema"),
    ("job", "transports"),
    ("batch", "campaign", "ledger", "site"),
    ("render",),
    ("engine",),
    ("runner",),
    ("check",),
    ("",),  # the package itself, with its public names
    ("cli",),
)

# Values in, values out: no process, socket, database, thread or clock.
PURE = (
    *(
        "errors",
        "quoting",
        "schema",
        "job",
        "campaign",
        "site",
        "batch",
        "render",
        "ledger.rows",
        "ledger.tables",
        "ledger.mapping",
    ),
    *("engine.collect.results", "engine.poll.reply", "engine.poll.settle"),
    *("check.facts", "check.finding", "check.machine", "check.batch_system"),
    *("transports.base", "transports.wire", "transports.exchange", "transports.settings"),
    "transports.ssh.known_hosts",
)
ALONE = ("render.runtime.run_function",)
"""Runs on the node by itself: it imports nothing of this package, and may reach out."""
REACHES_OUT = {
    *("subprocess", "socket", "select", "selectors", "ssl", "http", "urllib", "ftplib", "asyncio", "threading"),
    *("multiprocessing", "concurrent", "signal", "pty", "tempfile", "shutil", "time", "paramiko"),
}

# A foreign library, or a sharp module of the standard library, has one home.
ONLY_IN = {
    "paramiko": ("transports.ssh.*",),
    "cryptography": ("transports.certificates",),
    "socket": ("transports.ssh.*",),
    "subprocess": ("transports.*",),
    "sqlite3": ("ledger.*",),
    "pickle": ("render.function.pack", *ALONE),
    "cloudpickle": ("render.function.pack", *ALONE),
    "simple_slurm": ("batch.slurm.directives",),
    "yaml": ("schema.yaml",),
    "jinja2": ("render.*", "campaign.jobfile"),
    "platformdirs": ("ledger.*", "site.catalog"),
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


def row_of(name: str) -> int:
    """The number of its row."""
    for number, row in enumerate(ROWS):
        if name.split(".")[0] in row:
            return number
    raise AssertionError(f"scheduler.{name} has no row yet: give it one in {__name__}.ROWS")


def of_ours(module: Module) -> list[Import]:
    """What it imports of this package, by short names."""
    return [one._replace(name=short(one.name)) for one in module.imports() if one.name.split(".")[0] == "scheduler"]


def at(module: Module, one: Import) -> str:
    return f"{module.at(one.line)} imports {one.name or 'scheduler'}"


def test_imports_point_one_way() -> None:
    def upwards(module: Module) -> Iterator[Import]:
        name = short(module.name)
        for one in of_ours(module):
            if one.name.split(".")[0] != name.split(".")[0] and row_of(one.name) >= row_of(name):
                yield one

    assert [at(module, one) for module in PACKAGE for one in upwards(module)] == []


def test_what_runs_on_the_node_alone_imports_nothing_of_ours() -> None:
    alone = [module for module in PACKAGE if is_of(short(module.name), ALONE)]
    assert len(alone) == len(ALONE)
    assert [at(module, one) for module in alone for one in of_ours(module)] == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {short(m.name): {one.name for one in of_ours(m) if not one.for_types} for m in PACKAGE}
    assert list(TopologicalSorter(graph).static_order())  # else it raises CycleError, which names the circle


def test_what_is_pure_reaches_nothing() -> None:
    def reaching(module: Module) -> Iterator[Import]:
        return (one for one in module.imports() if one.name.split(".")[0] in REACHES_OUT and not one.for_types)

    pure = [module for module in PACKAGE if is_of(short(module.name), PURE) and not is_of(short(module.name), ALONE)]
    assert [at(module, one) for module in pure for one in reaching(module)] == []


def test_what_is_foreign_has_one_home() -> None:
    def strays(module: Module) -> Iterator[Import]:
        for one in module.imports():
            homes = ONLY_IN.get(one.name.split(".")[0], ("*",))
            if not any(fnmatchcase(short(module.name), home) for home in homes):
                yield one

    assert [at(module, one) for module in PACKAGE for one in strays(module)] == []


def test_the_tables_name_only_what_exists() -> None:
    names = [short(module.name) for module in PACKAGE]
    named = {package for row in ROWS for package in row if package} | {*PURE, *ALONE}
    assert sorted(place for place in named if not any(is_of(name, [place]) for name in names)) == []


def test_a_folder_holds_about_a_dozen_modules_and_the_top_level_is_the_architecture() -> None:
    folders = Counter(str(module.path.parent) for module in PACKAGE)
    assert {folder: count for folder, count in folders.items() if count > 14} == {}
    top = [path.name for path in (ROOT / "scheduler").iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(top) <= 16, sorted(top)
