"""Where in shell text a value stands, and how it must be written there to stay one word. Nothing here runs it.

One pass that knows in which quotes it is. What it cannot be sure of, it refuses: shells differ, and a wrong guess would
let a value be executed. A value may not stand where a shell would evaluate it, however it is quoted (`eval`, `sh -c`,
`[[ … -gt`, a subscript), unless it is plain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from scheduler.errors import JobError
from scheduler.quoting import quote

BEGIN, END = "\ue000", "\ue001"
"""Private-use characters: between them is the number of the value that stands there."""
_MARK = re.compile(f"{BEGIN}([0-9]+){END}")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")
# What a shell takes for its own where a command begins.
_WORDS = {
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "select", "time",
    "function", "coproc",
}  # fmt: skip
_NO_PLACE = {"#": "a comment", "((": "arithmetic", "$'": "$'…'", "`": "backticks", "${": "${…}"}
# Behind these, quoted or not, a shell makes a program of what follows.
_EVALUATED = re.compile(
    r"(?:^|[\s;&|({`\\])(?:eval|let|trap|declare|typeset|unset|export -p)\s[^;&|\n]*\Z"
    r"|(?:^|[\s;&|(/])(?:ba|da|a|k|mk|z|c|tc)?sh(?:\s+-\S+)*\s+-[A-Za-z]*c\s+\S*\Z"
    r"|\[\[\s(?:(?!\]\]).)*\Z"
    r"|[A-Za-z0-9_]\[[^\]\s]*\Z",
    re.DOTALL,
)
_FAR = 4000
"""So far back a command is looked for that evaluates what follows."""
_OF_A_PROGRAM = re.compile(r"\s-[A-Za-z]*c\s+\Z")
_CASE = re.compile(r"case\s")


class Places:
    """One pass over shell text. `stack` holds the quotes that are open, innermost last, `opened` where each began.

    Raises:
        JobError: from `fill`: a value stands where it could be executed, or cannot be written.
    """

    def __init__(self, text: str, values: Sequence[Any]) -> None:
        self.text, self.values = text, values
        self.at, self.doubt = 0, ""
        self.stack, self.opened, self.out = [""], [0], [""]

    def fill(self) -> str:
        """The text with every value in it."""
        while self.at < len(self.text):
            mark = _MARK.match(self.text, self.at)
            if mark is not None:
                self._value(mark)
            elif self.text[self.at] in (BEGIN, END):
                raise JobError("a value was changed on its way, perhaps by a {% filter %}")
            else:
                self._character(self.text[self.at], self.text[self.at + 1 : self.at + 2])
        return "".join(self.out)

    def _value(self, mark: re.Match[str]) -> None:
        number, inside = int(mark[1]), self.stack[-1]
        if number >= len(self.values):
            raise JobError("a value was changed on its way, perhaps by a {% filter %}")
        self._refuse_place(inside)
        value = self.values[number]
        if _MARK.search(str(value)):
            raise JobError("a value within a value, perhaps by a {% set %} block or a macro: use the param itself")
        if self._is_evaluated() and not all(_PLAIN.match(str(v)) for v in _listed(value)):
            raise JobError(
                f"a value stands where a shell runs it as a program (-c, eval, [[…]] and their like), and {value!r:.60}"
                " is more than letters, digits and _@%+=:,./-; pass it as an argument: sh -c '… \"$1\"' sh {{ name }}"
            )
        following = self.text[mark.end() : mark.end() + 1]
        exposed = following in ("<", ">") or self.text[self.at - 1 : self.at] == "~"
        self.out.append(_written(value, inside, exposed=exposed))
        self.at = mark.end()

    def _refuse_place(self, inside: str) -> None:
        where = self.doubt or _NO_PLACE.get(inside, "")
        if not where and {"`", "(("} & set(self.stack):
            where = "backticks or arithmetic"
        if where:
            raise JobError(f'a value stands in {where}, where it could be executed; use "…" or $(…)')

    def _is_evaluated(self) -> bool:
        quotes = [at for at, kind in zip(self.opened, self.stack, strict=True) if kind in ("'", '"')]
        places = quotes if self.stack[-1] in ("'", '"') else [*quotes, self.at]
        before = [self.text[max(0, at - _FAR) : at] for at in places]
        return any(map(_OF_A_PROGRAM.search, before[: len(quotes)])) or any(map(_EVALUATED.search, before))

    def _character(self, char: str, following: str) -> None:
        inside = self.stack[-1]
        if char in "\\$" and following == BEGIN and inside not in ("'", "#"):
            what = {"\\": "a backslash", "$": "a '$'"}[char]
            raise JobError(f"{what} stands before a value; values are quoted already")
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
                self.doubt = "or behind $'…', which shells read differently"
            return 2
        elif char == "`":
            self._close() if inside == "`" else self._open("`")
        elif char == '"':
            self._close() if inside == '"' else self._open('"')
        elif inside != '"':
            self._bare(char, following)
        return 1

    def _arithmetic(self, following: str) -> int:
        if following == "[":  # an old form that not every shell knows, and that ends in another way
            self.doubt = "or behind $[…], which shells read differently"
        return 3 if self.text.startswith("$((", self.at) else 2

    def _bare(self, char: str, following: str) -> None:
        inside = self.stack[-1]
        if char == "'" and inside == "${" and '"' in self.stack:
            self.doubt = 'or behind a single quote in "${…}", which shells read differently'
        elif char == "'" or (char == "#" and inside != "${" and self._begins_word()):
            self._open(char)
        elif char == "(" and inside in ("", "$(", "(", "(("):
            self._open("(")
        elif (char == ")" and inside in ("$(", "(")) or (char == "}" and inside == "${"):
            self._close()
        elif char == "<" and following == "<" and inside != "((":
            self.doubt = "or behind a here-document"
        elif char == "c" and inside in ("$(", "(") and self._begins_word() and _CASE.match(self.text, self.at):
            self.doubt = "or behind a case in (…), whose patterns end in a lone )"

    def _open(self, quotes: str) -> None:
        if "`" in self.stack and quotes in ("'", '"'):
            self.doubt = "or behind quotes in backticks"
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
    """`value` as text for a place inside these quotes. `exposed`: a neighbour would make more of a plain word."""
    if inside == '"':
        quote(value)  # refuses what no shell can carry
        return "".join("\\" + c if c in '\\"$`' else c for c in str(value))
    if inside == "'":
        quote(value)
        return str(value).replace("'", "'\\''")
    return " ".join(_word(v, exposed=exposed) for v in _listed(value))


def _word(value: Any, *, exposed: bool) -> str:
    """An assignment, a comma between braces and a shell's own word are more than text where one may stand."""
    text = quote(value)
    if text == str(value) and (exposed or text in _WORDS or "=" in text or "," in text):
        return f"'{text}'"
    return text
