"""Does an expression mean the same wherever it is evaluated? It may combine definitions, and ask nothing of a machine.

`jit(cache=True)(f)` and `namedtuple("P", "x y")` do; `int(sys.argv[1])`, `time.time()` and `load("a.txt")` do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from scheduler.render.function.modules import is_ours
from scheduler.render.function.values import SCRIPT, is_defined

_ASKING_MODULES = {
    *("time", "random", "os", "posix", "io", "_io", "socket", "_socket", "uuid", "subprocess", "getpass", "platform"),
    *("shutil", "tempfile", "secrets", "glob", "sys", "signal", "urllib", "requests"),
}
_ASKING_NAMES = (  # or names that begin so
    *("now", "today", "utcnow", "cwd", "home", "input", "open", "eval", "exec", "print", "load", "read"),
)
_PLAIN = (int, float, str, bool, bytes, tuple, type(None))
_COMBINED = (
    *(ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.SetComp, ast.DictComp),
)
_UNKNOWN = object()


def is_fixed(node: ast.expr, values: Mapping[str, Any]) -> bool:
    """`values` are what the names of the script are now; each of them is seen to by itself."""
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
    """What is evaluated when a function or class is defined, except annotations."""
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
    """As an argument, a call of a function of the user's own is not looked through."""
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
    if module.partition(".")[0] in _ASKING_MODULES or name.startswith(_ASKING_NAMES):
        return False
    owner = getattr(called, "__self__", None)
    return owner is None or isinstance(owner, (type, ModuleType))


def _is_fixed_attribute(node: ast.Attribute, values: Mapping[str, Any]) -> bool:
    """Of a module: a definition or a plain constant, but not `sys.platform` or `os.environ`."""
    owner, value = _value(node.value, values), _value(node, values)
    if not isinstance(owner, ModuleType) or value is _UNKNOWN:
        return True
    asking = owner.__name__.partition(".")[0] in _ASKING_MODULES
    return is_defined(value) or (isinstance(value, _PLAIN) and not asking)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """What a dotted name is now, if it is one."""
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
