"""The quoting of values in shell programs. No other module quotes."""

from __future__ import annotations

import re

from scheduler.errors import ConfigError, JobError

_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def quote(value: object) -> str:
    """`value` as one word of a POSIX shell: nothing in it is expanded or executed.

    Args:
        value: its text is quoted.

    Raises:
        JobError: it contains a NUL, which is not possible in a shell program, an argument or an environment; or it is
            not valid Unicode text.
    """
    text = str(value)
    if "\0" in text:
        raise JobError("a value contains a NUL character, which is not possible in a command; remove it")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise JobError("a value is not valid Unicode text; scripts are UTF-8")
    if _SAFE.match(text):
        return text
    text = text.replace("'", "'\\''")
    return "'" + text.replace("\r\n", "\r''\n") + "'"  # sbatch refuses a script in which these two are neighbours


def quote_path(path: str, *, what: str) -> str:
    """A remote path as one word of a POSIX shell; the shell expands ``$NAME``, ``${NAME}`` and a leading ``~/``.

    It expands nothing else: a backtick and ``$(`` stay text. A variable that is not set ends the program with an error.

    Args:
        path: the path.
        what: the key that it is the value of, for messages: ``work_dir``.

    Raises:
        ConfigError: a ``$`` that does not begin a variable, or a control character.
    """
    if any(ord(c) < 32 or ord(c) == 127 for c in path):
        raise ConfigError(f"{what}: a path must not contain control characters: {path!r}")
    home, rest = ("$HOME", path[1:]) if path == "~" or path.startswith("~/") else ("", path)
    text, words, at = home + rest, [], 0
    for match in _VARIABLE.finditer(text):
        words.append(_literal(text[at : match.start()], path, what))
        name = match[1] or match[2]
        words.append(f'"${{{name}:?is not set on the cluster, but {_plain(what)} uses it}}"')
        at = match.end()
    words.append(_literal(text[at:], path, what))
    return "".join(words) or "''"


def path_variables(path: str) -> list[str]:
    """The variables that a shell expands in what `quote_path` makes of a path, each once."""
    home = ["HOME"] if path == "~" or path.startswith("~/") else []
    return list(dict.fromkeys([*home, *(match[1] or match[2] for match in _VARIABLE.finditer(path))]))


def _literal(text: str, path: str, what: str) -> str:
    if "$" in text:
        raise ConfigError(f"{what}: a '$' in a path must begin $NAME or ${{NAME}}, not as in {path!r}")
    return quote(text) if text else ""


def _plain(what: str) -> str:
    return re.sub(r"[^A-Za-z0-9_. ]", "", what)
