"""The project's Python files as text and syntax, for the tests beside it. Nothing is imported or run here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Import(NamedTuple):
    """One import of a module by its full name. `for_types`: it is under ``if TYPE_CHECKING``."""

    name: str
    line: int
    for_types: bool


@dataclass(frozen=True)
class Module:
    """One Python file. `name` is its name in an import statement."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    def at(self, line: int) -> str:
        """``file:line``, as in the messages of compilers."""
        return f"{self.path.relative_to(ROOT)}:{line}"

    def imports(self) -> Iterator[Import]:
        """Every import, also inside functions. ``from a import b`` is a.b if that is one of our modules, else a."""
        only_types = {id(node) for block in _type_blocks(self.tree) for node in ast.walk(block)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [_imported(self._absolute(node), alias.name) for alias in node.names]
            else:
                continue
            yield from (Import(name, node.lineno, id(node) in only_types) for name in names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        package = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
        above = package[: len(package) - node.level + 1] if node.level else []
        return ".".join([*above, *([node.module] if node.module else [])])


@cache
def modules(folder: str) -> tuple[Module, ...]:
    """Every Python file below this folder of the project."""
    return tuple(_read(path) for path in sorted((ROOT / folder).rglob("*.py")))


def _read(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    text = path.read_text(encoding="utf-8")
    return Module(path, ".".join(parts).removesuffix(".__init__"), text, ast.parse(text))


def _imported(module: str, name: str) -> str:
    ours = {known.name for known in modules("scheduler")}
    return f"{module}.{name}" if f"{module}.{name}" in ours else module


def _type_blocks(tree: ast.Module) -> list[ast.stmt]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    return [statement for node in found for statement in node.body]
