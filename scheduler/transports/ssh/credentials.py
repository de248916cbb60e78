"""What the user has entered once for a transport, kept in memory for its next connection. No SSH."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from scheduler.transports.prompt import NO_PROMPT_AFTER_LOSS, Prompter

_Key = TypeVar("_Key")


@dataclass
class Credentials(Generic[_Key]):
    """A prompter, and the keys and passwords that the user has entered through it. `repr` shows none of them.

    Attributes:
        prompter: asks the user.
        keys: decrypted private keys, by their files.
        passwords: passwords by host; one-time codes are never kept.
        connection_lost: there was a connection before; the user is not prompted again to replace it.
    """

    prompter: Prompter = field(repr=False)
    keys: dict[Path, _Key] = field(default_factory=dict, repr=False)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    connection_lost: bool = False

    def no_prompt_reason(self) -> str:
        """Why the user is not prompted now, as a clause for a message; empty if they may be."""
        return NO_PROMPT_AFTER_LOSS if self.connection_lost else self.prompter.unavailable()

    def forget(self) -> None:
        """Forget all keys and passwords."""
        self.keys.clear()
        self.passwords.clear()
        self.connection_lost = False
