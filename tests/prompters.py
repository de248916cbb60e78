"""Users in tests: a prompter with prepared answers, and a command that runs at a terminal of its own."""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from scheduler.transports.prompt import Prompter

PASSWORD = "correct horse battery"
"""The password of the test cluster's account `password`."""
_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
# The first terminal that a session leader opens becomes its controlling terminal.
_TAKE_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execvp(sys.argv[1], sys.argv[1:])"


def code() -> str:
    """The current one-time code of the test cluster's accounts that require one (TOTP, RFC 6238)."""
    digest = hmac.new(base64.b32decode(_SECRET), struct.pack(">Q", int(time.time()) // 30), "sha1").digest()
    start = digest[-1] & 15
    number: int = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


class PreparedPrompter(Prompter):
    """Answers each prompt that contains one of the keys of `answers`.

    Attributes:
        asked: the prompts so far.
        texts: what was shown so far.
    """

    def __init__(self, answers: Mapping[str, str | Callable[[], str]]) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self.texts: list[str] = []

    def unavailable(self) -> str:
        return ""

    def show(self, text: str) -> None:
        self.texts.append(text)

    def ask(self, question: str, *, shown: bool) -> str | None:
        self.asked.append(question)
        answer = next((answer for word, answer in self._answers.items() if word in question), None)
        return answer() if callable(answer) else answer


class Terminal:
    """A command that runs at a pseudo-terminal.

    Attributes:
        process: the command.
        screen: everything that it has printed.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        self._ours, its_end = os.openpty()
        given = os.environ if environment is None else environment
        own = {name: value for name, value in given.items() if name != "SCHEDULER_NO_PROMPT"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command],
            stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True, env=own, cwd=folder,
        )  # fmt: skip
        os.close(its_end)
        self.screen = ""

    def shows(self, text: str, seconds: float = 300.0) -> None:
        """Wait until `text` is on the screen."""
        deadline = time.monotonic() + seconds
        while text not in self.screen:
            assert time.monotonic() < deadline, f"no {text!r} on the screen: {self.screen!r}"
            assert self._read(1.0) or self.process.poll() is None, f"it exited without {text!r}: {self.screen!r}"

    def types(self, line: str) -> None:
        """Type a line and the Enter key."""
        os.write(self._ours, f"{line}\n".encode())

    def ends(self, seconds: float = 300.0) -> int:
        """Wait for its end; its exit code. `screen` then has all of its output."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it is still running: {self.screen!r}"
            self._read(0.2)
        while self._read(0.1):
            pass
        return self.process.returncode

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], seconds)
        try:
            piece = os.read(self._ours, 65536) if ready else b""
        except OSError:  # the process has closed its side of the terminal
            return False
        self.screen += piece.decode("utf-8", "replace")
        return bool(piece)
