"""``outputs.sh`` of one job: the folder it runs in and the outputs it declares, as sh text.

The job's script reads it, and so does the program that lists the outputs of finished jobs. Both expand the patterns
with ``runtime/glob.sh``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator

from scheduler.job import patterns
from scheduler.job.job import Job
from scheduler.quoting import quote
from scheduler.site.site import Site

_PRINTABLE = [chr(code) for code in range(ord(" "), ord("~") + 1) if chr(code) != "/"]
"""The characters of the names for which the strict pattern is made."""
_SPECIAL = "]^![-"
"""Within a class of sh these mean something, each in its own position."""
_NEVER = "\t"
"""No name with this character is compared with the strict pattern."""


def outputs_script(job: Job, site: Site) -> str:
    """Sets ``dir``, the job's folder, and defines ``outputs``, which calls ``declared NUMBER PATTERN STRICT LOOSE``.

    Strict and loose are the pattern as glob.sh compares it with names, with ASCII names and with all others.
    """
    folder = quote(job.working_dir) if site.is_local and not job.runs_apart else '"$control/dir"'
    lines = [f"dir={folder}", "outputs() {", "  :"]
    for number, pattern in enumerate(job.output_files):
        names = patterns.names_of(pattern)
        strict = "/".join(_strict(name) for name in names)
        loose = "/".join(patterns.loose(name) if _has_class(name) else _strict(name) for name in names)
        lines.append(f"  declared {number} {quote(pattern)} {quote(strict)} {quote(loose)}")
    return "\n".join([*lines, "}", ""])


def _has_class(name: str) -> bool:
    return any(piece == "?" or len(piece) > 1 for piece in patterns.pieces(name)) and name != "**"


def _strict(name: str) -> str:
    """The pattern of one name as a pattern of sh. It means the same as to fnmatch, for printable ASCII names."""
    if name == "**" or not patterns.has_wildcard(name):
        return name
    return "".join(_piece(piece) for piece in patterns.pieces(name))


def _piece(piece: str) -> str:
    if piece == "[":
        return "[[]"
    return _class(piece) if len(piece) > 1 else piece


def _class(piece: str) -> str:
    """A class of sh with the same printable characters. ``^``, ``[:digit:]`` and ``z-a`` mean something else in sh."""
    matcher = re.compile(fnmatch.translate(piece))
    members = [character for character in _PRINTABLE if matcher.match(character)]
    if len(members) > len(_PRINTABLE) // 2:
        return _bracket([one for one in _PRINTABLE if one not in members], "!")
    return _bracket(members, "")


def _bracket(members: Iterable[str], negation: str) -> str:
    special = [one for one in _SPECIAL if one in members]
    first = "]" if "]" in special else ""
    last = "".join(one for one in special if one != "]")
    return f"[{negation}{first}{''.join(_ranges(m for m in members if m not in _SPECIAL)) or _NEVER}{last}]"


def _ranges(members: Iterable[str]) -> Iterator[str]:
    """Runs of consecutive characters as ranges. The backslash is written twice, which is one in a pattern of sh."""
    runs: list[list[str]] = []
    for one in members:
        if runs and ord(one) == ord(runs[-1][-1]) + 1 and "\\" not in (one, runs[-1][-1]):
            runs[-1].append(one)
        else:
            runs.append([one])
    for run in runs:
        text = f"{run[0]}-{run[-1]}" if len(run) > 2 else "".join(run)
        yield text.replace("\\", "\\\\")
