"""Paramiko's exceptions and its log, put into plain words in this one place."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator

import paramiko

from scheduler.errors import TimedOut, TransportError

# Paramiko logs as errors, with tracebacks, what is raised here as a sentence. Lower its level to see them.
LOG = "scheduler.paramiko"
logging.getLogger(LOG).addHandler(logging.NullHandler())
logging.getLogger(LOG).setLevel(logging.CRITICAL)

FOREIGN = (paramiko.SSHException, EOFError, OSError)
"""All that Paramiko and the sockets below it raise."""

_LATER = "Check the network and the VPN, or try again later"


@contextlib.contextmanager
def plainly(where: str) -> Iterator[None]:
    """What is foreign becomes a TransportError (TimedOut, if it was that) that begins with `where`."""
    try:
        yield
    except FOREIGN as error:
        raise translated(error, where) from error


def translated(error: Exception, where: str) -> TransportError:
    """The error to raise in place of a foreign one."""
    kind = TimedOut if _is_timeout(error) else TransportError
    return kind(f"{where}: {in_words(error)}")


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or str(error) == "Timeout opening channel."


def in_words(error: Exception) -> str:
    """What an error of Paramiko or of a socket means to somebody who knows neither."""
    match error:
        case socket.gaierror():
            return f"its name is not known here. Check the spelling. {_LATER}"
        case ConnectionRefusedError():
            return "connection refused, so nobody listens on that port. Check host and port, or try again later"
        case Exception() if _is_timeout(error):
            return f"no answer in time. {_LATER}"
        case paramiko.SSHException() if is_refusal(error):
            return "the host opens no more sessions. Try again later"
        case paramiko.ssh_exception.IncompatiblePeer():
            return f"host and Paramiko have no algorithm in common ({error}). Set `transport: openssh`"
        case paramiko.SSHException() if str(error) == "Channel closed.":
            return "the host runs no commands for this account. See what `ssh` says there"
        case OSError(strerror=str(words)):
            return f"{words[:1].lower()}{words[1:]}. {_LATER}"
        case EOFError():
            return f"the connection was closed at the other end. {_LATER}"
    return f"{str(error).rstrip('.')}. {_LATER}"


def is_refusal(error: Exception) -> bool:
    """The host is well, but opens no more channels on this connection (OpenSSH: MaxSessions)."""
    # Paramiko keeps one exception per connection: of two refused at once, the other gets these words.
    return isinstance(error, paramiko.ChannelException) or str(error) == "Unable to open channel."
