"""Imports point one way, and I/O is in few modules. Reads the files; runs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter

from tests import ROOT

from .code import Import, Module, modules

# The architecture, lowest row first: a package imports from the rows below its own, and from itself.
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

# Modules that only compute: no process, socket, database, thread or clock.
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
ALONE = ("render.runtime.run_function", "render.runtime.function_result")
"""They run on the node by themselves: they import nothing of this package, and do I/O."""
DOES_IO = {
    *("subprocess", "socket", "select", "selectors", "ssl", "http", "urllib", "ftplib", "asyncio", "threading"),
    *("multiprocessing", "concurrent", "signal", "pty", "tempfile", "shutil", "time", "paramiko"),
}

# External libraries, and dangerous modules of the standard library → the only modules that may import them.
ONLY_IN = {
    "paramiko": ("transports.ssh.*",),
    "cryptography": ("transports.certificates",),
    "socket": ("transports.ssh.*",),
    "subprocess": ("transports.*",),
    "sqlite3": ("ledger.*",),
    "pickle": ("render.function.pack", *ALONE),
    "cloudpickle": ("render.function.state", *ALONE),
    "simple_slurm": ("batch.slurm.directives",),
    "yaml": ("schema.yaml",),
    "jinja2": ("render.*", "campaign.jobfile", "schema.*"),
    "platformdirs": ("ledger.*", "site.catalog", "site.trust"),
    "typer": ("cli*",),
    "rich": ("cli*",),
}

PACKAGE = modules("scheduler")


def short(name: str) -> str:
    """The name without the name of the package."""
    return name.removeprefix("scheduler").removeprefix(".")


def is_of(name: str, packages: Iterable[str]) -> bool:
    """Whether `name` is one of these modules, or in one of these packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def row_of(name: str) -> int:
    """The number of the row of a module."""
    for number, row in enumerate(ROWS):
        if name.split(".")[0] in row:
            return number
    raise AssertionError(f"scheduler.{name} has no row: add it to {__name__}.ROWS")


def of_ours(module: Module) -> list[Import]:
    """The imports of a module from this package, by short names."""
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


def test_modules_that_run_on_the_node_import_nothing_of_this_package() -> None:
    alone = [module for module in PACKAGE if is_of(short(module.name), ALONE)]
    assert len(alone) == len(ALONE)
    assert [at(module, one) for module in alone for one in of_ours(module)] == []


def test_there_is_no_cycle_of_imports() -> None:
    graph = {short(m.name): {one.name for one in of_ours(m) if not one.for_types} for m in PACKAGE}
    assert list(TopologicalSorter(graph).static_order())  # else it raises CycleError, which names the cycle


def test_pure_modules_do_no_io() -> None:
    def io_imports(module: Module) -> Iterator[Import]:
        return (one for one in module.imports() if one.name.split(".")[0] in DOES_IO and not one.for_types)

    pure = [module for module in PACKAGE if is_of(short(module.name), PURE) and not is_of(short(module.name), ALONE)]
    assert [at(module, one) for module in pure for one in io_imports(module)] == []


def test_external_libraries_are_imported_in_one_place() -> None:
    def strays(module: Module) -> Iterator[Import]:
        for one in module.imports():
            allowed = ONLY_IN.get(one.name.split(".")[0], ("*",))
            if not any(fnmatchcase(short(module.name), pattern) for pattern in allowed):
                yield one

    assert [at(module, one) for module in PACKAGE for one in strays(module)] == []


def test_the_tables_name_only_existing_modules() -> None:
    names = [short(module.name) for module in PACKAGE]
    named = {package for row in ROWS for package in row if package} | {*PURE, *ALONE}
    assert sorted(place for place in named if not any(is_of(name, [place]) for name in names)) == []


def test_a_folder_holds_about_a_dozen_modules_and_the_top_level_is_the_architecture() -> None:
    folders = Counter(str(module.path.parent) for module in PACKAGE)
    assert {folder: count for folder, count in folders.items() if count > 14} == {}
    top = [path.name for path in (ROOT / "scheduler").iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(top) <= 16, sorted(top)
