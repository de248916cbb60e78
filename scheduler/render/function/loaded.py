"""How the user's modules differ in this process from their files, which are sent. None of their code is run.

a variable has another value than its source gives it, and the value is plain  → the value is sent too
it has another value, which cannot be sent; a function or class was replaced   → refused
a function is not the one in the file any more: the file was edited            → refused
the source does not tell the value (`os.getcwd()`, `load(…)`), or the module changes the variable itself
(a cache)                                                                      → as the file says
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from scheduler.render.function.expected import UNKNOWN, binding, expected, origin_of, statements_of, value_of
from scheduler.render.function.modules import is_ours
from scheduler.render.function.reach import Reach, Variable
from scheduler.render.function.values import SCRIPT

_LONGEST = 1_000_000  # characters
_SCALARS = (int, float, complex, str, bytes, bool, type(None))


class Differs(Exception):
    """A module differs from its file in a way that cannot be sent. The message says how."""


Values = dict[str, dict[str, tuple[int, str]]]


def values_to_send(reach: Reach) -> Values:
    """The variables that have other values than their source gives them: module → name → a number and the literal of
    the value now. One object that several variables have is sent with the same number.

    Raises:
        Differs: a value cannot be written as a literal, a function or class was replaced, or a file was edited.
    """
    for module in filter(_is_from_file, reach.modules):
        _check_unedited(module)
    values: Values = {}
    numbers: dict[int, int] = {}
    for one in reach.variables:
        if _is_from_file(one.module) or one.module.__name__ in SCRIPT:
            for name, value in _changed(one) if one.module.__name__ not in SCRIPT else _changed_in_script(one):
                number = numbers.setdefault(id(value), len(numbers))
                text = literal(value, f"{one.module.__name__}.{name}")
                values.setdefault(one.module.__name__, {})[name] = (number, text)
    return values


def literal(value: object, name: str) -> str:
    """A plain value as text that `ast.literal_eval` reads; numpy's scalars as plain numbers.

    Raises:
        Differs: it is no such value.
    """
    plain = _plain(value, 0)
    text = repr(plain) if plain is not UNKNOWN else ""
    if not text or len(text) > _LONGEST:
        raise Differs(
            f"{name}, a {type(value).__name__}, was changed after its module was imported, and the jobs would see the "
            "value in the file: give it as a parameter, or change the file"
        )
    return text


def _plain(value: Any, depth: int) -> Any:
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if type(value) in _SCALARS:
        is_finite = not isinstance(value, (float, complex)) or not (math.isinf(abs(value)) or value != value)
        return value if is_finite else UNKNOWN
    if depth > 50 or type(value) not in (list, tuple, set, dict) or value == set():
        return UNKNOWN
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
    plain = [_plain(part, depth + 1) for part in parts]
    if any(part is UNKNOWN for part in plain):
        return UNKNOWN
    return (
        dict(zip(plain[: len(value)], plain[len(value) :], strict=True))
        if isinstance(value, dict)
        else type(value)(plain)
    )


def _changed(one: Variable) -> Iterator[tuple[str, object]]:
    statements = binding(one.module, one.name)
    if one.name.startswith("__") or isinstance(one.value, ModuleType):
        return
    starred = next(iter(_starred(one)), None) if not statements else None
    if starred is not None:
        yield from _changed_import(one, starred)
    elif not statements:
        if not _is_set_by_module(one):
            yield one.name, one.value
    elif len(statements) == 1 and isinstance(statements[0], ast.ImportFrom):
        yield from _changed_import(one, statements[0])
    elif len(statements) == 1 and isinstance(statements[0], (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield from _changed_definition(one, statements[0])
    else:
        source = expected(one.module, one.name)
        if source is not UNKNOWN and not _is_same(source, one.value) and not _is_filled_by_module(source, one):
            yield one.name, one.value


def _is_set_by_module(one: Variable) -> bool:
    """Whether the module itself has set a variable, which cannot be sent, by `global` in a function."""
    return _is_global(one) and _plain(one.value, 0) is UNKNOWN


def _changed_in_script(one: Variable) -> Iterator[tuple[str, object]]:
    """Only what the script imports: its other variables are sent with their values in any case."""
    statements = binding(one.module, one.name)
    if len(statements) == 1 and isinstance(statements[0], ast.ImportFrom):
        origin, _ = origin_of(one.module, statements[0], one.name)
        if origin is not None and _is_from_file(origin) and is_ours(origin.__name__):
            yield from _changed_import(one, statements[0])


def _starred(one: Variable) -> Iterator[ast.ImportFrom]:
    """The statement `from … import *` that sets a variable."""
    for node in statements_of(one.module):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            origin, _ = origin_of(one.module, node, one.name)
            if hasattr(origin, one.name):
                yield node


def _is_global(one: Variable) -> bool:
    nodes = (node for statement in statements_of(one.module) for node in ast.walk(statement))
    return any(isinstance(node, ast.Global) and one.name in node.names for node in nodes)


def _is_filled_by_module(source: object, one: Variable) -> bool:
    """Whether the variable is empty in the source, and has been filled with what cannot be sent: a cache."""
    return not source and _plain(one.value, 0) is UNKNOWN and (source is not None or _is_global(one))


def _changed_import(one: Variable, statement: ast.ImportFrom) -> Iterator[tuple[str, object]]:
    origin, name = origin_of(one.module, statement, one.name)
    now = getattr(origin, name, UNKNOWN)
    source = expected(origin, name) if origin is not None else UNKNOWN
    if source is not UNKNOWN:
        if not _is_same(source, one.value) and not _is_filled_by_module(source, one):
            yield one.name, one.value
    elif origin is not None and now is not one.value and now is not UNKNOWN:
        defined = getattr(one.value, "__module__", None), getattr(one.value, "__qualname__", None)
        if defined != (
            origin.__name__,
            name,
        ):  # else it is what the origin defines, and was replaced or loaded again there
            yield one.name, one.value


def _changed_definition(
    one: Variable, statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
) -> Iterator[tuple[str, object]]:
    if statement.decorator_list and not isinstance(statement, ast.ClassDef):
        return
    if isinstance(statement, ast.ClassDef):
        if not isinstance(one.value, type):
            if not statement.decorator_list:
                raise _replaced(one, one.name)
            return
        yield from _changed_attributes(one, one.value, statement)
    elif not _is_from(one, one.value, statement.name):
        raise _replaced(one, one.name)


def _changed_attributes(one: Variable, kind: type, statement: ast.ClassDef) -> Iterator[tuple[str, object]]:
    for inner in statement.body:
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inner.decorator_list:
            value = vars(kind).get(inner.name)
            again = sum(getattr(other, "name", "") == inner.name for other in statement.body) > 1
            if value is not None and not again and not _is_from(one, value, inner.name):
                raise _replaced(one, f"{one.name}.{inner.name}")
        for name, node in _assignments(inner):
            value, source = vars(kind).get(name, UNKNOWN), value_of(node, lambda _: UNKNOWN)
            if (
                source is not UNKNOWN
                and type(value) in (*_SCALARS, list, tuple, dict, set)
                and not _is_same(source, value)
            ):
                yield f"{one.name}.{name}", value


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from ((target.id, statement.value) for target in targets if isinstance(target, ast.Name))


def _is_from(one: Variable, value: object, name: str) -> bool:
    """Whether a value is a function of this name in the file of the module."""
    inner = inspect.unwrap(value) if isinstance(value, FunctionType) else getattr(value, "__func__", value)
    if not isinstance(inner, FunctionType):
        return False
    return (
        inner.__code__.co_name == name and Path(inner.__code__.co_filename).name == Path(str(one.module.__file__)).name
    )


def _replaced(one: Variable, name: str) -> Differs:
    return Differs(
        f"{one.module.__name__}.{name} was replaced after its module was imported, and the jobs would use the one in "
        f"{one.module.__file__}: change the file, or give the function what it needs as a parameter"
    )


def _is_same(source: object, value: object) -> bool:
    plain = _plain(value, 0)
    value = value if plain is UNKNOWN else plain
    if type(source) is not type(value):
        return False
    return (
        source == value
        if isinstance(source, (set, dict)) and repr(source) != repr(value)
        else repr(source) == repr(value)
    )


def _is_from_file(module: ModuleType) -> bool:
    """Whether Python loaded the module from its file as it is: not through an import hook that rewrites code."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return type(loader) is SourceFileLoader and bool(getattr(module, "__file__", None))


def _check_unedited(module: ModuleType) -> None:
    """Check that the functions and methods of a loaded module are those in its file."""
    file = Path(str(module.__file__))
    if not file.is_file():
        raise Differs(f"{file}, which has been loaded, does not exist any more: start Python again")
    codes = _codes_in(str(file), file.stat().st_mtime_ns)
    for name, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__ and value.__qualname__ == name:
            inner = [(f"{name}.{part}", getattr(item, "__func__", item)) for part, item in vars(value).items()]
        else:
            inner = [(name, value)]
        for path, function in inner:
            if isinstance(function, FunctionType) and function.__code__.co_filename == str(file):
                found = codes.get(path, ())
                if function.__code__.co_name == path.rpartition(".")[2] and not any(
                    _same(function.__code__, one) for one in found
                ):
                    raise Differs(
                        f"{file} has been edited since it was loaded: {path}() there is not the one that this process "
                        "has: start Python again, or reload the module"
                    )


@functools.lru_cache(maxsize=1000)
def _codes_in(file: str, _modified: int) -> dict[str, list[CodeType]]:
    """Name or Class.name → the code objects of the functions in a file that have it."""
    try:
        whole = compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, list[CodeType]] = {}
    for code in _inside(whole):
        found.setdefault(code.co_name, []).append(code)
        for inner in _inside(code):
            found.setdefault(f"{code.co_name}.{inner.co_name}", []).append(inner)
    return found


def _inside(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_wrapper = constant.co_name.startswith("<generic parameters")  # of `def f[T]`
            yield from _inside(constant) if is_wrapper else (constant,)


_ATTRIBUTES = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_kwonlyargcount")


def _same(code: object, other: object) -> bool:
    """Whether two code objects or constants of them do the same; their line numbers may differ."""
    if isinstance(code, CodeType) and isinstance(other, CodeType):
        if any(getattr(code, name) != getattr(other, name) for name in _ATTRIBUTES):
            return False
        return len(code.co_consts) == len(other.co_consts) and all(map(_same, code.co_consts, other.co_consts))
    return type(code) is type(other) and (code == other if isinstance(code, frozenset) else repr(code) == repr(other))
