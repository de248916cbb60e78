"""A name for this process that other processes can look up, and whether the process of such a name still runs."""

from __future__ import annotations

import os
import platform


def owner() -> str:
    """The name of this process: ``HOST:PID``."""
    return f"{platform.node()}:{os.getpid()}"


def is_gone(process: str) -> bool:
    """Whether the process with that name has ended, or is this one. False for a process on another host: not known."""
    host, _, pid = process.rpartition(":")
    if process == owner():
        return True
    if host != platform.node() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
