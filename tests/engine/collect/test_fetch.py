"""Outputs come home whole, and nothing that a cluster sends is written anywhere else."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest

from scheduler import Cause, JobState, OutputError, Status, TransportError
from scheduler.engine.collect import fetch
from scheduler.engine.collect.results import results_of
from scheduler.ledger.rows import JobRow
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.local.transport import LocalTransport


class Saying(Transport):
    """A site that answers each program with the bytes it was told to, true or not."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.said: dict[str, bytes] = {}

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        self.asked.append(program.name)
        self.said[program.name] = stdin if isinstance(stdin, bytes) else b"".join(stdin)
        answer = self.answers[program.name]
        if stdout is not None:
            for start in range(0, len(answer), 1000):
                stdout(answer[start : start + 1000])
        return Reply(program.name, 0, b"" if stdout is not None else answer, b"")

    def close(self) -> None:
        """Nothing is open."""


def a_row(
    home: Path, *, patterns: list[str] | None = None, folder: str = "/far/tok", status: Status | None = None
) -> JobRow:
    """A job that has ended."""
    return JobRow(
        key=5, bundle="tok", first=0, element=0, folder=folder, sent=True, name="x.tok-0", batch_id="1", job_id="a job",
        campaign=None, site="here", type="script", working_dir=str(home), patterns=patterns or ["*.root"],
        status=status or Status(JobState.COMPLETED, exit_code=0, ended=datetime.now(timezone.utc)), silent=0,
        silent_since=None, collected=False, results=None, created=0.0, updated=0.0,
    )  # fmt: skip


def a_list(*files: tuple[str, str, str, bytes]) -> bytes:
    """What manifest.sh prints: kind, folder, name, content of each file."""
    names = b"".join(
        f"0\t{kind}".encode() + b"\0" + folder.encode() + b"\0" + name.encode() + b"\0"
        for kind, folder, name, _ in files
    )
    sizes = "".join(f"{len(content)}\n" for *_, content in files)
    hashes = "".join(f"{hashlib.sha256(content).hexdigest()}\n" for *_, content in files)
    return f"files {len(files)}\n".encode() + names + (sizes + hashes).encode()


def a_tar(*members: tuple[str, bytes, bytes]) -> bytes:
    """A tar of name, content, type."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            member.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def collected(row: JobRow, site: Transport, scratch: Path) -> fetch.Manifest:
    """List and fetch."""
    listed = fetch.manifest([row], site, scratch)
    fetch.fetch(listed.outputs, site)
    return listed


def test_a_file_comes_home_and_is_not_sent_again(tmp_path: Path) -> None:
    home, content = tmp_path / "home", b"events" * 1000
    listed = a_list(("0", "/far/tok/0/dir", "a b.root", content))
    site = Saying(manifest=listed, fetch=a_tar(("far/tok/0/dir/a b.root", content, tarfile.REGTYPE)))
    collected(a_row(home), site, tmp_path)
    assert (home / "a b.root").read_bytes() == content
    collected(a_row(home), site, tmp_path)
    assert site.asked == ["manifest", "fetch", "manifest"]


@pytest.mark.parametrize(
    "name", ["../evil.root", "/etc/evil.root", "a/../../evil.root", ".."], ids=["up", "absolute", "inside up", "dots"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    site = Saying(manifest=a_list(("0", "/far/tok/0/dir", name, b"x")), fetch=b"")
    with pytest.raises(OutputError, match="outside its folder"):
        collected(a_row(tmp_path / "home"), site, tmp_path)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", ["7", "stdin", "-1", ""])
def test_an_output_of_no_pattern_is_refused(tmp_path: Path, kind: str) -> None:
    site = Saying(manifest=a_list((kind, "/far/tok/0/dir", "a.root", b"x")), fetch=b"")
    with pytest.raises(OutputError, match="no pattern"):
        collected(a_row(tmp_path / "home"), site, tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../evil", tarfile.REGTYPE),
        ("/etc/evil", tarfile.REGTYPE),
        ("far/tok/0/dir/other.root", tarfile.REGTYPE),
        ("far/tok/0/dir/a.root", tarfile.SYMTYPE),
        ("far/tok/0/dir/a.root", tarfile.LNKTYPE),
        ("far/tok/0/dir/a.root", tarfile.CHRTYPE),
        ("far/tok/0/dir/a.root", tarfile.FIFOTYPE),
        ("far/tok/0/dir/a.root", tarfile.DIRTYPE),
    ],
    ids=["up", "absolute", "unasked", "symlink", "hard link", "device", "fifo", "folder"],
)
def test_a_stream_brings_only_files_that_were_asked_for(tmp_path: Path, name: str, kind: bytes) -> None:
    home = tmp_path / "home"
    listed = a_list(("0", "/far/tok/0/dir", "a.root", b"x"))
    with pytest.raises(OutputError, match="not asked for"):
        collected(a_row(home), Saying(manifest=listed, fetch=a_tar((name, b"x", kind))), tmp_path)
    assert not (home / "a.root").exists()
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("sent", [b"much more than was said", b"y", b""], ids=["larger", "other", "empty"])
def test_a_file_that_is_not_what_was_announced_does_not_get_its_name(tmp_path: Path, sent: bytes) -> None:
    home = tmp_path / "home"
    listed = a_list(("0", "/far/tok/0/dir", "a.root", b"x"))
    site = Saying(manifest=listed, fetch=a_tar(("far/tok/0/dir/a.root", sent, tarfile.REGTYPE)))
    with pytest.raises(OutputError, match="changes still"):
        collected(a_row(home), site, tmp_path)
    assert not home.exists() or not list(home.iterdir())


def test_a_stream_that_ends_early_is_a_broken_line(tmp_path: Path) -> None:
    content = os.urandom(50_000)
    listed = a_list(("0", "/far/tok/0/dir", "a.root", content))
    whole = a_tar(("far/tok/0/dir/a.root", content, tarfile.REGTYPE))
    with pytest.raises((TransportError, OutputError)):
        collected(a_row(tmp_path / "home"), Saying(manifest=listed, fetch=whole[:20_000]), tmp_path)
    assert not (tmp_path / "home" / "a.root").exists()
    assert not list((tmp_path / "home").glob(".*"))


def test_a_file_that_does_not_come_is_named(tmp_path: Path) -> None:
    listed = a_list(("0", "/far/tok/0/dir", "a.root", b"x"))
    with pytest.raises(OutputError, match=r"did not come.*a\.root"):
        collected(a_row(tmp_path / "home"), Saying(manifest=listed, fetch=a_tar()), tmp_path)


@pytest.mark.parametrize(
    "answer",
    [b"", b"files 3\n", b"files 1\n0\t0\0/a\0b.root\0", b"nonsense"],
    ids=["none", "no names", "no sizes", "other"],
)
def test_a_list_that_is_not_whole_is_refused(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(OutputError):
        collected(a_row(tmp_path / "home"), Saying(manifest=answer, fetch=b""), tmp_path)


def over_there(tmp_path: Path, outputs: str) -> tuple[Path, Path]:
    """A bundle's folder over there with one element, and the folder in which its job ran."""
    bundle = tmp_path / "work it's" / "tok"
    inside = bundle / "0" / "dir"
    inside.mkdir(parents=True)
    (bundle / "0" / "stdout.0").write_text("said\n")
    (bundle / "0" / "outputs.sh").write_text(f'dir="$control/dir"\noutputs() {{\n{outputs}\n}}\n')
    return bundle, inside


HOSTILE = [
    "a b.root",
    "it's.root",
    '"q".root',
    "$(touch pwned).root",
    "new\nline.root",
    "-rf.root",
    "é☢.root",
    "tab\t.root",
    "\\n.root",
]


def test_hostile_names_come_home_as_they_are(tmp_path: Path) -> None:
    bundle, inside = over_there(tmp_path, "output 0 '*.root' ./*.root")
    for number, name in enumerate(HOSTILE):
        (inside / name).write_bytes(bytes([number]) * 1000)
    home = tmp_path / "home"
    listed = collected(a_row(home, folder=str(bundle)), LocalTransport(), tmp_path)
    assert {Path(output.home).name for output in listed.outputs} == {*HOSTILE, "job.stdout"}
    for number, name in enumerate(HOSTILE):
        assert (home / name).read_bytes() == bytes([number]) * 1000
    assert not list(tmp_path.rglob("pwned"))


def test_a_folder_as_a_pattern_brings_all_that_is_in_it(tmp_path: Path) -> None:
    bundle, inside = over_there(tmp_path, "output 0 plots ./plots")
    (inside / "plots" / "deep\ner").mkdir(parents=True)
    (inside / "plots" / "a.png").write_bytes(b"a")
    (inside / "plots" / "deep\ner" / ".b").write_bytes(b"")
    collected(a_row(tmp_path / "home", patterns=["plots"], folder=str(bundle)), LocalTransport(), tmp_path)
    assert (tmp_path / "home" / "plots" / "a.png").read_bytes() == b"a"
    assert (tmp_path / "home" / "plots" / "deep\ner" / ".b").read_bytes() == b""


def test_a_progress_is_told_to_its_end_and_seldom(tmp_path: Path) -> None:
    bundle, inside = over_there(tmp_path, "output 0 '*.root' ./*.root")
    for number in range(300):
        (inside / f"{number}.root").write_bytes(b"x" * 1000)
    told: list[tuple[int, int]] = []
    listed = fetch.manifest([a_row(tmp_path / "home", folder=str(bundle))], LocalTransport(), tmp_path)
    fetch.fetch(listed.outputs, LocalTransport(), lambda done, total: told.append((done, total)))
    assert [total for _, total in told] == [300_005] * 2
    assert told[-1] == (300_005, 300_005)


def test_a_folder_that_is_gone_makes_a_completed_job_one_without_outputs(tmp_path: Path) -> None:
    row = a_row(tmp_path / "home", folder=str(tmp_path / "nowhere"))
    listed = collected(row, LocalTransport(), tmp_path)
    status, results = results_of(row, listed)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.MISSING_OUTPUT)
    assert "gone" in results["error"]


def test_results_hold_the_jobs_own_and_where_its_files_are(tmp_path: Path) -> None:
    bundle, inside = over_there(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "a.root").write_bytes(b"1")
    (inside / "result.json").write_text('{"x": 1.5, "exit_code": "mine"}')
    row, home = a_row(tmp_path / "home", folder=str(bundle)), tmp_path / "home"
    status, results = results_of(row, collected(row, LocalTransport(), tmp_path))
    assert status.state is JobState.COMPLETED
    assert results == {
        "x": 1.5,
        "exit_code": 0,
        "output_files": {"*.root": [str(home / "a.root")]},
        "stdout": str(home / "job.stdout"),
        "stderr": None,
    }


def test_a_result_that_is_not_json_is_no_success(tmp_path: Path) -> None:
    bundle, inside = over_there(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "a.root").write_bytes(b"1")
    (inside / "result.json").write_text("{'x': 1}")
    row = a_row(tmp_path / "home", folder=str(bundle))
    status, results = results_of(row, collected(row, LocalTransport(), tmp_path))
    assert status.state is JobState.FAILED
    assert "result.json is not JSON" in results["error"]
