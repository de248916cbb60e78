"""Which variables of the user's modules a function may read, and where it holds an object.

It looks at names in code objects and at values, and runs nothing.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from scheduler.render.function.modules import is_ours
from scheduler.render.function.values import SCRIPT

_MOST_OBJECTS = 100_000
SCALARS = (str, bytes, int, float, complex, bool, type(None))


@dataclass(frozen=True)
class Place:
    """Where an object was found.

    Attributes:
        name: such as ``rng`` or ``sampler.rng``.
        is_given: it is a part of the params or of the object whose method is called, not a variable of the code.
    """

    name: str
    is_given: bool


@dataclass(frozen=True)
class Variable:
    """A variable of a module, or an attribute of a class of it.

    Attributes:
        module: where it is.
        name: of the variable, or ``Class.attribute``.
        value: now.
    """

    module: ModuleType
    name: str
    value: object


@dataclass(frozen=True)
class Reach:
    """What a function may use.

    Attributes:
        variables: of the user's modules and of the script.
        definitions: the functions and classes of the user that it uses, itself among them.
        modules: the user's modules that it names, or that contain something of it.
        names: every name and attribute in its code.
    """

    variables: tuple[Variable, ...]
    definitions: tuple[FunctionType | type, ...]
    modules: tuple[ModuleType, ...]
    names: frozenset[str]


def reach_of(function: Callable[..., Any], known: dict[str, bool]) -> Reach:
    """What `function` and everything that it calls may use.

    A name that is only made while the function runs (``getattr(module, text)``) is not found.

    Args:
        function: any callable object.
        known: whether a module is the user's own, by name; what is found out is added.
    """
    walk = _Walk(known)
    walk.follow(function)
    variables: list[Variable] = []
    definitions: list[FunctionType | type] = []
    while walk.waiting:
        definitions.append(walk.waiting.pop())
        variables += walk.uses_of(definitions[-1])
    modules = {one.module.__name__: one.module for one in variables if one.module.__name__ not in SCRIPT} | walk.homes
    return Reach(tuple(variables), tuple(definitions), tuple(modules.values()), frozenset(walk.names))


class _Walk:
    def __init__(self, known: dict[str, bool]) -> None:
        self.known = known
        self.waiting: list[FunctionType | type] = []
        self.seen: dict[int, object] = {}
        self.found: set[tuple[str, str]] = set()
        self.homes: dict[str, ModuleType] = {}
        self.names: set[str] = set()

    def is_ours(self, module: ModuleType) -> bool:
        name = getattr(module, "__name__", "")
        if name not in self.known:
            self.known[name] = name not in SCRIPT and sys.modules.get(name) is module and is_ours(name)
        return self.known[name]

    def follow(self, value: Any) -> None:
        """Note a function, a class, or the parts of a wrapper, to be looked into."""
        if id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if isinstance(value, functools.partial):
            self.follow(value.func)
        elif isinstance(value, (staticmethod, classmethod)) or inspect.ismethod(value):
            self.follow(value.__func__)
        elif isinstance(value, property):
            for part in (value.fget, value.fset, value.fdel):
                self.follow(part)
        elif isinstance(value, FunctionType) or (isinstance(value, type) and self.is_of_user(value)):
            self.waiting.append(value)
        elif not isinstance(value, type) and self.is_of_user(type(value)):
            self.follow(type(value))
        inner = inspect.getattr_static(value, "__wrapped__", None)
        if inner is not None:
            self.follow(inner)

    def is_of_user(self, kind: type) -> bool:
        module = sys.modules.get(kind.__module__)
        return kind.__module__ in SCRIPT or (module is not None and self.is_ours(module))

    def uses_of(self, definition: FunctionType | type) -> Iterator[Variable]:
        if isinstance(definition, type):
            for part in (*vars(definition).values(), *definition.__bases__):
                self.follow(part)
            return
        names = set(names_in(definition.__code__))
        self.names |= names
        home = sys.modules.get(definition.__module__ or "")
        if home is not None and vars(home) is not definition.__globals__:
            home = None
        elif home is not None and self.is_ours(home):
            self.homes[home.__name__] = home
        elif home is not None and home.__name__ not in SCRIPT:
            home = None
        modules = list(self.imported(names, definition.__globals__))
        for value in captured(definition).values():
            modules += [value] if isinstance(value, ModuleType) else []
            self.follow(value)
        for name in sorted(names & definition.__globals__.keys()):
            value = definition.__globals__[name]
            if isinstance(value, ModuleType):
                modules.append(value)
            if home is not None:
                yield from self.new(home, name)
            self.follow(value)
        for module in self.with_submodules(modules, names):
            self.homes[module.__name__] = module
            for name in sorted(names & vars(module).keys()):
                yield from self.new(module, name)
                self.follow(vars(module)[name])

    def new(self, module: ModuleType, name: str) -> Iterator[Variable]:
        if (module.__name__, name) not in self.found:
            self.found.add((module.__name__, name))
            yield Variable(module, name, vars(module)[name])

    def imported(self, names: set[str], around: dict[str, Any]) -> Iterator[ModuleType]:
        """Modules that the function imports itself, if they are loaded."""
        package = str(around.get("__package__") or "")
        for name in names:
            for full in (name, f"{package}.{name}") if package else (name,):
                module = sys.modules.get(full)
                if isinstance(module, ModuleType):
                    yield module

    def with_submodules(self, modules: list[ModuleType], names: set[str]) -> Iterator[ModuleType]:
        """The user's modules among these, and those that are reached as an attribute: `lab.constants.EVENTS`."""
        seen: set[str] = set()
        while modules:
            module = modules.pop()
            if module.__name__ in seen or not self.is_ours(module):
                continue
            seen.add(module.__name__)
            yield module
            modules += [value for name in names if isinstance(value := vars(module).get(name), ModuleType)]


def names_in(code: CodeType) -> Iterator[str]:
    """Every global name and attribute in this code and the code inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def captured(function: FunctionType) -> dict[str, Any]:
    """The variables of the surrounding functions that a function uses: name → value."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return found


def place_of(wanted: object, function: object, params: Mapping[str, Any]) -> Place | None:
    """Where a function or its params hold an object."""
    return next((place for place, value in _parts(function, params) if value is wanted), None)


def first_of_type(name: str, function: object, params: Mapping[str, Any]) -> Place | None:
    """Where a function or its params hold an object of a type with this name."""
    return next((place for place, value in _parts(function, params) if type(value).__name__ == name), None)


def _parts(function: object, params: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    waiting: list[tuple[Place, Any]] = [(Place(f"params[{name!r}]", True), value) for name, value in params.items()]
    waiting.append((Place("", True), function))
    seen: dict[int, object] = {}
    while waiting and len(seen) < _MOST_OBJECTS:
        place, value = waiting.pop(0)
        if id(value) not in seen and not isinstance(value, SCALARS):
            seen[id(value)] = value
            yield place, value
            waiting.extend(_inside(place, value))


def _inside(place: Place, value: Any) -> Iterator[tuple[Place, Any]]:
    """The objects that a function, container or instance holds directly."""

    def given(name: str) -> Place:
        return Place(name, place.is_given)

    if isinstance(value, FunctionType):
        used = {name: value.__globals__[name] for name in names_in(value.__code__) if name in value.__globals__}
        yield from ((Place(name, False), item) for name, item in {**used, **captured(value)}.items())
        items = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        yield from ((Place(f"a default value of {value.__name__}", False), item) for item in items)
    elif isinstance(value, functools.partial):
        yield place, value.func
        yield from ((given(f"argument {n}"), item) for n, item in enumerate(value.args))
        yield from ((given(name), item) for name, item in value.keywords.items())
    elif inspect.ismethod(value):
        yield given(type(value.__self__).__name__), value.__self__
    elif isinstance(value, Mapping):
        yield from ((given(f"{place.name}[{key!r:.40}]"), item) for key, item in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((given(f"{place.name}[{n}]"), item) for n, item in enumerate(value))
    elif isinstance(value, type):
        if value.__module__ in SCRIPT:
            yield from ((Place(f"{value.__name__}.{name}", False), item) for name, item in vars(value).items())
    elif not isinstance(value, ModuleType) and hasattr(value, "__dict__"):
        yield from ((given(f"{place.name}.{name}".lstrip(".")), item) for name, item in vars(value).items())
        yield Place(type(value).__name__, False), type(value)
