"""An output that cannot be collected is a problem of its own job: all other outputs and jobs are collected."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Cause, JobState
from scheduler.engine.collect.fetch import fetch
from scheduler.engine.collect.local_paths import folds_names
from scheduler.engine.collect.manifest import Manifest, manifest
from scheduler.engine.collect.output import Output
from scheduler.engine.collect.results import results_of
from scheduler.job.state import Status
from scheduler.ledger.large_results import MOST_DEPTH, read
from scheduler.ledger.ledger import Ledger
from scheduler.transports.local.transport import LocalTransport
from tests.engine.collect.test_fetch import Scripted, a_list, a_row
from tests.engine.collect.test_small_outputs import Shell
from tests.ledger.test_slots import record
from tests.unpacked import SHELLS, installed

WITHOUT_ROOT = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
"""Root's programs may read every file, unless they lose their capabilities."""


def a_file(inside: Path) -> None:
    (inside / "secret.root").write_bytes(b"x")
    (inside / "secret.root").chmod(0)


def a_link_to_a_file(inside: Path) -> None:
    a_file(inside.parent)
    (inside / "secret.root").symlink_to("../secret.root")


def a_large_file(inside: Path) -> None:
    with (inside / "secret.root").open("wb") as file:
        file.truncate(9 << 20)
    (inside / "secret.root").chmod(0)


def a_file_in_a_folder(inside: Path) -> None:
    (inside / "plots").mkdir()
    (inside / "plots" / "secret.png").write_bytes(b"x")
    (inside / "plots" / "secret.png").chmod(0)


def a_folder(inside: Path) -> None:
    (inside / "plots" / "secret").mkdir(parents=True)
    (inside / "plots" / "secret").chmod(0)


def the_declared_folder(inside: Path) -> None:
    (inside / "plots").mkdir()
    (inside / "plots").chmod(0o100)


BAD: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "file": (a_file, ["*.root"], "secret.root"),
    "linked file": (a_link_to_a_file, ["*.root"], "secret.root"),
    "large file": (a_large_file, ["*.root"], "secret.root"),
    "file in a folder": (a_file_in_a_folder, ["plots"], "plots/secret.png"),
    "folder in a folder": (a_folder, ["plots"], "plots/secret"),
    "folder below **": (a_folder, ["**/*.png"], "plots/secret"),
    "declared folder": (the_declared_folder, ["plots"], "plots"),
    "pattern in a folder": (the_declared_folder, ["plots/*.png"], "plots"),
    "link to a parent folder": (lambda inside: (inside / "up").symlink_to(".."), ["up"], "up"),
    "pattern below such a link": (lambda inside: (inside / "up").symlink_to("../.."), ["up/**/*.sh"], "up"),
    "link to our files": (lambda inside: (inside / "up").symlink_to("../../guards"), ["up"], "up"),
    "link to /": (lambda inside: (inside / "up").symlink_to("/"), ["up/tmp/nothing", "up"], "up"),
}


@pytest.mark.parametrize("shell", sorted(SHELLS))
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_output_fails_its_own_job_by_name_and_no_other(kind: str, shell: str, tmp_path: Path) -> None:
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    if os.geteuid() == 0 and (shell, kind) == ("busybox", "pattern in a folder"):
        pytest.skip("busybox takes root for somebody who may read every folder")
    make, patterns, named = BAD[kind]
    bundle = tmp_path / "bundle"
    (bundle / "guards").mkdir(parents=True)
    for element in range(3):
        inside = bundle / str(element) / "dir"
        inside.mkdir(parents=True)
        (inside / "good.root").write_bytes(b"%d" % element)
        calls = "\n".join(f"declared {n} '{one}' '{one}' '{one}'" for n, one in enumerate(["good.root", *patterns]))
        (bundle / f"{element}/outputs.sh").write_text(f'dir="$control/dir"\noutputs() {{\n{calls}\n}}\n')
    make(bundle / "1" / "dir")
    own = ["good.root", *patterns]
    rows = [replace(a_row(tmp_path / f"out {n}", patterns=own, folder=str(bundle)), key=n, element=n) for n in range(3)]
    without_root = WITHOUT_ROOT if os.geteuid() == 0 else []
    listed = manifest(rows, Shell([*without_root, *SHELLS[shell]]), tmp_path)
    fetch(listed.outputs, LocalTransport())
    status, results, _ = results_of(rows[1], listed)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.BAD_OUTPUT)
    assert repr(named) in status.reason
    assert repr(named) in results["error"]
    assert list(listed.bad) == [1]
    assert [(tmp_path / f"out {n}" / "good.root").read_bytes() for n in range(3)] == [b"0", b"1", b"2"]


def test_a_file_that_is_lost_while_it_is_listed_fails_its_own_job(tmp_path: Path) -> None:
    """/proc/self/mem can be opened, and reading its beginning fails."""
    bundle = tmp_path / "bundle"
    for element in range(2):
        inside = bundle / str(element) / "dir"
        inside.mkdir(parents=True)
        (inside / "a.root").write_bytes(b"x")
        (bundle / f"{element}/outputs.sh").write_text("dir=$control/dir\noutputs() {\ndeclared 0 '*' '*' '*'\n}\n")
    (bundle / "1" / "dir" / "memory").symlink_to("/proc/self/mem")
    rows = [replace(a_row(tmp_path / f"o{n}", patterns=["*"], folder=str(bundle)), key=n, element=n) for n in (1, 0)]
    listed = manifest(rows, LocalTransport(), tmp_path)
    assert listed.bad == {1: "cannot read 'memory'"}
    assert sorted((output.job, Path(output.remote_path).name) for output in listed.outputs) == [
        (0, "a.root"),
        (1, "a.root"),
    ]


def test_two_outputs_with_one_local_path_are_refused_by_name(tmp_path: Path) -> None:
    files = [("stdout", "/remote/tok/0", "stdout.0", b"log"), ("0", "/remote/tok/0/dir", "job.stdout", b"other")]
    row = a_row(tmp_path / "out", patterns=["*"])
    found = manifest([row], Scripted(manifest=a_list(*files)), tmp_path)
    assert "job.stdout" in found.bad[5]
    assert [output.kind for output in found.outputs] == ["stdout"]


def test_one_file_that_two_patterns_match_is_one_output(tmp_path: Path) -> None:
    files = [(kind, "/remote/tok/0/dir", "result.json", b"{}") for kind in ("0", "1", "result")]
    row = a_row(tmp_path / "out", patterns=["*.json", "result.json"])
    found = manifest([row], Scripted(manifest=a_list(*files)), tmp_path)
    assert not found.bad
    assert [output.kind for output in found.outputs] == ["0", "1", "result"]


def test_logs_in_the_folder_where_a_local_job_ran_are_no_outputs(tmp_path: Path) -> None:
    local = tmp_path / "out"
    local.mkdir()
    files = [("stdout", "/work/tok/0", "stdout.0", b"log"), ("0", str(local), "job.stdout", b"log"),
             ("0", str(local), "job.stderr", b""), ("0", str(local), "a.root", b"x")]  # fmt: skip
    found = manifest([a_row(local, patterns=["*"])], Scripted(manifest=a_list(*files)), tmp_path)
    assert not found.bad
    assert [Path(output.local_path).name for output in found.outputs] == ["job.stdout", "a.root"]


def test_names_that_differ_in_case_only_are_two_outputs_unless_the_local_file_system_folds_them(tmp_path: Path) -> None:
    files = [("0", "/remote/tok/0/dir", name, b"x") for name in ("A.root", "a.root")]
    found = manifest([a_row(tmp_path / "out")], Scripted(manifest=a_list(*files)), tmp_path)
    assert len(found.outputs) == (1 if folds_names(str(tmp_path)) else 2)
    assert bool(found.bad) == folds_names(str(tmp_path))


def test_a_long_list_costs_at_most_three_times_its_bytes(tmp_path: Path) -> None:
    row = a_row(tmp_path / "out", patterns=["plots"], folder="/home/me/scheduler/abcdefghjk")
    files = [("0", "/home/me/scheduler/abcdefghjk/0/dir", f"plots/{n:06}.png", b"x") for n in range(5000)]
    answer = a_list(*files)
    site = Scripted(manifest=answer)
    tracemalloc.start()
    found = manifest([row], site, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.outputs) == 5000
    assert len(answer) + peak < 3 * len(answer)  # the answer itself existed before


@pytest.mark.parametrize("inside", ["[]", '{"a": 1}', "1"])
@pytest.mark.parametrize("wrapped", ["[%s]", '{"a": %s}'])
def test_results_are_read_back_or_their_depth_fails_the_job(inside: str, wrapped: str, tmp_path: Path) -> None:
    for levels in range(MOST_DEPTH - 4, MOST_DEPTH + 3):
        text = inside
        for _ in range(levels):
            text = wrapped % text
        (tmp_path / "result.json").write_text(text)
        row = a_row(tmp_path)
        output = Output(row.key, "result", "/remote/result.json", f"{tmp_path}/result.json", len(text), "")
        status, results, _ = results_of(row, Manifest([output]))
        stored = read(json.dumps(results), tmp_path)
        assert stored is not None and stored.get("error") == results.get("error"), levels
        assert (status.state is JobState.COMPLETED) == (stored == results and "error" not in results), levels


@pytest.mark.parametrize("name", [b"a\xff.txt", b"\xed\xa0\x80.txt", b"a\nb.txt", "\u202e\x1b[31m.txt".encode()])
def test_the_name_of_an_edited_file_may_have_any_bytes(name: bytes, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    [key] = record(ledger, "tok", 1)
    kept = os.fsdecode(name)
    ledger.observe({key: Status(JobState.COMPLETED, reason=f"{kept} had been changed")}, {key: f"collected; {kept}"})
    [row] = ledger.of_keys([key])
    shown = kept.encode("utf-8", "backslashreplace").decode()
    assert row.status.reason == f"{shown} had been changed"
    assert ledger.history(key)[-1][1] == f"collected; {shown}"
    ledger.close()
