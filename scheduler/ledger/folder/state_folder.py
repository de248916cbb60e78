"""Whether other users could change the files in the state folder: what is submitted is read from there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from scheduler.errors import LedgerError

_ANOTHER = "ame another folder by the environment variable SCHEDULER_STATE_DIR"


def refuse_unsafe(folder: Path) -> None:
    """Refuse to submit from a folder in which any user could replace files.

    Raises:
        LedgerError: it belongs to another user, or every user may write there; what to do.
    """
    why, do = folder_risk(folder)
    if why:
        raise LedgerError(f"the state folder {folder} {why}; nothing was submitted. {do}")


def folder_risk(folder: Path) -> tuple[str, str]:
    """Why other users could replace the files of a folder, and what to do; both empty if they cannot.

    The group of the folder is trusted here; `group_can_write` reports it. A folder of root is root's own risk.
    """
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (uid {status.st_uid})", f"N{_ANOTHER}"
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return "is writable by every user", f"Remove that permission: chmod 700 '{folder}'. Or n{_ANOTHER}"
    return "", ""


def group_can_write(folder: Path) -> bool:
    """Whether members of the folder's group could replace its files."""
    return bool(folder.stat().st_mode & stat.S_IWGRP)
