"""A host under an attacker's control: a real sshd whose login shell answers each program with prepared bytes."""

from __future__ import annotations

from pathlib import Path

from tests.transports import sshd

PROGRAMS = {
    "poll": "Queries all jobs of one site at once", "submit": "Unpacks a bundle and submits its batches",
    "check": "Inspects a login node", "tail": "Prints the last lines of a job", "cancel": "Cancels jobs",
    "manifest": "Lists the outputs of finished jobs", "fetch": "Sends output files",
}  # fmt: skip
"""A program → the words by which the login shell recognises it; the first that is found counts."""
_SHELL = """#!/bin/sh
# Reads the program that it should run, runs nothing of it, and prints the next prepared answer between the two markers.
cd {folder}/answers || exit
count=$(printf %s "$SSH_ORIGINAL_COMMAND" | sed 's/.*head -c \\([0-9]*\\).*/\\1/')
opening=../opening.$$
head -c "$count" >"$opening"
nonce=$(sed -n "s/^printf '==%s:begin==.n' \\([0-9a-f]*\\)\\$/\\1/p" "$opening" | head -n 1)
name=unknown
{names}
rm -f "$opening"
answer=$(ls | grep "^[0-9]*-$name\\$" | head -n 1)
[ -n "$answer" ] && mv "$answer" "../used/$answer" && answer=../used/$answer
[ "$name" != submit ] || cat >/dev/null
[ "$name" != poll ] || cut -f 3 | head -n 1 >../name
printf '==%s:begin==\\n' "$nonce"
printf '==%s:begin==\\n' "$nonce" >&2
code=0
if [ -x "$answer" ]; then . "$answer"; elif [ -n "$answer" ]; then LC_ALL=C sed "s/NAME/$(cat ../name)/g" "$answer"; fi
printf '==%s:end:%s==\\n' "$nonce" "$code" >&2
printf '==%s:end:%s==\\n' "$nonce" "$code"
"""


class Attacker:
    """The host.

    Attributes:
        server: its sshd.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        for name in ("answers", "used"):
            (folder / name).mkdir()
        (folder / "name").write_text("x")
        tests = [
            f"[ $name != unknown ] || ! grep -q '{words}' \"$opening\" || name={name}"
            for name, words in PROGRAMS.items()
        ]
        shell = folder / "login-shell"
        shell.write_text(_SHELL.format(folder=folder, names="\n".join(tests)))
        shell.chmod(0o755)
        self.server = sshd.start(folder / "sshd", extra=f"ForceCommand {shell}")

    def forget(self) -> None:
        """Forget the answers that are prepared."""
        for path in (self._folder / "answers").iterdir():
            path.unlink()

    def answers(self, program: str, answer: bytes) -> None:
        """The answer to the next run of a program for which no answer is prepared yet. NAME is that of the batch."""
        self._path(program).write_bytes(answer)

    def runs(self, program: str, script: str) -> None:
        """Likewise, as a sh script that prints it: an answer that is large, slow or has no end."""
        path = self._path(program)
        path.write_text(script)
        path.chmod(0o755)

    def site(self) -> dict[str, object]:
        """The keys of a site file for this host."""
        settings = self.server.settings
        ssh = {"user": settings.user, "port": settings.port, "identity_file": settings.identity_file,
               "known_hosts": settings.known_hosts}  # fmt: skip
        return {"transport": "ssh", "host": settings.host, "work_dir": "/w", "ssh": ssh,
                "limits": {"poll_seconds": 0.001}}  # fmt: skip

    def _path(self, program: str) -> Path:
        self._number += 1
        return self._folder / "answers" / f"{self._number:06}-{program}"
