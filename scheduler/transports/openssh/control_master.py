"""The connection that `ssh` commands share: the user's ControlMaster if one is open, else our own.

Our socket is in a folder of our own. Our master ends with the transport, or by ControlPersist when it has been idle for
a while. The user's master is used and never changed or closed.
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
from scheduler.transports.prompt import ANSWER_SECONDS, NO_PROMPT_AFTER_LOSS, Prompter
from scheduler.transports.settings import SshSettings

_PERSIST_SECONDS = 900
_LOCAL_SECONDS = 10.0
_MOST_HOPS = 4
_CONFIGS = ("prompting", "batch")
_LAST_OUTPUT_SECONDS = 0.5
_LONGEST_FOLDER = 60
"""A path of a Unix socket has at most 104 bytes, and ssh appends 17 to it for a moment."""


class ControlMaster:
    """Provides the ssh command of each program, and opens a master connection if none is open.

    Args:
        settings: the host, and how to log in.
        prompter: decides whether ssh may prompt the user.

    Attributes:
        has_verified: an ssh of ours has logged in, with strict checking of the host's key.
    """

    def __init__(self, settings: SshSettings, prompter: Prompter) -> None:
        self._settings = settings
        self._prompter = prompter
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._remove_folder: weakref.finalize[..., ControlMaster] | None = None
        self._was_connected = False
        self.has_verified = False

    def ssh_command(self) -> list[str]:
        """The ssh command line, without the remote command, that uses an open connection.

        Raises:
            HostKeyError: the host key is unknown, has changed or is revoked.
            LoginError: the host refused the login.
            TimedOut: the host did not answer in time.
            TransportError: the host was not reached, or `ssh` is not installed.
        """
        with self._lock:
            folder = self._config_folder()
            ours = self._command("batch", "-o", "ControlMaster=no", "-S", str(folder / "m"))
            if (folder / "m").exists() and _is_open(ours):
                return ours
            users = self._command("batch", "-o", "ControlMaster=no")
            if _is_open(users):
                self._was_connected = True
                return users
            try:
                self._open(folder)
            except LoginError:
                self._was_connected = False  # the next call may prompt: the caller knows of the login
                raise
            self._was_connected = self.has_verified = True
            return ours

    def drop(self) -> None:
        """Close our master connection, and with it the connections of running programs."""
        with self._lock:
            if self._folder is not None and (self._folder / "m").exists():
                _control(self._command("batch", "-S", str(self._folder / "m"), "-O", "exit"))

    def close(self) -> None:
        """Close our connection and remove its folder. May be called twice; `ssh_command` opens a new one."""
        self.drop()
        with self._lock:
            folder, self._folder, self._was_connected = self._folder, None, False
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def forget(self) -> None:
        """In a forked process: leave our master and its folder to the parent."""
        if self._remove_folder is not None:
            self._remove_folder.detach()
        self._lock, self._folder, self._remove_folder = threading.Lock(), None, None

    def error(self, stderr: str) -> TransportError:
        """The error for an ssh that failed with this standard error."""
        if options.is_behind_a_proxy(stderr):
            stderr = options.without_debugging(self._debug_output()) or stderr
        key = options.sent_host_key(self._debug_output()) if options.is_unknown_host(stderr) else ""
        expired = self._expired_certificate() if options.is_login_refused(stderr) else ""
        return options.error_of(
            stderr, self._settings, host_key=key, no_prompt=self._no_prompt_reason(), expired=expired
        )

    def _expired_certificate(self) -> str:
        """A sentence on an expired certificate: neither ssh nor the host reports that a certificate has expired."""
        from scheduler.transports.certificates import EXPIRED, renewal, validity_problem

        process = start_ssh(
            ["ssh", "-G", *self._command("batch")[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        config = process.communicate(timeout=_LOCAL_SECONDS)[0].decode("utf-8", "replace")
        problems = {path: validity_problem(path) for path in options.certificates_in(config)}
        lines = [f"{path}{problem}" for path, problem in problems.items() if EXPIRED in problem]
        return f"There is a certificate, {lines[0]}. {renewal(f'{self._settings.host} {lines[0]}')}" if lines else ""

    def _no_prompt_reason(self) -> str:
        """Why ssh must not prompt the user now, as a clause for a message; empty if it may."""
        return NO_PROMPT_AFTER_LOSS if self._was_connected else self._prompter.unavailable()

    def _config_folder(self) -> Path:
        """Our folder, with the config files and the socket of our master; created if it does not exist."""
        if self._folder is None:
            texts = {kind: options.config_text(self._settings, batch=kind == "batch") for kind in _CONFIGS}
            temporary = tempfile.gettempdir()
            parent = temporary if len(temporary) < _LONGEST_FOLDER else "/tmp"  # noqa: S108 - mkdtemp makes it private
            self._folder = Path(tempfile.mkdtemp(prefix="sched-", dir=parent))
            for name, text in texts.items():
                (self._folder / name).write_text(text, "utf-8", "surrogateescape")
            self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def _command(self, config: str, *extra: str) -> list[str]:
        return ["ssh", "-F", str(self._config_folder() / config), *extra, *options.target(self._settings)]

    def _open(self, folder: Path) -> None:
        """Open our master: ssh logs in, prompting the user itself if it may, and then stays in the background."""
        (folder / "m").unlink(missing_ok=True)  # a master that was killed leaves its socket
        may_prompt = not self._no_prompt_reason()
        extra = ["-M", "-N", "-f", "-S", str(folder / "m"), "-o", f"ControlPersist={_PERSIST_SECONDS}"]
        command = self._command("prompting" if may_prompt else "batch", *extra)
        seconds = _MOST_HOPS * self._settings.connect_timeout + (ANSWER_SECONDS if may_prompt else 0.0)
        with self._prompter.lend_terminal() if may_prompt else contextlib.nullcontext():
            code, stderr = _run_ssh(command, seconds, self._prompter if may_prompt else None)
        if code is None:
            printed = stderr or "nothing"
            raise TimedOut(f"{self._settings.host}: connection timed out. ssh printed: {printed}\nTry again later")
        if code != 0:
            raise self.error(stderr)

    def _debug_output(self) -> str:
        """The standard error of `ssh -v` for a host that is unknown: it stops at the host key."""
        command = self._command("batch", "-v", "-o", "ControlMaster=no", "-S", "none")
        return _run_ssh([*command, "exit"], _MOST_HOPS * self._settings.connect_timeout, None)[1]


def start_ssh(command: Sequence[str], *, stdin: int, stdout: int, at_terminal: bool = False) -> subprocess.Popen[bytes]:
    """Start an `ssh`.

    Args:
        command: its command line.
        stdin: as in `subprocess.Popen`.
        stdout: as in `subprocess.Popen`.
        at_terminal: it may prompt at the terminal of this process.

    Raises:
        TransportError: `ssh` cannot be started.
    """
    try:
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, bufsize=0, start_new_session=not at_terminal
        )
    except OSError as error:
        raise TransportError(
            f"cannot run `ssh` on this machine: {error.strerror}. Install the OpenSSH client, or set `transport: ssh`"
        ) from error


def _is_open(command: Sequence[str]) -> bool:
    return _control([*command[:1], "-O", "check", *command[1:]])


def _control(command: Sequence[str]) -> bool:
    """Run an `ssh -O` command, which connects to a master on this machine; True if one is running."""
    process = start_ssh(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        process.communicate(timeout=_LOCAL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode == 0


def _run_ssh(command: Sequence[str], seconds: float, prompter: Prompter | None) -> tuple[int | None, str]:
    """Run an ssh to its end; with a prompter, the user sees its standard error while it runs.

    Returns:
        The exit code, or None after `seconds`; and the standard error.
    """
    process = start_ssh(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, at_terminal=prompter is not None)
    stderr: list[bytes] = []
    # Older versions of ssh keep this pipe open in the background, so we cannot wait for its end.
    reader = threading.Thread(target=_read_stderr, args=(process, stderr, prompter), daemon=True)
    reader.start()
    code: int | None = None
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.returncode is None:
            process.kill()
            reap(process)
    reader.join(_LAST_OUTPUT_SECONDS)
    return code, b"".join(stderr).decode("utf-8", "replace").strip()


def _read_stderr(process: subprocess.Popen[bytes], stderr: list[bytes], prompter: Prompter | None) -> None:
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    with process.stderr as pipe:
        while piece := pipe.read(4096):
            stderr.append(piece)
            if prompter is not None:
                prompter.show(piece.decode("utf-8", "replace"))
