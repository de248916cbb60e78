"""The absolute deadline of a run, which grows with its bytes: see `Program.longest_seconds`."""

from __future__ import annotations

import time

from scheduler.transports.base import BYTES_PER_SECOND


class Deadline:
    """Begins with the first byte that is moved: before that, a login may wait for its user.

    Args:
        longest_seconds: of the program.
    """

    def __init__(self, longest_seconds: float) -> None:
        self._seconds = longest_seconds
        self._at: float | None = None

    def has_passed(self, count: int) -> bool:
        """Whether the time is over, after `count` more bytes of the program's own input or output."""
        now = time.monotonic()
        self._at = (now + self._seconds if self._at is None else self._at) + count / BYTES_PER_SECOND
        return now > self._at
