"""What an output pattern means: exactly what it means to Python's glob, except that no link to a folder is followed.

``*``, ``?`` and ``[…]`` match within a name, and no hidden name unless the pattern of it begins with a dot. ``**``
between slashes is any number of folders that are not hidden. A folder that matches stands for all files in it, also
hidden ones.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

_WILDCARDS = frozenset("*?[")
_PLAIN = re.compile(r"[ -~]*\Z")
_IGNORED = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
"""Characters that some file systems ignore in names: ``.g\\u200cit`` is ``.git`` on HFS+."""


def has_wildcard(text: str) -> bool:
    """Whether any character of it is one of ``*?[``."""
    return not _WILDCARDS.isdisjoint(text)


@lru_cache(maxsize=1000)
def names_of(pattern: str) -> tuple[str, ...]:
    """The patterns of the nested names in it, one for each folder and the last for the file.

    ``**`` at the end is the folder before it, and ``**`` alone is everything in the job's folder.
    """
    names = tuple(name for name in pattern.split("/") if name not in ("", "."))
    return ("*",) if names == ("**",) else names


def matches(pattern: str, path: str) -> bool:
    """Whether a file belongs to a declared output.

    Args:
        pattern: a pattern of `Job.output_files`.
        path: of the file, relative to the job's folder.
    """
    return _answers(pattern, path, _name_matches)


def may_be_listed(pattern: str, path: str) -> bool:
    """Whether the remote listing, which does not know characters beyond ASCII, may take a file for a match."""
    return _answers(pattern, path, _name_may_be_listed)


def is_git(name: str) -> bool:
    """Whether a folder or file of this name is ``.git`` on any file system: nothing is ever written into it."""
    return _IGNORED.sub("", name).casefold().rstrip(" .") in (".git", "git~1")


def leads_into_git(path: str) -> bool:
    """Whether a local path is in a ``.git`` folder, by its names or by the links in it."""
    return any(is_git(name) for place in (path, os.path.realpath(path)) for name in place.split("/"))


def pieces(name: str) -> Iterator[str]:
    """The pattern of one name in pieces: ``*``, ``?``, classes (``[a-c]``), and single other characters."""
    at = 0
    while at < len(name):
        end = _end_of_class(name, at) if name[at] == "[" else at + 1
        yield name[at:end]
        at = end


def loose(name: str) -> str:
    """A pattern that uses only ``*`` and ``?`` and matches at least what `name` does, if ``?`` matches a byte."""
    text = "".join("?*" if piece == "?" or len(piece) > 1 else piece for piece in pieces(name))
    return text.replace("[", "[[]")


def _end_of_class(name: str, start: int) -> int:
    """Where the class that begins at `start` ends; after its first character if it is no class."""
    at = start + 1
    at += name[at : at + 1] == "!"
    end = name.find("]", at + 1)  # a "]" that comes first is a member
    return end + 1 if end > 0 else start + 1


def _answers(pattern: str, path: str, matches_name: Callable[[str, str], bool]) -> bool:
    patterns, names = names_of(pattern), path.split("/")
    if "**" not in patterns:
        return len(names) >= len(patterns) and all(map(matches_name, patterns, names))
    split = patterns.index("**")
    head, tail = patterns[:split], patterns[split + 1 :]
    if len(names) <= split or not all(map(matches_name, head, names)):
        return False
    for start in range(split, len(names) - len(tail) + 1):
        if all(map(matches_name, tail, names[start:])):
            return True
        if names[start].startswith("."):
            return False
    return False


def _name_matches(pattern: str, name: str) -> bool:
    if not has_wildcard(pattern):
        return pattern == name
    return (pattern[0] == "." or name[0:1] != ".") and _compiled(pattern).match(name) is not None


def _name_may_be_listed(pattern: str, name: str) -> bool:
    if _name_matches(pattern, name):
        return True
    if not has_wildcard(pattern) or _PLAIN.match(name) or (pattern[0] != "." and name[0:1] == "."):
        return False
    return _compiled(_as_bytes(loose(pattern))).match(_as_bytes(name)) is not None


def _as_bytes(text: str) -> str:
    """One character for each byte: as sh sees it."""
    return os.fsencode(text).decode("latin-1")


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
