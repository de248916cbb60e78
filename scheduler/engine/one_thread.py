"""A lock for what one thread at a time may do. A forked process has a new one, which no thread of its parent holds."""

from __future__ import annotations

import os
import threading


class OneThread:
    """A context that one thread of this process is in at a time. The same thread may enter it again."""

    def __init__(self) -> None:
        self._process, self._lock = os.getpid(), threading.RLock()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.RLock()
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()
