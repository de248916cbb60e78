"""A `sleep` command for PATH that waits for events instead of seconds, so that limits do not depend on the machine."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path


def path_with_sleep(folder: Path, until: Mapping[int, str]) -> str:
    """Make a `sleep` in `folder` that waits for files to exist.

    Args:
        until: seconds → a shell pattern of files. `sleep SECONDS` returns once one of them exists. Other numbers of
            seconds are slept.

    Returns:
        A value of PATH that finds it first.
    """
    folder.mkdir(parents=True)
    real = shutil.which("sleep")
    assert real is not None
    cases = "".join(
        f"  {seconds}) until ls {pattern} >/dev/null 2>&1; do {shlex.quote(real)} 0.05; done; exit ;;\n"
        for seconds, pattern in until.items()
    )
    program = folder / "sleep"
    program.write_text(f'#!/bin/sh\ncase $1 in\n{cases}esac\nexec {shlex.quote(real)} "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
