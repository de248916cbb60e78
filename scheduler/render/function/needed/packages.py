"""Leaves out of the user's modules what the function does not reach and a package that it does not use would be needed
for.

    repeat until nothing changes, for all installed packages that the modules import:
        annotations that need these packages    := None
        closure                                 := what the function needs
        a package stays if the closure uses it, or something that cannot be left out
    the statements that depend on the other packages, and the imports of them, are left out

It is all or nothing for each package: one that is needed anyway is on the node, and its users may have effects.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Set

from scheduler.render.function.definitions import ignores_annotations, simplify
from scheduler.render.function.modules import modules_in_pickle, packages_of, words_in_pickle
from scheduler.render.function.needed.closure import Closure
from scheduler.render.function.needed.dependence import Dependence
from scheduler.render.function.needed.statements import DYNAMIC, WHOLE
from scheduler.render.function.page import Page
from scheduler.render.function.values import Spelling

_OF_TYPES = {"TypeVar", "NewType", "ParamSpec", "TypeVarTuple", "NamedTuple", "TypedDict"}
_FINDS_NAMES = {
    *("pickle", "cloudpickle", "dill", "joblib", "shelve"),
    *("getmodule", "get_type_hints", "get_annotations"),
}
"""Who uses one of these may find names by text."""
_Root = tuple[str, str]
_Position = tuple[int, int]


def without_unreached_packages(files: Mapping[str, bytes], roots: Iterable[_Root]) -> Mapping[str, bytes]:
    """The source of the user's modules without the statements that a function does not reach, and that need an
    installed package that it does not use either. Lines keep their numbers.

    Args:
        files: relative path → content.
        roots: module and name of what is needed there; `WHOLE` for all of it.
    """
    roots = list(roots)
    closure = _closure(files, roots)
    first = Dependence(closure, annotations=False)
    packages = {package for names in first.names.values() for found in names.values() for package in found}
    used = {path: _named(files[path]) for path in closure.statements}
    while packages:
        texts = {path: _without_annotations(files[path], first.names_of(path, packages)) for path in first.names}
        view = _View(_closure({**files, **texts}, roots), packages, used)
        staying = view.staying()
        if not staying:
            return {path: _cut(text, view.left_out(path)) for path, text in view.closure.files.items()}
        packages = packages - staying
    return files


def roots_in_pickle(pickled: bytes) -> Iterator[_Root]:
    """What a pickle may need of the user's modules: every text in it is taken for a name."""
    words = words_in_pickle(pickled)
    parts = {part for word in words for part in word.split(".") if part.isidentifier()}
    finds_names = not words.isdisjoint(DYNAMIC | _FINDS_NAMES | {"getattr"})
    for module in modules_in_pickle(pickled):
        yield from ((module, name) for name in ({WHOLE} if finds_names else {"", *parts}))


def _closure(files: Mapping[str, bytes], roots: Iterable[_Root]) -> Closure:
    closure = _Narrow(files)
    for module, name in roots:
        if closure.path_of(module):
            closure.need(closure.path_of(module), name)
    while starred := set(_starred(closure)):
        for path in starred:
            closure.need(path, WHOLE)
    return closure


def _starred(closure: Closure) -> Iterator[str]:
    """The files that `from … import *` needs as a whole, and that are not needed so yet.

    It fails for a name in `__all__` that is left out.
    """
    for path, statements in closure.statements.items():
        for one in (one for one in statements if WHOLE in one.binds):
            for module in closure.modules(path, one.node):
                if len(closure.taken.get(module, ())) < len(closure.statements.get(module, ())):
                    yield module


class _Narrow(Closure):
    """The closure in which `from package import module` needs of the module what is used."""

    def is_module_only(self, path: str, name: str) -> bool:
        """Whether a name in a package only stands for a module in it."""
        package = path.removesuffix("/__init__.py")
        if package == path or not self.path_of(f"{package}/{name}"):
            return False
        self.open(path)
        return path in self.statements and not any({name, WHOLE} & one.binds for one in self.statements[path])


class _View:
    """What can be left out for the sake of some packages."""

    def __init__(self, closure: Closure, packages: Set[str], used: Mapping[str, Set[str]]) -> None:
        self.closure, self.packages, self.used = closure, packages, used
        self.depends = Dependence(closure, annotations=True)

    def staying(self) -> set[str]:
        """The packages for which not everything can be left out."""
        statements = self.closure.statements
        taken = (statements[path][at] for path, numbers in self.closure.taken.items() for at in numbers)
        if any(one.dynamic or not _FINDS_NAMES.isdisjoint(one.words) for one in taken):
            return set(self.packages)
        found: set[str] = set()
        for path in self.closure.unreadable:
            found |= {one for one in self.packages if one.encode() in self.closure.files[path]}
        for path in statements:
            for at, one in enumerate(statements[path]):
                if at in self.closure.taken[path]:
                    found |= self.depends.at_all(path, at) | self.named_in_text(path, one.node)
                else:
                    needs = self.depends.at_import(path, at) & self.packages
                    found |= needs if needs and not self.can_be_left_out(path, at) else set()
        return found & self.packages

    def left_out(self, path: str) -> set[_Position]:
        """The positions of the statements, and of the names in imports, that are left out."""
        statements = self.closure.statements.get(path, ())
        return {
            _position(one.node)
            for at, one in enumerate(statements)
            if at not in self.closure.taken[path] and self.depends.at_import(path, at) & self.packages
        }

    def named_in_text(self, path: str, node: ast.stmt) -> set[str]:
        """The packages of names that occur in text: `__all__` and lists of classes to make name them so."""
        names = self.depends.names[path]
        words = {word for text in _texts(node, set(names)) for word in re.findall(r"\w+", text)}
        return {package for table in self.depends.names.values() for name in words for package in table.get(name, ())}

    def can_be_left_out(self, path: str, at: int) -> bool:
        """Whether a statement has no effect but to bind names, and is at the top of a file that can be written anew."""
        node = self.closure.statements[path][at].node
        content = self.closure.files[path]
        if _position(node) not in _positions(content):
            return False
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            name = (node.names[0].asname or node.names[0].name).partition(".")[0]
            return name != "*" and (not packages_of(node) or self.is_used(path, name))
        if isinstance(node, ast.Assign):
            return all(isinstance(one, ast.Name) for one in node.targets) and _is_alias(node.value)
        if isinstance(node, ast.AnnAssign):
            return isinstance(node.target, ast.Name) and (node.value is None or _is_alias(node.value))
        return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))

    def is_used(self, path: str, name: str) -> bool:
        """Whether anything names what is imported. If nothing does, it is imported for its effects."""
        if name in self.used[path]:
            return True
        others = ((other, one.node) for other, some in self.closure.statements.items() for one in some)
        froms = ((other, node) for other, node in others if isinstance(node, ast.ImportFrom))
        return any(node.names[0].name == name and self.closure.base(other, node) == path for other, node in froms)


def _is_alias(value: ast.expr) -> bool:
    """Whether an expression only combines types: it calls nothing."""
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    if any(ast.unparse(node.func).rpartition(".")[2] not in _OF_TYPES for node in calls):
        return False
    return not any(isinstance(node, (ast.NamedExpr, ast.Await, ast.comprehension)) for node in ast.walk(value))


def _texts(node: ast.stmt, foreign: Set[str]) -> Iterator[str]:
    """The text in a statement, but docstrings, and annotations that nothing reads."""
    skipped: list[ast.AST | None] = [node.annotation] if isinstance(node, ast.AnnAssign) else []
    for inner in ast.walk(node):
        if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant):
            skipped.append(inner.value)
        elif isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and ignores_annotations(inner, foreign):
            arguments = [one for one in ast.walk(inner.args) if isinstance(one, ast.arg)]
            skipped += [*(one.annotation for one in arguments), inner.returns]
        elif isinstance(inner, ast.ClassDef) and ignores_annotations(inner, foreign):
            skipped += [one.annotation for one in inner.body if isinstance(one, ast.AnnAssign)]
    ignored = {id(inner) for one in skipped if one is not None for inner in ast.walk(one)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and id(inner) not in ignored:
            yield inner.value


def _named(content: bytes) -> set[str]:
    """Every name that a file uses."""
    return {node.id for node in ast.walk(ast.parse(content)) if isinstance(node, ast.Name)}


def _without_annotations(content: bytes, names: Set[str]) -> bytes:
    """Source without the annotations, and numbers as defaults, that need one of these names."""
    statements = ast.parse(content).body if names and _is_writable(content) else []
    new = (pair for one in statements for pair in simplify(one, names).items())
    made = {node: Spelling(text, frozenset(), frozenset()) for node, text in new}
    if not made:
        return content
    page = Page(content.decode())
    for one in statements:
        page.copy(one, made)
    return page.text().encode()


def _position(node: ast.stmt) -> _Position:
    part = node.names[0] if isinstance(node, (ast.Import, ast.ImportFrom)) else node
    return part.lineno, part.col_offset


@functools.lru_cache(maxsize=1000)
def _positions(content: bytes) -> Set[_Position]:
    """Where the statements at the top of a file are, if it can be written anew."""
    if not _is_writable(content):
        return frozenset()
    parts = (
        node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else [node] for node in ast.parse(content).body
    )
    return {(one.lineno, one.col_offset) for some in parts for one in some}


def _is_writable(content: bytes) -> bool:
    """Whether lines and columns are those of UTF-8 text."""
    return b"\r" not in content and tokenize.detect_encoding(io.BytesIO(content).readline)[0] == "utf-8"


def _cut(content: bytes, positions: Set[_Position]) -> bytes:
    """Source without some statements, and names in imports."""
    if not positions:
        return content
    page = Page(content.decode())
    for node in ast.parse(content).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [one for one in node.names if (one.lineno, one.col_offset) not in positions]
            if names or not packages_of(node):  # a module of the user may have effects
                page.copy_import(node, names or [ast.alias("__name__", "__imported__")])
        elif (node.lineno, node.col_offset) not in positions:
            page.copy(node, {})
    return page.text().encode()
