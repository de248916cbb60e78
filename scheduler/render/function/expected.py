"""Values that the source of a module gives its variables, as far as literals and arithmetic tell. It runs nothing."""

from __future__ import annotations

import ast
import functools
import importlib.util
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from scheduler.render.function.names import bound_by

UNKNOWN = object()
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
_MAKERS: Mapping[str, Callable[..., Any]] = {"dict": dict, "list": list, "set": set, "tuple": tuple}


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
    return UNKNOWN if node is None else value_of(node, lambda used: _earlier(module, used, name, deep))


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


def value_of(node: ast.expr, names: Callable[[str], Any]) -> Any:
    """The value of an expression of literals, or `UNKNOWN`. `names`: the value of a name, or `UNKNOWN`."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        pass
    if isinstance(node, ast.Name):
        return names(node.id)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _calculated(node.op, value_of(node.left, names), value_of(node.right, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKERS:
        return _made(_MAKERS[node.func.id], node, names)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        items = [value_of(item, names) for item in node.elts]
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return UNKNOWN if _has_unknown(items) else kind(items)
    if isinstance(node, ast.Dict):
        keys = [value_of(key, names) if key is not None else UNKNOWN for key in node.keys]
        values = [value_of(value, names) for value in node.values]
        return UNKNOWN if _has_unknown([*keys, *values]) else dict(zip(keys, values, strict=True))
    return UNKNOWN


def _made(maker: Callable[..., Any], node: ast.Call, names: Callable[[str], Any]) -> Any:
    items = [value_of(item, names) for item in node.args]
    named = {keyword.arg: value_of(keyword.value, names) for keyword in node.keywords}
    if _has_unknown([*items, *named.values()]) or None in named:
        return UNKNOWN
    try:
        return maker(*items, **{str(name): value for name, value in named.items()})
    except (TypeError, ValueError):
        return UNKNOWN


def _calculated(sign: ast.operator, left: Any, right: Any) -> Any:
    numbers = all(isinstance(one, (int, float, complex)) for one in (left, right))
    both_text = isinstance(left, str) and isinstance(right, str) and isinstance(sign, ast.Add)
    too_large = numbers and (abs(left) > _LARGEST or abs(right) > _LARGEST)
    if not (numbers or both_text) or too_large or (isinstance(sign, ast.Pow) and abs(right) > 100):
        return UNKNOWN
    try:
        return _OPERATORS[type(sign)](left, right)
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN


def _has_unknown(values: Iterable[Any]) -> bool:
    return any(value is UNKNOWN for value in values)


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
