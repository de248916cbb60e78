"""The sandbox of templates: text is made of plain values, and nothing else can happen.

A template gets text, numbers, booleans, None, lists and mappings (`plain_values.py`). It may use the methods of these
values that are listed here, and Jinja's own blocks, loops, macros and filters. All else is refused. A budget
(`budget.py`) bounds memory and time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import update_wrapper
from types import BuiltinMethodType, MethodType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Cycler, Joiner, Namespace

from scheduler.schema import metering
from scheduler.schema.budget import ESTIMATES, MAX_WIDTH, VIEWS, Refused, budget, limited
from scheduler.schema.named_self import OWN_SELF, Undefined, with_own_self
from scheduler.schema.plain_text import allowed, require_plain

MAX_RANGE = 100_000
MAX_TEMPLATE_CHARACTERS = 1 << 18
MAX_TOKENS = 40_000
_TEXT_METHODS = """
    capitalize casefold center count endswith expandtabs find format format_map index isalnum isalpha isascii isdecimal
    isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition
    removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip
    swapcase title upper zfill"""
_METHODS: Mapping[type, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        str: _TEXT_METHODS,
        int: "as_integer_ratio bit_count bit_length conjugate denominator imag is_integer numerator real",
        float: "as_integer_ratio conjugate hex imag is_integer real",
        dict: "copy get items keys values",
        list: "copy count index",
        tuple: "count index grouper list",
        range: "count index start step stop",
        LoopContext: """changed cycle depth depth0 first index index0 last length nextitem previtem revindex
            revindex0""",
        Cycler: "current next reset",
        Macro: "arguments caller catch_kwargs catch_varargs name",
        BlockReference: "super",
    }.items()
}
"""The attributes of plain values and of Jinja's own objects that a template may use. No method changes a value."""
_CALLED = (Macro, BlockReference, LoopContext, Joiner)
_NO_FILTERS = ("urlize", "striptags")
"""Filters for web pages whose cost has no bound that can be computed."""
_NOTHING = object()


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates and patterns. `render` is the only way to use its templates."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, **options: Any) -> None:
        super().__init__(undefined=Undefined, keep_trailing_newline=True, optimized=False, **options)
        self.concat = _concatenated  # type: ignore[method-assign]
        self.finalize = _finalize(self)
        self.globals = {"range": _range, "dict": dict, "cycler": Cycler, "joiner": Joiner, "namespace": Namespace}
        self.filters = {
            name: _charged(name, f) for name, f in dict[str, Any](self.filters).items() if name not in _NO_FILTERS
        }
        self.tests = {name: _charged(f"test {name}", test) for name, test in dict[str, Any](self.tests).items()}
        self.filters |= {
            metering.CONCATENATE: _charged("concat", lambda *parts: "".join(map(str, parts))),
            metering.LOOP: _looped,
            metering.COMPARE: _compared,
            metering.MADE: lambda value: budget().made(value),
            metering.STEPS: _stepped,
        }

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Add a filter of our own; its arguments and result are charged."""
        self.filters[name] = _charged(name, function)

    def written(self, context: Context, value: Any) -> Any:
        """What is written in place of ``{{ value }}``."""
        if isinstance(value, jinja2.runtime.Undefined) or value is None:
            return value
        if isinstance(value, (range, *VIEWS)):
            raise Refused("a range or a view of a mapping cannot be written; use | list")
        return value if isinstance(value, str) else budget().made(str(allowed(value)))

    def render(self, template: jinja2.Template, values: Mapping[str, Any]) -> str:
        """The text of a template, made within a budget."""
        with limited():
            return template.render({**values, OWN_SELF: values["self"]} if "self" in values else values)

    def compiled(self, text: str) -> jinja2.Template:
        """The template with this text."""
        with limited():
            return self.from_string(text)

    def loaded(self, name: str) -> jinja2.Template:
        """The template of this name from the environment's loader."""
        with limited():
            return self.get_template(name)

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """A filter that a template names in a text, for ``map``: none of those that charge the budget."""
        if name in metering.FILTERS:
            raise Refused("it uses a filter that does not exist")
        return super().call_filter(name, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_TEMPLATE_CHARACTERS:
            raise Refused(f"a template is larger than {MAX_TEMPLATE_CHARACTERS >> 10} KiB; is it the right file?")
        tree: nodes.Template = metering.Meter().visit(with_own_self(super()._parse(source, name, filename)))
        tree.set_environment(self)
        return tree

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        """Each token costs up to 2 kB of memory before the template is compiled."""
        return TokenStream(_counted(super()._tokenize(source, name, filename, state)), name, filename)

    def _load_template(self, name: str, globals: Any) -> jinja2.Template:
        budget().spend(1000)
        return super()._load_template(name, globals)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``: an item of a mapping, or one of the attributes that are allowed."""
        if isinstance(obj, (dict, TemplateReference)):
            try:
                return obj[attribute]
            except LookupError:
                pass
        if isinstance(obj, jinja2.runtime.Undefined):
            obj._fail_with_undefined_error()
        if attribute.startswith("_"):
            return self.unsafe_undefined(obj, attribute)
        if not hasattr(obj, attribute):
            return self.undefined(obj=obj, name=attribute)
        named = any(isinstance(obj, kind) and attribute in names for kind, names in _METHODS.items())
        if not named and not isinstance(obj, (Namespace, jinja2.environment.TemplateModule)):
            return self.unsafe_undefined(obj, attribute)
        if isinstance(obj, str) and attribute in ("format", "format_map"):
            return _Format(self, obj, named=attribute == "format_map")
        return getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``: an item, never an attribute."""
        if not isinstance(argument, (str, int, slice)):
            budget().size(argument)  # it will be hashed
        try:
            return obj[argument]
        except (TypeError, LookupError, AttributeError):
            return self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Methods that are allowed, Jinja's own functions, and nothing else."""
        if isinstance(obj, (BuiltinMethodType, MethodType)):
            owner, name = obj.__self__, obj.__name__
            return any(type(owner) is kind and name in names for kind, names in _METHODS.items())
        known = type(obj) in (*_CALLED, _Format) or isinstance(obj, jinja2.runtime.Undefined)
        return known or any(obj is one for one in self.globals.values())

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """``obj(…)``, charged."""
        if not __self.is_safe_callable(__obj):
            raise Refused(
                "it calls something that is no method of a text, number, list or mapping, and no macro, block or loop"
            )
        budget().spend(20)
        values = [*args, *kwargs.values()]
        sizes = sum(budget().size(value) for value in values)
        if __obj is dict:
            _estimate("dict", values)
        elif isinstance(__obj, BuiltinMethodType):
            _estimate("join by" if __obj.__name__ == "join" else __obj.__name__, [__obj.__self__, *values])
            budget().spend(1 + (sizes + budget().size(__obj.__self__) >> 4))
        result = __context.call(__obj, *args, **kwargs)
        own = isinstance(__obj, _CALLED) or not isinstance(result, (str, list, tuple, dict, int))
        return result if own else budget().made(result)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """``left operator right``; the size of the result is checked first."""
        sizes = budget().size(left), budget().size(right)
        numbers = isinstance(left, int) and isinstance(right, int)
        if operator == "*" and not numbers:
            budget().require(max(sizes[0] * (right if isinstance(right, int) else 1),
                                 sizes[1] * (left if isinstance(left, int) else 1)))  # fmt: skip
        elif operator == "**" and numbers and right > 0:
            budget().require(abs(left).bit_length() * right * 1000)
        elif operator == "%" and isinstance(left, str):
            _estimate("format", [left, right])
            require_plain(right)
        return budget().made(super().call_binop(context, operator, left, right))


class _Format(SandboxedFormatter):
    """The method ``format`` or ``format_map`` of a text."""

    def __init__(self, environment: Sandbox, text: str, *, named: bool) -> None:
        super().__init__(environment)
        self.text, self.named = str(text), named

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        if isinstance(kwargs.get("caller"), Macro):
            raise Refused("a {% call %} block calls something that is no macro")
        if self.named:
            return self.vformat(self.text, (), dict(args[0]))
        return self.vformat(self.text, args, kwargs)

    def format_field(self, value: Any, spec: str) -> Any:
        if any(len(digits) > 4 for digits in "".join(c if c.isdecimal() else " " for c in spec).split()):
            raise Refused(f"a width in a format is above {MAX_WIDTH - 1}; use a smaller one")
        allowed(value)
        text = str(value) if isinstance(value, (list, tuple, dict)) else value
        return budget().made(super().format_field(text, spec))

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return super().convert_field(allowed(value), conversion)


def _counted(tokens: Iterable[Token]) -> Iterator[Token]:
    for number, token in enumerate(tokens):
        if number >= MAX_TOKENS:
            raise Refused(f"a template has more than {MAX_TOKENS} words and signs inside {{ }}; use a smaller one")
        yield token


def _finalize(environment: Sandbox) -> Callable[[Context, Any], Any]:
    @jinja2.pass_context
    def finalize(context: Context, value: Any) -> Any:
        return "" if value is _NOTHING else environment.written(context, value)

    return finalize


def _charged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test whose arguments and result are charged."""
    first = 0 if getattr(function, "jinja_pass_arg", None) is None else 1

    def charged(*args: Any, **kwargs: Any) -> Any:
        values = [*args[first:], *kwargs.values()]
        budget().spend(20 + (sum(budget().size(value) for value in values) >> 4))
        _estimate(name, values)
        result = function(*args, **kwargs)
        if not isinstance(result, str):
            return budget().made(result)
        for value in values:
            require_plain(value)
        return budget().made(str(result))

    return update_wrapper(charged, function)


def _estimate(name: str, args: list[Any]) -> None:
    if name in ESTIMATES and args and not isinstance(args[0], jinja2.runtime.Undefined):
        budget().require(ESTIMATES[name](args))


def _concatenated(parts: Iterable[str]) -> str:
    """The text of a template, a macro or a block."""
    left, listed, total = budget(), list[str](), 0
    for part in parts:
        total += len(part) + 4
        left.require(total)
        listed.append(part)
    left.take(total)
    return "".join(listed)


def _looped(values: Any, steps: int) -> Any:
    if isinstance(values, jinja2.runtime.Undefined):
        return values
    listed = values if hasattr(values, "__len__") else budget().made(iter(values))
    budget().spend(steps * len(listed))
    return listed


def _compared(value: Any) -> Any:
    budget().size(value)
    _estimate("key", [value])
    return value


def _stepped(steps: int) -> object:
    budget().spend(steps)
    return _NOTHING


def _range(*args: int) -> range:
    numbers = range(*args)
    if any(abs(value) > 1 << 60 for value in args) or len(numbers) > MAX_RANGE:
        raise Refused(f"a range has more than {MAX_RANGE} numbers; use a shorter one")
    return numbers
