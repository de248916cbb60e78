"""The files of an array's jobs: they are sent in one file, and each job unpacks its own, with every installed sh."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from scheduler import Job, JobError, JobType
from scheduler.engine.submit import spool
from scheduler.render import array_files, tar_writer
from scheduler.render.array_files import SMALL_BYTES, Elements, gathered
from scheduler.render.bundle import Bundle, render
from scheduler.render.runtime.files import text
from tests.unpacked import LOCAL_SLURM, SHELLS, installed, unpack


@pytest.mark.parametrize(
    ("name", "size", "mode", "kind"),
    [
        ("a", 0, 0o600, tarfile.REGTYPE),
        ("é/\udc80", 12345, 0o700, tarfile.REGTYPE),
        ("folder", 0, 0o700, tarfile.DIRTYPE),
        ("x" * 100, 8**11 - 1, 0o600, tarfile.REGTYPE),
        ("x" * 101, 1, 0o600, tarfile.REGTYPE),
        ("x/" * 200, 8**11, 0o600, tarfile.REGTYPE),
    ],
)
def test_a_header_is_that_of_tarfile(name: str, size: int, mode: int, kind: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.type = size, mode, kind
    expected = member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    assert tar_writer.header(name, size, mode=mode, kind=kind) == expected


def bundle_of(folder: Path, count: int = 3) -> Bundle:
    """An array of jobs that copy their input to their output; each has its own input."""
    folder.mkdir(exist_ok=True)
    (folder / "job.sh").write_text("cat own common >copy; test -x tool && ./tool >>copy\n")
    (folder / "common").write_text("common\n")
    for n in range(count):
        (folder / f"own{n}").write_text(f"input {n}\n")
        (folder / f"tool{n}").write_text(f"#!/bin/sh\necho tool {n}\n")
    jobs = [
        Job(
            f"j{n}", JobType.SCRIPT, script_path=folder / "job.sh", params={"n": n}, working_dir=folder / f"out/{n}",
            input_files={"own": folder / f"own{n}", "common": folder / "common", "tool": folder / f"tool{n}"},
        )
        for n in range(count)
    ]  # fmt: skip
    return render(jobs, LOCAL_SLURM, token="abcdefghjk")


def begin(bundle: Path, index: int, shell: str = "bash") -> subprocess.Popen[str]:
    """Run one task of the array as Slurm does."""
    environment = {**os.environ, "SLURM_SUBMIT_DIR": str(bundle), "SLURM_JOB_ID": f"7{index}"}
    environment |= {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index)}
    command = [*SHELLS[shell], str(bundle / "batches/0/script.sh")]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_job_unpacks_its_own_files_and_no_others(shell: str, tmp_path: Path) -> None:
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    there = unpack(bundle_of(tmp_path / "here"), tmp_path / "it's $there")
    process = begin(there, 1, shell)
    said, _ = process.communicate(timeout=600)
    assert (process.returncode, said) == (0, "")
    assert (tmp_path / "here/out/1/copy").read_text() == "input 1\ncommon\ntool 1\n"
    assert sorted(path.name for path in there.iterdir() if path.name.isdecimal()) == ["1"]
    assert (there / "1/params.json").read_text() == '{"n": 1}'
    assert sorted(path.name for path in (there / "1").iterdir()) == [
        "in", "inputs", "notice", "outputs.sh", "params.json", "script.sh", "stderr.0", "stdout.0",
    ]  # fmt: skip
    assert all(not path.stat().st_mode & 0o077 for path in (there / "1").rglob("*"))


def test_the_number_of_remote_files_does_not_depend_on_the_number_of_jobs(tmp_path: Path) -> None:
    few, many = (unpack(bundle_of(tmp_path / f"h{n}", n), tmp_path / f"t{n}") for n in (2, 40))
    files = [sorted(str(path.relative_to(top)) for path in top.rglob("*")) for top in (few, many)]
    assert files[0] == files[1]
    assert "batches/0/elements" in files[0] and "shared/0" in files[0] and "0" not in files[0]


def test_copies_of_a_job_that_start_at_once_run_it_once(tmp_path: Path) -> None:
    there = unpack(bundle_of(tmp_path / "here"), tmp_path / "there")
    said = [process.communicate(timeout=600)[0] for process in [begin(there, 2) for _ in range(6)]]
    assert [path.name for path in (there / "ends").glob("[0-9]*")] == ["2.0"]
    assert not [*there.glob(".unpacked*"), *(there / "2").glob(".unpacked*")], said


def unpack_element(bundle: Path, first: int, number: int, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    program = text("element.sh") + f"\npauses=; unpack_element {bundle} {first} {number}\n"
    return subprocess.run([shell, "-c", program], capture_output=True, text=True)


def test_files_that_cannot_be_unpacked_are_reported_and_leave_nothing(tmp_path: Path) -> None:
    there = unpack(bundle_of(tmp_path / "here"), tmp_path / "there")
    whole = (there / "batches/0/elements").read_bytes()
    (there / "batches/0/elements").write_bytes(whole[: len(whole) // 2])  # as if the disk had been full
    done = unpack_element(there, 0, 2)
    assert done.returncode == 73 and "the payload was not started" in done.stderr
    assert not (there / "2").exists() and not [*there.glob(".unpacked*")]
    assert unpack_element(there, 0, 0).returncode == 0
    done = unpack_element(there, 0, 5)  # no such job
    assert done.returncode == 73 and not (there / "5").exists()
    assert unpack_element(there, 7, 7).returncode == 73  # no such batch


def test_shared_and_large_inputs_are_sent_once_and_separately(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path)
    assert sorted(name for name in bundle.files if name.startswith("shared/")) == ["shared/0", "shared/1"]
    assert [name for name in bundle.files if name.startswith("1/in/")] == ["1/in/0", "1/in/1"]
    (tmp_path / "own1").write_bytes(bytes(SMALL_BYTES + 1))
    bundle = bundle_of(tmp_path)  # writes the small input once more
    (tmp_path / "own1").write_bytes(bytes(SMALL_BYTES + 1))
    jobs = [job for _, job in bundle.jobs]
    again = render(jobs, LOCAL_SLURM, token="abcdefghjk")
    assert tmp_path / "own1" in [again.files[name] for name in again.files if name.startswith("shared/")]
    alone = render(jobs[:1], LOCAL_SLURM, token="abcdefghjk")
    assert "elements" not in str(sorted(alone.files)) and alone.together == {}


def test_an_input_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    some = Elements(0, [{"in/0": tmp_path / "a"}])
    assert some.index() == b"0 4\n" and some.size == 4 * 512 == sum(map(len, some.tars()))
    (tmp_path / "a").write_text("123456")
    with pytest.raises(JobError, match="it changed while it was read"):
        list(some.tars())
    (tmp_path / "a").unlink()
    with pytest.raises(JobError, match="cannot be sent"):
        list(some.tars())
    with pytest.raises(JobError, match="cannot be sent"):
        Elements(0, [{"in/0": tmp_path / "a"}]).index()


def test_files_of_no_batch_are_left_alone() -> None:
    files: dict[str, bytes | Path] = {
        "0/a": b"1",
        "1/a": b"2",
        "2/a": b"3",
        "10/a": b"4",
        "0": b"5",
        "batches/0/x": b"6",
        "1/in/0": Path("p"),
    }
    alone, together = array_files.gathered(files, {0: 2, 10: 1})
    assert alone == {"2/a": b"3", "0": b"5", "batches/0/x": b"6"}
    assert [(one.first, list(one.files)) for one in together] == [
        (0, [{"a": b"1"}, {"a": b"2", "in/0": Path("p")}]), (10, [{"a": b"4"}]),
    ]  # fmt: skip
    assert gathered(files, {}) == (files, [])


def test_a_bundle_with_an_unreadable_file_leaves_no_spool(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "here")
    (tmp_path / "here/own2").unlink()
    with pytest.raises(JobError, match="own2"):
        spool.write(bundle.files, tmp_path / "spool.tar.gz", together=bundle.together)
    assert not [*tmp_path.glob("spool*")]
