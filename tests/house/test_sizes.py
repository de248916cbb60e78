"""Limits on files and functions, and constructs that the code never uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .code import Module, modules

MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 40
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}
CATCHES_ALL = (  # they report whatever a user's function, value or module raises
    "scheduler.render.runtime.run_function",
    "scheduler.render.runtime.function_result",
    "scheduler.campaign.named_function",
)

PACKAGE = modules("scheduler")


def test_no_file_is_too_long() -> None:
    lengths = {module.name: len(module.text.splitlines()) for module in PACKAGE}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{module.at(node.lineno)} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in PACKAGE
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_every_file_has_a_docstring() -> None:
    files = [*PACKAGE, *modules("tests")]
    assert [module.name for module in files if not ast.get_docstring(module.tree)] == []


def test_no_file_has_a_meaningless_name() -> None:
    files = {path for module in PACKAGE for path in module.path.parent.iterdir()}
    assert sorted(str(path) for path in files if path.stem in NO_NAMES) == []


def test_no_handler_catches_every_exception() -> None:
    handlers = [m.at(node.lineno) for m in PACKAGE for node in _catch_all(m.tree) if m.name not in CATCHES_ALL]
    assert handlers == []


def test_no_data_is_executed() -> None:
    assert [place for module in PACKAGE if module.name not in CATCHES_ALL for place in _executions(module)] == []


def test_no_test_patches() -> None:
    imports = [(m, node) for m in modules("tests") for node in ast.walk(m.tree) if isinstance(node, _IMPORTS)]
    assert [m.at(node.lineno) for m, node in imports if re.search(r"\b(mock|pytest_mock)\b", ast.unparse(node))] == []


def _catch_all(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    """Handlers that catch every exception and do not raise it again."""
    for handler in ast.walk(tree):
        if isinstance(handler, ast.ExceptHandler):
            caught = (
                {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else set()
            )
            last = handler.body[-1]
            raised_again = isinstance(last, ast.Raise) and last.exc is None
            if (not caught or caught & {"Exception", "BaseException"}) and not raised_again:
                yield handler


def _executions(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) != "False":
            yield f"{module.at(node.value.lineno)} shell={ast.unparse(node.value)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _SHARP:
            yield f"{module.at(node.lineno)} {ast.unparse(node.func)}"


_IMPORTS = (ast.Import, ast.ImportFrom)
_SHARP = {
    *("os.system", "os.popen", "eval", "exec", "yaml.unsafe_load"),
    *(
        f"{name}.{verb}"
        for name in ("pickle", "cloudpickle", "marshal", "shelve")
        for verb in ("load", "loads", "open")
    ),
}
