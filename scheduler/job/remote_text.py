"""Text that a cluster has printed, cut to a length that may be recorded once for each job and shown in a table."""

from __future__ import annotations

WORD_CHARACTERS = 300
"""The most characters of a reason, a state, a node or a line of a log."""
MESSAGE_CHARACTERS = 600
"""The most characters of the message of a command: a refusal, an error."""
ID_CHARACTERS = 200
"""The most characters of an id of a batch system. A longer text is not an id."""
_GAP = " … "


def cut(text: str, most: int = WORD_CHARACTERS) -> str:
    """`text` with at most `most` characters: of a longer one the beginning and the end, where errors have their cause.

    Args:
        text: what a remote program has printed.
        most: the most characters of the result.
    """
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - len(_GAP)]}{_GAP}{text[-end:]}"


def read_id(text: str) -> str:
    """The id of a batch system that `text` is; empty if it is too long or has other characters than printable ones."""
    text = text.strip()
    return text if len(text) <= ID_CHARACTERS and text.isprintable() else ""
