"""This process by a name that others can look up, and whether one of such a name is still there."""

from __future__ import annotations

import os
import platform


def owner() -> str:
    """This process, for others to see whether it is still there."""
    return f"{platform.node()}:{os.getpid()}"


def is_gone(process: str) -> bool:
    """The process of that name has ended (or is this one); on another machine nobody can tell, so it has not."""
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
