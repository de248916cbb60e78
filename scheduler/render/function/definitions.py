"""Whether a definition of a script still equals its source, and would be the same on the node."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from scheduler.render.function import Unfit
from scheduler.render.function.fixed import evaluated_at_once, is_fixed
from scheduler.render.function.names import first_line

_PLAIN = (int, float, str, bytes, bool, list, tuple, dict, set, type(None))


def check_unedited(name: str, value: object, statements: Iterable[ast.stmt], file: str) -> None:
    """Check that the function `name` is the one that the file defines.

    Raises:
        Unfit: it was typed into a session, or the file has changed since.
    """
    if not isinstance(value, FunctionType):
        return
    code = value.__code__
    if code.co_filename.startswith("<"):
        raise Unfit(f"{name} was typed in, not read from a file")
    if code.co_name != name or Path(code.co_filename).name != file:
        return
    lines = [first_line(node) for node in _functions(statements) if node.name == name]
    if lines and code.co_firstlineno not in lines:
        raise Unfit(f"{file} has changed since it was started")


def made_by(statement: ast.stmt, value: object) -> FunctionType | None:
    """The function that a statement has made, inside what its decorators wrapped around it. None if it is not found."""
    if not isinstance(statement, ast.FunctionDef):
        return None
    inner = inspect.unwrap(value) if callable(value) else value
    if not isinstance(inner, FunctionType) or inner.__code__.co_name != statement.name:
        return None
    return inner if inner.__code__.co_firstlineno == first_line(statement) else None


def check_class(statement: ast.ClassDef, value: object) -> None:
    """Check that the attributes of a class still have the values of its source.

    Raises:
        Unfit: an attribute has another value now.
    """
    attributes = vars(value) if isinstance(value, type) else {}
    for name, node in _attributes(statement):
        if name in attributes and type(attributes[name]) in _PLAIN and _says_other(node, attributes[name]):
            raise Unfit(f"{statement.name}.{name} no longer has the value that the script gave it")


def check_same_everywhere(statement: ast.stmt, values: Mapping[str, Any]) -> None:
    """Check that the decorators, defaults and class attributes of a definition mean the same on every machine.

    Raises:
        Unfit: one of them does not.
    """
    for node in evaluated_at_once(statement):
        if not is_fixed(node, values):
            raise Unfit(f"{getattr(statement, 'name', 'it')} is defined with {ast.unparse(node)[:60]}")


def is_literal(node: ast.expr, value: object) -> bool:
    """Whether `node` is a literal with this value."""
    literal = _literal(node)
    return literal is not _NONE and _same(literal, value)


def defaults(arguments: ast.arguments, function: FunctionType) -> list[tuple[ast.expr, object]]:
    """The default values of a function: the expression in the source, and the value now."""
    by_name = function.__kwdefaults__ or {}
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    keyword = [(node, by_name[arg.arg]) for arg, node in named if node is not None and arg.arg in by_name]
    return [*zip(arguments.defaults, function.__defaults__ or (), strict=False), *keyword]


def _attributes(statement: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for inner in statement.body:
        if isinstance(inner, (ast.Assign, ast.AnnAssign)) and inner.value is not None:
            targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
            yield from ((target.id, inner.value) for target in targets if isinstance(target, ast.Name))


def _says_other(node: ast.expr, value: object) -> bool:
    literal = _literal(node)
    return literal is not _NONE and not _same(literal, value)


def _functions(statements: Iterable[ast.stmt]) -> list[ast.FunctionDef]:
    return [node for statement in statements for node in ast.walk(statement) if isinstance(node, ast.FunctionDef)]


_NONE = object()


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _NONE


def _same(literal: object, value: object) -> bool:
    return type(literal) is type(value) and repr(literal) == repr(value)
