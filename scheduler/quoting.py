"""The one place where a value becomes part of a shell program. Nothing else quotes."""

from __future__ import annotations

import re

from scheduler.errors import ConfigError, JobError

_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def quote(value: object) -> str:
    """`value` as one word of a POSIX shell; whatever is in it stays data.

    Raises:
        JobError: it holds a NUL, which no shell, argument or environment can carry, or is no Unicode text.
    """
    text = str(value)
    if "\0" in text:
        raise JobError(f"a value holds a NUL character, which no command can carry: {text[:60]!r}")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise JobError(f"a value is not valid Unicode text: {text[:60]!r}")
    if _SAFE.match(text):
        return text
    text = text.replace("'", "'\\''")
    return "'" + text.replace("\r\n", "\r''\n") + "'"  # sbatch refuses a script in which these two are neighbours


def quote_path(path: str, *, what: str) -> str:
    """A path over there as one shell word; ``$NAME``, ``${NAME}`` and a leading ``~/`` are expanded over there.

    Nothing else is: a backtick or ``$(`` stays text. An unset variable ends the program with a clear message.

    Raises:
        ConfigError: a `$` that begins no variable, or a control character.
    """
    if any(ord(c) < 32 or ord(c) == 127 for c in path):
        raise ConfigError(f"{what}: a path cannot hold control characters: {path!r}")
    home, rest = ("$HOME", path[1:]) if path == "~" or path.startswith("~/") else ("", path)
    text, words, at = home + rest, [], 0
    for match in _VARIABLE.finditer(text):
        words.append(_literal(text[at : match.start()], path, what))
        name = match[1] or match[2]
        words.append(f'"${{{name}:?is not set over there, but {_plain(what)} names it}}"')
        at = match.end()
    words.append(_literal(text[at:], path, what))
    return "".join(words) or "''"


def _literal(text: str, path: str, what: str) -> str:
    if "$" in text:
        raise ConfigError(f"{what}: only $NAME and ${{NAME}} are expanded in a path, found a lone '$' in {path!r}")
    return quote(text) if text else ""


def _plain(what: str) -> str:
    return re.sub(r"[^A-Za-z0-9_. ]", "", what)
