"""What jobs of the whole way run: one payload in four forms, which ends as it is told. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

GROW = "import time; held = b'x' * 500_000_000; time.sleep(3600)"
"""Holds 500 MB until somebody objects."""

SH = f"""\
#!/bin/sh
echo "out of $JOB_ID"
echo "err of $JOB_ID" >&2
case $1 in
  success) printf '\\0\\1\\377\\n' >out.root; echo '{{"how": "success"}}' >result.json ;;
  exit-3) echo 'the last words' >&2; exit 3 ;;
  killed) kill -9 $$ ;;
  no-output) : ;;
  memory) exec python3 -c "{GROW}" ;;
  endless) echo begun >begun; sleep 3600 ;;
esac
"""

CONTENT = b"\0\1\377\n"
"""Of out.root."""


def python_script() -> str:
    """This file as a script: what `end` does, chosen by the first argument."""
    return Path(__file__).read_text(encoding="utf-8") + '\nif __name__ == "__main__":\n    end(how=sys.argv[1])\n'


def end(how: str) -> dict[str, Any]:
    """End as told."""
    print("out of", os.environ["JOB_ID"], flush=True)
    print("err of", os.environ["JOB_ID"], file=sys.stderr, flush=True)
    if how == "exit-3":
        print("the last words", file=sys.stderr)
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


WITNESS = """\
printf %s "$JOB_ID" >id
env -0 >env
cat "$JOB_PARAMS_FILE" >params
pwd >folder
printf '%s' "$JOB_DIR" >job-dir
"""
"""Shell text that keeps what the payload sees. Arguments are the caller's."""


def witness(**params: Any) -> dict[str, Any]:
    """What a function sees."""
    file = json.loads(Path(os.environ["JOB_PARAMS_FILE"]).read_text())
    return {"params": params, "env": dict(os.environ), "file": file, "folder": str(Path.cwd())}


def raise_deeply(text: str) -> None:
    """Raise, one call down."""

    def inner() -> None:
        raise ValueError(text)

    inner()


def answer() -> tuple[int, None, str]:
    """What is no dict."""
    return 42, None, "é"
