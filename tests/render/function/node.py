"""A node on which a packed function runs: a control folder, the job's folder, and a Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import scheduler.render.runtime
from scheduler.render.function.pack import PackedFunction, Packer

RUN_FUNCTION = Path(scheduler.render.runtime.__file__).with_name("run_function.py")
HERE = sys.version_info[:2]


def pack_function(function: Callable[..., Any], params: Mapping[str, Any], *, job_id: str) -> PackedFunction:
    """One function, packed as the first of a submission."""
    return Packer().pack(function, params, job_id=job_id)


@cache
def pythons() -> dict[tuple[int, int], str]:
    """Minor version → path of every Python 3.6 or newer on this machine, that of the tests included."""
    names = [f"python3.{minor}" for minor in range(6, 20)]
    found = [shutil.which(name) for name in ("python3", *names)]
    known = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
    candidates = [sys.executable, *filter(None, found), *map(str, known)]
    versions = {version: path for path in reversed(candidates) if (version := version_of(path)) >= (3, 6)}
    return dict(sorted(versions.items()))


@cache
def version_of(python: str) -> tuple[int, int]:
    code = "import sys; print('%d %d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:  # a shim of a version that is not enabled
        return (0, 0)
    major, minor = done.stdout.split()
    return int(major), int(minor)


def another_python() -> str | None:
    """The newest Python of another minor version than that of the tests."""
    others = [path for version, path in pythons().items() if version != HERE]
    return others[-1] if others else None


@dataclass(frozen=True)
class Outcome:
    """What a run has left."""

    exit_code: int
    stdout: str
    stderr: str
    result: Any
    error: dict[str, str] | None
    control: Path


@dataclass(frozen=True)
class Node:
    """Folders that share nothing with those in which the function was packed."""

    folder: Path

    @property
    def control(self) -> Path:
        return self.folder / "a bundle's $HOME `x`" / "0"

    @property
    def job(self) -> Path:
        return self.folder / 'the "job" of é'

    def run(
        self,
        packed: PackedFunction,
        params: Mapping[str, Any] | None = None,
        *,
        python: str = sys.executable,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        self.unpack({**packed.files, "params.json": json.dumps(dict(params or {})).encode()})
        return self.start(python=python, options=options, environment=environment)

    def unpack(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            path = self.control / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def start(
        self,
        *,
        python: str = sys.executable,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        self.job.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [python, str(RUN_FUNCTION), *options, str(self.control)],
            cwd=self.job,
            env={"PATH": os.environ["PATH"], **(environment or {})},
            capture_output=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )
        result, error = self.read("result.json"), self.read("error.json")
        return Outcome(done.returncode, done.stdout, done.stderr, result, error, self.control)

    def read(self, name: str) -> Any:
        path = self.control / name
        return json.loads(path.read_bytes()) if path.exists() else None
