"""Which statements and values of a script one function needs, and what those need. It writes no text."""

from __future__ import annotations

import ast
import builtins
import copy
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from scheduler.job.source import Unfit
from scheduler.job.source.names import (
    Uses,
    bound_by,
    changed_from_outside,
    first_line,
    is_assignment,
    is_definition,
    used_by,
)
from scheduler.job.source.values import Spelling, is_defined, spell

_OF_EVERY_MODULE = {
    "__name__",
    "__file__",
    "__package__",
    "__spec__",
    "__loader__",
    "__builtins__",
    "__annotations__",
}


@dataclass(frozen=True)
class Script:
    """A script that is running: its text, its top-level statements, and what its names are now."""

    name: str
    package: str
    text: str
    statements: list[ast.stmt]
    values: Mapping[str, Any]

    def bindings(self) -> dict[str, list[int]]:
        """Name → the statements that set it, by index."""
        places: dict[str, list[int]] = {}
        for at, statement in enumerate(self.statements):
            for name in bound_by(statement):
                places.setdefault(name, []).append(at)
        return places

    def has_lazy_annotations(self) -> bool:
        futures = [node for node in self.statements if is_future(node)]
        return any(name.name == "annotations" for node in futures for name in node.names)  # type: ignore[attr-defined]


@dataclass
class Needs:
    """What goes along.

    Attributes:
        kept: index of a statement → the statement, perhaps without its decorators.
        replaced: default values of parameters that are written as they are now.
        spelled: name → the value that it has now.
        early: names that are needed while the statements run.
    """

    kept: dict[int, ast.stmt] = field(default_factory=dict)
    replaced: dict[ast.expr, Spelling] = field(default_factory=dict)
    spelled: dict[str, Spelling] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)


def is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def needs_of(script: Script, name: str) -> Needs:
    """All that must be there for the object called `name` to work.

    Raises:
        Unfit: something of it cannot be had from the source, nor written as it is now.
    """
    search = _Search(script)
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(search.take(name))
    return search.needs


class _Search:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.needs = Needs()
        self.places = script.bindings()
        self.changed = changed_from_outside(script.statements)
        self.lazy = script.has_lazy_annotations()
        self.named = {name: value for name, value in script.values.items() if self.is_source(name)}

    def is_source(self, name: str) -> bool:
        """Is it bound, and only ever by definitions and assignments?"""
        statements = [self.script.statements[at] for at in self.places.get(name, ())]
        return bool(statements) and all(is_definition(node) or is_assignment(node) for node in statements)

    def take(self, name: str) -> Iterable[str]:
        """Note what gives `name` its value; the names that this needs in turn."""
        statements = {at: self.script.statements[at] for at in self.places.get(name, ())}
        if name not in self.script.values:  # never set, deleted, or only there for a type checker
            return self.keep(at for at, statement in statements.items() if is_definition(statement))
        value = self.script.values[name]
        if not statements:
            return self.take_unbound(name, value)
        if all(map(is_definition, statements.values())):
            return self.keep_definitions(name, value, statements)
        if len(statements) == 1 and _says(next(iter(statements.values())), value):
            return self.keep(statements)
        if is_defined(value) and self.is_source(name):
            return self.keep(statements)
        return self.take_value(name, value)

    def keep(self, places: Iterable[int]) -> set[str]:
        names: set[str] = set()
        for at in places:
            self.needs.kept[at] = self.needs.kept.get(at, self.script.statements[at])
            names |= self.note(used_by(self.needs.kept[at], lazy_annotations=self.lazy))
        return names

    def note(self, uses: Uses) -> frozenset[str]:
        self.needs.early |= uses.early
        return uses.early | uses.late

    def keep_definitions(self, name: str, value: object, statements: Mapping[int, ast.stmt]) -> Iterable[str]:
        kinds = {type(statement) for statement in statements.values()}
        if name in self.changed and kinds & {ast.ClassDef, ast.FunctionDef}:
            raise Unfit(f"the script sets attributes of {name}")
        names: set[str] = set()
        if isinstance(value, FunctionType):
            names |= self.check_function(name, value, statements)
        return names | self.keep(statements)

    def check_function(self, name: str, value: FunctionType, statements: Mapping[int, ast.stmt]) -> set[str]:
        """Is it the one in the file? If it is the very one, its decorators have done their work elsewhere."""
        code = value.__code__
        if code.co_filename.startswith("<"):
            raise Unfit(f"{name} was typed in, not read from a file")
        if code.co_name != name or Path(code.co_filename).name != self.script.name or hasattr(value, "__wrapped__"):
            return set()
        for at, statement in statements.items():
            inner = [node for node in ast.walk(statement) if isinstance(node, ast.FunctionDef) and node.name == name]
            if any(first_line(node) == code.co_firstlineno for node in inner):
                return self.keep_itself(at, statement, value) if isinstance(statement, ast.FunctionDef) else set()
        raise Unfit(f"{self.script.name} has changed since it was started")

    def keep_itself(self, at: int, statement: ast.FunctionDef, value: FunctionType) -> set[str]:
        own = copy.copy(statement)
        own.args = copy.deepcopy(statement.args)
        if not value.__dict__:
            own.decorator_list = []
        self.needs.kept[at] = own
        names: set[str] = set()
        for default, now in _defaults(own.args, value):
            names |= self.replace(default, now, own.args)
        return names

    def replace(self, default: ast.expr, now: object, arguments: ast.arguments) -> set[str]:
        """A parameter's default as it is now: `os.getcwd()` would be another one over there."""
        if _is_literal(default, now):
            return set()
        try:
            spelling = spell(now, named=self.named)
        except Unfit:
            if any(isinstance(node, ast.Call) for node in ast.walk(default)):
                raise
            return set()
        constant = ast.copy_location(ast.Constant(None), default)
        arguments.defaults = [constant if node is default else node for node in arguments.defaults]
        arguments.kw_defaults = [constant if node is default else node for node in arguments.kw_defaults]
        self.needs.replaced[constant] = spelling
        self.needs.early |= spelling.names
        return set(spelling.names)

    def take_unbound(self, name: str, value: object) -> Iterable[str]:
        """Set by `from … import *`, by `global` in a function, or by Python."""
        if name in _OF_EVERY_MODULE or getattr(builtins, name, self) is value:
            return ()
        stars = [at for at, node in enumerate(self.script.statements) if self.imports_all(node, name)]
        return self.keep(stars) if stars else self.take_value(name, value)

    def imports_all(self, statement: ast.stmt, name: str) -> bool:
        if not isinstance(statement, ast.ImportFrom) or statement.names[0].name != "*":
            return False
        relative = "." * statement.level + (statement.module or "")
        module = importlib.util.resolve_name(relative, self.script.package)
        return hasattr(sys.modules.get(module), name)

    def take_value(self, name: str, value: object) -> Iterable[str]:
        try:
            spelling = spell(value, named=self.named)
        except Unfit as unfit:
            raise Unfit(f"it uses {name}, a {type(value).__name__}: {unfit}") from None
        self.needs.spelled[name] = spelling
        return spelling.names - {name}


def _says(statement: ast.stmt, value: object) -> bool:
    """Is it `name = literal`, and the name still has that value?"""
    if isinstance(statement, ast.Assign):
        return all(isinstance(t, ast.Name) for t in statement.targets) and _is_literal(statement.value, value)
    return isinstance(statement, ast.AnnAssign) and statement.value is not None and _is_literal(statement.value, value)


def _is_literal(node: ast.expr, value: object) -> bool:
    try:
        literal = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return False
    return type(literal) is type(value) and repr(literal) == repr(value)


def _defaults(arguments: ast.arguments, function: FunctionType) -> list[tuple[ast.expr, object]]:
    by_name = function.__kwdefaults__ or {}
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    keyword = [(node, by_name[arg.arg]) for arg, node in named if node is not None and arg.arg in by_name]
    return [*zip(arguments.defaults, function.__defaults__ or (), strict=False), *keyword]
