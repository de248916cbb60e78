"""The connection that `ssh` commands share: a ControlMaster of the user's if one is open, else one of ours.

Ours has its socket in a folder of its own, and ends with the transport, or by itself when it has not been used for a
while. The user's is used and never touched.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from scheduler.errors import LoginError, TimedOut, TransportError
from scheduler.transports.openssh import options
from scheduler.transports.pipes import reap
from scheduler.transports.prompt import ANSWER_SECONDS, Prompter
from scheduler.transports.settings import SshSettings

_PERSIST_SECONDS = 900
_LOCAL_SECONDS = 10.0
_HOPS = 4
_CONFIGS = ("asking", "silent")
_LAST_WORDS_SECONDS = 0.5
_LONGEST_FOLDER = 60
"""A socket's path has room for 104 bytes, and ssh hangs 17 on it."""


class ControlMaster:
    """Which connection the next `ssh` is to take; it is made when there is none."""

    def __init__(self, settings: SshSettings, prompter: Prompter) -> None:
        self._settings = settings
        self._prompter = prompter
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._has_been_in = False

    def way(self) -> list[str]:
        """The ssh command that gets there, but for what to run.

        Raises:
            HostKeyError, LoginError, TimedOut, TransportError: the host was not reached or not entered.
        """
        with self._lock:
            folder = self._made()
            ours = self._command("silent", "-o", "ControlMaster=no", "-S", str(folder / "m"))
            if (folder / "m").exists() and _is_open(ours):
                return ours
            theirs = self._command("silent", "-o", "ControlMaster=no")
            if _is_open(theirs):
                self._has_been_in = True
                return theirs
            try:
                self._open(folder)
            except LoginError:
                self._has_been_in = False  # who is told that a person is needed, and comes again, is that person
                raise
            self._has_been_in = True
            return ours

    def drop(self) -> None:
        """Our own connection is given up; whatever runs on it is cut."""
        with self._lock:
            if self._folder is not None and (self._folder / "m").exists():
                _end(self._command("silent", "-S", str(self._folder / "m"), "-O", "exit"))

    def close(self) -> None:
        """The same, and the folder goes. May be called twice, and `way` afterwards."""
        self.drop()
        with self._lock:
            folder, self._folder, self._has_been_in = self._folder, None, False
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def refusal(self, words: str) -> TransportError:
        """The error for an ssh that wrote this."""
        if options.is_behind_a_proxy(words):
            words = options.without_debugging(self._in_detail()) or words
        shown = options.key_shown(self._in_detail()) if options.is_unknown_host(words) else ""
        expired = self._expired() if options.is_login(words) else ""
        return options.refusal(words, self._settings, shown=shown, unasked=self._unasked(), expired=expired)

    def _expired(self) -> str:
        """ssh shows an expired certificate without a word, and the host refuses it without one."""
        from scheduler.transports.certificates import EXPIRED, renewal, trouble_of

        process = started(["ssh", "-G", *self._command("silent")[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        said = process.communicate(timeout=_LOCAL_SECONDS)[0].decode("utf-8", "replace")
        troubles = {path: trouble_of(path) for path in options.certificates_in(said)}
        lines = [f"{path}{trouble}" for path, trouble in troubles.items() if EXPIRED in trouble]
        return f"There is a certificate, {lines[0]}. {renewal(f'{self._settings.host} {lines[0]}')}" if lines else ""

    def _unasked(self) -> str:
        """Why nobody is asked now; empty if somebody may be."""
        if self._has_been_in:
            return "nobody is asked again after a connection was lost: start again to be asked"
        return self._prompter.absent()

    def _made(self) -> Path:
        if self._folder is None:
            texts = {kind: options.config_text(self._settings, asking=kind == "asking") for kind in _CONFIGS}
            place = tempfile.gettempdir()
            short = place if len(place) < _LONGEST_FOLDER else "/tmp"  # noqa: S108 - mkdtemp's folder is ours alone
            self._folder = Path(tempfile.mkdtemp(prefix="sched-", dir=short))
            for name, text in texts.items():
                (self._folder / name).write_text(text, "utf-8", "surrogateescape")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def _command(self, config: str, *extra: str) -> list[str]:
        return ["ssh", "-F", str(self._made() / config), *extra, *options.target(self._settings)]

    def _open(self, folder: Path) -> None:
        """One connection, into the background once it is let in; who is asked for something is asked by ssh itself."""
        (folder / "m").unlink(missing_ok=True)  # of a master that was killed
        asking = not self._unasked()
        extra = ["-M", "-N", "-f", "-S", str(folder / "m"), "-o", f"ControlPersist={_PERSIST_SECONDS}"]
        command = self._command("asking" if asking else "silent", *extra)
        seconds = _HOPS * self._settings.connect_timeout + (ANSWER_SECONDS if asking else 0.0)
        with self._prompter.attention() if asking else contextlib.nullcontext():
            code, words = _heard(command, seconds, self._prompter if asking else None)
        if code is None:
            raise TimedOut(f"{self._settings.host}: no answer in time. ssh said: {words or 'nothing'}\nTry again later")
        if code != 0:
            raise self.refusal(words)

    def _in_detail(self) -> str:
        """What `ssh -v` says of a host that it does not know; it goes no further than that host's key."""
        command = self._command("silent", "-v", "-o", "ControlMaster=no", "-S", "none")
        return _heard([*command, "exit"], _HOPS * self._settings.connect_timeout, None)[1]


def started(command: Sequence[str], *, stdin: int, stdout: int, at_terminal: bool = False) -> subprocess.Popen[bytes]:
    """An `ssh` under way. It can prompt at the terminal of this process only if that is wished.

    Raises:
        TransportError: there is no such command.
    """
    try:
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, bufsize=0, start_new_session=not at_terminal
        )
    except OSError as error:
        raise TransportError(
            f"`ssh` cannot be run here: {error.strerror}. Install OpenSSH's client, or set `transport: ssh`"
        ) from error


def _is_open(command: Sequence[str]) -> bool:
    return _end([*command[:1], "-O", "check", *command[1:]])


def _end(command: Sequence[str]) -> bool:
    """Talk with a master on this machine; true if it is there."""
    process = started(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        process.communicate(timeout=_LOCAL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode == 0


def _heard(command: Sequence[str], seconds: float, prompter: Prompter | None) -> tuple[int | None, str]:
    """Exit code (None: it took too long) and standard error of an ssh; the person sees that too, as it comes."""
    process = started(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, at_terminal=prompter is not None)
    words: list[bytes] = []
    # An older ssh keeps this pipe open in the background, so its end cannot be waited for.
    listener = threading.Thread(target=_listen, args=(process, words, prompter), daemon=True)
    listener.start()
    code: int | None = None
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.returncode is None:
            process.kill()
            reap(process)
    listener.join(_LAST_WORDS_SECONDS)
    return code, b"".join(words).decode("utf-8", "replace").strip()


def _listen(process: subprocess.Popen[bytes], words: list[bytes], prompter: Prompter | None) -> None:
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    with process.stderr as pipe:
        while piece := pipe.read(4096):
            words.append(piece)
            if prompter is not None:
                prompter.tell(piece.decode("utf-8", "replace"))
