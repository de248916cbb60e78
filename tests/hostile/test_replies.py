"""Hostile replies of a site: each is read in bounded memory, and writes no file outside the folder of the job."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler import Cause, Job, JobState, JobType, OutputError, Runner, Site, Status, TransportError
from scheduler.batch.base import find
from scheduler.batch.indices import read_indices
from scheduler.engine.collect.fetch import fetch
from scheduler.engine.collect.manifest import Manifest, Output, manifest
from scheduler.engine.collect.results import MOST_RESULT_BYTES, results_of
from scheduler.engine.collect.tar_reader import LONGEST_HEADER
from scheduler.engine.context import SiteContext
from scheduler.engine.poll.poll import poll
from scheduler.engine.poll.reply import PollReader
from scheduler.engine.submit.reply import read_submit_reply
from scheduler.errors import SchedulerError
from scheduler.job.remote_text import WORD_CHARACTERS
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import PolledBatch
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.exchange import MOST_PREAMBLE_BYTES, MOST_REPLY_BYTES, Exchange
from scheduler.transports.local.transport import LocalTransport
from tests.engine.collect.test_fetch import a_row

from .values import HARD

Tried = Callable[[int], None]
MANY = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
SYSTEMS = ("slurm", "pbs", "shell")
NUMBERS = ["0", "-1", "7", "07", "1e9", "٣", "²", "9" * 5000, "99999999999", "inf", "nan", "", "0x1", "1:2"]
WORDS = [
    *NUMBERS, *HARD[:20], "l", "h", "e", "g", "i", "b", "live", "history", "clock", "missing", "folder", "busy",
    "empty", "python", "RUNNING", "COMPLETED", "CANCELLED by 0", "TIMEOUT", "rest", "[0-99999999]", "0-4000000:1",
    "|", "|", "|", "b0.aaaaaaaaaa-0", "\t", "\t", " ", " ", "exit=0", "signal=", "started=1", "ended=99999999999999",
    "host=x", "\0", "id=$(id)", "missing=", " cannot=", "Job Id: 1.x", "job_state=F", "Exit_status=-99", "files 1\n",
    "gone 0\n", "gone -1\n", "\n", "\n",
]  # fmt: skip
ASKED = PolledBatch("tok", 4, 3, "b0.aaaaaaaaaa-0", "1", 0, "/w/tok", "", "4,5,6", "1,2,3")
junk = st.lists(st.sampled_from(WORDS), max_size=25).map("".join)


class CannedReplies(Transport):
    """A transport that answers each program with given bytes, and every other program with none."""

    def __init__(self, answers: dict[str, bytes | Iterable[bytes]], code: int = 0) -> None:
        self.answers, self.code = answers, code

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        answer = self.answers.get(program.name, b"")
        pieces = [answer] if isinstance(answer, bytes) else answer
        if stdout is None:
            return Reply(program.name, self.code, b"".join(pieces), b"")
        for piece in pieces:
            stdout(piece)
        return Reply(program.name, self.code, b"", b"")

    def close(self) -> None:
        """There is nothing to close."""


# Text


@MANY
@given(words=junk, code=st.sampled_from(["0", "1", "255", "-1", "x", "9" * 5000]), system=st.sampled_from(SYSTEMS))
def test_any_reply_to_a_submission_is_an_outcome_or_none(words: str, code: str, system: str, tried: Tried) -> None:
    tried(1)
    text = f"folder\t{words}\n0\t{code}\t{words}\n{words}\t0\t1\n"
    answers = read_submit_reply(Reply("submit", 0, text.encode(errors="replace"), b""), find(system))
    assert all(isinstance(first, int) and first >= 0 for first in answers.outcomes)


@MANY
@given(lines=st.lists(junk, max_size=10), system=st.sampled_from(SYSTEMS))
def test_any_output_of_a_queue_or_history_command_can_be_read(lines: list[str], system: str, tried: Tried) -> None:
    tried(len(lines))
    dialect = find(system)
    counts = {"b0.tok-0": 3}
    for observations in (dialect.read_live(lines, counts), dialect.read_history(lines, {"1": "b0.tok-0"}, counts)):
        assert all(name == "b0.tok-0" and -1 <= index < 3 for name, index in observations)
        assert all(len(one.raw + one.reason + one.node) <= 3 * WORD_CHARACTERS for one in observations.values())


@MANY
@given(text=st.lists(junk, max_size=12).map("\n".join))
def test_any_reply_to_a_poll_can_be_read_and_concerns_only_the_bundles_of_the_poll(text: str, tried: Tried) -> None:
    tried(1)
    heard = PollReader([ASKED]).read(Reply("poll", 0, text.encode(errors="replace"), b""))
    assert {*heard.ends, *heard.started, *heard.logs} <= {("tok", 4), ("tok", 5), ("tok", 6)}
    assert set(heard.ids) <= {("tok", 4)} and set(heard.live) <= {ASKED.name}


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Ledger, Job]]:
    """A job that a dishonest site has accepted."""
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "a.sh").write_text("true\n")
    keys = {"transport": "local", "scheduler": "slurm", "work_dir": "/w", "limits": {"poll_seconds": 0.001}}
    site = Site.from_mapping(keys, name="liar")
    ledger = Ledger(folder / "ledger")
    job = Job("b0", JobType.SCRIPT, script_path=folder / "a.sh", working_dir=folder / "local")
    Runner(site, ledger=ledger, transport=CannedReplies({"submit": b"folder\t/far/tok\n0\t0\t1\n"})).submit([job])
    assert job.status.state is JobState.QUEUED
    yield site, ledger, job
    ledger.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.lists(junk, max_size=8).map("\n".join), code=st.sampled_from([0, 1]))
def test_after_any_reply_to_a_poll_every_job_has_a_state(
    text: str, code: int, submitted: tuple[Site, Ledger, Job], tried: Tried
) -> None:
    tried(1)
    site, ledger, _ = submitted
    poll(SiteContext(site, find("slurm"), ledger, CannedReplies({"poll": text.encode(errors="replace")}, code)))
    states = [row.status.state for row in ledger.chosen()]
    assert states and all(isinstance(state, JobState) for state in states)


def test_a_range_of_indices_is_clipped_before_it_is_expanded(tried: Tried) -> None:
    for text in (
        "0-99999999",
        "0-9999999999999999999",
        "[0-4000000,0-4000000]",
        "0-999999999:1",
        ",".join(["0-4000000"] * 9),
        ",".join(["0-4"] * 100_000),
        "4000000",
        "[7-9]",
    ):
        tried(1)
        assert set(read_indices(text, below=5)) <= set(range(5))
    assert read_indices("0-99999999", below=3) == [0, 1, 2]


# Ids


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_id_that_is_shell_text_is_never_executed(system: str, tmp_path: Path, tried: Tried) -> None:
    """Ids are sent back as data to the programs that poll and cancel, which this test runs locally."""
    from scheduler.engine import programs

    ids = [
        f"$(touch {tmp_path}/got-in)",
        f"`touch {tmp_path}/got-in`",
        f"1;touch {tmp_path}/got-in",
        "-rf",
        "--all",
        "*",
        "1 2",
    ]
    tried(2 * len(ids))
    question = "".join(f"0\t{tmp_path}\tb0.tok-0\t{one}\t0\t0\tone\n" for one in ids)
    LocalTransport().run(programs.program("poll", system), ["yes", str(len(ids))], stdin=question.encode())
    cancelled = "".join(f"{tmp_path}\tb0.tok-0\t{one}\t0\t\n" for one in ids)
    LocalTransport().run(programs.program("cancel", system), [str(len(ids))], stdin=cancelled.encode())
    assert not (tmp_path / "got-in").exists()


# Lists of outputs


def a_list(*files: tuple[str, str, str, bytes], count: str | None = None, sizes: list[str] | None = None) -> bytes:
    words = b"".join(f"{job}\t{kind}\0/far/tok/0/dir\0{name}\0".encode() for job, kind, name, _ in files)
    told = sizes if sizes is not None else [str(len(content)) for *_, content in files]
    hashes = [hashlib.sha256(content).hexdigest() for *_, content in files]
    return f"files {count or len(files)}\n".encode() + words + "".join(f"{x}\n" for x in (*told, *hashes)).encode()


NAMES = [
    "../up",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "",
    "a\nb",
    "-rf",
    "~",
    "$(id)",
    "a/" * 3000,
    "x" * 300,
    "./a",
    "a//b",
]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    job=st.sampled_from(["0", *NUMBERS]),
    kind=st.sampled_from(["0", "stdout", "result", "error", *NUMBERS]),
    name=st.sampled_from(NAMES)
    | st.text(max_size=20).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)),
    count=st.sampled_from([None, *NUMBERS]),
    size=st.sampled_from(["1", *NUMBERS]),
)
def test_a_dishonest_list_of_outputs_is_refused_or_stays_in_the_folder_of_the_job(
    job: str, kind: str, name: str, count: str | None, size: str, tmp_path_factory: pytest.TempPathFactory, tried: Tried
) -> None:
    tried(1)
    local, scratch = Path("/nowhere/local"), Path("/nowhere/scratch")
    answer = a_list((job, kind, name, b"x"), count=count, sizes=[size])
    try:
        listed = manifest([a_row(local)], CannedReplies({"manifest": answer}), scratch)
    except OutputError as refused:
        assert len(str(refused)) < 15_000
        return
    for output in listed.outputs:
        place = Path(output.local_path)
        assert place.is_relative_to(local) or place.parent == scratch
        assert ".." not in place.parts and output.size >= 0


@MANY
@given(text=st.lists(junk, max_size=6).map("".join))
def test_any_list_is_refused_or_empty(text: str, tried: Tried) -> None:
    tried(1)
    try:
        listed = manifest(
            [a_row(Path("/nowhere"))], CannedReplies({"manifest": text.encode(errors="replace")}), Path("/n")
        )
    except OutputError:
        return
    places = [Path(output.local_path) for output in listed.outputs]
    assert all(place.is_relative_to("/nowhere") or place.parent == Path("/n") for place in places)


# Archives


def announced(local: Path, size: int = 1) -> Output:
    return Output(5, "0", "/far/a.root", str(local / "a.root"), size, hashlib.sha256(b"x" * size).hexdigest())


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object) -> bytes:
    one = tarfile.TarInfo(name)
    one.type, one.size = kind, len(content)
    for key, value in more.items():
        setattr(one, key, value)
    padding = b"\0" * (-len(content) % 512)
    return one.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape") + content + padding


KINDS = [
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    tarfile.DIRTYPE,
    tarfile.GNUTYPE_SPARSE,
]
PLACES = [
    "far/a.root",
    "../a.root",
    "/far/a.root",
    "far/../../a.root",
    "a.root",
    "far/a.root/",
    "far//a.root",
    "~/a",
    "\nfar/a.root",
]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(PLACES),
    kind=st.sampled_from([tarfile.REGTYPE, *KINDS]),
    link=st.sampled_from(["/etc/passwd", "../../x", "far/a.root", ""]),
    content=st.sampled_from([b"x", b"y", b"xx", b""]),
    mode=st.sampled_from([0o644, 0o4777, 0o7777, 0]),
)
def test_an_archive_writes_the_requested_file_or_nothing(
    name: str, kind: bytes, link: str, content: bytes, mode: int, tmp_path_factory: pytest.TempPathFactory, tried: Tried
) -> None:
    tried(1)
    folder = tmp_path_factory.mktemp("tar")
    local = folder / "local"
    whole = member(name, content if kind == tarfile.REGTYPE else b"", kind, linkname=link, mode=mode) + b"\0" * 1024
    try:
        fetch([announced(local)], CannedReplies({"fetch": whole}))
    except SchedulerError:
        assert [path for path in folder.rglob("*") if not path.is_dir()] == []
        return
    assert (name, kind, content) == ("far/a.root", tarfile.REGTYPE, b"x")
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["a.root"]
    assert (local / "a.root").stat().st_mode & 0o7133 == 0


def endless(first: bytes, piece: bytes) -> Iterator[bytes]:
    """A stream without end; reading all of it never returns."""
    yield first
    for _ in range(1 << 40):
        yield piece


def a_header(kind: bytes, size: int) -> bytes:
    one = tarfile.TarInfo("././@LongLink")
    one.type, one.size = kind, size
    return one.tobuf(tarfile.GNU_FORMAT)


SPARSE = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
BOMBS: dict[str, tuple[bytes, bytes]] = {
    "a long name of ten gigabytes": (a_header(tarfile.GNUTYPE_LONGNAME, 10 << 30), b"a" * (1 << 20)),
    "extended headers of ten gigabytes": (a_header(tarfile.XHDTYPE, 10 << 30), b"9" * (1 << 20)),
    "global headers without an end": (b"", member("g", b"12 a=bbbbbb\n", tarfile.XGLTYPE) * 100),
    "extended headers without an end": (b"", member("x", b"12 a=bbbbbb\n", tarfile.XHDTYPE) * 100),
    "long names without an end": (b"", member("././@LongLink", b"a" * LONGEST_HEADER, tarfile.GNUTYPE_LONGNAME) * 4),
    "a larger file than announced": (member("far/a.root", b"", size=1 << 40), b"x" * (1 << 20)),
    "files without an end": (b"", member("far/b.root", b"x") * 100),
    "a sparse file": (member("p", SPARSE, tarfile.XHDTYPE) + member("far/a.root", b"", size=1), b"1\n" * 256),
    "no archive at all": (b"", b"x" * (1 << 20)),
    "zeros": (b"", b"\0" * (1 << 20)),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_an_archive_bomb_is_refused_without_using_much_memory(bomb: str, tmp_path: Path, tried: Tried) -> None:
    tried(1)
    first, piece = BOMBS[bomb]
    tracemalloc.start()
    try:
        with pytest.raises(SchedulerError):
            fetch([announced(tmp_path / "local")], CannedReplies({"fetch": endless(first, piece)}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 120 << 20
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 2047), byte=st.integers(0, 255))
def test_an_archive_with_any_byte_changed_writes_the_announced_content_or_nothing(
    place: int, byte: int, tmp_path_factory: pytest.TempPathFactory, tried: Tried
) -> None:
    tried(1)
    folder = tmp_path_factory.mktemp("changed")
    whole = bytearray(member("far/a.root", b"x") + b"\0" * 1024)
    whole[place] = byte
    try:
        fetch([announced(folder / "local")], CannedReplies({"fetch": bytes(whole)}))
    except SchedulerError:
        assert [path for path in folder.rglob("*") if path.is_file()] == []
        return
    assert (folder / "local/a.root").read_bytes() == b"x"


# Sizes


def exchange() -> Exchange:
    return Exchange(Program("poll", "true"), (), stdin=b"", stdout=None, where="ifarm")


def begin_of(run: Exchange) -> bytes:
    nonce = run.input.peek(4000).split(b"begin==\\n' ")[1].split(b"\n")[0]
    return b"==" + nonce + b":begin==\n"


@pytest.mark.parametrize("where", ["before it began", "on stdout", "on stderr"])
def test_a_site_that_sends_without_end_is_an_error(where: str, tried: Tried) -> None:
    tried(1)
    run, piece = exchange(), b"x" * (1 << 20)
    if where != "before it began":
        run.receive_stdout(begin_of(run))
        run.receive_stderr(begin_of(run))
    hear = run.receive_stderr if where == "on stderr" else run.receive_stdout
    most = (MOST_PREAMBLE_BYTES if where == "before it began" else MOST_REPLY_BYTES) >> 20
    with pytest.raises(TransportError, match=f"larger than {most} MiB"):
        for _ in range(most + 2):
            hear(piece)
    assert sum(map(len, run._stderr)) <= 4 << 20


def test_a_program_that_prints_without_end_is_an_error(tried: Tried) -> None:
    """With a real program, on this machine."""
    tried(1)
    with pytest.raises(TransportError, match="MiB, so the run was aborted"):
        LocalTransport().run(Program("poll", "exec cat /dev/zero"), timeout=600)


def written(folder: Path, text: bytes, *, size: int | None = None, kind: str = "result") -> Output:
    path = folder / f"{kind}.json"
    path.write_bytes(text)
    if size is not None:
        os.truncate(path, size)
    return Output(5, kind, "/far/result.json", str(path), size if size is not None else len(text), "")


@pytest.mark.parametrize(
    "text", [b"[" * 200_000, b'{"a":' * 100_000, b"1" * 10_000, b"\xff\xfe{}", b'"\\ud800"', b"NaN", b"", b"{'a': 1}"],
    ids=["deep list", "deep mapping", "long number", "no UTF-8", "half a character", "NaN", "empty", "python"],
)  # fmt: skip
def test_a_broken_result_is_reported_and_can_be_stored(text: bytes, tmp_path: Path, tried: Tried) -> None:
    tried(2)
    row = a_row(tmp_path)
    outputs = [written(tmp_path, text), written(tmp_path, text, kind="error")]
    for status in (row.status, Status(JobState.FAILED, Cause.EXIT_CODE, exit_code=1)):
        now, results, _ = results_of(a_row(tmp_path, status=status), Manifest(outputs))
        json.dumps(results)
        assert now.final


def test_a_result_of_a_gigabyte_is_not_read(tmp_path: Path, tried: Tried) -> None:
    tried(1)
    output = written(tmp_path, b"[", size=1 << 30)
    tracemalloc.start()
    status, results, _ = results_of(a_row(tmp_path), Manifest([output, announced(tmp_path)]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20
    assert status.state is JobState.FAILED and f"larger than {MOST_RESULT_BYTES >> 20} MiB" in results["error"]


def test_compressed_archives_are_refused(tmp_path: Path, tried: Tried) -> None:
    import gzip

    tried(1)
    buffer = io.BytesIO(gzip.compress(member("far/a.root", b"x") + b"\0" * (64 << 20)))
    with pytest.raises(SchedulerError):
        fetch([announced(tmp_path)], CannedReplies({"fetch": buffer.getvalue()}))
