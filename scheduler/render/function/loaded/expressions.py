"""The value of an expression in a module of the user, as far as literals, arithmetic and simple calls tell.

It runs none of the user's code.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType
from typing import Any

from scheduler.render.function.loaded import makers
from scheduler.render.function.loaded.makers import UNKNOWN
from scheduler.render.function.loaded.plain import is_known

Names = Callable[[str], Any]
"""The value of a name, or `UNKNOWN`."""
MakeInstance = Callable[[type, Sequence[Any], Mapping[str, Any]], Any]
"""A class of the user, arguments, keywords → what the source tells of a new object of it: `Instance` or `UNKNOWN`."""

_LARGEST = 1 << 200
_MOST = 100_000  # items and characters
_FAILS = (ArithmeticError, TypeError, ValueError, LookupError, AttributeError)
_OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_SIGNS: Mapping[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_METHODS: Mapping[type, str] = {
    str: "capitalize casefold count endswith find format index isalpha isdigit join lower lstrip partition replace "
    "removeprefix removesuffix rpartition rsplit rstrip split splitlines startswith strip title upper zfill encode",
    bytes: "decode hex split strip",
    dict: "copy get items keys values",
    list: "copy count index",
    tuple: "count index",
    set: "copy union intersection difference",
    int: "bit_length",
    float: "is_integer",
}
"""Methods that only read."""


class _NotKnown(Exception):
    """The source does not tell the value."""


def value_of(
    node: ast.expr, names: Names, scope: Mapping[str, Any], *, instance: MakeInstance = lambda *_: UNKNOWN
) -> Any:
    """The value of an expression, or `UNKNOWN`. Items of a list, tuple or dict may be `UNKNOWN`, too.

    Args:
        node: the expression.
        names: the value of a name, or `UNKNOWN`.
        scope: the variables of the module now: which functions and classes are called.
        instance: makes objects of the user's classes.
    """
    try:
        return _Evaluator(names, scope, instance).of(node)
    except (_NotKnown, RecursionError, MemoryError):
        return UNKNOWN


def calculated(sign: ast.operator, left: Any, right: Any) -> Any:
    """What an operator makes of two values; `UNKNOWN` if that fails, may be large, or is not known."""
    if type(sign) not in _OPERATORS or not (is_known(left) and is_known(right)):
        return UNKNOWN
    if isinstance(left, PurePath) and isinstance(right, (str, PurePath)) and isinstance(sign, ast.Div):
        return left / right
    numbers: list[Any] = [one for one in (left, right) if isinstance(one, (int, float, complex))]
    plain = (int, float, complex, str, bytes, list, tuple, set, frozenset, dict)
    sizes = [len(one) for one in (left, right) if hasattr(one, "__len__")]
    is_large = any(abs(one) > _LARGEST for one in numbers) or (len(numbers) < 2 and any(n > _MOST for n in numbers))
    is_power = isinstance(sign, (ast.Pow, ast.LShift)) and any(abs(one) > 100 for one in numbers[1:])
    if type(left) not in plain or type(right) not in plain or is_large or is_power or sum(sizes) > _MOST:
        return UNKNOWN
    try:
        return _OPERATORS[type(sign)](left, right)
    except _FAILS:
        return UNKNOWN


class _Evaluator:
    def __init__(self, names: Names, scope: Mapping[str, Any], instance: MakeInstance) -> None:
        self.names, self.scope, self.instance = names, scope, instance

    def known(self, node: ast.expr) -> Any:
        """The value of an expression of which everything is known."""
        value = self.of(node)
        if not is_known(value):
            raise _NotKnown
        return value

    def maybe(self, node: ast.expr) -> Any:
        try:
            return self.of(node)
        except _NotKnown:
            return UNKNOWN

    def of(self, node: ast.expr) -> Any:
        find = getattr(self, f"of_{type(node).__name__}", None)
        if find is None:
            raise _NotKnown
        try:
            return find(node)
        except _FAILS:
            raise _NotKnown from None

    def of_Constant(self, node: ast.Constant) -> Any:  # noqa: N802 - as ast calls them, here and below
        return node.value

    def of_Name(self, node: ast.Name) -> Any:  # noqa: N802
        return self.names(node.id)

    def of_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802
        value = makers.constant(node, self.scope)
        return UNKNOWN if value is None else value

    def of_BinOp(self, node: ast.BinOp) -> Any:  # noqa: N802
        return calculated(node.op, self.known(node.left), self.known(node.right))

    def of_UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: N802
        return _SIGNS[type(node.op)](self.known(node.operand))

    def of_BoolOp(self, node: ast.BoolOp) -> Any:  # noqa: N802
        for part in node.values:
            value = self.known(part)
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def of_Compare(self, node: ast.Compare) -> Any:  # noqa: N802
        values = [self.known(part) for part in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        return all(_COMPARISONS[type(sign)](left, right) for sign, left, right in pairs)

    def of_IfExp(self, node: ast.IfExp) -> Any:  # noqa: N802
        return self.of(node.body if self.known(node.test) else node.orelse)

    def of_Subscript(self, node: ast.Subscript) -> Any:  # noqa: N802
        owner = self.known(node.value)
        if type(owner) not in (str, bytes, list, tuple, dict, range):
            raise _NotKnown
        return owner[self.known(node.slice)]

    def of_Slice(self, node: ast.Slice) -> Any:  # noqa: N802
        return slice(*(part and self.known(part) for part in (node.lower, node.upper, node.step)))

    def of_JoinedStr(self, node: ast.JoinedStr) -> Any:  # noqa: N802
        return "".join(str(self.known(part)) for part in node.values)

    def of_FormattedValue(self, node: ast.FormattedValue) -> Any:  # noqa: N802
        value = self.known(node.value)
        if isinstance(value, (float, int, str)) or _has_one_text(value):
            convert = (str, repr, ascii)[("s", "r", "a").index(chr(node.conversion))] if node.conversion > 0 else None
            shown = convert(value) if convert else value
            return format(shown, self.known(node.format_spec) if node.format_spec else "")
        raise _NotKnown

    def of_List(self, node: ast.List) -> Any:  # noqa: N802
        return list(self.items(node.elts))

    def of_Tuple(self, node: ast.Tuple) -> Any:  # noqa: N802
        return tuple(self.items(node.elts))

    def of_Set(self, node: ast.Set) -> Any:  # noqa: N802
        return {self.known(item) for item in node.elts}

    def items(self, nodes: Sequence[ast.expr]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self.known(node.value)
            else:
                yield self.maybe(node)

    def of_Dict(self, node: ast.Dict) -> Any:  # noqa: N802
        made: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            made |= {self.known(key): self.maybe(value)} if key is not None else self.known(value)
        return made

    def of_ListComp(self, node: ast.ListComp | ast.GeneratorExp) -> Any:  # noqa: N802
        return [inner.known(node.elt) for inner in self.rounds(node.generators)]

    of_GeneratorExp = of_ListComp  # noqa: N815

    def of_SetComp(self, node: ast.SetComp) -> Any:  # noqa: N802
        return {inner.known(node.elt) for inner in self.rounds(node.generators)}

    def of_DictComp(self, node: ast.DictComp) -> Any:  # noqa: N802
        return {inner.known(node.key): inner.known(node.value) for inner in self.rounds(node.generators)}

    def rounds(self, loops: Sequence[ast.comprehension]) -> Iterator[_Evaluator]:
        """For each round of the loops of a comprehension: what evaluates its expressions."""
        if not loops:
            yield self
            return
        items = self.known(loops[0].iter)
        if not hasattr(items, "__len__") or len(items) > _MOST:
            raise _NotKnown
        for item in items:
            bound = dict(unpacked(loops[0].target, item))
            inner = _Evaluator(
                lambda name, bound=bound: bound[name] if name in bound else self.names(name),  # type: ignore[misc]
                self.scope,
                self.instance,
            )
            if all(inner.known(test) for test in loops[0].ifs):
                yield from inner.rounds(loops[1:])

    def of_Call(self, node: ast.Call) -> Any:  # noqa: N802
        if any(isinstance(one, ast.Starred) for one in node.args) or any(not one.arg for one in node.keywords):
            raise _NotKnown
        called = makers.maker(node.func, self.scope)
        takes_functions = called is not None and called.__name__ in ("partial", "defaultdict")
        inner = self.scope if takes_functions else {}
        args = [self.argument(item, inner) for item in node.args]
        keywords = {str(one.arg): self.argument(one.value, inner) for one in node.keywords}
        if called is not None:
            return makers.made(called, args, keywords) if all(map(is_known, (*args, *keywords.values()))) else UNKNOWN
        kind = makers.named(node.func, self.scope)
        if isinstance(kind, type):
            return self.instance(kind, args, keywords)
        return self.by_method(node, args, keywords)

    def argument(self, node: ast.expr, kept: Mapping[str, Any]) -> Any:
        """The value of an argument. A function or class in `kept` is one too, where it is not called: `partial(f)`."""
        value = self.maybe(node)
        found = makers.named(node, kept) if kept and value is UNKNOWN else None
        return found if isinstance(found, (type, FunctionType, BuiltinFunctionType)) else value

    def by_method(self, node: ast.Call, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        owner = self.known(node.func.value) if isinstance(node.func, ast.Attribute) else UNKNOWN
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS.get(type(owner), "").split()
        if not is_method or not all(map(is_known, (*args, *keywords.values()))):
            raise _NotKnown
        value = getattr(owner, node.func.attr)(*args, **keywords)  # type: ignore[attr-defined]
        return list(value) if type(value).__name__ in ("dict_items", "dict_keys", "dict_values") else value


def _has_one_text(value: object) -> bool:
    """Whether the text of a value is the same in every process: it has no objects, and no sets, whose order differs."""
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return all(map(_has_one_text, value))
    if isinstance(value, dict) and type(value) is dict:
        return all(map(_has_one_text, (*value, *value.values())))
    return type(value) in (int, float, complex, bool, str, bytes, type(None))


def unpacked(target: ast.expr, value: Any) -> Iterator[tuple[str, Any]]:
    """The names in the target of an assignment or loop, and what each gets of a value."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, (ast.Tuple, ast.List)):
        fits = isinstance(value, (tuple, list, str, range)) and len(value) == len(target.elts)
        parts = value if fits and not any(isinstance(one, ast.Starred) for one in target.elts) else None
        for at, part in enumerate(target.elts):
            yield from unpacked(part, UNKNOWN if parts is None else parts[at])
    elif isinstance(target, ast.Starred):
        yield from unpacked(target.value, UNKNOWN)
