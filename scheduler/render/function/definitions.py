"""Whether a definition of a script still equals its source, and would be the same on the node."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from pathlib import Path
from types import FunctionType
from typing import Any

from scheduler.render.function import Unfit
from scheduler.render.function.fixed import evaluated_at_once, is_fixed
from scheduler.render.function.names import first_line
from scheduler.render.function.values import PLAIN_OF_NUMPY

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


def simplify(tree: ast.AST, foreign: Set[str]) -> dict[ast.expr, str]:
    """Replace what is evaluated when a definition is made, and needs a package only for that: an annotation by None, a
    default such as ``np.float64(2.)`` by its number.

    Args:
        tree: of the definition; it is changed.
        foreign: the names that are imported from installed packages, or depend on them; they may be dotted.

    Returns:
        The new nodes, at the places of the old ones, and their text.
    """
    made: dict[ast.expr, str] = {}
    for node, name, at, text in list(_simpler(tree, foreign)):
        old = getattr(node, name) if at is None else getattr(node, name)[at]
        new = ast.copy_location(ast.Constant(ast.literal_eval(text)), old)
        if at is None:
            setattr(node, name, new)
        else:
            getattr(node, name)[at] = new
        made[new] = text
    return made


def _simpler(tree: ast.AST, foreign: Set[str]) -> Iterator[tuple[ast.AST, str, int | None, str]]:
    fields = {inner for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for inner in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and node not in fields and _needs(node.annotation, foreign):
            yield node, "annotation", None, "None"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            values = node.args
            for name in ("defaults", "kw_defaults"):
                for at, default in enumerate(getattr(values, name)):
                    text = _number(default, foreign)
                    if text:
                        yield values, name, at, text
            if ignores_annotations(node, foreign):
                arguments = [*values.posonlyargs, *values.args, *values.kwonlyargs, values.vararg, values.kwarg]
                parts = [(one, "annotation") for one in arguments if one is not None] + [(node, "returns")]
                yield from ((one, name, None, "None") for one, name in parts if _needs(getattr(one, name), foreign))
        elif isinstance(node, ast.ClassDef) and ignores_annotations(node, foreign):
            for inner in node.body:
                if isinstance(inner, ast.AnnAssign) and _needs(inner.annotation, foreign):
                    yield inner, "annotation", None, "None"
                if isinstance(inner, (ast.Assign, ast.AnnAssign)) and _number(inner.value, foreign):
                    yield inner, "value", None, _number(inner.value, foreign)


def ignores_annotations(node: ast.AST, foreign: Set[str]) -> bool:
    """Whether the annotations that are directly in a function or class mean nothing to its decorators and bases.

    `foreign`: the names of installed packages.
    """
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return all(_name_of(one) in _KEEPS_NONE for one in node.decorator_list)
    return not (isinstance(node, ast.ClassDef) and any(map(_is_foreign(foreign), [*node.bases, *node.decorator_list])))


_KEEPS_NONE = (
    "staticmethod",
    "classmethod",
    "property",
    "setter",
    "cache",
    "lru_cache",
    "abstractmethod",
    "contextmanager",
)
_OF_DATACLASSES = {"ClassVar", "InitVar", "KW_ONLY"}


def _name_of(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called).rpartition(".")[2]


def _is_foreign(foreign: Set[str]) -> Callable[[ast.expr], bool]:
    return lambda node: bool(_names_in(node) & foreign)


def _needs(annotation: ast.expr | None, foreign: Set[str]) -> bool:
    """Whether an annotation needs an installed package, and means nothing to Python itself."""
    if annotation is None or not _names_in(annotation) & foreign:
        return False
    words = _names_in(annotation) | {node.attr for node in ast.walk(annotation) if isinstance(node, ast.Attribute)}
    return not words & _OF_DATACLASSES


def _names_in(node: ast.AST) -> set[str]:
    """The names in an expression, dotted ones such as `module.Class` among them."""
    return {ast.unparse(inner) for inner in ast.walk(node) if isinstance(inner, (ast.Name, ast.Attribute))}


def _number(node: ast.expr | None, foreign: Set[str]) -> str:
    """The literal that equals `np.float64(2.)`, `np.bool_(True)`, …; else empty."""
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords or not _names_in(node.func) & foreign:
        return ""
    kind, literal = PLAIN_OF_NUMPY.get(ast.unparse(node.func).rpartition(".")[2]), _literal(node.args[0])
    if kind is None or type(literal) not in (bool, int, float, str) or (kind is str) != isinstance(literal, str):
        return ""
    if isinstance(literal, float) and (kind is int or not math.isfinite(literal)):
        return ""
    return ascii(kind(literal))


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
