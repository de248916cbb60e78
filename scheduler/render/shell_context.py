"""The context of a value in shell text, and how the value is written there to stay one word. Nothing here runs it.

One pass over the text, which knows the quotes that are open. It refuses whatever is not certain: shells differ, and a
wrong guess would let a value be executed. Where a shell evaluates a word however it is quoted (`eval`, `sh -c`,
`[[ … -gt`, a subscript), only a plain value is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from scheduler.errors import JobError
from scheduler.quoting import quote

BEGIN, END = "\ue000", "\ue001"
"""Private-use characters. Between them is the number of the value that belongs there."""
_MARK = re.compile(f"{BEGIN}([0-9]+){END}")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")
# Reserved words: special where a command begins.
_WORDS = {
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "select", "time",
    "function", "coproc",
}  # fmt: skip
_REFUSED = {"#": "a comment", "((": "arithmetic", "$'": "$'…'", "`": "backticks", "${": "${…}"}
# After these a shell evaluates what follows as a program, quoted or not.
_EVALUATED = re.compile(
    r"(?:^|[\s;&|({`\\])(?:eval|let|trap|declare|typeset|unset|export -p)\s[^;&|\n]*\Z"
    r"|(?:^|[\s;&|(/])(?:ba|da|a|k|mk|z|c|tc)?sh(?:\s+-\S+)*\s+-[A-Za-z]*c\s+\S*\Z"
    r"|\[\[\s(?:(?!\]\]).)*\Z"
    r"|[A-Za-z0-9_]\[[^\]\s]*\Z",
    re.DOTALL,
)
_FAR = 4000
"""So many characters back we look for a command that evaluates what follows."""
_OF_A_PROGRAM = re.compile(r"\s-[A-Za-z]*c\s+\Z")
_CASE = re.compile(r"case\s")


class ShellText:
    """One pass over shell text with marks for values.

    Attributes:
        text: the shell text.
        values: by the number in their mark.
        at: the current position.
        doubt: why nothing after this position is certain; empty as long as everything is.
        stack: the quotes that are open, the innermost last.
        opened: the position at which each of them began.
        out: the parts of the result.
    """

    def __init__(self, text: str, values: Sequence[Any]) -> None:
        self.text, self.values = text, values
        self.at, self.doubt = 0, ""
        self.stack, self.opened, self.out = [""], [0], [""]

    def fill(self) -> str:
        """The text with every value in place of its mark.

        Raises:
            JobError: a value occurs where it could be executed, or cannot be written.
        """
        while self.at < len(self.text):
            mark = _MARK.match(self.text, self.at)
            if mark is not None:
                self._value(mark)
            elif self.text[self.at] in (BEGIN, END):
                raise JobError("a value was changed inside the template, perhaps by a {% filter %}")
            else:
                self._character(self.text[self.at], self.text[self.at + 1 : self.at + 2])
        return "".join(self.out)

    def _value(self, mark: re.Match[str]) -> None:
        number, inside = int(mark[1]), self.stack[-1]
        if number >= len(self.values):
            raise JobError("a value was changed inside the template, perhaps by a {% filter %}")
        self._refuse_context(inside)
        value = self.values[number]
        if _MARK.search(str(value)):
            raise JobError("a value within a value, perhaps by a {% set %} block or a macro: use the param itself")
        if self._is_evaluated() and not all(_PLAIN.match(str(v)) for v in _listed(value)):
            raise JobError(
                "a value is used where a shell runs it as a program (-c, eval, [[…]] and similar), and it"
                " has other characters than letters, digits and _@%+=:,./-; pass it as an argument:"
                " sh -c '… \"$1\"' sh {{ name }}"
            )
        following = self.text[mark.end() : mark.end() + 1]
        exposed = following in ("<", ">") or self.text[self.at - 1 : self.at] == "~"
        self.out.append(_written(value, inside, exposed=exposed))
        self.at = mark.end()

    def _refuse_context(self, inside: str) -> None:
        where = self.doubt or _REFUSED.get(inside, "")
        if not where and {"`", "(("} & set(self.stack):
            where = "backticks or arithmetic"
        if where:
            raise JobError(f'a value is used in {where}, where it could be executed; use "…" or $(…)')

    def _is_evaluated(self) -> bool:
        quotes = [at for at, kind in zip(self.opened, self.stack, strict=True) if kind in ("'", '"')]
        positions = quotes if self.stack[-1] in ("'", '"') else [*quotes, self.at]
        before = [self.text[max(0, at - _FAR) : at] for at in positions]
        return any(map(_OF_A_PROGRAM.search, before[: len(quotes)])) or any(map(_EVALUATED.search, before))

    def _character(self, char: str, following: str) -> None:
        inside = self.stack[-1]
        if char in "\\$" and following == BEGIN and inside not in ("'", "#"):
            what = {"\\": "a backslash", "$": "a '$'"}[char]
            raise JobError(f"{what} comes before a value; values are quoted already")
        step = 2 if char == "\\" and inside not in ("'", "#") and following else 1
        if step == 1:
            step = self._quotes(char, following, inside)
        self.out.append(self.text[self.at : self.at + step])
        self.at += step

    def _quotes(self, char: str, following: str, inside: str) -> int:
        if inside in ("'", "$'", "#"):
            if char == {"'": "'", "$'": "'", "#": "\n"}[inside]:
                self._close()
        elif self.text.startswith(("$((", "$["), self.at) or (inside != '"' and self.text.startswith("((", self.at)):
            self._open("((")
            return self._arithmetic(following)
        elif inside == "((" and self.text.startswith("))", self.at):
            self._close()
            return 2
        elif (char == "$" and following in ("(", "{")) or (char == "$" and following == "'" and inside != '"'):
            self._open({"(": "$(", "{": "${", "'": "$'"}[following])
            if following == "'":
                self.doubt = "or after $'…', which shells read differently"
            return 2
        elif char == "`":
            self._close() if inside == "`" else self._open("`")
        elif char == '"':
            self._close() if inside == '"' else self._open('"')
        elif inside != '"':
            self._bare(char, following)
        return 1

    def _arithmetic(self, following: str) -> int:
        if following == "[":  # an old form; not every shell knows it
            self.doubt = "or after $[…], which shells read differently"
        return 3 if self.text.startswith("$((", self.at) else 2

    def _bare(self, char: str, following: str) -> None:
        inside = self.stack[-1]
        if char == "'" and inside == "${" and '"' in self.stack:
            self.doubt = 'or after a single quote in "${…}", which shells read differently'
        elif char == "'" or (char == "#" and inside != "${" and self._begins_word()):
            self._open(char)
        elif char == "(" and inside in ("", "$(", "(", "(("):
            self._open("(")
        elif (char == ")" and inside in ("$(", "(")) or (char == "}" and inside == "${"):
            self._close()
        elif char == "<" and following == "<" and inside != "((":
            self.doubt = "or after a here-document"
        elif char == "c" and inside in ("$(", "(") and self._begins_word() and _CASE.match(self.text, self.at):
            self.doubt = "or after a case in (…), whose patterns end with a single )"

    def _open(self, quotes: str) -> None:
        if "`" in self.stack and quotes in ("'", '"'):
            self.doubt = "or after quotes in backticks"
        self.stack.append(quotes)
        self.opened.append(self.at)

    def _close(self) -> None:
        self.stack.pop()
        self.opened.pop()

    def _begins_word(self) -> bool:
        before = self.text[: self.at]
        while before.endswith("\\\n"):
            before = before[:-2]
        return not before or before[-1] in " \t\n;&|()<>"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _written(value: Any, inside: str, *, exposed: bool) -> str:
    """`value` as text inside these quotes. `exposed`: the characters next to it would change a plain word's meaning."""
    if inside == '"':
        quote(value)  # refuses what no command can carry
        return "".join("\\" + c if c in '\\"$`' else c for c in str(value))
    if inside == "'":
        quote(value)
        return str(value).replace("'", "'\\''")
    return " ".join(_word(v, exposed=exposed) for v in _listed(value))


def _word(value: Any, *, exposed: bool) -> str:
    """`value` as one word. An assignment, a comma between braces and a reserved word get quotes: a shell treats them
    specially."""
    text = quote(value)
    if text == str(value) and (exposed or text in _WORDS or "=" in text or "," in text):
        return f"'{text}'"
    return text
