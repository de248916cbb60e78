"""The documentation names tests; every file and function that it names must exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .code import ROOT, modules

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "tests/**/README.md")
_FILE = re.compile(r"(?<![\w/.-])((?:tests/[\w./-]+|test_\w+)\.py)(?:::(\w+))?")
"""A path below tests/, or the name of a test file alone, which is then not a path from the root."""
_FUNCTION = re.compile(r"`(test_\w+)`")


def documents() -> list[Path]:
    """The documents whose references are checked."""
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


def test_every_test_file_that_the_documentation_names_exists() -> None:
    assert len(documents()) > 10
    assert [problem for path in documents() for problem in wrong_files(path)] == []


def test_every_test_function_that_the_documentation_names_exists() -> None:
    known = {name for module in modules("tests") for name in functions(module.tree)}
    named = [(path, name) for path in documents() for name in _FUNCTION.findall(path.read_text(encoding="utf-8"))]
    assert [f"{path.relative_to(ROOT)}: {name}" for path, name in named if name not in known] == []


def wrong_files(document: Path) -> Iterator[str]:
    """The references to test files, and to functions in them, that are wrong."""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        for file, function in _FILE.findall(line):
            at = f"{document.relative_to(ROOT)}:{number}: {file}"
            if not (ROOT / file).is_file():
                yield f"{at} does not exist"
            elif function and function not in functions(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
                yield f"{at} has no function {function}"


def functions(tree: ast.Module) -> set[str]:
    """The names of all functions of a module."""
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
