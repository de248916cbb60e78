"""Calls that depend on nothing but their arguments: `Path("a")`, `np.array([1, 2])`, `Config(events=5)`. Only those of
Python and numpy in the table are made."""

from __future__ import annotations

import ast
import enum
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

UNKNOWN: Any = object()
_BUILTINS = "int float str bool bytes complex list dict set frozenset tuple range len sum min max abs round sorted"
_NUMPY = "array asarray arange linspace logspace zeros ones full eye float64 float32 int64 int32"
_MAKERS: Mapping[str, Sequence[str]] = {
    "builtins": _BUILTINS.split(),
    "pathlib": ["Path", "PurePath", "PosixPath", "PurePosixPath"],
    "pathlib._local": ["Path", "PurePath", "PosixPath", "PurePosixPath"],
    "fractions": ["Fraction"],
    "decimal": ["Decimal"],
    "datetime": ["date", "time", "datetime", "timedelta"],
    "collections": ["OrderedDict", "defaultdict", "Counter", "deque"],
    "types": ["SimpleNamespace"],
    "argparse": ["Namespace"],
    "functools": ["partial"],
    "os": ["getenv"],
    "numpy": _NUMPY.split(),
}
CONSTANTS = ("math", "cmath", "numpy", "scipy.constants", "string", "typing")
"""Modules whose constants are the same everywhere."""
_MOST_ITEMS = 1_000_000


@dataclass(frozen=True)
class Instance:
    """What the source tells of an object of a class of the user.

    Attributes:
        kind: its class.
        attributes: those whose values are known.
    """

    kind: type
    attributes: Mapping[str, Any]


def named(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """The value of a dotted name, whose first part is in `scope` or a builtin; None if it has none."""
    if isinstance(node, ast.Name):
        return scope.get(node.id, vars(sys.modules["builtins"]).get(node.id))
    owner = named(node.value, scope) if isinstance(node, ast.Attribute) else None
    return getattr(owner, node.attr, None) if isinstance(owner, (ModuleType, type)) else None  # type: ignore[attr-defined]


def maker(node: ast.expr, scope: Mapping[str, Any]) -> Callable[..., Any] | None:
    """What an expression calls, if it is a function or class in the table, or a class of the user like one."""
    if ast.unparse(node) == "os.environ.get" and scope.get("os") is sys.modules["os"]:
        return sys.modules["os"].environ.get  # type: ignore[no-any-return]
    called = named(node, scope)
    module, name = getattr(called, "__module__", None) or "", getattr(called, "__name__", "")
    if callable(called) and (module == "math" or name in _MAKERS.get(module, ())):
        return called  # type: ignore[no-any-return]
    is_named_tuple = isinstance(called, type) and called.__bases__ == (tuple,) and hasattr(called, "_fields")
    return called if is_named_tuple else None


def made(called: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """What a function or class in the table makes; `UNKNOWN` if that fails or may be large."""
    items = math.prod(_size(one) for one in (*args, *keywords.values()))
    if items > _MOST_ITEMS and getattr(called, "__name__", "") not in ("int", "float", "str", "range", "len"):
        return UNKNOWN
    try:
        return called(*args, **keywords)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return UNKNOWN


def _size(value: Any) -> int:
    if isinstance(value, tuple):
        return math.prod(_size(one) for one in value)
    if isinstance(value, int):
        return max(1, abs(value))
    return max(1, len(value)) if isinstance(value, (list, range, str)) else 1


def constant(node: ast.Attribute, scope: Mapping[str, Any]) -> Any:
    """`math.pi`, or a member of an enumeration; None if it is neither."""
    owner, value = named(node.value, scope), named(node, scope)
    if isinstance(owner, ModuleType) and owner.__name__ in CONSTANTS and isinstance(value, (int, float, str)):
        return value
    is_member = isinstance(owner, type) and issubclass(owner, enum.Enum) and isinstance(value, owner)
    return value if is_member else None
