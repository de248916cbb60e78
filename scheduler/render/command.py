"""A user's command with params becomes shell text in which every value is data. Nothing here runs it.

``{{ name }}`` outside quotes becomes one quoted word (a list: several words). Inside the user's own quotes the value is
escaped for these quotes. Where no escape is safe (a here-document, backticks, ``$'…'``, a comment) the value is
refused; ``shell_context.py`` decides that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from scheduler.errors import JobError, did_you_mean
from scheduler.quoting import quote
from scheduler.render.shell_context import BEGIN, END, ShellText


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
    text = _rendered(_marking(), template, {**params, _KEPT: values}, what)
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
    text = _rendered(_plain(), template, params, what).replace(mark, "\r")
    try:
        quote(text)
    except JobError as error:
        raise JobError(f"{what}: {error}") from None
    return text


_JINJA = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL)
_KEPT = " values"
"""The name under which a rendering keeps its values. It contains a blank, so no template can use it."""


@cache
def _plain() -> SandboxedEnvironment:
    return SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, cache_size=0)


@cache
def _marking() -> SandboxedEnvironment:
    """A Jinja environment that writes a mark in place of each value, and keeps the value."""

    @jinja2.pass_context
    def keep(context: jinja2.runtime.Context, value: Any) -> Any:
        if isinstance(value, jinja2.Undefined):
            return value  # StrictUndefined raises an error when it becomes text
        values = context[_KEPT]
        values.append(value)
        return f"{BEGIN}{len(values) - 1}{END}"

    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=keep, keep_trailing_newline=True, cache_size=0
    )


@lru_cache(maxsize=256)
def _compiled(environment: SandboxedEnvironment, template: str) -> jinja2.Template:
    return environment.from_string(template)


def _with_returns_kept(template: str, values: str) -> tuple[str, str]:
    """A template with a mark in place of each carriage return of its text, and the mark: Jinja makes them newlines.

    `values`: the repr of the params, in which the mark must not occur.
    """
    marks = (chr(code) for code in range(ord(END) + 1, 0xF8FF))
    mark = next(one for one in marks if one not in template and f"\\u{ord(one):04x}" not in values)
    parts = _JINJA.split(template)
    parts[::2] = [text.replace("\r", mark) for text in parts[::2]]
    return "".join(parts).replace("\r", "\n"), mark


def _rendered(environment: SandboxedEnvironment, template: str, params: Mapping[str, Any], what: str) -> str:
    try:
        return _compiled(environment, template).render(params)
    except jinja2.UndefinedError as error:
        found = re.fullmatch(r"'(.*)' is undefined", str(error))
        if found is None:
            raise JobError(f"{what}: {error}") from None
        known = [str(name) for name in params if name != _KEPT]
        raise JobError(
            f"{what}: {{{{ {found[1]} }}}} is not among the params; {did_you_mean(found[1], known)}"
        ) from None
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise JobError(f"{what}: {error}") from None
