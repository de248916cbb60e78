"""Maps the exceptions of Paramiko and its socket to TransportErrors with plain messages, in this one place."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator

import paramiko

from scheduler.errors import TimedOut, TransportError

# Paramiko logs errors with tracebacks that we also raise as exceptions. To see them, lower the level of this logger.
LOGGER = "scheduler.paramiko"
logging.getLogger(LOGGER).addHandler(logging.NullHandler())
logging.getLogger(LOGGER).setLevel(logging.CRITICAL)

PARAMIKO_ERRORS = (paramiko.SSHException, EOFError, OSError)
"""Everything that Paramiko and its socket raise."""

_LATER = "Check the network and the VPN, or try again later"


@contextlib.contextmanager
def errors_mapped(where: str) -> Iterator[None]:
    """Turn Paramiko's exceptions into TransportError (or TimedOut); the message begins with `where`."""
    try:
        yield
    except PARAMIKO_ERRORS as error:
        raise map_error(error, where) from error


def map_error(error: Exception, where: str) -> TransportError:
    """The TransportError (or TimedOut) for an exception of Paramiko or its socket."""
    kind = TimedOut if _is_timeout(error) else TransportError
    return kind(f"{where}: {describe_error(error)}")


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or str(error) == "Timeout opening channel."


def describe_error(error: Exception) -> str:
    """A message for an exception of Paramiko or its socket, in OpenSSH's terms, with what to do."""
    match error:
        case socket.gaierror():
            return f"could not resolve hostname. Check the spelling. {_LATER}"
        case ConnectionRefusedError():
            return "connection refused. Check host and port, or try again later"
        case Exception() if _is_timeout(error):
            return f"connection timed out. {_LATER}"
        case paramiko.SSHException() if is_session_refused(error):
            return "the host refused to open a session. Try again later"
        case paramiko.ssh_exception.IncompatiblePeer():
            return f"host and Paramiko have no matching algorithm ({error}). Set `transport: openssh`"
        case paramiko.SSHException() if str(error) == "Channel closed.":
            return "the host closed the channel without running a command. Check that `ssh` can run commands there"
        case OSError(strerror=str(reason)):
            return f"{reason[:1].lower()}{reason[1:]}. {_LATER}"
        case EOFError():
            return f"connection closed by remote host. {_LATER}"
    return f"{str(error).rstrip('.')}. {_LATER}"


def is_session_refused(error: Exception) -> bool:
    """The connection works, but the host refuses another session on it (MaxSessions in sshd_config(5))."""
    # Paramiko keeps one exception per connection: of two sessions refused at once, one gets this generic message.
    return isinstance(error, paramiko.ChannelException) or str(error) == "Unable to open channel."
