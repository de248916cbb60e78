"""Outputs are downloaded completely, and nothing that a site sends is written outside the job's folder."""

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
from scheduler.engine.collect.fetch import fetch
from scheduler.engine.collect.manifest import Manifest, manifest
from scheduler.engine.collect.results import results_of
from scheduler.ledger.rows import JobRow
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.local.transport import LocalTransport


class Scripted(Transport):
    """A site that answers each program with given bytes, whether they are true or not.

    Attributes:
        ran: the names of the programs that were run.
        received: what each program read from stdin.
    """

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.ran: list[str] = []
        self.received: dict[str, bytes] = {}

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        self.ran.append(program.name)
        self.received[program.name] = stdin if isinstance(stdin, bytes) else b"".join(stdin)
        answer = self.answers[program.name]
        if stdout is not None:
            for start in range(0, len(answer), 1000):
                stdout(answer[start : start + 1000])
        return Reply(program.name, 0, b"" if stdout is not None else answer, b"")

    def close(self) -> None:
        """Nothing is open."""


def a_row(
    working_dir: Path, *, patterns: list[str] | None = None, folder: str = "/remote/tok", status: Status | None = None
) -> JobRow:
    """A finished job."""
    return JobRow(
        key=5, bundle="tok", first=0, element=0, folder=folder, sent=True, name="x.tok-0", batch_id="1", job_id="a job",
        campaign=None, site="local", type="script", working_dir=str(working_dir), patterns=patterns or ["*.root"],
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
    """A tar archive of members (name, content, type)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            member.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def collected(row: JobRow, site: Transport, scratch: Path) -> Manifest:
    """List the outputs of a job, and download them."""
    listed = manifest([row], site, scratch)
    fetch(listed.outputs, site)
    return listed


def test_a_file_is_downloaded_once(tmp_path: Path) -> None:
    local, content = tmp_path / "out", b"events" * 1000
    listed = a_list(("0", "/remote/tok/0/dir", "a b.root", content))
    site = Scripted(manifest=listed, fetch=a_tar(("remote/tok/0/dir/a b.root", content, tarfile.REGTYPE)))
    collected(a_row(local), site, tmp_path)
    assert (local / "a b.root").read_bytes() == content
    collected(a_row(local), site, tmp_path)
    assert site.ran == ["manifest", "fetch", "manifest"]


@pytest.mark.parametrize(
    "name", ["../evil.root", "/etc/evil.root", "a/../../evil.root", ".."], ids=["up", "absolute", "inside up", "dots"]
)
def test_a_name_that_leads_out_of_the_jobs_folder_is_rejected(tmp_path: Path, name: str) -> None:
    site = Scripted(manifest=a_list(("0", "/remote/tok/0/dir", name, b"x")), fetch=b"")
    assert "outside the job's folder" in collected(a_row(tmp_path / "out"), site, tmp_path).bad[5]
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", ["7", "stdin", "-1", ""])
def test_an_output_that_belongs_to_no_pattern_is_rejected(tmp_path: Path, kind: str) -> None:
    site = Scripted(manifest=a_list((kind, "/remote/tok/0/dir", "a.root", b"x")), fetch=b"")
    assert "belongs to no pattern" in collected(a_row(tmp_path / "out"), site, tmp_path).bad[5]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*.txt", ".git/config"),
        ("*.txt", "a.root"),
        ("*.txt", ".hidden.txt"),
        ("plots", "other/a.png"),
        ("**/*.txt", "a/.git/x.txt"),
        ("q?.txt", "q10.txt"),
        ("deep/**", "deep"),
        ("a.txt", "A.txt"),
    ],
)
def test_a_name_that_does_not_match_the_pattern_it_answers_is_rejected(pattern: str, name: str, tmp_path: Path) -> None:
    site = Scripted(manifest=a_list(("0", "/remote/tok/0/dir", name, b"x")), fetch=b"")
    row = a_row(tmp_path / "out", patterns=[pattern])
    listed = collected(row, site, tmp_path)
    assert name in listed.bad[5]
    assert pattern in listed.bad[5]
    status, results, _ = results_of(row, listed)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.BAD_OUTPUT)
    assert name in results["error"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", [".git/config", "work/.GIT/hooks/post-checkout", "work/.g\u200cit/config", "work/.git"]
)
def test_nothing_is_written_into_a_git_folder(name: str, tmp_path: Path) -> None:
    files = [("0", "/remote/tok/0/dir", one, b"x") for one in ("work/a.txt", name)]
    site = Scripted(manifest=a_list(*files), fetch=a_tar(("remote/tok/0/dir/work/a.txt", b"x", tarfile.REGTYPE)))
    row = a_row(tmp_path / "out", patterns=[name.split("/")[0]] if name[0] == "." else ["work"])
    if name[0] == ".":
        site = Scripted(manifest=a_list(files[1]))
    listed = collected(row, site, tmp_path)
    assert listed.of_git[5] == 1
    assert [path for path in (tmp_path / "out").rglob("*") if "it" in path.name.lower()] == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../evil", tarfile.REGTYPE),
        ("/etc/evil", tarfile.REGTYPE),
        ("remote/tok/0/dir/other.root", tarfile.REGTYPE),
        ("remote/tok/0/dir/a.root", tarfile.SYMTYPE),
        ("remote/tok/0/dir/a.root", tarfile.LNKTYPE),
        ("remote/tok/0/dir/a.root", tarfile.CHRTYPE),
        ("remote/tok/0/dir/a.root", tarfile.FIFOTYPE),
        ("remote/tok/0/dir/a.root", tarfile.DIRTYPE),
    ],
    ids=["up", "absolute", "not requested", "symlink", "hard link", "device", "fifo", "folder"],
)
def test_only_requested_files_are_accepted_from_a_stream(tmp_path: Path, name: str, kind: bytes) -> None:
    local = tmp_path / "out"
    listed = a_list(("0", "/remote/tok/0/dir", "a.root", b"x"))
    with pytest.raises(OutputError, match="not requested"):
        collected(a_row(local), Scripted(manifest=listed, fetch=a_tar((name, b"x", kind))), tmp_path)
    assert not (local / "a.root").exists()
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("sent", [b"much more than was listed", b"y", b""], ids=["larger", "other", "empty"])
def test_a_file_that_differs_from_the_manifest_does_not_get_its_name(tmp_path: Path, sent: bytes) -> None:
    local = tmp_path / "out"
    listed = a_list(("0", "/remote/tok/0/dir", "a.root", b"x"))
    site = Scripted(manifest=listed, fetch=a_tar(("remote/tok/0/dir/a.root", sent, tarfile.REGTYPE)))
    with pytest.raises(OutputError, match="may still be changing"):
        collected(a_row(local), site, tmp_path)
    assert not local.exists() or not list(local.iterdir())


def test_a_stream_that_ends_early_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    content = os.urandom(50_000)
    listed = a_list(("0", "/remote/tok/0/dir", "a.root", content))
    whole = a_tar(("remote/tok/0/dir/a.root", content, tarfile.REGTYPE))
    with pytest.raises((TransportError, OutputError)):
        collected(a_row(tmp_path / "out"), Scripted(manifest=listed, fetch=whole[:20_000]), tmp_path)
    assert not (tmp_path / "out" / "a.root").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_the_error_names_a_file_that_was_not_sent(tmp_path: Path) -> None:
    listed = a_list(("0", "/remote/tok/0/dir", "a.root", b"x"))
    with pytest.raises(OutputError, match=r"not sent.*a\.root"):
        collected(a_row(tmp_path / "out"), Scripted(manifest=listed, fetch=a_tar()), tmp_path)


@pytest.mark.parametrize(
    "answer",
    [b"", b"files 3\n", b"files 1\n0\t0\0/a\0b.root\0", b"nonsense"],
    ids=["none", "no names", "no sizes", "other"],
)
def test_an_incomplete_list_is_rejected(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(OutputError):
        collected(a_row(tmp_path / "out"), Scripted(manifest=answer, fetch=b""), tmp_path)


def remote_bundle(tmp_path: Path, outputs: str) -> tuple[Path, Path]:
    """A bundle with one element, and the folder in which its job ran.

    Args:
        tmp_path: the folder in which the bundle is made.
        outputs: the body of the function in its outputs.sh.
    """
    bundle = tmp_path / "work it's" / "tok"
    inside = bundle / "0" / "dir"
    inside.mkdir(parents=True)
    (bundle / "0" / "stdout.0").write_text("text\n")
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


def test_files_with_hostile_names_are_downloaded_under_these_names(tmp_path: Path) -> None:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    for number, name in enumerate(HOSTILE):
        (inside / name).write_bytes(bytes([number]) * 1000)
    local = tmp_path / "out"
    listed = collected(a_row(local, folder=str(bundle)), LocalTransport(), tmp_path)
    assert {Path(output.local_path).name for output in listed.outputs} == {*HOSTILE, "job.stdout"}
    for number, name in enumerate(HOSTILE):
        assert (local / name).read_bytes() == bytes([number]) * 1000
    assert not list(tmp_path.rglob("pwned"))


def test_a_pattern_that_matches_a_folder_downloads_all_files_in_it(tmp_path: Path) -> None:
    bundle, inside = remote_bundle(tmp_path, "output 0 plots ./plots")
    (inside / "plots" / "deep\ner").mkdir(parents=True)
    (inside / "plots" / "a.png").write_bytes(b"a")
    (inside / "plots" / "deep\ner" / ".b").write_bytes(b"")
    collected(a_row(tmp_path / "out", patterns=["plots"], folder=str(bundle)), LocalTransport(), tmp_path)
    assert (tmp_path / "out" / "plots" / "a.png").read_bytes() == b"a"
    assert (tmp_path / "out" / "plots" / "deep\ner" / ".b").read_bytes() == b""


def test_progress_is_reported_seldom_and_to_its_end(tmp_path: Path) -> None:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    for number in range(300):
        (inside / f"{number}.root").write_bytes(b"x" * 1000)
    reported: list[tuple[int, int]] = []
    listed = manifest([a_row(tmp_path / "out", folder=str(bundle))], LocalTransport(), tmp_path)
    fetch(listed.outputs, LocalTransport(), lambda done, total: reported.append((done, total)))
    assert [total for _, total in reported] == [300_005] * 2
    assert reported[-1] == (300_005, 300_005)


def test_a_completed_job_whose_remote_folder_was_deleted_failed_with_missing_output(tmp_path: Path) -> None:
    row = a_row(tmp_path / "out", folder=str(tmp_path / "nowhere"))
    listed = collected(row, LocalTransport(), tmp_path)
    status, results, _ = results_of(row, listed)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.MISSING_OUTPUT)
    assert "its remote folder no longer exists" in results["error"]


def test_results_hold_result_json_alone_and_facts_the_rest(tmp_path: Path) -> None:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "a.root").write_bytes(b"1")
    (inside / "result.json").write_text('{"x": 1.5, "exit_code": "mine"}')
    row, local = a_row(tmp_path / "out", folder=str(bundle)), tmp_path / "out"
    status, results, facts = results_of(row, collected(row, LocalTransport(), tmp_path))
    assert status.state is JobState.COMPLETED
    assert results == {"x": 1.5, "exit_code": "mine"}
    assert facts.outputs == {"*.root": [str(local / "a.root")]}
    sha256 = hashlib.sha256(b"1").hexdigest()
    assert facts.remote_outputs == [(str(inside / "a.root"), 1, sha256)]
    assert (facts.log("stdout"), facts.log("stderr"), facts.error) == (str(local / "job.stdout"), None, None)


def test_a_job_whose_result_is_not_json_failed(tmp_path: Path) -> None:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "a.root").write_bytes(b"1")
    (inside / "result.json").write_text("{'x': 1}")
    row = a_row(tmp_path / "out", folder=str(bundle))
    status, results, _ = results_of(row, collected(row, LocalTransport(), tmp_path))
    assert status.state is JobState.FAILED
    assert "result.json is not JSON" in results["error"]
