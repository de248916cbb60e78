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

from scheduler.render.function.fixed import evaluated_at_once
from scheduler.render.function.modules import is_ours
from scheduler.render.function.names import root_of
from scheduler.render.function.reach import SCALARS, Reach
from scheduler.render.function.values import SCRIPT

GENERATOR = "a random number generator"
REMEDY = "give each job a seed in params, and make the generator in the function"


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


def is_unseeded(node: ast.expr | None, bound: Mapping[str, bool] | None = None) -> bool:
    """Whether an expression makes a generator from the entropy of the machine: `Random()`, `Generator(PCG64())`.

    `bound`: parameters around the expression → whether their values are so too.
    """
    if isinstance(node, ast.Constant):
        return node.value is None
    if isinstance(node, ast.Name):
        return (bound or {}).get(node.id, False)
    if not isinstance(node, ast.Call):
        return False
    return all(is_unseeded(one, bound) for one in (*node.args, *(keyword.value for keyword in node.keywords)))


Statements = Callable[[ModuleType], list[ast.stmt]]
"""The statements of a module's file."""


def seed_of(reach: Reach, statements_of: Statements) -> str:
    """What gives every job the same random numbers when the user's modules are imported; empty if nothing does."""
    source = _Source(statements_of)
    for module, name, what, value in _holders(reach):
        if module is not None and module.__name__ not in SCRIPT and source.is_seeded(module, name, value):
            verb = "is" if kind_of_state(value) else "has"
            return f"{module.__name__}.{what} {verb} {GENERATOR} with a fixed seed"
    for module in reach.modules if _draws(reach) else ():
        for node in statements_of(module):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_seed(node.value, module):
                return f"{module.__name__} calls {ast.unparse(node)[:60]} when it is imported (line {node.lineno})"
    return ""


def _holders(reach: Reach) -> Iterator[tuple[ModuleType | None, str, str, object]]:
    """What may hold a generator: its module, the name at the top of the module, its full name, and its value."""
    for one in reach.variables:
        if not isinstance(one.value, (FunctionType, type, ModuleType)):
            yield one.module, one.name.partition(".")[0], one.name, one.value
    for definition in reach.definitions:
        module, name = sys.modules.get(definition.__module__ or ""), definition.__qualname__
        inner = [(f"{name}.{key}", value) for key, value in vars(definition).items() if not callable(value)]
        if isinstance(definition, FunctionType):
            defaults = [*(definition.__defaults__ or ()), *(definition.__kwdefaults__ or {}).values()]
            inner += [(f"{name} (a default value)", value) for value in defaults]
        yield from ((module, name.partition(".")[0], what, value) for what, value in inner)


def _held(value: object, depth: int = 0) -> Iterator[object]:
    """The generators in a value, except the global ones."""
    if kind_of_state(value) == GENERATOR:
        if not any(value is known for _, known in _global_generators()):
            yield value
        return
    inner: list[object] = []
    if isinstance(value, functools.partial):
        inner = [value.func, *value.args, *value.keywords.values()]
    elif inspect.isroutine(value):
        inner = [getattr(value, "__self__", None)]
    elif isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = list(value)
    elif not isinstance(value, (type, ModuleType, *SCALARS)) and hasattr(value, "__dict__"):
        inner = list(vars(value).values())
    for one in inner[:1000] if depth < 5 else ():
        yield from _held(one, depth + 1)


@dataclass(frozen=True)
class _Source:
    """How the user's modules make their generators."""

    statements_of: Statements

    def is_seeded(self, module: ModuleType, name: str, value: object, depth: int = 3) -> bool:
        """Whether the statements that make a variable, or a definition with it, give its generator a seed."""
        if next(_held(value), None) is None:
            return False
        made = [node for node in self.statements_of(module) if name in _made_by(node)]
        direct = [node.value for node in made if isinstance(node, (ast.Assign, ast.AnnAssign))]
        if kind_of_state(value) and direct and not any(map(is_unseeded, direct)):
            return True
        return any(self._gives_seed(part, module, {}, depth) for node in made for part in evaluated_at_once(node))

    def _gives_seed(self, part: ast.AST, module: ModuleType, bound: Mapping[str, bool], depth: int) -> bool:
        for node in ast.walk(part):
            if isinstance(node, ast.Name) and depth and kind_of_state(vars(module).get(node.id)):
                if self.is_seeded(module, node.id, vars(module)[node.id], depth - 1):
                    return True
            elif isinstance(node, ast.Call):
                called = _named(node.func, module)
                if _makes_generator(called):
                    if not is_unseeded(node, bound):
                        return True
                elif depth and self._seeds_inside(called, node, depth - 1):
                    return True
        return False

    def _seeds_inside(self, called: Any, call: ast.Call, depth: int) -> bool:
        """Whether a function or class of the user that is called gives a seed to a generator that it makes."""
        module = sys.modules.get(getattr(called, "__module__", None) or "")
        if module is None or not isinstance(called, (FunctionType, type)) or not is_ours(module.__name__):
            return False
        for node in self.statements_of(module):
            if getattr(node, "name", None) == called.__name__:
                for function in _run_by_call(node):
                    bound = _unseeded_parameters(function, call)
                    if any(self._gives_seed(part, module, bound, depth) for part in function.body):
                        return True
                return any(self._gives_seed(part, module, {}, depth) for part in evaluated_at_once(node))
        return False


def _run_by_call(node: ast.stmt) -> list[ast.FunctionDef]:
    if isinstance(node, ast.ClassDef):
        names = ("__init__", "__new__", "__post_init__")
        return [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name in names]
    return [node] if isinstance(node, ast.FunctionDef) else []


def _unseeded_parameters(function: ast.FunctionDef, call: ast.Call) -> dict[str, bool]:
    """The parameters of a function → whether they are None, or a generator without a seed, in a call."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    bound = dict(zip(reversed(names), map(is_unseeded, reversed(function.args.defaults)), strict=False))
    keywords = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    bound |= {one.arg: is_unseeded(default) for one, default in keywords}
    return bound if not (call.args or call.keywords) or is_unseeded(call) else dict.fromkeys(bound, False)


def _makes_generator(called: Any) -> bool:
    if isinstance(called, type):
        kinds = [(kind.__module__, kind.__name__) for kind in called.__mro__]
        return ("random", "SystemRandom") not in kinds and any(
            kind in _GENERATORS or kind[0].startswith("numpy.random") for kind in kinds
        )
    return getattr(called, "__name__", "") == "default_rng"


def _named(node: ast.expr, module: ModuleType) -> Any:
    """The value of a dotted name in a module; None if it has none."""
    words = ast.unparse(node).split(".")
    found: Any = vars(module).get(words[0])
    for word in words[1:]:
        found = getattr(found, word, None) if isinstance(found, (ModuleType, type)) else None
    return found


def _made_by(node: ast.stmt) -> set[str]:
    """The names at the top of a module that a statement assigns or defines, or whose attributes or items it sets."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {root_of(target) for target in targets if isinstance(target, ast.expr)}


def _draws(reach: Reach) -> bool:
    """Whether the user's code uses the global generators. What installed packages use is not known."""
    owners = [getattr(one.value, "__self__", None) for one in reach.variables if inspect.isroutine(one.value)]
    return "random" in reach.names or any(owner is known for owner in owners for _, known in _global_generators())


def _is_seed(call: ast.Call, module: ModuleType) -> bool:
    if not (call.args or call.keywords):
        return False
    found = _named(call.func, module)
    seeds = [getattr(sys.modules.get(name), "seed", None) for name in ("random", "numpy.random")]
    return any(found is seed for seed in seeds if seed is not None)
