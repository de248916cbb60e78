"""How the user's modules differ in this process from their files, which are sent. None of their code is run.

a variable has another value than its source gives it, and the value is plain  → the value is sent too
it has another value, which cannot be sent; something was replaced or deleted  → refused
a function is not the one in the file any more: the file was edited            → refused
the source does not tell the value (`os.getcwd()`, `load(…)`), or the module changes the variable itself
(a cache)                                                                      → as the file says
"""

from __future__ import annotations

import ast
import enum
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Set
from importlib.machinery import SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any

from scheduler.render.function.loaded.definitions import Changed, changed_definition, is_from_elsewhere, replaced
from scheduler.render.function.loaded.expected import (
    alternatives,
    binding,
    expected,
    forget,
    origin_of,
    statements_of,
    steps_of,
)
from scheduler.render.function.loaded.makers import UNKNOWN, Instance
from scheduler.render.function.loaded.plain import SCALARS, differs, is_empty, is_known, is_same, literal, plain_of
from scheduler.render.function.loaded.unedited import check_unedited
from scheduler.render.function.loaded.usage import Code
from scheduler.render.function.modules import is_ours, sources_of
from scheduler.render.function.names import bound_by, changed_from_outside, root_of
from scheduler.render.function.reach import Reach, Variable
from scheduler.render.function.values import SCRIPT

Values = dict[str, dict[str, tuple[int, str]]]


def values_to_send(reach: Reach) -> Values:
    """The variables that have other values than their source gives them: module → name → a number and the literal of
    the value now. One object that several variables have is sent with the same number.

    Raises:
        Differs: a value cannot be written as a literal, a function or class was replaced, something was deleted, or a
            file was edited.
    """
    forget()
    code = code_of(reach)
    for module in filter(_is_from_file, reach.modules):
        check_unedited(module)
        check_undeleted(module, reach.names, code)
    values: Values = {}
    numbers: dict[int, int] = {}
    for one in (*reach.variables, *_classes(reach)):
        if _is_from_file(one.module) or one.module.__name__ in SCRIPT:
            changed = _Changes(one, code)
            for name, value in changed.found() if one.module.__name__ not in SCRIPT else changed.in_script():
                number = numbers.setdefault(id(value), len(numbers))
                text = literal(_content(one, name, value), f"{one.module.__name__}.{name}")
                values.setdefault(one.module.__name__, {})[name] = (number, text)
    return values


def code_of(reach: Reach) -> Code:
    """The code that a job runs before and while it calls the function: the user's modules, and the definitions of the
    script that it uses."""
    names = {one.__qualname__.partition(".")[0] for one in reach.definitions if one.__module__ in SCRIPT}
    mains = [module for name in SCRIPT if (module := sys.modules.get(name)) is not None] if names else []
    more = [node for main in mains for node in statements_of(main) if getattr(node, "name", "") in names]
    return Code(lambda: sources_of(module.__name__ for module in reach.modules).values(), more)


def check_undeleted(module: ModuleType, used: Set[str], code: Code) -> None:
    """Check that what a module always sets, and a function uses, was not deleted."""
    for statement in statements_of(module):
        for name in bound_by(statement) & used - vars(module).keys():
            always = (ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ImportFrom)
            is_set = isinstance(statement, always) and getattr(statement, "value", statement) is not None
            if is_set and name not in steps_of(module).deleted and not code.may_set(name):
                raise replaced(Variable(module, name, None), name, "was deleted")


def _classes(reach: Reach) -> Iterator[Variable]:
    """The classes that a function uses and does not name: the bases of others, and those of objects."""
    known = {(one.module.__name__, one.name) for one in reach.variables}
    for kind in reach.definitions:
        module = sys.modules.get(kind.__module__ or "")
        if not isinstance(kind, type) or module is None or module.__name__ in SCRIPT:
            continue
        if vars(module).get(kind.__name__) is kind and (module.__name__, kind.__name__) not in known:
            yield Variable(module, kind.__name__, kind)


class _Changes:
    """Finds out what was changed in a variable."""

    def __init__(self, one: Variable, code: Code) -> None:
        self.one, self.code = one, code

    def found(self) -> Changed:
        """The variable, or attributes of it, with their values now, if these differ from the source."""
        one = self.one
        statements = binding(one.module, one.name)
        starred = next(iter(_starred(one)), None) if not statements else None
        if one.name.startswith("__") or (isinstance(one.value, enum.Enum) and not statements):  # `IntEnum._convert_`
            return
        if any(getattr(origin_of(one.module, star, one.name)[0], one.name) is one.value for star in _starred(one)):
            return
        if isinstance(one.value, ModuleType) or (len(statements) == 1 and isinstance(statements[0], ast.Import)):
            self.check_module(statements)
        elif starred is not None:
            yield from self.imported(starred)
        elif not statements:
            if not self.is_set_by_module():
                yield one.name, one.value
        elif len(statements) == 1 and isinstance(statements[0], ast.ImportFrom):
            yield from self.imported(statements[0])
        elif len(statements) == 1 and isinstance(statements[0], (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from changed_definition(one, statements[0], self.code)
        else:
            yield from self.value()

    def check_module(self, statements: list[ast.stmt]) -> None:
        """Check that a name that `import` gives a module still has it."""
        for alias in statements[0].names if len(statements) == 1 and isinstance(statements[0], ast.Import) else ():
            full = alias.name if alias.asname else alias.name.partition(".")[0]
            is_it = self.one.value is sys.modules.get(full) or getattr(self.one.value, "__name__", "") == full
            if (alias.asname or full) == self.one.name and not is_it and not self.code.may_set(self.one.name):
                raise replaced(self.one, self.one.name)

    def value(self) -> Changed:
        """A variable that assignments, loops and other statements set."""
        one = self.one
        source = expected(one.module, one.name)
        has_branches = any(isinstance(node, (ast.If, ast.Try)) for node in binding(one.module, one.name))
        sources = [source] if source is not UNKNOWN else alternatives(one.module, one.name) if has_branches else []
        if _is_lambda(one):
            self.check_lambda()
        if not sources or any(is_same(source, one.value) for source in sources):
            yield from self.added_to_object(sources)
            return
        if any(self.is_filled(source) for source in sources):
            return
        if not all(map(is_known, sources)) and self.code.may_fill(one.name):
            return
        if not all(map(is_known, sources)) and not isinstance(sources[0], Instance):
            raise differs(f"{one.module.__name__}.{one.name}", one.value)
        if plain_of(one.value) is not UNKNOWN or not _is_changed_by_module(one):
            yield one.name, one.value

    def check_lambda(self) -> None:
        one, nodes = self.one, [getattr(node, "value", None) for node in binding(self.one.module, self.one.name)]
        is_lambda = isinstance(one.value, FunctionType) and one.value.__name__ == "<lambda>"
        if is_from_elsewhere(one, one.value) or (all(isinstance(node, ast.Lambda) for node in nodes) and not is_lambda):
            raise replaced(one, one.name)
        for node in nodes if len(nodes) == 1 else ():
            defaults = getattr(one.value, "__defaults__", None) or ()
            if isinstance(node, ast.Lambda) and len(node.args.defaults) != len(defaults):
                raise replaced(one, f"{one.name} (its default values)")

    def added_to_object(self, sources: list[object]) -> Changed:
        """Check that an object of the user's classes has no attribute that none of the user's code sets."""
        known = next((source for source in sources if isinstance(source, Instance)), None)
        if known is None or any(not is_ours(base.__module__) for base in known.kind.__mro__[:-1]):
            return
        attributes = getattr(self.one.value, "__dict__", {}).keys() - known.attributes.keys()
        fields = getattr(known.kind, "__dataclass_fields__", {})
        for name in sorted(attributes - fields.keys()):
            if not self.code.is_dynamic and not self.code.may_set(name):
                raise replaced(self.one, f"{self.one.name}.{name}", "was set")
        yield from ()

    def is_set_by_module(self) -> bool:
        """Whether the user's code has set a variable, which cannot be sent, by `global` in a function."""
        is_plain = plain_of(self.one.value) is not UNKNOWN
        return not is_plain and (self.code.may_set(self.one.name) or self.code.is_dynamic)

    def is_filled(self, source: object) -> bool:
        """Whether the variable is empty in the source, and the user's code fills it with what cannot be sent: a
        cache."""
        if not is_empty(source) or plain_of(_plain_content(self.one.value)) is not UNKNOWN:
            return False
        if type(source) in SCALARS:
            return self.code.may_set(self.one.name)
        return self.code.may_fill(self.one.name)

    def imported(self, statement: ast.ImportFrom) -> Changed:
        """A variable that is imported from another module."""
        one = self.one
        origin, name = origin_of(one.module, statement, one.name)
        now = getattr(origin, name, UNKNOWN)
        source = expected(origin, name) if origin is not None else UNKNOWN
        if source is not UNKNOWN and origin is not None:
            if is_same(source, one.value) or self.is_filled(source):
                return
            if plain_of(one.value) is not UNKNOWN or not _is_changed_by_module(Variable(origin, name, now)):
                yield one.name, one.value
        elif origin is not None and now is not one.value and now is not UNKNOWN:
            defined = getattr(one.value, "__module__", None), getattr(one.value, "__qualname__", None)
            # else it is what the origin defines, and was replaced or loaded again there
            if defined != (origin.__name__, name):
                yield one.name, one.value

    def in_script(self) -> Changed:
        """Only what the script imports: its other variables are sent with their values in any case."""
        statements = binding(self.one.module, self.one.name)
        if len(statements) == 1 and isinstance(statements[0], ast.ImportFrom):
            origin, _ = origin_of(self.one.module, statements[0], self.one.name)
            if origin is not None and _is_from_file(origin) and is_ours(origin.__name__):
                yield from self.imported(statements[0])


def _plain_content(value: Any) -> Any:
    """The content of a container of `collections` as a list or dict; other values as they are."""
    if type(value) in (defaultdict, Counter, OrderedDict):
        return dict(value)
    return list(value) if type(value) is deque else value


def _content(one: Variable, name: str, value: object) -> object:
    """What is sent of a value: the content of a container of `collections`, if its source makes one like it."""
    source = expected(one.module, name)
    if type(source) is not type(value) or type(value) not in (defaultdict, Counter, OrderedDict, deque):
        return value
    kept = [(getattr(made, "default_factory", None), getattr(made, "maxlen", None)) for made in (source, value)]
    return _plain_content(value) if kept[0] == kept[1] else value


def _is_lambda(one: Variable) -> bool:
    values = (getattr(statement, "value", None) for statement in binding(one.module, one.name))
    return any(isinstance(value, ast.Lambda) for value in values)


def _is_changed_by_module(one: Variable) -> bool:
    """Whether the module itself changes what a variable holds: `CONFIG.events = 5`, `TABLE.sort()`, `fill(TABLE)`."""
    statements = statements_of(one.module)
    if one.name in changed_from_outside(statements):
        return True
    calls = (node.value for one in statements for node in ast.walk(one) if isinstance(node, ast.Expr))
    used = [
        (call.func, *call.args, *(word.value for word in call.keywords)) for call in calls if isinstance(call, ast.Call)
    ]
    return any(root_of(part) == one.name for parts in used for part in parts)


def _starred(one: Variable) -> Iterator[ast.ImportFrom]:
    """The statement `from … import *` that sets a variable."""
    for node in (inner for statement in statements_of(one.module) for inner in ast.walk(statement)):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            origin, _ = origin_of(one.module, node, one.name)
            if hasattr(origin, one.name):
                yield node


def _is_from_file(module: ModuleType) -> bool:
    """Whether Python loaded the module from its file as it is: not through an import hook that rewrites code."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return type(loader) is SourceFileLoader and bool(getattr(module, "__file__", None))
