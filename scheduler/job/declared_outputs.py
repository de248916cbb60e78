"""Which output patterns a Job accepts, before anything is sent. What they match is in `patterns`."""

from __future__ import annotations

import re

from scheduler.job import braces, patterns

LONGEST_PATTERN = 4000
_LOGS = {"job.stdout": "standard output", "job.stderr": "standard error"}
_SHELL = re.compile(r"[$`\"'\\]")
_WHY = {
    "$": "variables are not expanded in it: write a path in the job's folder ([$] for a dollar in a name)",
    "`": "commands are not run in it: write a path in the job's folder ([`] for a backtick in a name)",
    "'": "leave out the quotes, as no shell reads it (['] for an apostrophe in a name)",
    '"': 'leave out the quotes, as no shell reads it (["] for a quote in a name)',
    "\\": "a backslash quotes nothing in it: write [*], [?] or [[] for these characters in a name",
}


def expanded(text: str) -> list[str]:
    """The patterns that a declared output stands for: its braces expanded, without empty parts and single dots.

    Args:
        text: the pattern as the user wrote it, relative and without ``..``.

    Raises:
        ValueError: it cannot be what the user means; with the reason.
    """
    if len(text) > LONGEST_PATTERN:
        raise ValueError(f"it is longer than {LONGEST_PATTERN} characters")
    for piece in patterns.pieces(text):
        if (found := _SHELL.match(piece)) is not None:
            raise ValueError(_WHY[found[0]])
    if "\\" in text:
        raise ValueError(_WHY["\\"])
    if text.startswith("~"):
        raise ValueError("'~' is not expanded in it: write a path in the job's folder ([~] for a tilde in a name)")
    return [_checked(one) for one in braces.expanded(text)]


def _checked(pattern: str) -> str:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if pattern.startswith("/") or ".." in parts:
        raise ValueError("it leads out of the job's folder")
    if not parts:
        raise ValueError("it names no file; '**' means all files in the job's folder")
    if any("**" in part and part != "**" for part in parts) or parts.count("**") > 1:
        raise ValueError("'**' must stand alone between slashes, and only once")
    if any(map(patterns.is_git, parts)):
        raise ValueError("nothing is downloaded into a folder .git")
    if len(parts) == 1 and parts[0] in _LOGS:
        raise ValueError(f"the job's own {_LOGS[parts[0]]} is downloaded to this name; give the file another name")
    return "/".join(parts)
