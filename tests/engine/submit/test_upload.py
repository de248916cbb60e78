"""What is large of a bundle goes ahead in pieces: it arrives whole and once, whatever is cut."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scheduler import Job, JobError, JobType, Runner, Site, TransportError
from scheduler.engine.submit.upload import LARGE_BYTES
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.local.transport import LocalTransport

SIZE = LARGE_BYTES + 6_012_345
CHANNELS = 4


@dataclass
class Line(Transport):
    """This machine, as if it were far: several programs at once are worth while.

    Attributes:
        up: bytes that were sent to programs of each name.
        cut_after: so many bytes to `stage` in all, everything is cut.
        lost: a program of this name runs to its end, but its last word is lost.
        refused: so many further programs cannot be started.
    """

    cut_after: int | None = None
    lost: str = ""
    refused: int = 0
    channels: int = CHANNELS
    asked: list[str] = field(default_factory=list)
    up: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def upload_streams(self) -> int:
        return self.channels

    def run(
        self,
        program: Program,
        args: Sequence[str | Expanded] = (),
        *,
        stdin: bytes | Iterable[bytes] = b"",
        stdout: Callable[[bytes], None] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        with self._lock:
            self.asked.append(program.name)
            if program.name == "upload" and self.refused > 0:
                self.refused -= 1
                raise TransportError("no more sessions")
        chunks = self._counted(program.name, [stdin] if isinstance(stdin, bytes) else stdin)
        reply = LocalTransport().run(program, args, stdin=chunks, stdout=stdout, timeout=timeout)
        if program.name == self.lost:
            raise TransportError("the last word was lost")
        return reply

    def _counted(self, name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            with self._lock:
                self.up[name] = self.up.get(name, 0) + len(chunk)
                if name == "upload" and self.cut_after is not None and self.up[name] > self.cut_after:
                    raise TransportError("cut, on purpose")
            yield chunk

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Desk:
    """A place to submit from, and the folder of the site."""

    folder: Path
    work: Path
    input: Path

    def runner(self, line: Transport) -> Runner:
        site = Site.from_mapping(
            {"transport": "local", "scheduler": "shell", "work_dir": str(self.work),
             "limits": {"poll_seconds": 0.1, "running": 2}},
            name="far",
        )  # fmt: skip
        return Runner(site, ledger=Ledger(self.folder / "state"), transport=line)

    def job(self, **options: object) -> Job:
        """It counts the bytes of its large input, and sums them up."""
        script = self.folder / "sum.sh"
        script.write_text('#!/bin/sh\nsha256sum <"it\'s large"\necho run >>"$RUNS"\n')
        common = {"input_files": {"it's large": self.input}, "env_vars": {"RUNS": str(self.folder / "runs")}}
        return Job("j", JobType.SCRIPT, script_path=script, working_dir=self.folder / "home", **(common | options))  # type: ignore[arg-type]

    def arrived(self, job: Job) -> bool:
        """The job ran once, with the whole of its input, and nothing is left of the pieces."""
        said = Path(job.results["stdout"]).read_text().split()[0]
        whole = said == hashlib.sha256(self.input.read_bytes()).hexdigest()
        left = [*self.work.glob(".staged-*"), *self.work.glob(".incoming-*"), *(self.folder / "state/spool").iterdir()]
        return whole and (self.folder / "runs").read_text() == "run\n" and not left


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "large").write_bytes(os.urandom(SIZE))
    return Desk(tmp_path, tmp_path / "work it's", tmp_path / "in" / "large")


def test_a_large_input_goes_in_pieces_and_the_bundle_follows(desk: Desk) -> None:
    line = Line()
    with desk.runner(line) as runner:
        job = desk.job()
        runner.submit([job])
        assert line.asked == ["upload"] * CHANNELS + ["submit"]
        assert line.up["upload"] == SIZE
        assert line.up["submit"] < 50_000
        runner.wait([job], timeout=600)
        assert desk.arrived(job)


def test_over_a_short_line_it_is_one_piece(desk: Desk) -> None:
    line = Line(channels=1)
    with desk.runner(line) as runner:
        job = desk.job()
        runner.submit([job])
        assert line.asked == ["upload", "submit"]
        runner.wait([job], timeout=600)
        assert desk.arrived(job)


def test_after_a_cut_only_what_is_not_there_is_sent(desk: Desk) -> None:
    line = Line(cut_after=LARGE_BYTES)
    with desk.runner(line) as runner, pytest.raises(TransportError):
        job = desk.job()
        runner.submit([job])
    line.cut_after, before = None, line.up["upload"]
    with desk.runner(line) as runner:
        runner._keys[job] = runner.ledger.chosen()[0].key  # as a later process would adopt it
        runner.submit([job])
        assert line.up["upload"] - before < SIZE - LARGE_BYTES // 2
        assert line.asked[-1] == "submit"
        runner.wait([job], timeout=600)
        assert desk.arrived(job)


@pytest.mark.parametrize("seed", range(4))
def test_many_cuts_come_to_one_whole_input(desk: Desk, seed: int) -> None:
    line, cuts = Line(), 0
    with desk.runner(line) as runner:
        job = desk.job()
        while True:
            line.cut_after = line.up.get("upload", 0) + 1_300_000 * seed + 777_777 * (cuts + 1)
            try:
                runner.submit([job])
                break
            except TransportError:
                cuts += 1
        assert cuts >= 2
        runner.wait([job], timeout=600)
        assert desk.arrived(job)


@pytest.mark.parametrize("lost", ["upload", "submit"])
def test_a_lost_last_word_sends_nothing_twice(desk: Desk, lost: str) -> None:
    line = Line(lost=lost)
    with desk.runner(line) as runner:
        job = desk.job()
        with pytest.raises(TransportError):
            runner.submit([job])
        line.lost = ""
        runner.submit([job])
        assert line.up["upload"] == SIZE
        runner.wait([job], timeout=600)
        assert desk.arrived(job)


def test_channels_that_the_server_does_not_give_leave_their_pieces_to_the_others(desk: Desk) -> None:
    line = Line(refused=CHANNELS - 1)
    with desk.runner(line) as runner:
        job = desk.job()
        runner.submit([job])
        assert line.up["upload"] == SIZE
        runner.wait([job], timeout=600)
        assert desk.arrived(job)


def test_an_input_that_was_changed_before_it_was_sent_is_not_sent(desk: Desk) -> None:
    line = Line(cut_after=LARGE_BYTES)
    with desk.runner(line) as runner:
        job = desk.job()
        with pytest.raises(TransportError):
            runner.submit([job])
        line.cut_after = None
        with desk.input.open("r+b") as file:
            file.write(b"other")
        with pytest.raises(JobError, match="was changed before it was sent"):
            runner.submit([job])
        assert not runner.ledger.chosen()
        runner.submit([job])
        runner.wait([job], timeout=600)
        assert desk.arrived(job) or list(desk.work.glob(".staged-*"))  # of the first attempt, under another token


def test_what_was_given_up_long_ago_goes_and_nothing_else(desk: Desk) -> None:
    names = {"old": 40, "young": 20, "not ours": 40}
    for name, days in names.items():
        folder = desk.work / f".staged-{name}"
        folder.mkdir(parents=True)
        (folder / "0.0.aa").write_bytes(b"piece")
        if name != "not ours":
            (folder / ".scheduler").touch()
        os.utime(folder, times=(time.time() - days * 86_400,) * 2)
    with desk.runner(Line()) as runner:
        runner.submit([desk.job()])
    assert {path.name for path in desk.work.glob(".staged-*")} == {".staged-young", ".staged-not ours"}


def test_many_files_that_are_large_together_are_staged_too(desk: Desk) -> None:
    folder = desk.folder / "many"
    (folder / "sub\nfolder").mkdir(parents=True)
    for number in range(20):
        (folder / "sub\nfolder" / str(number)).write_bytes(os.urandom(900_000))
    (folder / "sub\nfolder" / "large\n").write_bytes(os.urandom(LARGE_BYTES))
    (folder / "sub\nfolder" / "large\n").chmod(0o755)
    script = desk.folder / "s.sh"
    script.write_text("#!/bin/sh\ncd many/* && sha256sum ./* && test -x ./large*\n")
    line = Line()
    with desk.runner(line) as runner:
        job = Job(
            "j", JobType.SCRIPT, script_path=script, working_dir=desk.folder / "home", input_files={"many": folder}
        )
        runner.submit([job])
        assert line.up["submit"] < 2000
        runner.wait([job], timeout=600)
        assert job.is_completed(), job.results["error"]
        assert len(Path(job.results["stdout"]).read_text().splitlines()) == 21


def test_the_large_file_in_the_spool_is_the_users_own_and_costs_no_room(desk: Desk) -> None:
    line = Line(cut_after=0)
    with desk.runner(line) as runner, pytest.raises(TransportError):
        runner.submit([desk.job()])
    aside = next((desk.folder / "state/spool").glob("*.large")) / "0"
    assert aside.samefile(desk.input)
