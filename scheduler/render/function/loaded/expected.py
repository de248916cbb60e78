"""Values that the source of a module gives its variables, as far as literals, arithmetic and simple objects tell.

It runs none of the user's code.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from scheduler.render.function.loaded import expressions
from scheduler.render.function.loaded.expressions import Names
from scheduler.render.function.loaded.makers import CONSTANTS, UNKNOWN, Instance
from scheduler.render.function.loaded.objects import attributes_of
from scheduler.render.function.loaded.plain import is_known
from scheduler.render.function.loaded.steps import Steps
from scheduler.render.function.modules import is_ours
from scheduler.render.function.names import bound_by

_followed: dict[str, tuple[ModuleType, Steps]] = {}  # by name of the module, until `forget` is called


@functools.lru_cache(maxsize=1000)
def _parsed(file: str, _modified: int) -> tuple[ast.stmt, ...]:
    try:
        return tuple(ast.parse(Path(file).read_bytes()).body)
    except (SyntaxError, ValueError, OSError, RecursionError):
        return ()


def statements_of(module: ModuleType) -> list[ast.stmt]:
    """The statements at the top level of a module's file, or none if it cannot be read."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or not Path(file).is_file():
        return []
    return list(_parsed(file, Path(file).stat().st_mtime_ns))


def binding(module: ModuleType, name: str) -> list[ast.stmt]:
    """The statements of a module that set a variable."""
    return [statement for statement in statements_of(module) if name in bound_by(statement)]


def forget() -> None:
    """Forget what modules make: the user may load them again between two submissions."""
    _followed.clear()


def steps_of(module: ModuleType) -> Steps:
    """The statements of a module's file, followed to their end."""
    known, steps = _followed.get(module.__name__, (None, Steps(lambda *_: UNKNOWN)))
    if known is not module:
        steps = Steps(lambda statement, name: _imported(module, statement, name))
        _followed[module.__name__] = module, steps  # before it is followed: modules may import each other
        steps.evaluate = lambda node: value_of(node, lambda used: _value_in(module, steps, used), vars(module))
        steps.follow(statements_of(module))
    return steps


def _value_in(module: ModuleType, steps: Steps, used: str) -> Any:
    return vars(module).get(used, UNKNOWN) if used in ("__file__", "__name__") else steps.values.get(used, UNKNOWN)


def _imported(module: ModuleType, statement: ast.ImportFrom, name: str) -> Any:
    origin, there = origin_of(module, statement, name)
    if origin is None:
        return UNKNOWN
    if origin.__name__ in CONSTANTS:
        value = getattr(origin, there, UNKNOWN)
        return value if isinstance(value, (bool, int, float, str)) else UNKNOWN
    return expected(origin, there) if is_ours(origin.__name__) else UNKNOWN


def expected(module: ModuleType, name: str) -> Any:
    """The value that the source of a module gives one of its variables, or `UNKNOWN`; parts of it may be `UNKNOWN`."""
    return steps_of(module).values.get(name, UNKNOWN)


def alternatives(module: ModuleType, name: str) -> list[Any]:
    """The values that the branches of `if` and `try` give a variable; none if one of them is not known."""
    found: list[Any] = []
    for statement in binding(module, name):
        for node in _simple_statements(statement):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and name in bound_by(node):
                value = _assigned(node, name)
                found.append(UNKNOWN if value is None else value_of(value, _names(module, name), vars(module)))
            elif name in bound_by(node):
                return []
    return found if all(map(is_known, found)) else []


def _simple_statements(statement: ast.stmt) -> Iterator[ast.stmt]:
    inner: list[ast.stmt] = []
    if isinstance(statement, (ast.If, ast.Try)):
        inner = [*statement.body, *statement.orelse]
    if isinstance(statement, ast.Try):
        inner += [*statement.finalbody, *(one for handler in statement.handlers for one in handler.body)]
    for one in inner:
        yield from _simple_statements(one)
    if not inner:
        yield statement


def _names(module: ModuleType, name: str) -> Names:
    """The values of the names in the expression that gives a variable its value."""

    def value(used: str) -> Any:
        if used in ("__file__", "__name__"):
            return vars(module).get(used, UNKNOWN)
        return once(module, used) if used != name else UNKNOWN

    return value


def once(module: ModuleType, name: str) -> Any:
    """The value of a variable that is set once: it had no other value before."""
    return expected(module, name) if len(binding(module, name)) == 1 else UNKNOWN


def origin_of(module: ModuleType, statement: ast.ImportFrom, name: str) -> tuple[ModuleType | None, str]:
    """The module from which a name is imported, if it is loaded, and the name there."""
    relative = "." * statement.level + (statement.module or "")
    try:
        full = importlib.util.resolve_name(relative, module.__package__ or "")
    except ImportError:
        return None, name
    there = next((alias.name for alias in statement.names if (alias.asname or alias.name) == name), name)
    return sys.modules.get(full), there


def value_of(node: ast.expr, names: Names, scope: Mapping[str, Any]) -> Any:
    """The value of an expression of literals and of calls that only depend on their arguments, or `UNKNOWN`.

    Args:
        node: the expression.
        names: the value of a name, or `UNKNOWN`.
        scope: the variables of the module now: which functions and classes are called.
    """
    return expressions.value_of(node, names, scope, instance=_instance)


def _instance(kind: type, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    body = _body_of(kind)
    if body is None:
        return UNKNOWN
    inside = sys.modules[kind.__module__]

    def evaluate(inner: ast.expr, given: Mapping[str, Any]) -> Any:
        return value_of(inner, lambda used: given[used] if used in given else once(inside, used), vars(inside))

    found = attributes_of(kind, args, keywords, body, evaluate)
    return Instance(kind, {name: value for name, value in found.items() if value is not UNKNOWN})


def _body_of(kind: type) -> list[ast.stmt] | None:
    """The statements of a class of the user, unless it changes its attributes in ways that its text does not tell."""
    module = sys.modules.get(kind.__module__)
    made = binding(module, kind.__name__) if module is not None and is_ours(module.__name__) else []
    if len(made) != 1 or not isinstance(made[0], ast.ClassDef) or type(kind) is not type:
        return None
    text = ast.unparse(made[0])
    return None if any(word in text for word in ("setattr", "__dict__", "vars(", "__new__")) else made[0].body


def _assigned(statement: ast.stmt, name: str) -> ast.expr | None:
    """The expression that an assignment gives to a name."""
    if isinstance(statement, ast.AnnAssign):
        return statement.value
    for target in statement.targets if isinstance(statement, ast.Assign) else ():
        if isinstance(target, ast.Name) and target.id == name:
            return statement.value  # type: ignore[attr-defined,no-any-return]
        value = statement.value  # type: ignore[attr-defined]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for part, inner in zip(target.elts, value.elts, strict=True):
                if isinstance(part, ast.Name) and part.id == name:
                    return inner
    return None
