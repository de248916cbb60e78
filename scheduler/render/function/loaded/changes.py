"""How the user's modules differ in this process from their files, which are sent. None of their code is run.

a variable has another value than its source gives it, and the value is plain  → the value is sent too
it has another value, which cannot be sent; a function or class was replaced   → refused
a function is not the one in the file any more: the file was edited            → refused
the source does not tell the value (`os.getcwd()`, `load(…)`), or the module changes the variable itself
(a cache)                                                                      → as the file says
"""

from __future__ import annotations

import ast
import enum
import inspect
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType

from scheduler.render.function.loaded.expected import (
    alternatives,
    binding,
    expected,
    origin_of,
    statements_of,
    value_of,
)
from scheduler.render.function.loaded.makers import UNKNOWN, named
from scheduler.render.function.loaded.plain import SCALARS, Differs, is_empty, is_same, literal, plain_of
from scheduler.render.function.loaded.unedited import check_unedited
from scheduler.render.function.modules import is_ours
from scheduler.render.function.names import bound_by, changed_from_outside, root_of
from scheduler.render.function.reach import Reach, Variable
from scheduler.render.function.values import SCRIPT

Values = dict[str, dict[str, tuple[int, str]]]


def values_to_send(reach: Reach) -> Values:
    """The variables that have other values than their source gives them: module → name → a number and the literal of
    the value now. One object that several variables have is sent with the same number.

    Raises:
        Differs: a value cannot be written as a literal, a function or class was replaced, or a file was edited.
    """
    for module in filter(_is_from_file, reach.modules):
        check_unedited(module)
    values: Values = {}
    numbers: dict[int, int] = {}
    for one in (*reach.variables, *_classes(reach)):
        if _is_from_file(one.module) or one.module.__name__ in SCRIPT:
            for name, value in _changed(one) if one.module.__name__ not in SCRIPT else _changed_in_script(one):
                number = numbers.setdefault(id(value), len(numbers))
                text = literal(value, f"{one.module.__name__}.{name}")
                values.setdefault(one.module.__name__, {})[name] = (number, text)
    return values


def _classes(reach: Reach) -> Iterator[Variable]:
    """The classes that a function uses and does not name: the bases of others, and those of objects."""
    known = {(one.module.__name__, one.name) for one in reach.variables}
    for kind in reach.definitions:
        module = sys.modules.get(kind.__module__ or "")
        if not isinstance(kind, type) or module is None or module.__name__ in SCRIPT:
            continue
        if vars(module).get(kind.__name__) is kind and (module.__name__, kind.__name__) not in known:
            yield Variable(module, kind.__name__, kind)


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
        yield from _changed_value(one)


def _changed_value(one: Variable) -> Iterator[tuple[str, object]]:
    source = expected(one.module, one.name)
    sources = alternatives(one.module, one.name) if source is UNKNOWN else [source]
    if _is_lambda(one) and _is_from_elsewhere(one, one.value):
        raise _replaced(one, one.name)
    if not sources or any(is_same(source, one.value) for source in sources):
        return
    if any(_is_filled_by_module(source, one) for source in sources):
        return
    if plain_of(one.value) is not UNKNOWN or not _is_changed_by_module(one):
        yield one.name, one.value


def _is_lambda(one: Variable) -> bool:
    values = (getattr(statement, "value", None) for statement in binding(one.module, one.name))
    return any(isinstance(value, ast.Lambda) for value in values)


def _is_from_elsewhere(one: Variable, value: object) -> bool:
    """Whether a value is a function that was defined in another file than that of the module."""
    return isinstance(value, FunctionType) and value.__code__.co_filename != str(one.module.__file__)


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


def _is_set_by_module(one: Variable) -> bool:
    """Whether the module itself has set a variable, which cannot be sent, by `global` in a function."""
    return _is_global(one) and plain_of(one.value) is UNKNOWN


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
    return is_empty(source) and plain_of(one.value) is UNKNOWN and (source is not None or _is_global(one))


def _changed_import(one: Variable, statement: ast.ImportFrom) -> Iterator[tuple[str, object]]:
    origin, name = origin_of(one.module, statement, one.name)
    now = getattr(origin, name, UNKNOWN)
    source = expected(origin, name) if origin is not None else UNKNOWN
    if source is not UNKNOWN and origin is not None:
        if is_same(source, one.value) or _is_filled_by_module(source, one):
            return
        if plain_of(one.value) is not UNKNOWN or not _is_changed_by_module(Variable(origin, name, now)):
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
    if isinstance(statement, ast.ClassDef):
        if isinstance(one.value, type):
            yield from _changed_attributes(one, one.value, statement)
        elif not statement.decorator_list:
            raise _replaced(one, one.name)
    else:
        _check_function(one, one.value, statement, one.name)


def _check_function(one: Variable, value: object, statement: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> None:
    """Check that a function or method is the one in the file, with the default values that it has there.

    Raises:
        Differs: it is not.
    """
    known = ("staticmethod", "classmethod", "property")
    made_by = [named(getattr(node, "func", node), vars(one.module)) for node in statement.decorator_list]
    files = {getattr(sys.modules.get(getattr(made, "__module__", None) or ""), "__file__", None) for made in made_by}
    if isinstance(value, property):
        value = value.fget
    if all(isinstance(node, ast.Name) and node.id in known for node in statement.decorator_list):
        if not _is_from(one, value, statement.name):
            raise _replaced(one, name)
    elif _is_from_elsewhere(one, value):
        inner = inspect.unwrap(value)  # type: ignore[arg-type]
        if value.__module__ in SCRIPT or (
            _is_from_elsewhere(one, inner) and files.isdisjoint({_file_of(value)}) and None not in files
        ):
            raise _replaced(one, name)
    inner = inspect.unwrap(getattr(value, "__func__", value))  # type: ignore[arg-type]
    if isinstance(inner, FunctionType) and not _is_from_elsewhere(one, inner):
        for node, now in zip(statement.args.defaults, inner.__defaults__ or (), strict=False):
            source = value_of(node, lambda name: _once(one.module, name), vars(one.module))
            if (
                plain_of(now) is not UNKNOWN
                and source is not UNKNOWN
                and not is_same(source, now)
                and not is_empty(source)
            ):
                raise _replaced(one, f"{name} (its default value {ast.unparse(node)[:40]})")


def _file_of(value: object) -> str | None:
    return getattr(sys.modules.get(getattr(value, "__module__", None) or ""), "__file__", None)


def _once(module: ModuleType, name: str) -> object:
    return expected(module, name) if len(binding(module, name)) == 1 else UNKNOWN


def _changed_attributes(
    one: Variable, kind: type, statement: ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, object]]:
    path = prefix or one.name
    for inner in statement.body:
        value = vars(kind).get(getattr(inner, "name", ""))
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            again = sum(getattr(other, "name", "") == inner.name for other in statement.body) > 1
            if value is not None and not again:
                _check_function(one, value, inner, f"{path}.{inner.name}")
        elif isinstance(inner, ast.ClassDef) and isinstance(value, type):
            yield from _changed_attributes(one, value, inner, f"{path}.{inner.name}")
        for name, node in _assignments(inner):
            value = vars(kind).get(name, UNKNOWN)
            source = value_of(node, lambda name: _once(one.module, name), vars(one.module))
            if value is UNKNOWN or source is UNKNOWN or is_same(source, value) or issubclass(kind, enum.Enum):
                continue
            if is_empty(source) and type(value) not in SCALARS and plain_of(value) is UNKNOWN:
                continue  # the class fills it: a registry
            if type(value) in (*SCALARS, list, tuple, dict, set) or type(value) is type(source):
                yield f"{path}.{name}", value
    if not prefix and not statement.decorator_list and type(kind) is type:
        yield from _added_attributes(one, kind, statement)


def _added_attributes(one: Variable, kind: type, statement: ast.ClassDef) -> Iterator[tuple[str, object]]:
    """What a class has and its text has not, unless the module sets attributes of it: `Beam.extra = 5`."""
    in_text = {name for inner in statement.body for name in bound_by(inner)}
    if _is_changed_by_module(one) or any(hasattr(base, "__set_name__") for base in kind.__mro__[1:-1]):
        return
    for name, value in vars(kind).items():
        if name not in in_text and not name.startswith("_"):
            if _is_from_elsewhere(one, value):
                raise _replaced(one, f"{one.name}.{name}")
            if type(value) in SCALARS:
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


def _is_from_file(module: ModuleType) -> bool:
    """Whether Python loaded the module from its file as it is: not through an import hook that rewrites code."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return type(loader) is SourceFileLoader and bool(getattr(module, "__file__", None))
