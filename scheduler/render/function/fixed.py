"""Whether an expression means the same on every machine: it combines definitions and reads nothing from the machine.

`jit(cache=True)(f)` and `namedtuple("P", "x y")` are fixed; `int(sys.argv[1])`, `time.time()`, `load("a.txt")` are not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from scheduler.render.function.modules import is_ours
from scheduler.render.function.values import SCRIPT, is_defined

_READING_MODULES = {
    *("time", "random", "os", "posix", "io", "_io", "socket", "_socket", "uuid", "subprocess", "getpass", "platform"),
    *("shutil", "tempfile", "secrets", "glob", "sys", "signal", "urllib", "requests"),
}
_READING_NAMES = (  # and names that begin with one of them
    *("now", "today", "utcnow", "cwd", "home", "input", "open", "eval", "exec", "print", "load", "read"),
)
_PLAIN = (int, float, str, bool, bytes, tuple, type(None))
_COMBINED = (
    *(ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.SetComp, ast.DictComp),
)
_UNKNOWN = object()


def is_fixed(node: ast.expr, values: Mapping[str, Any]) -> bool:
    """Whether `node` is fixed. `values`: name → value now, for the names of the script; each is examined by itself."""
    if isinstance(node, ast.Call):
        return _is_fixed_call(node, values) and all(_is_fixed_argument(item, values) for item in _arguments(node))
    if isinstance(node, (ast.Constant, ast.Lambda, ast.Name)):
        return True
    if isinstance(node, ast.Attribute):
        return is_fixed(node.value, values) and _is_fixed_attribute(node, values)
    if isinstance(node, _COMBINED):
        return all(is_fixed(part, values) for part in _parts(node))
    return False


def evaluated_at_once(statement: ast.stmt) -> Iterator[ast.expr]:
    """The expressions that are evaluated when a function or class is defined, except annotations."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from statement.decorator_list
        yield from statement.args.defaults
        yield from filter(None, statement.args.kw_defaults)
    elif isinstance(statement, ast.ClassDef):
        yield from statement.decorator_list
        yield from statement.bases
        yield from (keyword.value for keyword in statement.keywords)
        for inner in statement.body:
            yield from evaluated_at_once(inner)
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
        yield statement.value


def _is_fixed_argument(node: ast.expr, values: Mapping[str, Any]) -> bool:
    """An argument that calls a function of the user is not fixed: what that function reads is not known."""
    called = _value(node.func, values) if isinstance(node, ast.Call) else None
    module = getattr(called, "__module__", None) or ""
    if called is not None and not isinstance(called, type) and (module in SCRIPT or is_ours(module)):
        return False
    return is_fixed(node, values)


def _is_fixed_call(node: ast.Call, values: Mapping[str, Any]) -> bool:
    if not is_fixed(node.func, values):
        return False
    called = _value(node.func, values)
    name, module = getattr(called, "__name__", ""), getattr(called, "__module__", None) or ""
    if module.partition(".")[0] in _READING_MODULES or name.startswith(_READING_NAMES):
        return False
    owner = getattr(called, "__self__", None)
    return owner is None or isinstance(owner, (type, ModuleType))


def _is_fixed_attribute(node: ast.Attribute, values: Mapping[str, Any]) -> bool:
    """Attributes of modules: a definition or a plain constant is fixed; `sys.platform` and `os.environ` are not."""
    owner, value = _value(node.value, values), _value(node, values)
    if not isinstance(owner, ModuleType) or value is _UNKNOWN:
        return True
    reads = owner.__name__.partition(".")[0] in _READING_MODULES
    return is_defined(value) or (isinstance(value, _PLAIN) and not reads)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of a dotted name now."""
    if isinstance(node, ast.Name):
        return values.get(node.id, _BUILTINS.get(node.id, _UNKNOWN))
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, values)
        return getattr(owner, node.attr, _UNKNOWN) if isinstance(owner, (ModuleType, type)) else _UNKNOWN
    return _UNKNOWN


def _arguments(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]


def _parts(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.comprehension):
            yield from (child.iter, *child.ifs)
        elif isinstance(child, ast.expr):
            yield child


_BUILTINS: Mapping[str, Any] = vars(__import__("builtins"))
