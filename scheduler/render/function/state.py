"""Objects with a state that every job would get a copy of: random number generators, iterators, open files."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

from scheduler.render.function.reach import Reach, captured, names_in
from scheduler.render.function.values import SCRIPT

GENERATOR = "a random number generator"
REMEDY = "give each job a seed in params, and make the generator in the function"
_MOST_OBJECTS = 100_000
_SCALARS = (str, bytes, int, float, complex, bool, type(None))


@dataclass(frozen=True)
class Place:
    """Where an object was found.

    Attributes:
        name: such as ``rng`` or ``sampler.rng``.
        is_given: it is a part of the params or of the object whose method is called, not a variable of the code.
    """

    name: str
    is_given: bool


def kind_of_state(value: object) -> str:
    """What an object is, if a copy of it would share its state; else empty."""
    kinds = [(kind.__module__, kind.__name__) for kind in type(value).__mro__]
    if ("random", "SystemRandom") in kinds:
        return ""
    if any(kind in _GENERATORS or kind[0].startswith("numpy.random") for kind in kinds):
        return GENERATOR
    if isinstance(value, io.IOBase):
        return "an open file"
    return "an iterator" if isinstance(value, Iterator) else ""


_GENERATORS = {("random", "Random"), ("torch._C", "Generator"), ("torch", "Generator")}


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle, except that Python's and numpy's global generators are referred to by name and not copied.

    Attributes:
        states: the objects in the pickle that `kind_of_state` knows.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.states: list[object] = []

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled."""
        owner = getattr(obj, "__self__", None) if inspect.isroutine(obj) else None
        for reference, known in _global_generators():
            if obj is known:
                return getattr, reference
            if owner is known:
                return getattr, (known, obj.__name__)
        if kind_of_state(obj):
            self.states.append(obj)
        return super().reducer_override(obj)


def _global_generators() -> Iterator[tuple[tuple[ModuleType, str], object]]:
    """The generators of `random` and `numpy.random`: a module and a name in it, and the object."""
    yield (random, "_inst"), random._inst
    numpy = sys.modules.get("numpy.random.mtrand")
    if numpy is not None and hasattr(numpy, "_rand"):
        yield (numpy, "_rand"), numpy._rand


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
        if id(value) not in seen and not isinstance(value, _SCALARS):
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


def is_unseeded(node: ast.expr | None) -> bool:
    """Whether an expression makes a generator from the entropy of the machine: `Random()`, `Generator(PCG64())`."""
    if isinstance(node, ast.Constant):
        return node.value is None
    return isinstance(node, ast.Call) and not node.keywords and all(map(is_unseeded, node.args))


def seed_of(reach: Reach, statements_of: Callable[[ModuleType], list[ast.stmt]]) -> str:
    """What gives every job the same random numbers when the user's modules are imported; empty if nothing does."""
    for one in reach.variables:
        if kind_of_state(one.value) == GENERATOR and one.module.__name__ not in SCRIPT:
            made = [node for node in statements_of(one.module) if _sets(node, one.name)]
            if made and not any(is_unseeded(getattr(node, "value", None)) for node in made):
                return f"{one.module.__name__}.{one.name} is {GENERATOR} with a fixed seed"
    for module in reach.modules if _draws(reach) else ():
        for node in statements_of(module):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_seed(node.value, module):
                return f"{module.__name__} calls {ast.unparse(node)[:60]} when it is imported (line {node.lineno})"
    return ""


def _sets(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _draws(reach: Reach) -> bool:
    """Whether the user's code uses the global generators. What installed packages use is not known."""
    owners = [getattr(one.value, "__self__", None) for one in reach.variables if inspect.isroutine(one.value)]
    return "random" in reach.names or any(owner is known for owner in owners for _, known in _global_generators())


def _is_seed(call: ast.Call, module: ModuleType) -> bool:
    if not (call.args or call.keywords):
        return False
    words = ast.unparse(call.func).split(".")
    found: Any = vars(module).get(words[0])
    for word in words[1:]:
        found = getattr(found, word, None)
    seeds = [getattr(sys.modules.get(name), "seed", None) for name in ("random", "numpy.random")]
    return any(found is seed for seed in seeds if seed is not None)
