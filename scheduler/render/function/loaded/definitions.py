"""Whether the functions and classes of a loaded module are those that its file defines, and which of their attributes
were changed."""

from __future__ import annotations

import ast
import enum
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from scheduler.render.function.loaded.expected import binding, once, steps_of, value_of
from scheduler.render.function.loaded.makers import UNKNOWN, named
from scheduler.render.function.loaded.plain import SCALARS, Differs, is_empty, is_same, plain_of
from scheduler.render.function.loaded.usage import Code
from scheduler.render.function.names import bound_by
from scheduler.render.function.reach import Variable
from scheduler.render.function.values import SCRIPT

Function = ast.FunctionDef | ast.AsyncFunctionDef
Changed = Iterator[tuple[str, object]]
"""``name`` or ``name.attribute`` → the value now."""

_KNOWN = ("staticmethod", "classmethod", "property")


def replaced(one: Variable, name: str, verb: str = "was replaced") -> Differs:
    """The error: a part of a module is not the one that its file makes."""
    return Differs(
        f"{one.module.__name__}.{name} {verb} after its module was imported, and the jobs would use the one in "
        f"{one.module.__file__}: change the file, or give the function what it needs as a parameter"
    )


def is_from_elsewhere(one: Variable, value: object) -> bool:
    """Whether a value is a function that was defined in another file than that of the module."""
    return isinstance(value, FunctionType) and value.__code__.co_filename != str(one.module.__file__)


def changed_definition(one: Variable, statement: Function | ast.ClassDef, code: Code) -> Changed:
    """The attributes of a function or class that have other values than its source gives them.

    Raises:
        Differs: it is not the one that the file defines.
    """
    if isinstance(statement, ast.ClassDef):
        if isinstance(one.value, type):
            yield from _Class(one, code).changed(one.value, statement, one.name)
        elif not statement.decorator_list:
            raise replaced(one, one.name)
    else:
        yield from changed_function(one, one.value, statement, one.name, code)


def changed_function(one: Variable, value: Any, statement: Function, name: str, code: Code) -> Changed:
    """The attributes that were set on a function or method since it was defined.

    Raises:
        Differs: it is not the one in the file, or has other default values.
    """
    outer: Any = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    if all(isinstance(node, ast.Name) and node.id in _KNOWN for node in statement.decorator_list):
        source = steps_of(one.module).values
        is_moved = getattr(outer, "__qualname__", name) != name and f"{name}.__qualname__" not in source
        if is_moved or not _is_from(one, outer, statement.name):
            raise replaced(one, name)
        inner = outer
    else:
        _check_decorated(one, outer, statement, name)
        inner = inspect.unwrap(outer)
    if isinstance(inner, FunctionType) and not is_from_elsewhere(one, inner):
        _check_defaults(one, inner, statement, name)
    yield from _attributes_of(one, outer, statement, name, code)


def _is_from(one: Variable, value: object, name: str) -> bool:
    """Whether a value is a function of this name in the file of the module."""
    if not isinstance(value, FunctionType):
        return False
    code = value.__code__
    return code.co_name == name and Path(code.co_filename).name == Path(str(one.module.__file__)).name


def _check_decorated(one: Variable, value: Any, statement: Function, name: str) -> None:
    """Check a function with decorators: it may be from their files, too, if these are known."""
    made_by = [named(getattr(node, "func", node), vars(one.module)) for node in statement.decorator_list]
    files = {getattr(sys.modules.get(getattr(made, "__module__", None) or ""), "__file__", None) for made in made_by}
    inner = inspect.unwrap(value)
    is_foreign = is_from_elsewhere(one, inner) and files.isdisjoint({_file_of(inner)}) and None not in files
    if isinstance(value, FunctionType):
        is_other = value.__qualname__ != statement.name and vars(one.module).get(value.__qualname__) is value
        is_foreign &= is_from_elsewhere(one, value) and files.isdisjoint({_file_of(value)})
        if is_other or is_foreign or (is_from_elsewhere(one, value) and value.__module__ in SCRIPT):
            raise replaced(one, name)
    elif is_foreign:
        raise replaced(one, name)


def _file_of(value: object) -> str | None:
    return getattr(sys.modules.get(getattr(value, "__module__", None) or ""), "__file__", None)


def _check_defaults(one: Variable, function: FunctionType, statement: Function, name: str) -> None:
    arguments, by_name = statement.args, function.__kwdefaults__ or {}
    pairs = list(zip(arguments.defaults, function.__defaults__ or (), strict=False))
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs += [(node, by_name.get(arg.arg, UNKNOWN)) for arg, node in keywords if node is not None]
    for node, now in pairs:
        source = value_of(node, lambda name: once(one.module, name), vars(one.module))
        if source is not UNKNOWN and not is_same(source, now) and not (is_empty(source) and type(source) is type(now)):
            raise replaced(one, f"{name} (its default value {ast.unparse(node)[:40]})")
    if not statement.decorator_list and len(arguments.defaults) != len(function.__defaults__ or ()):
        raise replaced(one, f"{name} (its default values)")


def _attributes_of(one: Variable, value: Any, statement: Function, name: str, code: Code) -> Changed:
    """The attributes of a function that neither its decorators nor other code of the user set."""
    known = [named(getattr(node, "func", node), vars(one.module)) for node in statement.decorator_list]
    is_bound = any(isinstance(node, ast.Name) and node.id == "classmethod" for node in statement.decorator_list)
    source = {
        key.rpartition(".")[2]: found
        for key, found in steps_of(one.module).values.items()
        if key.rpartition(".")[0] == name
    }
    for key, now in (getattr(value, "__dict__", None) or {}).items():
        is_made = key.startswith("__") and statement.decorator_list  # `__wrapped__`, `__isabstractmethod__`, …
        if key in source or is_made:
            is_changed = key in source and not is_same(source[key], now)
        else:
            is_changed = not code.may_set(key) and all(_is_plain_decorator(made) for made in known)
        is_changed = is_changed and not (statement.decorator_list and plain_of(now) is UNKNOWN)
        if is_changed and plain_of(now) is not UNKNOWN and not is_bound:
            yield f"{name}.{key}", now
        elif is_changed and not code.may_set(key) and not code.is_dynamic:
            raise replaced(one, f"{name}.{key}", "was set")
    missing = source.keys() - vars(value).keys() if isinstance(value, FunctionType) else ()
    for key in sorted(key for key in missing if not code.may_set(key)):
        raise replaced(one, f"{name}.{key}", "was deleted")


def _is_plain_decorator(made: Any) -> bool:
    """Whether a decorator sets no attributes but those of `functools.wraps`."""
    return getattr(made, "__name__", "") in (*_KNOWN, "lru_cache", "cache", "contextmanager", "abstractmethod")


class _Class:
    """Compares a class with its source."""

    def __init__(self, one: Variable, code: Code) -> None:
        self.one, self.code = one, code

    def changed(self, kind: type, statement: ast.ClassDef, path: str) -> Changed:
        """The attributes of a class, and of those inside it, that have other values than in its source."""
        names = {name for inner in statement.body for name in bound_by(inner)}
        bases = [named(node, vars(self.one.module)) for node in statement.bases]
        is_plain = not statement.decorator_list and type(kind) is type and all(isinstance(one, type) for one in bases)
        if is_plain and kind.__qualname__ != path and not names & {"__qualname__", "__module__"}:
            raise replaced(self.one, path)
        self.check_bases(kind, statement, bases or [object], path)
        for inner in statement.body:
            yield from self.changed_part(kind, statement, inner, path)
        if is_plain and not any("__set_name__" in dir(base) for base in kind.__mro__[1:-1]):
            self.check_deleted(kind, statement, path)
            yield from self.added(kind, names, path)

    def check_bases(self, kind: type, statement: ast.ClassDef, bases: list[Any], path: str) -> None:
        once_bound = all(len(binding(self.one.module, ast.unparse(node).split(".")[0])) < 2 for node in statement.bases)
        if type(kind) is not type or not once_bound or not all(isinstance(base, type) for base in bases):
            return
        if [_full(base) for base in bases] != [_full(base) for base in kind.__bases__]:
            raise replaced(self.one, f"{path}.__bases__", "were replaced")

    def changed_part(self, kind: type, statement: ast.ClassDef, inner: ast.stmt, path: str) -> Changed:
        value = vars(kind).get(_mangled(getattr(inner, "name", ""), path), UNKNOWN)
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            again = sum(inner.name in bound_by(other) for other in statement.body) > 1
            again |= issubclass(kind, enum.Enum) and inner.name == "__new__"  # which enum replaces
            if value is not UNKNOWN and not again and f"{path}.{inner.name}" not in steps_of(self.one.module).values:
                yield from changed_function(self.one, value, inner, f"{path}.{inner.name}", self.code)
        elif isinstance(inner, ast.ClassDef) and isinstance(value, type):
            yield from self.changed(value, inner, f"{path}.{inner.name}")
        for name, node in assignments(inner):
            value = vars(kind).get(_mangled(name, path), UNKNOWN)
            source = value_of(node, lambda name: once(self.one.module, name), vars(self.one.module))
            if value is UNKNOWN or source is UNKNOWN or is_same(source, value) or issubclass(kind, enum.Enum):
                continue
            source = steps_of(self.one.module).values.get(f"{path}.{name}", source)
            later = statement.body[statement.body.index(inner) + 1 :]
            if any(name in bound_by(other) for other in later) or is_same(source, value):
                continue
            if self.is_filled(name, source, value):
                continue
            is_plain = type(kind) is type and not statement.decorator_list
            if is_plain or type(value) in (*SCALARS, list, tuple, dict, set) or type(value) is type(source):
                yield f"{path}.{_mangled(name, path)}", value

    def is_filled(self, name: str, source: object, value: object) -> bool:
        """Whether the user's code fills an attribute that is empty at first: a registry, a cache."""
        return is_empty(source) and plain_of(value) is UNKNOWN and self.code.may_fill(name)

    def check_deleted(self, kind: type, statement: ast.ClassDef, path: str) -> None:
        deleted = {name for inner in statement.body if isinstance(inner, ast.Delete) for name in bound_by(inner)}
        for inner in statement.body:
            names = {name for name, _ in assignments(inner)}
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names = {inner.name}
            for name in sorted(names - deleted - {"__slots__", "__classcell__"}):
                if _mangled(name, path) not in vars(kind) and not self.code.may_set(name):
                    raise replaced(self.one, f"{path}.{name}", "was deleted")

    def added(self, kind: type, in_text: set[str], path: str) -> Changed:
        """What a class has and its text has not, unless code of the user sets it: `Beam.extra = 5`."""
        hooked = any("__init_subclass__" in vars(base) for base in kind.__mro__[1:-1])
        source = steps_of(self.one.module).values
        for name, value in vars(kind).items():
            if name in in_text or name in {_mangled(one, path) for one in in_text}:
                continue
            function = getattr(value, "__func__", value)
            if f"{path}.{name}" in source and is_same(source[f"{path}.{name}"], value):
                continue
            if isinstance(function, FunctionType) and not self.code.may_set(name) and not hooked:
                is_other = vars(self.one.module).get(function.__qualname__) is function
                if is_other or is_from_elsewhere(self.one, function):
                    raise replaced(self.one, f"{path}.{name}")
            elif is_from_elsewhere(self.one, function):
                raise replaced(self.one, f"{path}.{name}")
            if name.startswith("__") or (hooked and not self.code.may_set(name)):
                continue
            if plain_of(value) is not UNKNOWN and (f"{path}.{name}" in source or not self.code.may_set(name)):
                yield f"{path}.{name}", value


def _full(kind: Any) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _mangled(name: str, path: str) -> str:
    """An attribute as a class holds it: `__private` is `_Class__private`."""
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{path.rpartition('.')[2].lstrip('_')}{name}" if is_private else name


def assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """The names that a statement assigns, with their expressions."""
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from ((target.id, statement.value) for target in targets if isinstance(target, ast.Name))
