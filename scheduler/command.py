"""A user's command with parameters becomes shell text in which every value is data. Nothing here runs it.

``{{ name }}`` outside quotes becomes one quoted word (a list: several words). Inside the user's own quotes the value is
escaped for those quotes. Where no escape is safe (a here-document, backticks, ``$'…'``, a comment) it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from scheduler.errors import JobError, did_you_mean
from scheduler.quoting import quote

_MARK = "\ue000{}\ue001"  # private-use characters stand where a value will be


def fill(template: str, params: Mapping[str, Any], *, what: str) -> str:
    """Shell text from `template`, every value of `params` quoted for the place where it stands.

    Raises:
        JobError: an unknown name, broken Jinja, or a value in a place where it could be executed.
    """
    if "\ue000" in template or "\0" in template:
        raise JobError(f"{what}: holds a character that cannot be used here (NUL or U+E000)")
    values: list[Any] = []
    text = _rendered(_marking(), template, {**params, _KEPT: values}, what)
    return _Filler(text, values, what).fill()


def words(templates: Sequence[str], params: Mapping[str, Any], *, what: str) -> list[str]:
    """Arguments with their params filled in, unquoted: one word each, whatever it holds.

    Raises:
        JobError: an unknown name, broken Jinja, or what no command can carry.
    """
    return [_word(template, params, f"{what}[{n}]") for n, template in enumerate(templates)]


def _word(template: str, params: Mapping[str, Any], what: str) -> str:
    text = _rendered(_plain(), template, params, what)
    try:
        quote(text)
    except JobError as error:
        raise JobError(f"{what}: {error}") from None
    return text


_KEPT = " values"
"""Where the values of a rendering are kept; no name in a template has a blank."""


@cache
def _plain() -> SandboxedEnvironment:
    return SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, cache_size=0)


@cache
def _marking() -> SandboxedEnvironment:
    """An environment that puts a mark where a value would be, and keeps the value."""

    @jinja2.pass_context
    def keep(context: jinja2.runtime.Context, value: Any) -> Any:
        if isinstance(value, jinja2.Undefined):
            return value  # StrictUndefined raises when it becomes text
        values = context[_KEPT]
        values.append(value)
        return _MARK.format(len(values) - 1)

    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=keep, keep_trailing_newline=True, cache_size=0
    )


@lru_cache(maxsize=256)
def _compiled(environment: SandboxedEnvironment, template: str) -> jinja2.Template:
    return environment.from_string(template)


def _rendered(environment: SandboxedEnvironment, template: str, params: Mapping[str, Any], what: str) -> str:
    try:
        return _compiled(environment, template).render(params)
    except jinja2.UndefinedError as error:
        name = str(error).split("'")[1] if "'" in str(error) else str(error)
        known = [str(name) for name in params if name != _KEPT]
        raise JobError(f"{what}: {{{{ {name} }}}} is not among the params; {did_you_mean(name, known)}") from None
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise JobError(f"{what}: {error}") from None


class _Filler:
    """One pass over shell text that knows in which quotes it is. `stack` holds the open ones, innermost last."""

    def __init__(self, text: str, values: list[Any], what: str) -> None:
        self.text, self.values, self.what = text, values, what
        self.at, self.stack, self.out = 0, [""], [""]
        self.heredoc = False

    def fill(self) -> str:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\ue000":
                self._value()
            else:
                self._character(char, self.text[self.at + 1 : self.at + 2])
        return "".join(self.out)

    def _value(self) -> None:
        end = self.text.index("\ue001", self.at)
        value, inside = self.values[int(self.text[self.at + 1 : end])], self.stack[-1]
        if self.heredoc or inside in ("`", "$'", "#") or {"`", "(("} & set(self.stack):
            places = {"#": "a comment", "((": "arithmetic", "$'": "$'…'", "`": "backticks"}
            where = "a here-document" if self.heredoc else places.get(inside, "backticks or arithmetic")
            raise JobError(f'{self.what}: a value stands in {where}, where it could be executed; use "…" or $(…)')
        try:
            self.out.append(_ESCAPES[inside](value))
        except JobError as error:
            raise JobError(f"{self.what}: {error}") from None
        self.at = end + 1

    def _character(self, char: str, following: str) -> None:
        inside = self.stack[-1]
        step = 2 if char == "\\" and inside != "'" and following and following != "\ue000" else 1
        if char == "\\" and step == 1 and inside != "'" and following == "\ue000":
            raise JobError(f"{self.what}: a backslash stands before a value; values are quoted already")
        if step == 1:
            step = self._quotes(char, following, inside)
        self.out.append(self.text[self.at : self.at + step])
        self.at += step

    def _quotes(self, char: str, following: str, inside: str) -> int:
        if inside in ("'", "$'", "#"):
            if char == {"'": "'", "$'": "'", "#": "\n"}[inside]:
                self.stack.pop()
        elif self.text.startswith("$((", self.at) or (inside != '"' and self.text.startswith("((", self.at)):
            self.stack.append("((")
            return 3 if char == "$" else 2
        elif inside == "((" and self.text.startswith("))", self.at):
            self.stack.pop()
            return 2
        elif (char == "$" and following in ("(", "{")) or (char == "$" and following == "'" and inside != '"'):
            self.stack.append({"(": "$(", "{": "${", "'": "$'"}[following])
            return 2
        elif char == "`":
            self.stack.pop() if inside == "`" else self.stack.append("`")
        elif char == '"':
            self.stack.pop() if inside == '"' else self.stack.append('"')
        elif inside != '"':
            self._bare(char, following)
        return 1

    def _bare(self, char: str, following: str) -> None:
        inside = self.stack[-1]
        if char == "'" or (char == "#" and self._begins_word()):
            self.stack.append(char)
        elif char == "(" and inside in ("$(", "(", "(("):
            self.stack.append("(")
        elif (char == ")" and inside in ("$(", "(")) or (char == "}" and inside == "${"):
            self.stack.pop()
        elif char == "<" and following == "<" and inside != "((" and self.text[self.at + 2 : self.at + 3] != "<":
            self.heredoc = True

    def _begins_word(self) -> bool:
        return self.at == 0 or self.text[self.at - 1] in " \t\n;&|()"


def _bare_words(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(quote(v) for v in value)
    return quote(value)


def _in_double_quotes(value: Any) -> str:
    quote(value)  # refuses what no shell can carry
    return "".join("\\" + c if c in '\\"$`' else c for c in str(value))


def _in_single_quotes(value: Any) -> str:
    quote(value)
    return str(value).replace("'", "'\\''")


def _in_braces(value: Any) -> str:
    raise JobError(f"a value stands inside ${{…}}, where it would be part of an expansion: {value!r:.60}")


_ESCAPES = {
    "": _bare_words,
    "$(": _bare_words,
    "(": _bare_words,
    '"': _in_double_quotes,
    "'": _in_single_quotes,
    "${": _in_braces,
}
