"""Which names and statements of the user's modules depend on which installed packages. It decides nothing.

depends := what an import of the package binds;
repeat: what a statement binds that uses such a name when its module is imported: an alias, a base class, a default
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from scheduler.render.function.modules import packages_of
from scheduler.render.function.needed.closure import Closure
from scheduler.render.function.needed.statements import WHOLE, Statement, Users

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_QUIET = (
    *(ast.Name, ast.Attribute, ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.expr_context),
    *(ast.arguments, ast.arg, ast.Assign, ast.AnnAssign, ast.Pass, *_DEFINITIONS),
)
"""What runs no code of the user when it is evaluated."""
_GUARDS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
Table = dict[str, dict[str, set[str]]]
"""Path → name at the top of the file → packages."""
_Uses = Mapping[str, Set[str]]


@dataclass(frozen=True)
class _Parts:
    """What a statement uses, by name.

    Attributes:
        early: when its module is imported.
        all: then or later.
        calls: whether it may call functions when its module is imported.
    """

    early: _Uses
    all: _Uses
    calls: bool


class Dependence:
    """What depends on installed packages, in the files that a function imports.

    Args:
        closure: of the function.
        annotations: whether annotations count. They are evaluated, unless they are left out.

    Attributes:
        names: those that do not exist without these packages.
    """

    def __init__(self, closure: Closure, *, annotations: bool) -> None:
        self.closure = closure
        self.names: Table = {path: {} for path in closure.statements}
        self._late: Table = {path: {} for path in closure.statements}
        self._modules = {path: dict(_modules_by_name(closure, path)) for path in closure.statements}
        self._parts: dict[tuple[str, int], _Parts] = {}
        for path, statements in closure.statements.items():
            with_annotations = annotations and not any(map(_has_lazy_annotations, statements))
            for at, one in enumerate(statements):
                self._parts[path, at] = _parts_of(one, annotations=with_annotations)
                for name, package in _imported(one).items():
                    self.names[path].setdefault(name, set()).add(package)
                    self._late[path].setdefault(name, set()).add(package)
        while self._spread():
            pass

    def at_import(self, path: str, at: int) -> set[str]:
        """The packages without which this statement may fail when its module is imported."""
        parts, one = self._parts[path, at], self.closure.statements[path][at]
        found = self._packages(path, parts.early, self.names) | self._from_ours(path, one, self.names)
        if isinstance(one.node, (ast.Import, ast.ImportFrom)):
            found |= set(_imported(one).values())
        return found | (self._packages(path, parts.early, self._late) if parts.calls else set())

    def at_all(self, path: str, at: int) -> set[str]:
        """The packages that this statement uses when its module is imported, or later; not those of an import that may
        fail."""
        one = self.closure.statements[path][at]
        uses = self._parts[path, at].all
        inner = set[ast.stmt](one.imports)
        if guarded := set[ast.stmt](_guarded(one.node)):
            inner -= guarded
            loaded = {node.id for node in ast.walk(one.node) if isinstance(node, ast.Name) and _is_load(node)}
            uses = {name: parts for name, parts in uses.items() if name in loaded}
        found = {package for node in inner for package in packages_of(node).values()}
        return found | self._packages(path, uses, self.names) | self._from_ours(path, one, self.names)

    def names_of(self, path: str, packages: Set[str]) -> set[str]:
        """The names in a file that do not exist without these packages, as `module.name` where they are in another."""
        found = {name for name, needs in self.names[path].items() if needs & packages}
        for name, modules in self._modules[path].items():
            tables = [self.names.get(module, {}) for module in modules]
            found |= {f"{name}.{part}" for table in tables for part, needs in table.items() if needs & packages}
        return found

    def _spread(self) -> bool:
        """Add the names that depend on those that are known. Whether there were any."""
        added = False
        for path, statements in self.closure.statements.items():
            for at, one in enumerate(statements):
                late = self._packages(path, self._parts[path, at].all, self._late)
                late |= self._from_ours(path, one, self._late)
                for table, found in ((self.names, self.at_import(path, at)), (self._late, late)):
                    for name in one.binds if found else ():
                        known = table[path].setdefault(name, set())
                        added = added or not found <= known
                        known |= found
        return added

    def _packages(self, path: str, uses: _Uses, table: Table) -> set[str]:
        found: set[str] = set()
        for name, parts in uses.items():
            found |= table[path].get(name, set())
            for module in self._modules[path].get(name, ()):
                for part in parts:
                    found |= table.get(module, {}).get(part, set())
                    inner = self.closure.path_of(f"{_dotted(module)}.{part}") if part != WHOLE else ""
                    found |= {package for some in table.get(inner, {}).values() for package in some}
        return found

    def _from_ours(self, path: str, one: Statement, table: Table) -> set[str]:
        """The packages of the names that a statement imports from modules of the user when its module is imported."""
        if isinstance(one.node, _DEFINITIONS):
            return set()
        froms = [node for node in one.imports if isinstance(node, ast.ImportFrom)]
        named = [(self.closure.base(path, node), name.name) for node in froms for name in node.names]
        return {package for base, name in named for package in table.get(base, {}).get(name, ())}


def _guarded(statement: ast.stmt) -> Iterator[ast.stmt]:
    """The imports in a statement that may fail, or that only a type checker reads."""
    body: list[ast.stmt] = []
    if isinstance(statement, ast.Try):
        kinds = [ast.unparse(one.type) if one.type else "Exception" for one in statement.handlers]
        body = statement.body if any(word in kind for kind in kinds for word in _GUARDS) else []
    elif isinstance(statement, ast.If) and ast.unparse(statement.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        body = statement.body
    elif isinstance(statement, ast.With) and "suppress" in ast.unparse(statement.items[0].context_expr):
        body = statement.body if any(word in ast.unparse(statement.items[0]) for word in _GUARDS) else []
    yield from (node for node in body if isinstance(node, (ast.Import, ast.ImportFrom)))


def _imported(one: Statement) -> dict[str, str]:
    """The names that a statement binds at the top of its file by importing installed packages → package."""
    if isinstance(one.node, _DEFINITIONS):
        return {}
    return {name: package for node in one.imports for name, package in packages_of(node).items()}


def _modules_by_name(closure: Closure, path: str) -> Iterator[tuple[str, list[str]]]:
    """The names at the top of a file that stand for modules of the user, and the files of these."""
    bound = {name for one in closure.statements[path] for _ in one.imports for name in one.binds}
    yield from ((name, list(closure.imported_as(path, name))) for name in bound)


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _has_lazy_annotations(one: Statement) -> bool:
    node = one.node
    is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    return is_future and any(name.name == "annotations" for name in node.names)  # type: ignore[attr-defined]


def _parts_of(one: Statement, *, annotations: bool) -> _Parts:
    users, calls = Users(), False
    for node in _evaluated(one.node, annotations=annotations):
        users.visit(node)
        calls = calls or any(not isinstance(inner, _QUIET) for inner in ast.walk(node))
    nodes = ast.walk(one.node) if isinstance(one.node, ast.ClassDef) else [one.node]
    calls = calls or any(getattr(node, "decorator_list", None) or getattr(node, "bases", None) for node in nodes)
    return _Parts(users.found, one.uses, calls)


def _evaluated(node: ast.AST, *, annotations: bool) -> Iterator[ast.AST]:
    """What of a statement is evaluated when its module is imported."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from node.decorator_list
        yield from node.args.defaults
        yield from (default for default in node.args.kw_defaults if default is not None)
        if annotations:
            arguments = [inner for inner in ast.walk(node.args) if isinstance(inner, ast.arg) and inner.annotation]
            yield from (one.annotation for one in arguments if one.annotation)
            yield from (one for one in (node.returns,) if one)
    elif isinstance(node, ast.ClassDef):
        yield from (*node.decorator_list, *node.bases, *(one.value for one in node.keywords))
        for inner in node.body:
            yield from _evaluated(inner, annotations=annotations)
    elif isinstance(node, ast.AnnAssign):
        yield from (one for one in (node.target, node.value, node.annotation if annotations else None) if one)
    else:
        yield node
