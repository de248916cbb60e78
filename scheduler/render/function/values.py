"""A value as an expression that makes an equal value on any Python. The code that made the value is not run."""

from __future__ import annotations

import enum
import functools
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from scheduler.render.function import Unfit
from scheduler.render.function.modules import is_ours

_LONGEST = 1_000_000  # characters: longer values are data, which belong in a file or a pickle
_DEEPEST = 50
_REDUCED = {
    "argparse",
    "collections",
    "datetime",
    "decimal",
    "fractions",
    "ipaddress",
    "logging",
    "pathlib",
    "uuid",
}
PLAIN_OF_NUMPY = {"float64": float, "int64": int, "bool": bool, "bool_": bool, "str_": str}
"""numpy's scalars that equal a number, a truth value or a text of Python."""
_MADE_SPECIALLY = ("__new__", "__reduce__", "__reduce_ex__", "__setstate__", "__slots__")
SCRIPT = ("__main__", "__mp_main__")


@dataclass(frozen=True)
class Spelling:
    """A value as an expression.

    Attributes:
        text: the expression.
        names: of the script, that it uses.
        modules: that it imports.
    """

    text: str
    names: frozenset[str]
    modules: frozenset[str]


def spell(value: object, *, named: Mapping[str, object], seen: dict[int, object] | None = None) -> Spelling:
    """Write a value as an expression.

    Args:
        value: any object.
        named: name → the definitions that the expression may refer to by name.
        seen: the mutable objects that are written already, by id; those of this value are added.

    Raises:
        Unfit: a value of this type cannot be written, is too long, or shares an object with another value.
    """
    speller = _Speller(named, {} if seen is None else seen)
    text = speller.of(value)
    if len(text) > _LONGEST:
        raise Unfit(f"a {type(value).__name__} is too large to be written into the source")
    return Spelling(text, frozenset(speller.names), frozenset(speller.modules))


def is_defined(value: object) -> bool:
    """Whether a value is made by a definition (a function, class, module or type), and is not data."""
    if isinstance(value, (type, FunctionType, BuiltinFunctionType, ModuleType)) or hasattr(value, "__wrapped__"):
        return True
    kind = type(value)
    named = kind.__name__ in ("partial", "ufunc", "GenericAlias", "UnionType")
    return named or kind.__module__ in ("typing", "typing_extensions")


class _Speller:
    def __init__(self, named: Mapping[str, object], seen: dict[int, object]) -> None:
        self.named = named
        self.seen = seen
        self.names: set[str] = set()
        self.modules: set[str] = set()
        self.above: list[int] = []

    def of(self, value: Any) -> str:
        if id(value) in self.above or len(self.above) > _DEEPEST:
            raise Unfit("a value contains itself, or is nested too deeply")
        self.above.append(id(value))
        text = self._of(value)
        self.above.pop()
        return text

    def _of(self, value: Any) -> str:
        kind = type(value)
        plain = _PLAIN.get(kind)
        if plain is not None:
            return plain(value)
        if isinstance(value, ModuleType):
            return self.imported(value.__name__)
        if kind is functools.partial:
            return f"{self.of(kind)}({self.of(value.func)}, *{self.of(value.args)}, **{self.of(value.keywords)})"
        if is_defined(value):
            return self.of_definition(value)
        return self.of_container(value) if kind in _BRACKETS else self.of_object(value)

    def note(self, value: object) -> None:
        """Record a mutable object. One object must not become two on the node."""
        if id(value) in self.seen:
            raise Unfit("one and the same object is used in several places")
        self.seen[id(value)] = value

    def of_container(self, value: Any) -> str:
        if not isinstance(value, (tuple, frozenset)):
            self.note(value)
        opening, closing = _BRACKETS[type(value)]
        if isinstance(value, dict):
            inner = "".join(f"{self.of(key)}: {self.of(item)}, " for key, item in value.items())
        else:
            inner = "".join(f"{self.of(item)}, " for item in value)
        return f"{opening}{inner}{closing}"

    def of_definition(self, value: Any) -> str:
        """A definition: by its name in the script, or from its module."""
        for name, known in self.named.items():
            if known is value:
                self.names.add(name)
                return name
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not module or not qualname or module in SCRIPT or _found(module, qualname) is not value:
            raise Unfit(f"{qualname or f'a {type(value).__name__}'} has no name in a module")
        public = [name for name in _above(module) if _found(name, qualname) is value]  # pathlib, not pathlib._local
        return f"{self.imported(public[0])}.{qualname}"

    def imported(self, module: str) -> str:
        if module in SCRIPT:
            raise Unfit("it refers to the script as a module")
        self.modules.add(module)
        return f"__import__('importlib').import_module({module!r})"

    def of_object(self, value: Any) -> str:
        kind = type(value)
        if isinstance(value, enum.Enum):
            return f"{self.of(kind)}({self.of(value._value_)})"
        if isinstance(value, tuple) and hasattr(kind, "_make"):  # a namedtuple
            return f"{self.of(kind)}._make({self.of(tuple(value))})"
        if isinstance(value, re.Pattern):
            return f"{self.imported('re')}.compile({self.of(value.pattern)}, {value.flags})"
        if kind.__module__ == "numpy" and hasattr(value, "dtype") and hasattr(value, "tolist"):
            plain = kind.__name__ in PLAIN_OF_NUMPY
            return self.of(value.item()) if plain else self.of_array(value)
        if _above(kind.__module__)[0] in _REDUCED:
            if kind.__module__ in ("collections", "argparse"):
                self.note(value)
            return self.of_reduced(value.__reduce_ex__(2))
        if kind.__module__ in SCRIPT or is_ours(kind.__module__):
            return self.of_instance(value)
        raise Unfit(f"a {kind.__module__}.{kind.__name__} cannot be written as source")

    def of_array(self, value: Any) -> str:
        if value.dtype.kind not in "biufcUS" or value.size > _LONGEST / 4 or type(value).__name__ == "matrix":
            raise Unfit(f"an array of {value.size} {value.dtype} cannot be written as source")
        self.note(value)
        items = self.of(value.ravel().tolist())
        return f"{self.imported('numpy')}.array({items}, {value.dtype.str!r}).reshape({value.shape!r})[()]"

    def of_instance(self, value: Any) -> str:
        """An instance of the user's own class: its attributes are set, and its `__init__` is not called."""
        kind = type(value)
        special = [name for name in _MADE_SPECIALLY if _has_own(kind, name)]
        if special or not hasattr(value, "__dict__"):
            raise Unfit(f"a {kind.__name__} cannot be written as source")
        self.note(value)
        made = f"object.__new__({self.of(kind)})"
        return f"(lambda made, state: (made.__dict__.update(state), made)[1])({made}, {self.of(vars(value))})"

    def of_reduced(self, reduced: Any) -> str:
        """An instance of a class of the standard library whose pickles any Python reads: as pickle would make it."""
        if isinstance(reduced, str):
            raise Unfit(f"{reduced} cannot be written as source")
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        made = self.of_call(make, arguments)
        for method, content in (("__dict__.update", state), ("extend", items), ("update", pairs)):
            if content is not None:
                added = self.of(content if isinstance(content, dict) else list(content))
                made = f"(lambda made, added: (made.{method}(added), made)[1])({made}, {added})"
        return made

    def of_call(self, make: Callable[..., Any], arguments: Iterable[Any]) -> str:
        if make.__name__ == "__newobj__":  # from copyreg: the class is the first argument
            kind, *rest = arguments
            inner = ", ".join([self.of(kind), *map(self.of, rest)])
            return f"{self.of(kind)}.__new__({inner})"
        return f"{self.of(make)}({', '.join(map(self.of, arguments))})"


def _above(module: str) -> list[str]:
    """The packages that contain a module, the outermost first, then the module itself."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _found(module: str, qualname: str) -> object:
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _has_own(kind: type, name: str) -> bool:
    return any(name in vars(base) for base in kind.__mro__ if base is not object)


def _float(value: float) -> str:
    if math.isnan(value):
        return "(1e999 - 1e999)"
    return repr(value) if math.isfinite(value) else "1e999" if value > 0 else "(-1e999)"


def _complex(value: complex) -> str:
    return f"complex({_float(value.real)}, {_float(value.imag)})"


_PLAIN: dict[type, Callable[[Any], str]] = {
    type(None): repr,
    type(...): lambda _: "...",
    bool: repr,
    int: repr,
    str: ascii,
    bytes: repr,
    float: _float,
    complex: _complex,
    range: repr,
}
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("set([", "])"),
    frozenset: ("frozenset([", "])"),
}
