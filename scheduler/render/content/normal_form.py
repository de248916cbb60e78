"""Python source as text that only its meaning changes: comments, layout, docstrings and the version of Python do not.

`ast.dump` and `ast.unparse` print the same source in different ways on different versions, so this has its own form:
a field without a value is left out (a newer version has more of them), and f-strings are put together in one way.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def normal_form(node: ast.AST, *, docstrings: bool) -> str:
    """A statement or expression in normal form.

    Args:
        node: of any version of Python.
        docstrings: whether docstrings count: the source uses them.
    """
    return "".join(_written(node, docstrings))


def _written(value: object, docstrings: bool) -> Iterator[str]:
    if isinstance(value, ast.Constant):
        yield f"{type(value.value).__name__} {_constant(value.value)}"
    elif isinstance(value, ast.AST):
        yield f"{type(value).__name__}("
        for name in value._fields:
            inner = getattr(value, name, None)
            if name == "body" and not docstrings and isinstance(value, _DOCUMENTED):
                inner = _without_docstring(value.body)
            if isinstance(value, ast.JoinedStr):
                inner = _joined(value.values)
            if name not in _LEFT_OUT and inner is not None and inner != []:
                yield f"{name}="
                yield from _written(inner, docstrings)
                yield ","
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _written(item, docstrings)
            yield ","
        yield "]"
    else:
        yield ascii(value)


def _constant(value: object) -> str:
    if isinstance(value, frozenset):  # made by an optimising compiler only; its order differs between processes
        return ascii(sorted(map(ascii, value)))
    return ascii(value)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, neighbouring texts as one, without empty ones."""
    found: list[ast.expr] = []
    for one in values:
        last = found[-1] if found else None
        if isinstance(one, ast.Constant) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(f"{last.value!s}{one.value!s}")
        elif not (isinstance(one, ast.Constant) and one.value == ""):
            found.append(one)
    return found
