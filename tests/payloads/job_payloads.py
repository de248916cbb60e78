"""The payloads of the end-to-end tests: one payload in four forms, with a chosen end. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

GROW = "import time; held = b'x' * 500_000_000; time.sleep(3600)"
"""Holds 500 MB until it is killed."""

SH = f"""\
#!/bin/sh
echo "out of $JOB_ID"
echo "err of $JOB_ID" >&2
case $1 in
  success) printf '\\0\\1\\377\\n' >out.root; echo '{{"how": "success"}}' >result.json ;;
  exit-3) echo 'the last line' >&2; exit 3 ;;
  killed) kill -9 $$ ;;
  no-output) : ;;
  memory) exec python3 -c "{GROW}" ;;
  endless) echo begun >begun; sleep 3600 ;;
esac
"""

CONTENT = b"\0\1\377\n"
"""The content of out.root."""


def python_script() -> str:
    """This file as a script that calls `end` with its first argument."""
    return Path(__file__).read_text(encoding="utf-8") + '\nif __name__ == "__main__":\n    end(how=sys.argv[1])\n'


def end(how: str) -> dict[str, Any]:
    """End in the way that `how` names."""
    print("out of", os.environ["JOB_ID"], flush=True)
    print("err of", os.environ["JOB_ID"], file=sys.stderr, flush=True)
    if how == "exit-3":
        print("the last line", file=sys.stderr)
        sys.exit(3)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "memory":
        exec(GROW)
    if how == "endless":
        Path("begun").write_text("begun")
        time.sleep(3600)
    if how == "success":
        Path("out.root").write_bytes(CONTENT)
        Path("result.json").write_text(json.dumps({"how": how}))
    return {"how": how}


RECORD = """\
printf %s "$JOB_ID" >id
env -0 >env
cat "$JOB_PARAMS_FILE" >params
pwd >folder
printf '%s' "$JOB_DIR" >job-dir
"""
"""Shell text that records the environment of the payload. The caller records the arguments."""


def record(**params: Any) -> dict[str, Any]:
    """Return the environment of the function."""
    file = json.loads(Path(os.environ["JOB_PARAMS_FILE"]).read_text())
    return {"params": params, "env": dict(os.environ), "file": file, "folder": str(Path.cwd())}


def leave() -> None:
    """End the process with exit code 0, without returning."""
    os._exit(0)


def raise_deeply(text: str) -> None:
    """Raise an exception one call further down."""

    def inner() -> None:
        raise ValueError(text)

    inner()


def answer() -> tuple[int, None, str]:
    """Return a value that is not a dict."""
    return 42, None, "é"
