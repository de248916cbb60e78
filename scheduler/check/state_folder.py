"""Findings about the state folder on this machine: whether other users could change what is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scheduler.check.finding import Finding, failed, note
from scheduler.ledger.folder.state_folder import folder_risk, group_can_write


def state_folder_findings(folder: Path) -> Iterator[Finding]:
    """A finding if users other than the owner can write in the state folder; none if it does not exist yet."""
    if not folder.is_dir():
        return
    why, do = folder_risk(folder)
    if why:
        yield failed("state folder", f"{folder} {why}: they could change what is submitted", do)
    elif group_can_write(folder):
        words = f"{folder} is writable by its group, whose members could change what is submitted"
        yield note("state folder", words, f"if you do not trust all of them: chmod g-w '{folder}'")
