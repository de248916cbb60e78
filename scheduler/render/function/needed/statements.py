"""The top-level statements of a module, and of each which names it binds, uses, and depends on. Syntax only."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from scheduler.render.function.fixed import evaluated_at_once
from scheduler.render.function.names import bound_by, root_of

WHOLE = "*"
"""Instead of a name: everything in a module."""
DYNAMIC = {
    *("globals", "locals", "vars", "eval", "exec", "compile", "__import__", "importlib", "import_module"),
    *("modules", "__subclasses__", "__dict__", "getmembers", "run_module", "run_path"),
}
"""Who uses one of these names may reach anything."""


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a module.

    Attributes:
        node: the statement; an import has one name.
        binds: the names that it binds.
        uses: name → the attributes of it that are used, `WHOLE` for the object itself.
        triggers: names: if one of them is needed, so is this statement. It may change what they name (a registry).
        always: whether it does something by itself when its module is imported.
        words: every name, attribute and part of an imported name in it.
    """

    node: ast.stmt
    binds: frozenset[str]
    uses: Mapping[str, set[str]] = field(repr=False)
    triggers: frozenset[str]
    always: bool
    words: frozenset[str] = field(repr=False)

    @property
    def dynamic(self) -> bool:
        """Whether it may reach names that are not in its text."""
        return not DYNAMIC.isdisjoint(self.words)

    @property
    def imports(self) -> Iterator[ast.Import | ast.ImportFrom]:
        """Every import in it."""
        return (node for node in ast.walk(self.node) if isinstance(node, (ast.Import, ast.ImportFrom)))


def statements_of(content: bytes) -> tuple[Statement, ...]:
    """The statements of a module's source.

    Raises:
        SyntaxError, ValueError, RecursionError: it is not Python source of this version.
    """
    return tuple(_examined(node) for node in _flat(ast.parse(content).body))


def uses_docstrings(content: bytes) -> bool:
    """Whether source uses docstrings as values."""
    return b"__doc__" in content or b"getdoc" in content


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Imports with one name each; not what runs only in a script."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (ast.Import([name]) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (ast.ImportFrom(node.module, [name], node.level) for name in node.names)
        elif isinstance(node, ast.If) and _is_for_script(node.test):
            yield from _flat(node.orelse)
        else:
            yield node


def _is_for_script(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq) or len(test.ops) > 1:
        return False
    sides = [test.left, test.comparators[0]]
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    return names == {"__name__"} and any(isinstance(one, ast.Constant) and one.value == "__main__" for one in sides)


def _examined(node: ast.stmt) -> Statement:
    users = Users()
    users.visit(node)
    return Statement(
        node, frozenset(bound_by(node)), users.found, frozenset(_triggers(node)), _is_always(node),
        frozenset(users.words),
    )  # fmt: skip


def _is_always(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    quiet = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assigns = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete, ast.Pass)
    return not isinstance(node, (*quiet, *assigns)) and type(node).__name__ != "TypeAlias"


def _triggers(node: ast.stmt) -> Iterator[str]:
    """What the statement may change, besides what it binds: objects that it calls, decorates with, inherits from, or
    sets attributes or items of."""
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)):
        targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [node.target]
        yield from (root_of(one) for one in targets if not isinstance(one, ast.Name))
    expressions = list(evaluated_at_once(node))
    bases = [*node.bases, *(one.value for one in node.keywords)] if isinstance(node, ast.ClassDef) else []
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    calls = [call for one in expressions for call in ast.walk(one) if isinstance(call, ast.Call)]
    for one in (*bases, *decorators, *calls):
        yield from (inner.id for inner in ast.walk(one) if isinstance(inner, ast.Name))


class Users(ast.NodeVisitor):
    """Collects names that are used. Local names count too: that makes too much needed, never too little.

    Attributes:
        found: name → the attributes of it that are used, `WHOLE` for the object itself.
        words: every name, attribute and part of an imported name.
    """

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}
        self.words: set[str] = set()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.words.add(node.attr)
        if isinstance(node.value, ast.Name):
            self.words.add(node.value.id)
            self.found.setdefault(node.value.id, set()).add(node.attr)
        else:
            self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        self.words.add(node.id)
        self.found.setdefault(node.id, set()).add(WHOLE)

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self.found.setdefault(name, set()).add(WHOLE)

    def visit_alias(self, node: ast.alias) -> None:
        self.words.update(node.name.split("."))
