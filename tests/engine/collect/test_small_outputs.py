"""Empty outputs are created locally, and a job with an incomplete remote folder does not affect other jobs."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import OutputError
from scheduler.engine.collect.manifest import manifest
from scheduler.transports.base import Expanded, Program, Reply, Transport
from tests.engine.collect.test_fetch import Scripted, a_list, a_row, a_tar, collected
from tests.unpacked import SHELLS, installed


def test_empty_files_are_created_locally_and_not_sent(tmp_path: Path) -> None:
    files = [
        ("stdout", "/remote/tok/0", "stdout.0", b""),
        ("0", "/remote/tok/0/dir", "a.root", b"x"),
        ("0", "/remote/tok/0/dir", "b.root", b""),
    ]
    site = Scripted(manifest=a_list(*files), fetch=a_tar(("remote/tok/0/dir/a.root", b"x", tarfile.REGTYPE)))
    collected(a_row(tmp_path / "out"), site, tmp_path)
    assert site.received["fetch"] == b"remote/tok/0/dir/a.root\0"
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "job.stdout": b"", "a.root": b"x", "b.root": b"",
    }  # fmt: skip
    site = Scripted(manifest=a_list(files[0]))
    collected(a_row(tmp_path / "other"), site, tmp_path)
    assert site.ran == ["manifest"]


def test_an_empty_file_replaces_an_earlier_file_or_link(tmp_path: Path) -> None:
    local, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    local.mkdir()
    elsewhere.write_bytes(b"not to be touched")
    (local / "a.root").write_bytes(b"of an earlier run")
    (local / "b.root").symlink_to(elsewhere)
    (local / "c.root").symlink_to(tmp_path / "nothing")
    site = Scripted(
        manifest=a_list(*(("0", "/remote/tok/0/dir", name, b"") for name in ("a.root", "b.root", "c.root")))
    )
    collected(a_row(local), site, tmp_path)
    found = {path.name: (path.is_symlink(), path.read_bytes()) for path in local.iterdir()}
    kept = {"a.root.orig": (False, b"of an earlier run")}
    assert found == {**dict.fromkeys(["a.root", "b.root", "c.root"], (False, b"")), **kept}
    assert elsewhere.read_bytes() == b"not to be touched"
    assert not (tmp_path / "nothing").exists()


def test_an_empty_file_with_another_hash_is_rejected(tmp_path: Path) -> None:
    listed = a_list(("0", "/remote/tok/0/dir", "a.root", b"x")).replace(b"\0001\n", b"\0000\n")
    with pytest.raises(OutputError, match="may still be changing"):
        collected(a_row(tmp_path / "out"), Scripted(manifest=listed), tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("first", [b"shared", b"other!"], ids=["kept", "not kept"])
def test_hard_links_to_one_file_are_downloaded_or_fail_with_it(first: bytes, tmp_path: Path) -> None:
    files = [("0", "/remote/tok/0/dir", name, content) for name, content in
             (("a.root", b"shared"), ("b.root", b"shared"), ("c.root", b"alone"))]  # fmt: skip
    link = tarfile.TarInfo("remote/tok/0/dir/b.root")
    link.type, link.linkname = tarfile.LNKTYPE, "remote/tok/0/dir/a.root"
    archive = [a_tar((f"remote/tok/0/dir/{name}.root", content, tarfile.REGTYPE)) for name, content in
               (("a", first), ("c", b"alone"))]  # fmt: skip
    site = Scripted(manifest=a_list(*files), fetch=archive[0][:1024] + link.tobuf() + archive[1])
    if first == b"shared":
        collected(a_row(tmp_path / "out"), site, tmp_path)
    else:
        with pytest.raises(OutputError, match="may still be changing"):
            collected(a_row(tmp_path / "out"), site, tmp_path)
    local = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    kept = {"a.root": b"shared", "b.root": b"shared"} if first == b"shared" else {}
    assert local == {"c.root": b"alone", **kept}


@pytest.mark.parametrize("shell", sorted(SHELLS))
@pytest.mark.parametrize("broken", [None, "", "dir=", 'dir="$control/di', "outputs() {", "dir=/nowhere"])
def test_a_job_with_an_incomplete_folder_does_not_affect_the_other_jobs(
    shell: str, broken: str | None, tmp_path: Path
) -> None:
    """Six jobs: the folder of the first is gone; those of the third and fourth are incomplete, as on a full disk."""
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    bundle = tmp_path / "it's a bundle"
    for element in range(1, 6):
        inside = bundle / str(element) / "dir"
        inside.mkdir(parents=True)
        (inside / "a.root").write_bytes(b"%d" % element)
        (bundle / f"{element}/outputs.sh").write_text(
            'dir="$control/dir"\noutputs() {\n  output 0 a.root ./a.root\n}\n'
        )
        (bundle / f"{element}/stdout.0").write_bytes(b"text")
    for element in (2, 3):
        path = bundle / str(element) / "outputs.sh"
        path.unlink() if broken is None else path.write_text(broken)
    rows = [replace(a_row(tmp_path / f"out {n}", folder=str(bundle)), key=n, element=n) for n in range(6)]
    listed = manifest(rows, Shell(SHELLS[shell]), tmp_path)
    found = [(output.job, output.kind, output.size) for output in listed.outputs]
    expected = [[(n, "stdout", 4), *([] if n in (2, 3) else [(n, "0", 1)])] for n in range(1, 6)]
    assert found == [one for job in expected for one in job]
    assert listed.gone - {2, 3} == {0}


class Shell(Transport):
    """This machine; programs run in the given shell."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        assert isinstance(stdin, bytes)
        command = [*self.command, "-c", program.text, "sh", *map(str, args)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout)
        return Reply(program.name, done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        """Nothing is open."""
