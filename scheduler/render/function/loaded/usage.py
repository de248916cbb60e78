"""What the user's code does with variables and attributes of modules, by their names alone: may it fill or set them?

    REGISTRY[key] = value   TABLE.append(1)   register(REGISTRY)      may fill
    for item in TABLE   len(TABLE)   key in TABLE   TABLE[0]          only read

Names in other scopes and modules that are spelled alike count, too: perhaps one too many, never one too few.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_READERS = (
    "abs all any bool dict enumerate filter float frozenset int isinstance iter len list map max min next print range "
    "repr reversed round set sorted str sum tuple type zip"
)
"""Builtin functions that do not change their arguments."""
_READING_METHODS = (
    "copy count difference elements encode endswith format get index intersection issubset issuperset items join keys "
    "most_common split startswith strip total union values"
)
_DYNAMIC = ("globals", "vars", "exec", "eval", "setattr", "delattr", "__dict__", "__setattr__")
MUTATORS = (
    "add append appendleft clear discard extend insert pop popleft remove reverse setdefault sort subtract update"
)
"""Methods of containers that change them."""
_NAMED = ("getattr", "setattr", "delattr", "__setattr__", "__delattr__")
"""Functions whose arguments name an attribute."""
_READ_BY = (
    *(ast.Compare, ast.UnaryOp, ast.BinOp, ast.FormattedValue, ast.Starred, ast.Slice, ast.If, ast.While, ast.Assert),
    *(ast.For, ast.AsyncFor, ast.comprehension, ast.Expr, ast.Raise, ast.Call, ast.Subscript),
)


@dataclass(frozen=True)
class Usage:
    """What some code may do, by name.

    Attributes:
        filled: names that it may change what they hold.
        given: a name → names by which the same object is known elsewhere: of parameters, variables and attributes.
        set: attributes that it sets or deletes, global variables that functions set, and identifiers in its texts.
        is_dynamic: it may set attributes and variables whose names are not in its text.
    """

    filled: frozenset[str]
    given: frozenset[tuple[str, str]]
    set: frozenset[str]
    is_dynamic: bool

    def may_fill(self, name: str) -> bool:
        """Whether the code may change what this variable holds, under this name or another one."""
        waiting, seen = [name], set[str]()
        while waiting:
            name = waiting.pop()
            if name in self.filled or name in self.set:
                return True
            seen.add(name)
            waiting += [other for one, other in self.given if one == name and other not in seen]
        return False


class Code:
    """The code of the user that a job runs. It is read when the first question is asked."""

    def __init__(self, files: Callable[[], Iterable[bytes]], more: Iterable[ast.stmt] = ()) -> None:
        """`files`: the content of its files. `more`: other statements of it."""
        self._files, self._more = files, more

    @functools.cached_property
    def _usage(self) -> Usage:
        return _together([*map(_usage, self._files()), usage_of_tree(ast.Module([*self._more], []))])

    @property
    def is_dynamic(self) -> bool:
        """Whether it may set attributes and variables whose names are not in its text."""
        return self._usage.is_dynamic

    def may_fill(self, name: str) -> bool:
        """Whether it may change what this variable holds."""
        return self._usage.may_fill(name)

    def may_set(self, name: str) -> bool:
        """Whether it may set an attribute of this name, or a variable of a module."""
        return name in self._usage.set


def _together(found: list[Usage]) -> Usage:
    return Usage(
        frozenset(name for one in found for name in one.filled),
        frozenset(pair for one in found for pair in one.given),
        frozenset(name for one in found for name in one.set),
        any(one.is_dynamic for one in found),
    )


@functools.lru_cache(maxsize=1000)
def _usage(content: bytes) -> Usage:
    try:
        return usage_of_tree(ast.parse(content))
    except (SyntaxError, ValueError, RecursionError):
        return Usage(frozenset(), frozenset(), frozenset(), is_dynamic=True)


def usage_of_tree(tree: ast.AST) -> Usage:
    """What parsed code may do."""
    reader = _Reader(tree)
    return Usage(frozenset(reader.filled), frozenset(reader.given), frozenset(reader.set), reader.is_dynamic)


class _Reader:
    def __init__(self, tree: ast.AST) -> None:
        self.filled: set[str] = set()
        self.given: set[tuple[str, str]] = set()
        self.set: set[str] = set()
        self.is_dynamic = False
        self.functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.read(tree, ())

    def read(self, node: ast.AST, above: tuple[ast.AST, ...]) -> None:
        """Note what a node and all inside it do. `above`: the nodes around it, the innermost first."""
        name = _name(node)
        if name:
            self.is_dynamic |= name in _DYNAMIC
            if isinstance(node.ctx, ast.Load):  # type: ignore[attr-defined]
                self.note(name, node, above)
            elif isinstance(node, ast.Attribute):
                self.set.add(name)
        elif isinstance(node, ast.Global):
            self.set |= {*node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_name_of_variable(node, above):
            parent = above[0]
            reads = isinstance(parent, ast.Call) and _name(parent.func) == "getattr"
            (self.filled if reads else self.set).add(node.value)
        elif isinstance(node, ast.alias) and node.asname:
            self.given.add((node.name, node.asname))
        elif isinstance(node, ast.AugAssign) and len(above) > 1:  # not at the top of the module
            self.filled.add(_name(node.target))
        for child in ast.iter_child_nodes(node):
            self.read(child, (node, *above[:3]))

    def note(self, name: str, node: ast.AST, above: tuple[ast.AST, ...]) -> None:
        """Note how the object that a name or attribute gives is used."""
        parent = above[0]
        if isinstance(parent, ast.Subscript) and node is parent.value:
            if not isinstance(parent.ctx, ast.Load) or isinstance(above[1], (ast.Attribute, ast.Subscript)):
                self.filled.add(name)
        elif isinstance(parent, ast.Attribute):
            is_called = isinstance(above[1], ast.Call) and above[1].func is parent
            is_called |= parent.attr in MUTATORS.split()  # `map(TABLE.append, items)`
            if not isinstance(parent.ctx, ast.Load) or (is_called and parent.attr not in _READING_METHODS.split()):
                self.filled.add(name)
        elif isinstance(parent, ast.Call) and node is not parent.func:
            self.given |= {(name, other) for other in self.parameters(parent, node)}
        elif isinstance(parent, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            self.given |= {(name, _name(target)) for target in targets if _name(target)}
            self.filled |= {name for target in targets if not _name(target)}
        elif isinstance(parent, ast.keyword):
            self.given |= {(name, parent.arg)} if parent.arg else set()
        elif not isinstance(parent, (*_READ_BY, ast.AugAssign)):
            self.filled.add(name)  # it is returned, yielded, put into another object, …

    def parameters(self, call: ast.Call, node: ast.AST) -> Iterator[str]:
        """The parameter that gets an argument of a call; the argument itself counts as filled if that is not known."""
        called = call.func.id if isinstance(call.func, ast.Name) else ""
        if called in _READERS.split():
            return
        function = self.functions.get(called)
        at = next((at for at, one in enumerate(call.args) if one is node), None)
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)] if function else []
        if function is None or at is None or at >= len(names) or any(isinstance(one, ast.Starred) for one in call.args):
            self.filled.add(_name(node))
        else:
            yield names[at]


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_name_of_variable(node: ast.Constant, above: tuple[ast.AST, ...]) -> bool:
    """Whether a text names a variable or attribute: `setattr(module, "EVENTS", 5)`, `globals()["EVENTS"] = 5`."""
    parent = above[0]
    if isinstance(parent, ast.Call):
        return _name(parent.func) in _NAMED
    owner = parent.value if isinstance(parent, ast.Subscript) else None
    return _name(owner.func if isinstance(owner, ast.Call) else owner or parent) in _DYNAMIC
