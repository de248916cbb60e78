"""Transports by name: ``transport: NAME`` in a site file is the folder ``scheduler/transports/NAME/``. No registry.

The folder's ``__init__.py`` declares ``TRAITS`` and imports nothing heavy; its ``transport.py`` has a function
``connect`` and is imported when a connection is first needed. If the transport uses SSH, it also has a function
``account``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scheduler.transports.base import Traits, Transport

if TYPE_CHECKING:
    from scheduler.transports.prompt import Prompter


class Connect(Protocol):
    """The function ``connect`` of a transport's ``transport.py``."""

    def __call__(self, host: str | None, ssh: Mapping[str, Any], *, prompter: Prompter | None = None) -> Transport:
        """A transport to a site; it connects at its first use.

        Args:
            host: the site's ``host:``, or None.
            ssh: the values of the site's ``ssh:``; a transport that does not use them ignores them.
            prompter: asks the user for a password, passphrase or one-time code; by default at the terminal.
        """


class Account(Protocol):
    """The function ``account`` in ``transport.py`` of a transport that uses SSH."""

    def __call__(self, host: str, *, user: str | None, port: int | None) -> tuple[str, str, int]:
        """User, host name and port of a connection, as the user's ``~/.ssh/config`` completes the given ones.

        Raises:
            ConfigError: the configuration cannot be read.
        """


def transport_names() -> list[str]:
    """The values that ``transport:`` may have: the folders beside this file that hold a ``transport.py``."""
    return sorted(found.parent.name for found in Path(__file__).parent.glob("*/transport.py"))


def traits_of(name: str) -> Traits:
    """What the transport `name` declares, without loading its code."""
    traits = importlib.import_module(f"scheduler.transports.{name}").TRAITS
    assert isinstance(traits, Traits)  # noqa: S101 - the contract of the folder
    return traits


def connect_function(name: str) -> Connect:
    """The function `connect` of the transport `name`; this imports the transport's libraries."""
    connect: Connect = importlib.import_module(f"scheduler.transports.{name}.transport").connect
    return connect


def account_function(name: str) -> Account:
    """The function `account` of the transport `name`, which uses SSH; this imports the transport's libraries."""
    account: Account = importlib.import_module(f"scheduler.transports.{name}.transport").account
    return account
