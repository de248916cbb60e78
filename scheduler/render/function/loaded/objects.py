"""The attributes of a new object of a class of the user, read from the source of the class."""

from __future__ import annotations

import ast
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Evaluate = Callable[[ast.expr, Mapping[str, Any]], Any]
"""The value of an expression, in which names have values, or `UNKNOWN`."""


def attributes_of(
    kind: type, args: Sequence[Any], keywords: Mapping[str, Any], body: Sequence[ast.stmt], evaluate: Evaluate
) -> dict[str, Any]:
    """The attributes of a new object of a class of the user, as far as its source tells.

    Args:
        kind: the class.
        args, keywords: of the call.
        body: the statements of the class.
        evaluate: of expressions in the class.
    """
    made = next((one for one in body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    if dataclasses.is_dataclass(kind) and made is None:
        return _of_dataclass(kind, args, keywords, body)
    if made is None or made.args.vararg or made.args.kwarg or made.args.posonlyargs or kind.__bases__ != (object,):
        return {}
    given = _arguments(made, args, keywords, evaluate)
    changed = {name for name, inside in _assigned(body) if inside is not made}
    once = Counter(name for name, inside in _assigned(body) if inside is made)
    found = {name: node for name, node in _set_on_self(made) if once[name] == 1 and name not in changed}
    return {name: evaluate(node, given) for name, node in found.items()}


def _arguments(
    made: ast.FunctionDef, args: Sequence[Any], keywords: Mapping[str, Any], evaluate: Evaluate
) -> dict[str, Any]:
    """The parameters of `__init__` that it does not assign → their values in a call."""
    names = [one.arg for one in made.args.args[1:]]
    given: dict[str, Any] = dict(zip(names, args, strict=False)) | dict(keywords)
    defaults = list(zip(reversed(names), reversed(made.args.defaults), strict=False))
    defaults += [(one.arg, node) for one, node in zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True) if node]
    given = {name: evaluate(node, {}) for name, node in defaults if name not in given} | given
    rebound = {node.id for node in ast.walk(made) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return {name: value for name, value in given.items() if name not in rebound}


def _set_on_self(made: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    """What the statements of `__init__` assign: `self.events = 100`."""
    for statement in made.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        for target in targets if value is not None else ():
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                yield target.attr, value  # type: ignore[misc]


def _of_dataclass(
    kind: Any, args: Sequence[Any], keywords: Mapping[str, Any], body: Sequence[ast.stmt]
) -> dict[str, Any]:
    changed = {name for name, _ in _assigned(body)}
    fields = [one for one in dataclasses.fields(kind) if one.init]
    found: dict[str, Any] = dict(zip((one.name for one in fields), args, strict=False)) | dict(keywords)
    for one in fields:
        if one.name not in found and one.default is not dataclasses.MISSING:
            found[one.name] = one.default
        elif one.name not in found and one.default_factory in (list, dict, set):
            found[one.name] = one.default_factory()
    return {name: value for name, value in found.items() if name not in changed}


def _assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The attributes that statements of a class assign or change (`self.a = 1`, `self.a[0] = 1`, `self.a.append(1)`),
    and the method or statement that does."""
    for statement in body:
        for node in ast.walk(statement):
            is_target = isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load)
            if is_target or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
                yield from ((part.attr, statement) for part in ast.walk(node) if isinstance(part, ast.Attribute))
