"""A user's workspace: a current directory with a hostile name, a ledger, a site `local`, and the command to run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
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
"""A site file that overrides keys of the packaged site `local`."""
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
class Finished:
    """A finished command: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, read as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output."""
        return self.out.splitlines()


@dataclass(frozen=True)
class Workspace:
    """Where a user runs the command.

    Attributes:
        folder: the current directory of commands.
        environment: the environment of commands.
    """

    folder: Path
    environment: Mapping[str, str]

    def scheduler(self, *arguments: str, code: int = 0, input: str | None = None) -> Finished:
        """Run the command until it ends, and check that its exit code is `code`."""
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        process = subprocess.run(
            [COMMAND, *arguments], capture_output=True, text=True, cwd=self.folder, env=self.environment,
            timeout=LONGEST_SECONDS, **stdin,
        )  # fmt: skip
        output = f"{process.stdout}\n{process.stderr}"
        assert process.returncode == code, f"{arguments}: exit code {process.returncode}:\n{output}"
        return Finished(process.returncode, process.stdout, process.stderr)

    @contextmanager
    def running_scheduler(self, *arguments: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """The command, running in a session of its own, once it has printed `until` on stderr. Killed at the end."""
        stderr = self.folder / "stderr"
        with stderr.open("w") as file, subprocess.Popen(
            [COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=file, stdin=subprocess.DEVNULL, text=True,
            cwd=self.folder, env=self.environment, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                wait_for(lambda: until in stderr.read_text(), what=until)
                yield process
            finally:
                process.kill()

    @property
    def stderr(self) -> str:
        """What the command of `running_scheduler` has printed on stderr."""
        return (self.folder / "stderr").read_text()

    def killed_after_submit(self, *arguments: str) -> None:
        """Run the command, and kill it as soon as it has submitted its jobs."""
        with self.running_scheduler(*arguments, until="submitted") as process:
            os.killpg(process.pid, signal.SIGKILL)

    def write(self, name: str, text: str) -> str:
        """Write a file in the current directory. Returns its name."""
        (self.folder / name).write_text(text)
        return name

    def sweep(self, *ways: str, name: str = "job", count: int = 2, outputs: str = "[]") -> str:
        """Write a job file with `count` jobs of each way to end (the cases of `JOB`). Returns its name."""
        self.write("job.sh", JOB)
        return self.write(f"{name}.yaml", SWEEP.format(name=name, ways=list(ways), count=count, outputs=outputs))

    @property
    def ran(self) -> list[str]:
        """The ids of jobs that have started, sorted, each as often as it has started."""
        file = Path(self.environment["RAN"])
        return sorted(file.read_text().splitlines()) if file.exists() else []

    def end_slow_jobs(self) -> None:
        """Let the jobs of the way `slow` end. They run until this is called."""
        Path(f"{self.environment['RAN']}.go").touch()


def workspace_in(folder: Path, **environment: str) -> Workspace:
    """A new workspace whose current directory has a hostile name."""
    current = folder / 'a folder that\'s "here" $HOME `id` é'
    (current / "site_configs").mkdir(parents=True)
    (folder / "settings").mkdir()
    (folder / "settings" / "sites").symlink_to(current / "site_configs")  # the user's own files
    site = LOCAL.format(folder=json.dumps(str(folder / "work it's")))
    (current / "site_configs" / "local.yaml").write_text(site)
    unwanted = ("COLUMNS", "FORCE_COLOR", "SSH_AUTH_SOCK", "PYTHONWARNINGS")
    inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
    own = {"SCHEDULER_STATE_DIR": str(folder / "state"), "SCHEDULER_CONFIG_DIR": str(folder / "settings")}
    return Workspace(current, {**inherited, **own, "RAN": str(folder / "ran"), "TERM": "xterm-256color", **environment})


def wait_for(condition: Callable[[], Any], *, what: str) -> None:
    """Wait until `condition()` is true; `what` names it in the failure's message."""
    until = time.monotonic() + LONGEST_SECONDS
    while not condition():
        assert time.monotonic() < until, f"waited {LONGEST_SECONDS:g} s for {what!r}"
        time.sleep(0.05)
