"""Values that the source of a module gives its variables, as far as literals, arithmetic and simple objects tell.

It runs none of the user's code.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from scheduler.render.function.loaded import makers
from scheduler.render.function.loaded.makers import UNKNOWN, Instance
from scheduler.render.function.loaded.objects import attributes_of
from scheduler.render.function.modules import is_ours
from scheduler.render.function.names import bound_by

_LARGEST = 1 << 200
_OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


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


def expected(module: ModuleType, name: str, *, deep: int = 0) -> Any:
    """The value that the source of a module gives one of its variables, or `UNKNOWN`."""
    statements = binding(module, name)
    if not statements or deep > 10:
        return UNKNOWN
    last = statements[-1]
    if isinstance(last, ast.ImportFrom) and len(statements) == 1:
        origin, there = origin_of(module, last, name)
        return expected(origin, there, deep=deep + 1) if origin is not None else UNKNOWN
    if not all(isinstance(one, (ast.Assign, ast.AnnAssign)) for one in statements):
        return UNKNOWN
    node = _assigned(last, name)
    return UNKNOWN if node is None else value_of(node, _names(module, name, deep), vars(module))


def alternatives(module: ModuleType, name: str) -> list[Any]:
    """The values that the branches of `if` and `try` give a variable; none if one of them is not known."""
    found: list[Any] = []
    for statement in binding(module, name):
        for node in _simple_statements(statement):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and name in bound_by(node):
                value = _assigned(node, name)
                found.append(UNKNOWN if value is None else value_of(value, _names(module, name, 0), vars(module)))
            elif name in bound_by(node):
                return []
    return [] if _has_unknown(found) else found


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


def _names(module: ModuleType, name: str, deep: int) -> Callable[[str], Any]:
    """The values of the names in the expression that gives a variable its value."""

    def value(used: str) -> Any:
        if used in ("__file__", "__name__"):
            return vars(module).get(used, UNKNOWN)
        return _earlier(module, used, name, deep)

    return value


def _earlier(module: ModuleType, used: str, name: str, deep: int) -> Any:
    """The value of another variable that is set once: it had no other value before."""
    return expected(module, used, deep=deep + 1) if used != name and len(binding(module, used)) == 1 else UNKNOWN


def origin_of(module: ModuleType, statement: ast.ImportFrom, name: str) -> tuple[ModuleType | None, str]:
    """The module from which a name is imported, if it is loaded, and the name there."""
    relative = "." * statement.level + (statement.module or "")
    try:
        full = importlib.util.resolve_name(relative, module.__package__ or "")
    except ImportError:
        return None, name
    there = next((alias.name for alias in statement.names if (alias.asname or alias.name) == name), name)
    return sys.modules.get(full), there


def value_of(node: ast.expr, names: Callable[[str], Any], scope: Mapping[str, Any]) -> Any:
    """The value of an expression of literals and of calls in the table, or `UNKNOWN`.

    Args:
        node: the expression.
        names: the value of a name, or `UNKNOWN`.
        scope: the variables of the module now: which functions and classes are called.
    """
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        pass
    if isinstance(node, ast.Name):
        return names(node.id)
    if isinstance(node, ast.Attribute):
        value = makers.constant(node, scope)
        return UNKNOWN if value is None else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _calculated(node.op, value_of(node.left, names, scope), value_of(node.right, names, scope))
    if isinstance(node, ast.Call):
        return _called(node, names, scope)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        items = [value_of(item, names, scope) for item in node.elts]
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return UNKNOWN if _has_unknown(items) else kind(items)
    if isinstance(node, ast.Dict):
        keys = [value_of(key, names, scope) if key is not None else UNKNOWN for key in node.keys]
        values = [value_of(value, names, scope) for value in node.values]
        return UNKNOWN if _has_unknown([*keys, *values]) else dict(zip(keys, values, strict=True))
    return UNKNOWN


def _called(node: ast.Call, names: Callable[[str], Any], scope: Mapping[str, Any]) -> Any:
    called = makers.maker(node.func, scope)
    inner = {} if called is None or called.__name__ not in ("partial", "defaultdict") else scope
    args: list[Any] = [_argument(item, names, scope, inner) for item in node.args]
    keywords = {str(one.arg): _argument(one.value, names, scope, inner) for one in node.keywords if one.arg}
    if len(keywords) < len(node.keywords) or any(isinstance(one, ast.Starred) for one in node.args):
        return UNKNOWN
    if called is not None:
        return UNKNOWN if _has_unknown([*args, *keywords.values()]) else makers.made(called, args, keywords)
    kind = makers.named(node.func, scope)
    body = _body_of(kind) if isinstance(kind, type) else None
    if body is None:
        return UNKNOWN
    inside = sys.modules[kind.__module__]

    def evaluate(inner: ast.expr, given: Mapping[str, Any]) -> Any:
        return value_of(
            inner, lambda used: given[used] if used in given else _earlier(inside, used, "", 0), vars(inside)
        )

    found = attributes_of(kind, args, keywords, body, evaluate)
    return Instance(kind, {name: value for name, value in found.items() if value is not UNKNOWN})


def _argument(node: ast.expr, names: Callable[[str], Any], scope: Mapping[str, Any], kept: Mapping[str, Any]) -> Any:
    """The value of an argument. A function or class in `kept` is one too, where it is not called: `partial(pow, 2)`."""
    value = value_of(node, names, scope)
    found = makers.named(node, kept) if kept and value is UNKNOWN else None
    return found if isinstance(found, (type, FunctionType, BuiltinFunctionType)) else value


def _body_of(kind: type) -> list[ast.stmt] | None:
    """The statements of a class of the user, unless it changes its attributes in ways that its text does not tell."""
    module = sys.modules.get(kind.__module__)
    made = binding(module, kind.__name__) if module is not None and is_ours(module.__name__) else []
    if len(made) != 1 or not isinstance(made[0], ast.ClassDef) or type(kind) is not type:
        return None
    text = ast.unparse(made[0])
    return None if any(word in text for word in ("setattr", "__dict__", "vars(", "__new__")) else made[0].body


def _calculated(sign: ast.operator, left: Any, right: Any) -> Any:
    numbers = all(isinstance(one, (int, float, complex)) for one in (left, right))
    if isinstance(left, PurePath) and isinstance(right, (str, PurePath)) and isinstance(sign, ast.Div):
        return left / right
    both_text = isinstance(left, str) and isinstance(right, str) and isinstance(sign, ast.Add)
    too_large = numbers and (abs(left) > _LARGEST or abs(right) > _LARGEST)
    if not (numbers or both_text) or too_large or (isinstance(sign, ast.Pow) and abs(right) > 100):
        return UNKNOWN
    try:
        return _OPERATORS[type(sign)](left, right)
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN


def _has_unknown(values: Iterable[Any]) -> bool:
    return any(value is UNKNOWN or isinstance(value, Instance) for value in values)


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
