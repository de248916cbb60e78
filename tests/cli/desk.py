"""Somebody's desk: a current directory with a hostile name, a ledger, a site `local` of its own, and the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).parent / "scheduler")
LONGEST_SECONDS = 600.0
LOCAL = """\
work_dir: {folder}
limits: {{poll_seconds: 0.2}}
"""
"""Over the packaged site of that name."""
SWEEP = """\
id: "{name}-{{{{ way }}}}-{{{{ n }}}}"
job:
  type: script
  script_path: job.sh
  arguments: ["{{{{ way }}}}", "{{{{ n }}}}"]
  output_files: {outputs}
matrix:
  way: {ways}
  n: range(0, {count})
"""
JOB = """\
#!/bin/bash
echo "$JOB_ID" >>"$RAN"
echo "out of $1"
echo "err of $1" >&2
case $1 in
  good) echo '{"mass": 0.'"$2"'5, "engine": "toy"}' >result.json; seq 1000 >out.txt ;;
  bad) exit 3 ;;
  slow) seq 1000 >out.txt; until [ -e "$RAN.go" ]; do sleep 0.1; done ;;
  endless) sleep 3600 ;;
esac
"""


@dataclass(frozen=True)
class Done:
    """A command that has ended, and all that it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Its results, line by line."""
        return self.out.splitlines()


@dataclass(frozen=True)
class Desk:
    """Where somebody works.

    Attributes:
        folder: their current directory.
        environment: of their commands.
    """

    folder: Path
    environment: Mapping[str, str]

    def scheduler(self, *words: str, code: int = 0, input: str | None = None) -> Done:
        """Run the command to its end, which must be `code`."""
        given = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        ended = subprocess.run(
            [COMMAND, *words], capture_output=True, text=True, cwd=self.folder, env=self.environment,
            timeout=LONGEST_SECONDS, **given,
        )  # fmt: skip
        assert ended.returncode == code, f"{words} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
        return Done(ended.returncode, ended.stdout, ended.stderr)

    @contextmanager
    def scheduler_at_work(self, *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """The command in a session of its own, once it has said `until` on stderr."""
        talk = self.folder / "talk"
        with talk.open("w") as file, subprocess.Popen(
            [COMMAND, *words], stdout=subprocess.DEVNULL, stderr=file, stdin=subprocess.DEVNULL, text=True,
            cwd=self.folder, env=self.environment, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                wait_for(lambda: until in talk.read_text(), what=until)
                yield process
            finally:
                process.kill()

    def killed_after_submit(self, *words: str) -> None:
        """Run the command, and end it by force as soon as its jobs are on their way."""
        with self.scheduler_at_work(*words, until="submitted") as process:
            os.killpg(process.pid, signal.SIGKILL)

    def write(self, name: str, text: str) -> str:
        """A file on the desk."""
        (self.folder / name).write_text(text)
        return name

    def sweep(self, *ways: str, name: str = "job", count: int = 2, outputs: str = "[]") -> str:
        """A job file: `count` jobs of each way to end."""
        self.write("job.sh", JOB)
        return self.write(f"{name}.yaml", SWEEP.format(name=name, ways=list(ways), count=count, outputs=outputs))

    @property
    def ran(self) -> list[str]:
        """The jobs that have begun, each as often as it has."""
        file = Path(self.environment["RAN"])
        return sorted(file.read_text().splitlines()) if file.exists() else []

    def let_slow_jobs_end(self) -> None:
        """The jobs that end in the way `slow` run until this is called."""
        Path(f"{self.environment['RAN']}.go").touch()

    @property
    def talk(self) -> str:
        """What the command at work has said."""
        return (self.folder / "talk").read_text()


def desk_in(folder: Path, **environment: str) -> Desk:
    """A new desk, in a folder with a hostile name."""
    place = folder / 'a desk that\'s "here" $HOME `id` é'
    (place / "site_configs").mkdir(parents=True)
    site = LOCAL.format(folder=json.dumps(str(folder / "work over there's")))
    (place / "site_configs" / "local.yaml").write_text(site)
    unwanted = ("COLUMNS", "FORCE_COLOR", "SSH_AUTH_SOCK", "PYTHONWARNINGS")
    inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
    own = {"SCHEDULER_STATE_DIR": str(folder / "state"), "SCHEDULER_CONFIG_DIR": str(folder / "settings")}
    return Desk(place, {**inherited, **own, "RAN": str(folder / "ran"), "TERM": "xterm-256color", **environment})


def wait_for(happened: Any, *, what: str) -> None:
    """Look until it has happened."""
    until = time.monotonic() + LONGEST_SECONDS
    while not happened():
        assert time.monotonic() < until, f"waited in vain for {what!r}"
        time.sleep(0.05)
