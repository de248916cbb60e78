"""The variables of a module of the user after its top-level statements, followed one by one, as far as they tell.

    EVENTS = 100                          EVENTS: 100
    EVENTS += 1                           EVENTS: 101
    for key in "ab": GROUPS[key] = key    GROUPS: {"a": "a", "b": "b"}, key: "b"
    scale.factor = 3                      "scale.factor": 3
    HOME = os.getcwd()                    HOME: UNKNOWN

It runs none of the user's code.
"""

from __future__ import annotations

import ast
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from scheduler.render.function.loaded.expressions import calculated, unpacked
from scheduler.render.function.loaded.makers import UNKNOWN, Instance
from scheduler.render.function.loaded.plain import is_known
from scheduler.render.function.loaded.usage import MUTATORS
from scheduler.render.function.names import bound_by, root_of

_MOST_STEPS = 100_000
_CONTAINERS = (list, dict, set, deque, Counter, OrderedDict, defaultdict)
_FAILS = (ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RuntimeError)

Evaluate = Callable[[ast.expr], Any]
"""The value of an expression, or `UNKNOWN`."""


class Steps:
    """Follows statements.

    Attributes:
        values: name, or ``name.attribute`` of a function or class → its value after the statements so far.
        deleted: the names that were deleted.
    """

    def __init__(self, imported: Callable[[ast.ImportFrom, str], Any]) -> None:
        """`imported`: the value of a name that a statement imports, or `UNKNOWN`."""
        self.values: dict[str, Any] = {}
        self.deleted: set[str] = set()
        self.evaluate: Evaluate = lambda _: UNKNOWN
        self._imported = imported
        self._left = _MOST_STEPS

    def follow(self, statements: Sequence[ast.stmt]) -> None:
        """Follow statements in their order."""
        for statement in statements:
            self._left -= 1
            step = getattr(self, f"_{type(statement).__name__}", None) if self._left > 0 else None
            if step is None:
                self._lose_changed(statement)
                self._forget(statement)
            else:
                step(statement)

    def _forget(self, statement: ast.stmt) -> None:
        self.values |= dict.fromkeys(bound_by(statement), UNKNOWN)

    def _set(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Attribute):
            self._set_attribute(target, value)
        elif isinstance(target, ast.Subscript):
            owner, key = self.evaluate(target.value), self.evaluate(target.slice)
            if not isinstance(owner, _CONTAINERS) or not is_known(key) or not _is_set(owner, key, value):
                self._lose(target)
        else:
            self.values |= dict(unpacked(target, value))

    def _set_attribute(self, target: ast.Attribute, value: Any) -> None:
        owner = self.evaluate(target.value)
        if isinstance(owner, Instance) and isinstance(target.value, ast.Name):
            self.values[target.value.id] = Instance(owner.kind, {**owner.attributes, target.attr: value})
        elif isinstance(owner, SimpleNamespace) or type(owner).__name__ == "Namespace":
            setattr(owner, target.attr, value)
        elif owner is UNKNOWN:
            self.values[ast.unparse(target)] = value
        else:
            self._lose(target)

    def _lose(self, node: ast.expr) -> None:
        """What a name holds was changed in a way that is not known."""
        root = root_of(node)
        changed = set(_containers_in(self.values.get(root, UNKNOWN)))
        lost = [name for name, value in self.values.items() if not changed.isdisjoint(_containers_in(value))]
        self.values |= dict.fromkeys([*lost, *([root] if root else [])], UNKNOWN)

    def _Assign(self, node: ast.Assign) -> None:  # noqa: N802 - as ast calls them, here and below
        value = self.evaluate(node.value)
        self._forget_inner(node.value)
        for target in node.targets:
            self._set(target, value)

    def _AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        if node.value is not None:
            self._set(node.target, self.evaluate(node.value))

    def _forget_inner(self, node: ast.expr) -> None:
        """Names that an expression sets: `(name := value)`."""
        inner = (one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr))
        self.values |= dict.fromkeys(inner, UNKNOWN)

    def _AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802
        now, more = self.evaluate(_as_load(node.target)), self.evaluate(node.value)
        if type(now) is list and isinstance(node.op, ast.Add) and isinstance(more, (list, tuple, range, str)):
            now.extend(more)
        elif type(now) in (set, dict) and isinstance(node.op, ast.BitOr) and type(more) is type(now):
            now.update(more)
        else:
            self._set(node.target, calculated(node.op, now, more))

    def _For(self, node: ast.For) -> None:  # noqa: N802
        items = self.evaluate(node.iter)
        plain = isinstance(items, (list, tuple, range, str, dict, set)) and is_known(items)
        leaves = any(isinstance(inner, (ast.Break, ast.Continue)) for inner in ast.walk(node))
        if not plain or leaves or len(items) * len(node.body) > self._left:
            self._lose_changed(node)
            self._forget(node)
            return
        for item in list(items):
            self._set(node.target, item)
            self.follow(node.body)
        self.follow(node.orelse)

    def _If(self, node: ast.If) -> None:  # noqa: N802
        test = self.evaluate(node.test)
        if is_known(test):
            self.follow(node.body if test else node.orelse)
        else:
            self._lose_changed(node)
            self._forget(node)

    def _lose_changed(self, node: ast.stmt) -> None:
        """What the statements inside this one may change is not known any more."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.AugAssign):
                self._lose(inner.target)
            elif isinstance(inner, (ast.Attribute, ast.Subscript)):
                is_mutator = isinstance(inner, ast.Attribute) and inner.attr in MUTATORS.split()
                if is_mutator or not isinstance(inner.ctx, ast.Load):
                    self._lose(inner)

    def _Expr(self, node: ast.Expr) -> None:  # noqa: N802
        self._forget_inner(node.value)
        call = node.value
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            return
        owner, name = self.evaluate(call.func.value), call.func.attr
        args = [self.evaluate(item) for item in call.args]
        keywords = {str(one.arg): self.evaluate(one.value) for one in call.keywords}
        if isinstance(owner, _CONTAINERS) and name in MUTATORS.split():
            known = all(map(is_known, (*args, *keywords.values()))) and "None" not in keywords
            if not known or not _is_changed(owner, name, args, keywords):
                self._lose(call.func)

    def _Delete(self, node: ast.Delete) -> None:  # noqa: N802
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.values.pop(target.id, None)
                self.deleted.add(target.id)
            else:
                self._lose(target)
                self.deleted.add(ast.unparse(target))

    def _ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802
        for alias in node.names:
            name = alias.asname or alias.name
            self.values[name] = self._imported(node, name)

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import) -> None:  # noqa: N802
        self._forget(node)

    _AsyncFunctionDef = _ClassDef = _Import = _FunctionDef

    def _Pass(self, node: ast.Pass) -> None:  # noqa: N802
        """Nothing."""


def _containers_in(value: object) -> Iterator[int]:
    """The ids of the containers and instances in a value, itself too: what a change of one of them changes."""
    waiting, seen = [value], set[int]()
    while waiting:
        part = waiting.pop()
        if id(part) not in seen and isinstance(part, (*_CONTAINERS, tuple, Instance)):
            seen.add(id(part))
            waiting += [*part.keys(), *part.values()] if isinstance(part, dict) else _parts(part)
            if not isinstance(part, tuple):
                yield id(part)


def _parts(value: Any) -> Iterable[object]:
    return value.attributes.values() if isinstance(value, Instance) else value


def _as_load(target: ast.Name | ast.Attribute | ast.Subscript) -> ast.expr:
    read = ast.parse(ast.unparse(target), mode="eval").body
    return ast.copy_location(read, target)


def _is_set(owner: Any, key: object, value: object) -> bool:
    try:
        owner[key] = value
    except _FAILS:
        return False
    return True


def _is_changed(owner: object, method: str, args: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    try:
        getattr(owner, method)(*args, **keywords)
    except _FAILS:
        return False
    return True
