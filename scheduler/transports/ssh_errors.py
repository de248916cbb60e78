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
        kind = TimedOut if isinstance(error, TimeoutError) else TransportError
        raise kind(f"{where}: {in_words(error)}") from error


def in_words(error: Exception) -> str:
    """What an error of Paramiko or of a socket means to somebody who knows neither."""
    match error:
        case socket.gaierror():
            return f"its name is not known here. Check the spelling. {_LATER}"
        case ConnectionRefusedError():
            return (
                "connection refused, so nobody listens on that port. Check host and port, or try again later"
            )
        case TimeoutError():
            return f"no answer in time. {_LATER}"
        case paramiko.ChannelException(code=2):
            return "the jump host cannot reach it. Check host and port, or try again later"
        case paramiko.ChannelException():
            return f"the host refuses to open one more session ({error.text}). Try again later"
        case paramiko.ssh_exception.IncompatiblePeer():
            return f"host and Paramiko have no algorithm in common ({error}). Set `transport: openssh`"
        case paramiko.SSHException() if "protocol banner" in str(error):
            return (
                "it hung up without a greeting: it is no SSH server, has too many connections just now, "
                f"or bars this address. {_LATER}"
            )
        case paramiko.SSHException() if str(error) == "Channel closed.":
            return "the host refuses to run commands for this account"
        case OSError(strerror=str(words)):
            return f"{words[:1].lower()}{words[1:]}. {_LATER}"
        case EOFError():
            return f"the connection was closed at the other end. {_LATER}"
    return f"{error}. {_LATER}"
