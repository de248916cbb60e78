"""Outputs of no bytes are not sent, and a job whose folder over there is not whole holds up nobody."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import OutputError
from scheduler.engine.collect import fetch
from scheduler.transports.base import Expanded, Program, Reply, Transport
from tests.engine.collect.test_fetch import Saying, a_list, a_row, a_tar, collected
from tests.unpacked import SHELLS, installed


def test_what_is_empty_is_made_here_and_not_sent(tmp_path: Path) -> None:
    files = [
        ("stdout", "/far/tok/0", "stdout.0", b""),
        ("0", "/far/tok/0/dir", "a.root", b"x"),
        ("0", "/far/tok/0/dir", "b.root", b""),
    ]
    site = Saying(manifest=a_list(*files), fetch=a_tar(("far/tok/0/dir/a.root", b"x", tarfile.REGTYPE)))
    collected(a_row(tmp_path / "home"), site, tmp_path)
    assert site.said["fetch"] == b"far/tok/0/dir/a.root\0"
    assert {path.name: path.read_bytes() for path in (tmp_path / "home").iterdir()} == {
        "job.stdout": b"", "a.root": b"x", "b.root": b"",
    }  # fmt: skip
    site = Saying(manifest=a_list(files[0]))
    collected(a_row(tmp_path / "other"), site, tmp_path)
    assert site.asked == ["manifest"]


def test_what_is_empty_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.write_bytes(b"not to be touched")
    (home / "a.root").write_bytes(b"of an earlier run")
    (home / "b.root").symlink_to(elsewhere)
    (home / "c.root").symlink_to(tmp_path / "nothing")
    site = Saying(manifest=a_list(*(("0", "/far/tok/0/dir", name, b"") for name in ("a.root", "b.root", "c.root"))))
    collected(a_row(home), site, tmp_path)
    assert [(path.is_symlink(), path.read_bytes()) for path in home.iterdir()] == [(False, b"")] * 3
    assert elsewhere.read_bytes() == b"not to be touched"
    assert not (tmp_path / "nothing").exists()


def test_what_is_empty_and_has_another_hash_changes_still(tmp_path: Path) -> None:
    listed = a_list(("0", "/far/tok/0/dir", "a.root", b"x")).replace(b"\0001\n", b"\0000\n")
    with pytest.raises(OutputError, match="changes still"):
        collected(a_row(tmp_path / "home"), Saying(manifest=listed), tmp_path)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("first", [b"shared", b"other!"], ids=["kept", "not kept"])
def test_links_to_one_file_come_home_or_fail_by_themselves(first: bytes, tmp_path: Path) -> None:
    files = [("0", "/far/tok/0/dir", name, content) for name, content in
             (("a.root", b"shared"), ("b.root", b"shared"), ("c.root", b"alone"))]  # fmt: skip
    link = tarfile.TarInfo("far/tok/0/dir/b.root")
    link.type, link.linkname = tarfile.LNKTYPE, "far/tok/0/dir/a.root"
    archive = [a_tar((f"far/tok/0/dir/{name}.root", content, tarfile.REGTYPE)) for name, content in
               (("a", first), ("c", b"alone"))]  # fmt: skip
    site = Saying(manifest=a_list(*files), fetch=archive[0][:1024] + link.tobuf() + archive[1])
    if first == b"shared":
        collected(a_row(tmp_path / "home"), site, tmp_path)
    else:
        with pytest.raises(OutputError, match="changes still"):
            collected(a_row(tmp_path / "home"), site, tmp_path)
    home = {path.name: path.read_bytes() for path in (tmp_path / "home").iterdir()}
    kept = {"a.root": b"shared", "b.root": b"shared"} if first == b"shared" else {}
    assert home == {"c.root": b"alone", **kept}


@pytest.mark.parametrize("shell", sorted(SHELLS))
@pytest.mark.parametrize("broken", [None, "", "dir=", 'dir="$control/di', "outputs() {", "dir=/nowhere"])
def test_a_job_whose_folder_is_not_whole_does_not_hold_up_its_siblings(
    shell: str, broken: str | None, tmp_path: Path
) -> None:
    """Six jobs: of the first no folder is left, and the third and fourth are not whole (a disk was full)."""
    if not installed(shell):
        pytest.skip(f"no {shell} here")
    bundle = tmp_path / "it's a bundle"
    for element in range(1, 6):
        inside = bundle / str(element) / "dir"
        inside.mkdir(parents=True)
        (inside / "a.root").write_bytes(b"%d" % element)
        (bundle / f"{element}/outputs.sh").write_text(
            'dir="$control/dir"\noutputs() {\n  output 0 a.root ./a.root\n}\n'
        )
        (bundle / f"{element}/stdout.0").write_bytes(b"said")
    for element in (2, 3):
        path = bundle / str(element) / "outputs.sh"
        path.unlink() if broken is None else path.write_text(broken)
    rows = [replace(a_row(tmp_path / f"home {n}", folder=str(bundle)), key=n, element=n) for n in range(6)]
    listed = fetch.manifest(rows, Shell(SHELLS[shell]), tmp_path)
    found = [(output.job, output.kind, output.size) for output in listed.outputs]
    expected = [[(n, "stdout", 4), *([] if n in (2, 3) else [(n, "0", 1)])] for n in range(1, 6)]
    assert found == [one for job in expected for one in job]
    assert listed.gone - {2, 3} == {0}


class Shell(Transport):
    """This machine, with a shell of its own choice."""

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
