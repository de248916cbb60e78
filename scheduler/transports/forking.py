"""What a process that was forked does with the connections of its parent: it forgets them, and opens its own.

A connection belongs to the process that opened it: its threads do not exist in the child, and bytes that both write to
one socket would destroy it.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forgetting(Protocol):
    """A transport that has a connection."""

    def forget_connection(self) -> None:
        """In a forked process: leave the connection to the parent, and do not close it. A new one is opened later."""


_open: weakref.WeakSet[Forgetting] = weakref.WeakSet()
_of_parents: list[object] = []
"""What was forgotten: it is kept, because the garbage collector would close it."""


def forget_after_fork(transport: Forgetting) -> None:
    """Have a transport forget its connection in each process that is forked from now on."""
    _open.add(transport)


def keep(*values: object) -> None:
    """Keep values of the parent until this process ends."""
    _of_parents.extend(values)


def _forget_all() -> None:
    for transport in list(_open):
        transport.forget_connection()


os.register_at_fork(after_in_child=_forget_all)
