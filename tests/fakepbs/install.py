"""Installs the fake PBS in a folder, locally or on the cluster: `bin`, a settings file, a folder for its server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

COMMANDS = ("qsub", "qstat", "qdel", "qselect", "qhold", "qrls")
_COMMAND = """\
#!{python} -ES
import sys
sys.path.insert(0, {library!r})
from fakepbs.command import main
sys.exit(main({name!r}, {prefix!r}, sys.argv[1:]))
"""


def install(prefix: Path, library: Path, *, master: bool, **server: Any) -> None:
    """Install the fake PBS.

    Args:
        prefix: the folder to install it in; the commands are in `prefix`/bin.
        library: the folder that holds this package.
        master: print what the newer build prints.
        server: cpus, memory, resources and pace, as in `Queue` and `Pace`.
    """
    home = prefix / "home"
    (prefix / "bin").mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    build = "master" if master else "release"
    (prefix / "pbs.conf").write_text(f"PBS_HOME={home}\nPBS_SERVER=pbslogin\nPBS_EXEC={prefix}\nBUILD={build}\n")
    (prefix / "server.json").write_text(json.dumps(server))
    for name in COMMANDS:
        program = prefix / "bin" / name
        program.write_text(_COMMAND.format(python=sys.executable, library=str(library), name=name, prefix=str(prefix)))
        program.chmod(0o755)


def start(prefix: Path, library: Path) -> subprocess.Popen[bytes]:
    """Start the server, and wait until it listens."""
    home = prefix / "home"
    (home / "socket").unlink(missing_ok=True)
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fakepbs.server", str(prefix)], env={**os.environ, "PYTHONPATH": str(library)},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
    deadline = time.monotonic() + 600
    while not (home / "socket").exists():
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit(f"the server did not start: {(home / 'log').read_text()}")
        time.sleep(0.02)
    return process


if __name__ == "__main__":
    _prefix, _library = Path(sys.argv[1]), Path(sys.argv[2])
    install(_prefix, _library, **json.loads(sys.argv[3]))
    print(start(_prefix, _library).pid)
