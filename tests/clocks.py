"""Commands `sleep` and `date` for PATH that go by events, so that time limits do not depend on the machine's speed.

A walltime that is longer than any test is over as soon as the payload has done what the test waits for.
"""

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
    real = _real("sleep")
    cases = "".join(
        f"  {seconds}) until ls {pattern} >/dev/null 2>&1; do {real} 0.05; done; exit ;;\n"
        for seconds, pattern in until.items()
    )
    return _path_with(folder, "sleep", f'case $1 in\n{cases}esac\nexec {real} "$@"\n')


def path_with_date(folder: Path, ahead_seconds: int, once: str) -> str:
    """Make a `date` in `folder` that jumps ahead.

    Args:
        ahead_seconds: by which it is ahead after the jump.
        once: shell patterns of files: it jumps when there is a file for each of them.

    Returns:
        A value of PATH that finds it first.
    """
    real = _real("date")
    later = f'[ "$*" = +%s ] && ls {once} >/dev/null 2>&1 && echo $(($({real} +%s) + {ahead_seconds})) && exit\n'
    return _path_with(folder, "date", f'{later}exec {real} "$@"\n')


def _path_with(folder: Path, name: str, text: str) -> str:
    folder.mkdir(parents=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{text}")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def _real(name: str) -> str:
    found = shutil.which(name)
    assert found is not None
    return shlex.quote(found)
