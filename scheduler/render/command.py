"""A user's command with params becomes shell text in which every value is data. Nothing here runs it.

``{{ name }}`` outside quotes becomes one quoted word (a list: several words). Inside the user's own quotes the value is
escaped for these quotes. Where no escape is safe (a here-document, backticks, ``$'…'``, a comment) the value is
refused; ``shell_context.py`` decides that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes

from scheduler.errors import JobError, did_you_mean
from scheduler.quoting import quote
from scheduler.render.shell_context import BEGIN, END, ShellText
from scheduler.schema.budget import Refused
from scheduler.schema.plain_text import allowed
from scheduler.schema.plain_values import plain_params
from scheduler.schema.sandbox import Sandbox
from scheduler.schema.template_errors import FAULTS, explained


def fill(template: str, params: Mapping[str, Any], *, what: str) -> str:
    """Shell text from a template, with every value quoted for the context in which it occurs.

    Args:
        template: shell text with ``{{ name }}``.
        params: name → value.
        what: what the template is, for messages.

    Raises:
        JobError: an unknown name, invalid Jinja, or a value where the shell could execute it.
    """
    if any(c in template for c in (BEGIN, END, "\0")):
        raise JobError(f"{what}: it contains a character that cannot be used here (NUL, U+E000 or U+E001)")
    values: list[Any] = []
    text = _rendered(_MARKING, template, {**plain_params(params), _KEPT: values}, what)
    try:
        return ShellText(text, values).fill()
    except JobError as error:
        raise JobError(f"{what}: {error}") from None


def words(templates: Sequence[str], params: Mapping[str, Any], *, what: str) -> list[str]:
    """Arguments with their params filled in, not quoted. Each is one word, whatever it contains.

    Raises:
        JobError: an unknown name, invalid Jinja, or a value that no command can carry.
    """
    return [_word(template, params, f"{what}[{n}]") for n, template in enumerate(templates)]


def _word(template: str, params: Mapping[str, Any], what: str) -> str:
    template, mark = _with_returns_kept(template, repr(params)) if "\r" in template else (template, "\r")
    text = _rendered(_PLAIN, template, plain_params(params), what).replace(mark, "\r")
    try:
        quote(text)
    except JobError as error:
        raise JobError(f"{what}: {error}") from None
    return text


_JINJA = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL)
_KEPT = " values"
"""The name under which a rendering keeps its values. It contains a blank, so no template can use it."""


_PLAIN = Sandbox()


class _Marking(Sandbox):
    """Writes a mark in place of each value, and keeps the value."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        if tree.find(nodes.FilterBlock) is not None:  # its output, which may contain values, does not pass `written`
            raise Refused("{% filter %} cannot be used in a command; use {{ value | filter }}")
        return tree

    def written(self, context: jinja2.runtime.Context, value: Any) -> Any:
        """The mark of a value."""
        if isinstance(value, jinja2.Undefined):
            return value  # StrictUndefined raises an error when it becomes text
        kept = context[_KEPT]
        kept.append(allowed(value))
        return f"{BEGIN}{len(kept) - 1}{END}"


_MARKING = _Marking()


@lru_cache(maxsize=256)
def _compiled(environment: Sandbox, template: str) -> jinja2.Template:
    return environment.compiled(template)


def _with_returns_kept(template: str, values: str) -> tuple[str, str]:
    """A template with a mark in place of each carriage return of its text, and the mark: Jinja makes them newlines.

    `values`: the repr of the params, in which the mark must not occur.
    """
    marks = (chr(code) for code in range(ord(END) + 1, 0xF8FF))
    mark = next(one for one in marks if one not in template and f"\\u{ord(one):04x}" not in values)
    parts = _JINJA.split(template)
    parts[::2] = [text.replace("\r", mark) for text in parts[::2]]
    return "".join(parts).replace("\r", "\n"), mark


def _rendered(environment: Sandbox, template: str, params: Mapping[str, Any], what: str) -> str:
    try:
        return environment.render(_compiled(environment, template), params)
    except jinja2.UndefinedError as error:
        found = re.fullmatch(r"'(\w*)' is undefined", str(error))
        if found is None:
            raise JobError(f"{what}: {explained(error, source=template)}") from None
        known = [str(name) for name in params if name != _KEPT]
        raise JobError(
            f"{what}: {{{{ {found[1]} }}}} is not among the params; {did_you_mean(found[1], known)}"
        ) from None
    except FAULTS as error:
        raise JobError(f"{what}: {explained(error, source=template)}") from None
