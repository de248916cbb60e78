"""How we prove to a host who we are: with keys, and with what a person answers, if it wants that and one is there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import paramiko

from scheduler.errors import LoginError, TimedOut
from scheduler.transports.certificates import EXPIRED, renewal
from scheduler.transports.settings import Hop
from scheduler.transports.ssh.keyboard_interactive import answer
from scheduler.transports.ssh.keys import LOCKED, Candidate, Keys, candidates, keys_of_agent

_BY_HAND = "Or log in by hand with ssh and a ControlMaster, and set `transport: openssh`"
_MOST_PROOFS = 6


def ways_in(transport: paramiko.Transport, hop: Hop) -> Sequence[str]:
    """What `hop` would take as a proof; nothing if it is open to all, and has let us in.

    Raises:
        TimedOut: it did not answer.
    """
    try:
        with _in_time(transport, hop):
            transport.auth_none(hop.user)
    except paramiko.BadAuthenticationType as error:
        return error.allowed_types
    return ()


def log_in(transport: paramiko.Transport, hop: Hop, credentials: Keys, ways: Sequence[str]) -> None:
    """Log in to `hop` with the keys that it names, those of the agent, those in their usual places, and with answers.

    Args:
        ways: those that it takes.

    Raises:
        LoginError: none of them was let in, or a prompter is needed and none is there.
        TimedOut: it did not answer.
    """
    attempt = _Attempt(transport, hop, credentials, ways)
    with keys_of_agent(hop, attempt.tried.append) as agent_keys:
        attempt.keys = candidates(hop, agent_keys, credentials, attempt.tried.append)
        attempt.go()


class _Attempt:
    """One login: what the host allows still, what it has accepted, and what was tried in vain."""

    def __init__(self, transport: paramiko.Transport, hop: Hop, credentials: Keys, ways: Sequence[str]) -> None:
        self._transport, self._hop, self._credentials = transport, hop, credentials
        self.keys: Iterator[Candidate] = iter(())
        self.tried: list[str] = []
        self._allowed = ways
        self._accepted: list[str] = []

    def go(self) -> None:
        for _ in range(_MOST_PROOFS):
            if self._transport.is_authenticated():
                return
            if not self._one_more_proof():
                break
        if not self._transport.is_authenticated():
            raise LoginError(self._nobody_let_in())

    def _one_more_proof(self) -> bool:
        """True: the host has taken another proof, and lets us in or names the next."""
        ways = {"publickey": self._by_key, "keyboard-interactive": self._by_answers, "password": self._by_password}
        return any(prove() for way, prove in ways.items() if way in self._allowed and self._transport.is_active())

    def _by_key(self) -> bool:
        for name, key in self.keys:
            with self._noting(name), _in_time(self._transport, self._hop):
                self._took(name, self._transport.auth_publickey(self._hop.user, key))
                return True
            if not self._transport.is_active():
                break
        return False

    def _by_answers(self) -> bool:
        if self._credentials.unasked():
            return False
        with self._noting("your answers"):
            self._took("your answers", answer(self._transport, self._hop, self._credentials.prompter))
            return True
        return False

    def _by_password(self) -> bool:
        password = self._credentials.passwords.pop(self._hop.where, None)
        if password is None and not self._credentials.unasked():
            password = self._credentials.prompter.ask(f"{self._hop.where}: password:", shown=False)
        if password is None:
            return False
        with self._noting("your password"), _in_time(self._transport, self._hop):
            self._took("your password", self._transport.auth_password(self._hop.user, password, fallback=False))
            self._credentials.passwords[self._hop.where] = password
            return True
        return False

    def _took(self, what: str, still_wanted: Sequence[str]) -> None:
        self._accepted.append(what)
        self._allowed = still_wanted

    @contextlib.contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except paramiko.AuthenticationException:
            self.tried.append(f"{what}: refused")
        except paramiko.SSHException as error:
            self.tried.append(f"{what}: {error}")

    def _nobody_let_in(self) -> str:
        attempts = "; ".join(self.tried) or "nothing, as there is no key in ~/.ssh and no agent"
        ways = ", ".join(self._allowed) or "nothing"
        if self._accepted:
            accepted = " and ".join(self._accepted)
            failed = f" Tried: {attempts}." if self.tried else ""
            return (
                f"{self._hop.where}: {accepted} was accepted, but the host wants a second proof too ({ways}).{failed} "
                f"{self._advice()}"
            )
        hung_up = not self._transport.is_active()
        ending = "; it hung up: name the one right key, with `IdentitiesOnly yes`" if hung_up else ""
        return (
            f"{self._hop.where}: the login was refused. Tried: {attempts}. The host allows: {ways}{ending}. "
            f"{self._advice()}"
        )

    def _advice(self) -> str:
        locked = [line.partition(":")[0] for line in self.tried if line.endswith(LOCKED)]
        unasked = self._credentials.unasked()
        if any(EXPIRED in line for line in self.tried):
            return renewal(f"{self._hop.where} {' '.join(self.tried)}")
        if {"keyboard-interactive", "password"} & set(self._allowed) and unasked:
            needed = "a password or a one-time code" if "keyboard-interactive" in self._allowed else "a password"
            return f"It wants {needed}, and {unasked}. {_BY_HAND}"
        if locked:
            return f"Unlock the key with `ssh-add {locked[0]}`"
        if "publickey" not in self._allowed:
            return f"Try again. {_BY_HAND}"
        return f"See what `ssh -v -p {self._hop.port} {self._hop.user}@{self._hop.hostname}` says"


@contextlib.contextmanager
def _in_time(transport: paramiko.Transport, hop: Hop) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    except paramiko.AuthenticationException as error:
        # Paramiko tells a timeout from a refusal by its words only.
        if transport.is_active() and time.monotonic() - started >= transport.auth_timeout:
            raise TimedOut(
                f"{hop.where}: no answer to the login in {transport.auth_timeout:g} seconds. Try again later"
            ) from error
        raise
