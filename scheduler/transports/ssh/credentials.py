"""What a person has entrusted to one transport, for its next connection: in memory only, never shown. No SSH."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from scheduler.transports.prompt import Prompter

_Key = TypeVar("_Key")


@dataclass
class Credentials(Generic[_Key]):
    """A prompter, and what they have been asked once.

    Attributes:
        prompter: who may be asked.
        keys: private keys that they have unlocked, by their files.
        passwords: by host; one-time codes are never kept.
        lost: there was a connection before: nobody may be sitting there any more.
    """

    prompter: Prompter = field(repr=False)
    keys: dict[Path, _Key] = field(default_factory=dict, repr=False)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    lost: bool = False

    def unasked(self) -> str:
        """Why nobody is asked now, as the second half of a sentence; empty if somebody may be."""
        if self.lost:
            return "nobody is asked again after a connection was lost: start again to be asked"
        return self.prompter.absent()

    def forget(self) -> None:
        """Keep nothing."""
        self.keys.clear()
        self.passwords.clear()
        self.lost = False
