"""Which statements and values of a script one function needs, and what these need in turn. It writes no text."""

from __future__ import annotations

import ast
import builtins
import copy
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scheduler.render.function import Unfit
from scheduler.render.function.definitions import (
    check_class,
    check_same_everywhere,
    check_unedited,
    defaults,
    is_literal,
    made_by,
    simplify,
)
from scheduler.render.function.modules import foreign_names
from scheduler.render.function.names import (
    Uses,
    bound_by,
    changed_from_outside,
    is_assignment,
    is_definition,
    root_of,
    used_by,
)
from scheduler.render.function.state import GENERATOR, is_unseeded, kind_of_state
from scheduler.render.function.values import Spelling, is_defined, spell

_OF_EVERY_MODULE = {
    "__name__",
    "__file__",
    "__package__",
    "__spec__",
    "__loader__",
    "__builtins__",
    "__annotations__",
}
_IMMUTABLE = (int, float, complex, str, bytes, bool, type(None), range)


@dataclass(frozen=True)
class Script:
    """The running script.

    Attributes:
        name: of its file.
        package: that it belongs to, or empty.
        text: of its file.
        statements: at its top level.
        values: name → value now.
    """

    name: str
    package: str
    text: str
    statements: list[ast.stmt]
    values: Mapping[str, Any]

    def bindings(self) -> dict[str, list[int]]:
        """Name → the indices of the statements that set it."""
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
    """What is sent with the function.

    Attributes:
        kept: index of a statement → the statement, perhaps without its decorators.
        replaced: default values of parameters → their values now.
        spelled: name → its value now.
        early: names that are needed while the statements run.
        names: all of them.
    """

    kept: dict[int, ast.stmt] = field(default_factory=dict)
    replaced: dict[ast.expr, Spelling] = field(default_factory=dict)
    spelled: dict[str, Spelling] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


def is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def needs_of(script: Script, name: str) -> Needs:
    """Everything that the object called `name` needs to work.

    Raises:
        Unfit: a part of it can neither be taken from the source nor written as the value that it has now.
    """
    search = _Search(script)
    waiting, seen = [name], search.needs.names
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
        self.foreign = foreign_names(script.statements)
        self.seen: dict[int, object] = {}
        self.named = {name: value for name, value in script.values.items() if self.is_source(name)}
        self.defined = {name: value for name, value in self.named.items() if self.is_only_defined(name)}

    def is_only_defined(self, name: str) -> bool:
        return all(is_definition(self.script.statements[at]) for at in self.places[name])

    def is_source(self, name: str) -> bool:
        """Whether a name is bound, and only by definitions and assignments."""
        statements = [self.script.statements[at] for at in self.places.get(name, ())]
        return bool(statements) and all(is_definition(node) or is_assignment(node) for node in statements)

    def take(self, name: str) -> Iterable[str]:
        """Record what gives `name` its value. Returns the names that this needs in turn."""
        statements = {at: self.script.statements[at] for at in self.places.get(name, ())}
        if name not in self.script.values:  # never set, deleted, or set only for a type checker
            return self.keep(at for at, statement in statements.items() if is_definition(statement))
        value = self.script.values[name]
        if not statements:
            return self.take_unbound(name, value)
        if all(map(is_definition, statements.values())):
            return self.keep_definitions(name, value, statements)
        if len(statements) == 1 and kind_of_state(value) == GENERATOR and _is_unseeded(*statements.values()):
            return self.keep(statements)  # it is made anew on the node
        if len(statements) == 1 and _says(next(iter(statements.values())), value):
            self.seen[id(value)] = value
            return self.keep(statements)
        if is_defined(value) and self.is_source(name):
            return self.take_defined(name, value)
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

    def keep_definitions(self, name: str, value: object, statements: dict[int, ast.stmt]) -> Iterable[str]:
        kinds = {type(statement) for statement in statements.values()}
        if name in self.changed and kinds & {ast.ClassDef, ast.FunctionDef}:
            raise Unfit(f"the script sets attributes of {name}")
        check_unedited(name, value, statements.values(), self.script.name)
        itself = {at: node for at, node in statements.items() if value is not None and made_by(node, value) is value}
        names: set[str] = set()
        for at, original in (itself or statements).items():
            statement = copy.deepcopy(original)
            names |= self.keep_function(at, statement, value)
            self.simplify(at, statement)
            if isinstance(statement, ast.ClassDef):
                check_class(statement, value)
            check_same_everywhere(self.needs.kept.get(at, statement), self.script.values)
        return names | self.keep([*(itself or statements), *self.related(name, value)])

    def simplify(self, at: int, statement: ast.stmt) -> None:
        """Keep a definition without what needs an installed package only in an annotation or a default."""
        made = simplify(self.needs.kept.setdefault(at, statement), self.foreign)
        self.needs.replaced |= {node: Spelling(text, frozenset(), frozenset()) for node, text in made.items()}

    def related(self, name: str, value: object) -> list[int]:
        """Definitions that register themselves with `name`: `@name.register`, and subclasses if there is a hook."""
        hooked = value if isinstance(value, type) and "__init_subclass__" in vars(value) else None
        found = []
        for at, statement in enumerate(self.script.statements):
            decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
            own = self.script.values.get(getattr(statement, "name", ""))
            is_subclass = hooked is not None and isinstance(own, type) and issubclass(own, hooked)
            if is_subclass or name in map(_registers_with, decorators):
                found.append(at)
        return found

    def keep_function(self, at: int, own: ast.stmt, value: object) -> set[str]:
        """Keep a function with the values that its defaults have now. If `value` is this very function, its decorators
        returned it unchanged, and are left out."""
        function = made_by(own, value)
        if function is None or not isinstance(own, ast.FunctionDef):
            return set()
        if function is value and not function.__dict__:
            own.decorator_list = []
        self.needs.kept[at] = own
        return {used for node, now in defaults(own.args, function) for used in self.replace(node, now, own.args)}

    def replace(self, default: ast.expr, now: object, arguments: ast.arguments) -> frozenset[str]:
        """Replace a parameter's default by its value now: `os.getcwd()` would return another one on the node."""
        if is_literal(default, now) or (isinstance(default, ast.Name) and self.is_shared(default.id, now)):
            return frozenset()
        try:
            spelling = self.spell(now)
        except Unfit:
            return frozenset()  # as in the source, if that is fixed
        constant = ast.copy_location(ast.Constant(None), default)
        arguments.defaults = [constant if node is default else node for node in arguments.defaults]
        arguments.kw_defaults = [constant if node is default else node for node in arguments.kw_defaults]
        self.needs.replaced[constant] = spelling
        self.needs.early |= spelling.names
        return spelling.names

    def is_shared(self, name: str, value: object) -> bool:
        """Whether the value is the same mutable object as the script's `name`: it must stay the same object."""
        return self.script.values.get(name) is value and not isinstance(value, _IMMUTABLE)

    def take_unbound(self, name: str, value: object) -> Iterable[str]:
        """A name that is set by `from … import *`, by `global` in a function, or by Python."""
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
            spelling = self.spell(value)
        except Unfit as unfit:
            raise Unfit(f"it uses {name}, a {type(value).__name__}: {unfit}") from None
        self.needs.spelled[name] = spelling
        return spelling.names - {name}

    def spell(self, value: object) -> Spelling:
        return spell(value, named=self.named, seen=self.seen)

    def take_defined(self, name: str, value: object) -> Iterable[str]:
        """A function or class that was assigned to a name: written as the name of its definition, or the assignment is
        kept."""
        try:
            spelling = spell(value, named=self.defined)
        except Unfit:
            statements = [self.script.statements[at] for at in self.places[name]]
            for statement in statements:
                if is_assignment(statement):
                    check_same_everywhere(statement, self.script.values)
            return self.keep(self.places[name])
        self.needs.spelled[name] = spelling
        return spelling.names


def _registers_with(decorator: ast.expr) -> str:
    """`name` of `@name.attribute` and `@name.attribute(…)`, else empty."""
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return root_of(node) if isinstance(node, ast.Attribute) else ""


def _says(statement: ast.stmt, value: object) -> bool:
    """Whether the statement is `name = literal`, and `value` is still that literal."""
    if isinstance(statement, ast.Assign):
        return all(isinstance(t, ast.Name) for t in statement.targets) and is_literal(statement.value, value)
    return isinstance(statement, ast.AnnAssign) and statement.value is not None and is_literal(statement.value, value)


def _is_unseeded(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.Assign, ast.AnnAssign)) and is_unseeded(statement.value)
