"""Authentication on one host: publickey, keyboard-interactive and password, in OpenSSH's order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import paramiko

from scheduler.errors import LoginError, TimedOut
from scheduler.transports.certificates import EXPIRED, renewal
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.keyboard_interactive import auth_interactive
from scheduler.transports.ssh.keys import ENCRYPTED, Candidate, KeyCredentials, agent_keys, candidates

_USE_CONTROL_MASTER = "Alternatively, open a ControlMaster connection with `ssh` yourself, and set `transport: openssh`"
_MOST_METHODS = 6


def auth_methods(transport: paramiko.Transport, hop: Hop) -> Sequence[str]:
    """The authentication methods that `hop` accepts; none if it needs no authentication and has logged us in.

    Raises:
        TimedOut: it did not answer.
    """
    try:
        with _in_time(transport, hop):
            transport.auth_none(hop.user)
    except paramiko.BadAuthenticationType as error:
        return error.allowed_types
    return ()


def log_in(transport: paramiko.Transport, hop: Hop, credentials: KeyCredentials, methods: Sequence[str]) -> None:
    """Log in to `hop` with its identity files, the agent's keys, the default keys, and the user's answers to prompts.

    Args:
        transport: the connection to `hop`, with the host key verified.
        hop: the host.
        credentials: the prompter, and what the user has entered before.
        methods: the authentication methods that the host accepts.

    Raises:
        LoginError: every method failed, or the user must be prompted and cannot be.
        TimedOut: the host did not answer.
    """
    login = _Login(transport, hop, credentials, methods)
    with agent_keys(hop, login.failures.append) as keys:
        login.candidates = candidates(hop, keys, credentials, login.failures.append)
        login.run()


class _Login:
    """The state of one login: the methods that the host still accepts, what it has accepted, and what has failed."""

    def __init__(
        self, transport: paramiko.Transport, hop: Hop, credentials: KeyCredentials, methods: Sequence[str]
    ) -> None:
        self._transport, self._hop, self._credentials = transport, hop, credentials
        self.candidates: Iterator[Candidate] = iter(())
        self.failures: list[str] = []
        self._methods = methods
        self._accepted: list[str] = []

    def run(self) -> None:
        for _ in range(_MOST_METHODS):
            if self._transport.is_authenticated():
                return
            if not self._next_method():
                break
        if not self._transport.is_authenticated():
            raise LoginError(self._failure())

    def _next_method(self) -> bool:
        """True if the host has accepted one more method: it logs us in, or names the methods that it also requires."""
        methods = {
            "publickey": self._publickey,
            "keyboard-interactive": self._keyboard_interactive,
            "password": self._password,
        }
        return any(
            method() for name, method in methods.items() if name in self._methods and self._transport.is_active()
        )

    def _publickey(self) -> bool:
        for name, key in self.candidates:
            with self._noting_failure(name), _in_time(self._transport, self._hop):
                self._accept(name, self._transport.auth_publickey(self._hop.user, key))
                return True
            if not self._transport.is_active():
                break
        return False

    def _keyboard_interactive(self) -> bool:
        if self._credentials.no_prompt_reason():
            return False
        with self._noting_failure("your answers"):
            self._accept("your answers", auth_interactive(self._transport, self._hop, self._credentials.prompter))
            return True
        return False

    def _password(self) -> bool:
        password = self._credentials.passwords.pop(self._hop.where, None)
        if password is None and not self._credentials.no_prompt_reason():
            password = self._credentials.prompter.ask(f"{self._hop.where}: password:", shown=False)
        if password is None:
            return False
        with self._noting_failure("your password"), _in_time(self._transport, self._hop):
            self._accept("your password", self._transport.auth_password(self._hop.user, password, fallback=False))
            self._credentials.passwords[self._hop.where] = password
            return True
        return False

    def _accept(self, what: str, remaining_methods: Sequence[str]) -> None:
        self._accepted.append(what)
        self._methods = remaining_methods

    @contextlib.contextmanager
    def _noting_failure(self, what: str) -> Iterator[None]:
        try:
            yield
        except paramiko.AuthenticationException:
            self.failures.append(f"{what}: refused")
        except paramiko.SSHException as error:
            self.failures.append(f"{what}: {error}")

    def _failure(self) -> str:
        tried = "; ".join(self.failures) or "nothing, because there is no key in ~/.ssh and no ssh-agent"
        methods = ", ".join(self._methods) or "none"
        if self._accepted:
            accepted = " and ".join(self._accepted)
            failed = f" Tried: {tried}." if self.failures else ""
            return (
                f"{self._hop.where}: {accepted} was accepted, but the host requires another authentication method too "
                f"({methods}).{failed} {self._advice()}"
            )
        closed = "; it closed the connection: name the right key, with `IdentitiesOnly yes`"
        ending = "" if self._transport.is_active() else closed
        return (
            f"{self._hop.where}: authentication failed: permission denied. Tried: {tried}. The host accepts: "
            f"{methods}{ending}. {self._advice()}"
        )

    def _advice(self) -> str:
        encrypted = [failure.partition(":")[0] for failure in self.failures if failure.endswith(ENCRYPTED)]
        reason = self._credentials.no_prompt_reason()
        if any(EXPIRED in failure for failure in self.failures):
            return renewal(f"{self._hop.where} {' '.join(self.failures)}")
        if {"keyboard-interactive", "password"} & set(self._methods) and reason:
            needed = "a password or a one-time code" if "keyboard-interactive" in self._methods else "a password"
            return f"It requires {needed}, and {reason}. {_USE_CONTROL_MASTER}"
        if encrypted:
            return f"Add the key to the ssh-agent with `ssh-add {encrypted[0]}`"
        if "publickey" not in self._methods:
            return f"Retry. {_USE_CONTROL_MASTER}"
        return f"See what `ssh -v -p {self._hop.port} {self._hop.user}@{self._hop.hostname}` prints"


@contextlib.contextmanager
def _in_time(transport: paramiko.Transport, hop: Hop) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    except paramiko.AuthenticationException as error:
        # Paramiko raises the same exception for a timeout and for a rejected login.
        if transport.is_active() and time.monotonic() - started >= transport.auth_timeout:
            seconds = f"{transport.auth_timeout:g} seconds"
            raise TimedOut(f"{hop.where}: authentication timed out: no answer in {seconds}. Try again later") from error
        raise
