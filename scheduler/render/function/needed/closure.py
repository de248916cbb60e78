"""The statements of the user's modules that a function needs, in these modules and in those that they import.

needed := the function, and every statement that does something by itself when its module is imported
repeat: what binds a name that a needed statement uses;
        what may change an object that is needed (a registry, an attribute that is set)
a module that reaches names in a way that its text does not show needs everything
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence

from scheduler.render.function.needed.statements import WHOLE, Statement, statements_of

_parsed = functools.lru_cache(maxsize=1000)(statements_of)


class Closure:
    """Which statements are needed.

    Args:
        files: relative path → content, of all modules that may be needed.

    Attributes:
        statements: path → those of each file that is imported.
        taken: path → the numbers of the statements that are needed.
        unreadable: paths of imported files that this version of Python cannot read.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.statements: dict[str, tuple[Statement, ...]] = {}
        self.taken: dict[str, set[int]] = {}
        self._triggers: dict[str, list[set[str]]] = {}
        self.unreadable: set[str] = set()
        self._needed: set[tuple[str, str]] = set()
        self._waiting: list[tuple[str, str]] = []
        self._all = False

    def path_of(self, module: str) -> str:
        """The file of a module among ours; empty if there is none."""
        path = module.replace(".", "/")
        return next((one for one in (f"{path}.py", f"{path}/__init__.py") if one in self.files), "")

    def need(self, path: str, name: str) -> None:
        """Take what binds a name in a file, and all that this needs."""
        self._waiting.append((path, name))
        while self._waiting:
            path, name = self._waiting.pop()
            if (path, name) not in self._needed:
                self._needed.add((path, name))
                self.open(path)
                self._take_named(path, name)

    def _ask(self, path: str, name: str) -> None:
        if path:
            self._waiting.append((path, name))

    def open(self, path: str) -> None:
        """Examine a file that is imported."""
        if path in self.statements or path in self.unreadable:
            return
        try:
            self.statements[path] = _parsed(self.files[path])
        except (SyntaxError, ValueError, RecursionError):
            self.unreadable.add(path)
            return
        self.taken[path] = set()
        self._triggers[path] = list(_all_triggers(self.statements[path]))
        above = path.removesuffix("/__init__.py").rpartition("/")[0]
        self._ask(self.path_of(above) if above else "", "")
        for at, one in enumerate(self.statements[path]):
            ours = any(self.modules(path, node) for node in one.imports)
            if one.always or self._all or any(self._is_from_ours(path, name) for name in one.triggers):
                self._take(path, at)
            elif ours and isinstance(one.node, (ast.Import, ast.ImportFrom)):
                for module in self.modules(path, one.node):
                    self._ask(module, "")  # it is imported, whether its names are needed or not

    def _is_from_ours(self, path: str, name: str) -> bool:
        """Whether a name is imported from a module of the user: this module may change an object of that one."""
        nodes = (one.node for one in self.statements[path] if name in one.binds)
        return any(isinstance(node, (ast.Import, ast.ImportFrom)) and self.modules(path, node) for node in nodes)

    def _take_named(self, path: str, name: str) -> None:
        bound = False
        for at, one in enumerate(self.statements.get(path, ())):
            if name == WHOLE or name in one.binds:
                bound = True
                self._take(path, at)
            elif name in self._triggers[path][at]:
                self._take(path, at)
            elif "*" in one.binds:
                for module in self.modules(path, one.node):
                    self._ask(module, name)
                    self._ask(module, "__all__")
        if not bound and name not in ("", "__getattr__"):
            self._ask(path, "__getattr__")
            package = path.removesuffix("/__init__.py")
            if package != path:
                self._ask(self.path_of(f"{package}/{name}"), WHOLE)

    def _take(self, path: str, at: int) -> None:
        if at in self.taken[path]:
            return
        self.taken[path].add(at)
        one = self.statements[path][at]
        if one.dynamic and not self._all:
            self._all = True
            for other in self.files:
                self._ask(other, WHOLE)
        for node in one.imports:
            self._take_imported(path, node, top=node is one.node)
        for name, parts in one.uses.items():
            self._ask(path, name)
            for module in self.imported_as(path, name):
                for part in parts:
                    self._ask(module, part)

    def _take_imported(self, path: str, node: ast.Import | ast.ImportFrom, *, top: bool) -> None:
        """What an import binds. How a module as a whole is used is known at the top of a file only."""
        for module in self.modules(path, node):
            if isinstance(node, ast.Import):
                is_plain = top and (node.names[0].asname or "." not in node.names[0].name)
                self._ask(module, "" if is_plain else WHOLE)
            elif module == self.base(path, node):
                for name in node.names:
                    if not (top and self.is_module_only(module, name.name)):
                        self._ask(module, name.name)
            else:
                self._ask(module, "" if top else WHOLE)

    def is_module_only(self, path: str, name: str) -> bool:
        """Whether a name in a package only stands for a module in it, which is then needed as far as it is used. Here a
        module that is imported so is needed as a whole: digests that were recorded are made of that."""
        return False

    def imported_as(self, path: str, name: str) -> Iterator[str]:
        """The modules of the user that a name at the top of a file stands for."""
        for one in self.statements[path]:
            if name in one.binds and isinstance(one.node, (ast.Import, ast.ImportFrom)):
                base = self.base(path, one.node) if isinstance(one.node, ast.ImportFrom) else ""
                yield from (module for module in self.modules(path, one.node) if module != base)

    def base(self, path: str, node: ast.ImportFrom) -> str:
        """The file that `from … import` takes names from, if it is the user's."""
        return self.path_of(_module_of(path, node))

    def modules(self, path: str, node: ast.stmt) -> list[str]:
        """The files of the user's modules that an import executes, apart from the packages around them."""
        if isinstance(node, ast.Import):
            found = [self.path_of(name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _module_of(path, node)
            found = [self.path_of(base), *(self.path_of(f"{base}.{name.name}") for name in node.names)]
        else:
            found = []
        return [one for one in found if one]


def _all_triggers(statements: Sequence[Statement]) -> Iterator[set[str]]:
    """For each statement the names of the module that it may change: those that its own triggers use, directly or not.
    Objects of installed packages are not ours to change."""
    used: dict[str, set[str]] = {}
    for one in statements:
        if not isinstance(one.node, (ast.Import, ast.ImportFrom)):
            for name in one.binds:
                used.setdefault(name, set()).update(one.uses)
    for one in statements:
        found, waiting = set[str](), list(one.triggers)
        while waiting:
            name = waiting.pop()
            if name in used and name not in found:
                found.add(name)
                waiting.extend(used[name])
        yield found


def _module_of(path: str, node: ast.ImportFrom) -> str:
    """The module that `from … import` names, with relative ones resolved."""
    package = path.removesuffix(".py").split("/")[:-1]
    above = package[: len(package) - node.level + 1] if node.level else []
    return ".".join(above + ([node.module] if node.module else []))
