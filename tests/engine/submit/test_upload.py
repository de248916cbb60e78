"""Large files are uploaded ahead of their bundle in ranges: completely and once, also after lost connections."""

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
class ManyChannels(Transport):
    """This machine, over a connection that is worth several channels.

    Attributes:
        up: bytes that were sent to programs of each name.
        cut_after: the connection is lost after so many bytes to upload.sh in all; None: never.
        lost: a program of this name runs to its end, but its reply is lost.
        refused: the server refuses the next so many runs of upload.sh.
        ran: the names of the programs that were run.
    """

    cut_after: int | None = None
    lost: str = ""
    refused: int = 0
    channels: int = CHANNELS
    ran: list[str] = field(default_factory=list)
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
            self.ran.append(program.name)
            if program.name == "upload" and self.refused > 0:
                self.refused -= 1
                raise TransportError("no more sessions")
        chunks = self._counted(program.name, [stdin] if isinstance(stdin, bytes) else stdin)
        reply = LocalTransport().run(program, args, stdin=chunks, stdout=stdout, timeout=timeout)
        if program.name == self.lost:
            raise TransportError("the reply was lost")
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
    """A user's folder, the work_dir of a site, and a large input."""

    folder: Path
    work: Path
    input: Path

    def runner(self, transport: Transport) -> Runner:
        site = Site.from_mapping(
            {"transport": "local", "scheduler": "shell", "work_dir": str(self.work),
             "limits": {"poll_seconds": 0.1, "running": 2}},
            name="remote",
        )  # fmt: skip
        return Runner(site, ledger=Ledger(self.folder / "state"), transport=transport)

    def job(self, **options: object) -> Job:
        """Its payload prints the SHA-256 of the large input, and counts its runs."""
        script = self.folder / "sum.sh"
        script.write_text('#!/bin/sh\nsha256sum <"it\'s large"\necho run >>"$RUNS"\n')
        common = {"input_files": {"it's large": self.input}, "env_vars": {"RUNS": str(self.folder / "runs")}}
        return Job("j", JobType.SCRIPT, script_path=script, working_dir=self.folder / "out", **(common | options))  # type: ignore[arg-type]

    def ran_once(self, job: Job) -> bool:
        """The job ran once, with the complete input, and nothing is left of the upload."""
        printed = Path(str(job.stdout)).read_text().split()[0]
        whole = printed == hashlib.sha256(self.input.read_bytes()).hexdigest()
        left = [*self.work.glob(".staged-*"), *self.work.glob(".incoming-*"), *(self.folder / "state/spool").iterdir()]
        return whole and (self.folder / "runs").read_text() == "run\n" and not left


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "large").write_bytes(os.urandom(SIZE))
    return Desk(tmp_path, tmp_path / "work it's", tmp_path / "in" / "large")


def test_a_large_input_is_uploaded_in_ranges_ahead_of_the_bundle(desk: Desk) -> None:
    transport = ManyChannels()
    with desk.runner(transport) as runner:
        job = desk.job()
        runner.submit([job])
        assert transport.ran == ["upload"] * CHANNELS + ["submit"]
        assert transport.up["upload"] == SIZE
        assert transport.up["submit"] < 50_000
        runner.wait([job], timeout=600)
        assert desk.ran_once(job)


def test_over_a_single_channel_it_is_one_range(desk: Desk) -> None:
    transport = ManyChannels(channels=1)
    with desk.runner(transport) as runner:
        job = desk.job()
        runner.submit([job])
        assert transport.ran == ["upload", "submit"]
        runner.wait([job], timeout=600)
        assert desk.ran_once(job)


def test_after_a_lost_connection_only_missing_ranges_are_sent(desk: Desk) -> None:
    transport = ManyChannels(cut_after=LARGE_BYTES)
    with desk.runner(transport) as runner, pytest.raises(TransportError):
        job = desk.job()
        runner.submit([job])
    transport.cut_after, before = None, transport.up["upload"]
    with desk.runner(transport) as runner:
        runner._tracked.add([job], [runner.ledger.chosen()[0].key])  # as a later process would adopt it
        runner.submit([job])
        assert transport.up["upload"] - before < SIZE - LARGE_BYTES // 2
        assert transport.ran[-1] == "submit"
        runner.wait([job], timeout=600)
        assert desk.ran_once(job)


@pytest.mark.parametrize("seed", range(4))
def test_an_upload_survives_many_lost_connections(desk: Desk, seed: int) -> None:
    transport, cuts = ManyChannels(), 0
    with desk.runner(transport) as runner:
        job = desk.job()
        while True:
            transport.cut_after = transport.up.get("upload", 0) + 1_300_000 * seed + 777_777 * (cuts + 1)
            try:
                runner.submit([job])
                break
            except TransportError:
                cuts += 1
        assert cuts >= 2
        runner.wait([job], timeout=600)
        assert desk.ran_once(job)


@pytest.mark.parametrize("lost", ["upload", "submit"])
def test_if_the_reply_is_lost_no_byte_is_sent_twice(desk: Desk, lost: str) -> None:
    transport = ManyChannels(lost=lost)
    with desk.runner(transport) as runner:
        job = desk.job()
        with pytest.raises(TransportError):
            runner.submit([job])
        transport.lost = ""
        runner.submit([job])
        assert transport.up["upload"] == SIZE
        runner.wait([job], timeout=600)
        assert desk.ran_once(job)


def test_the_accepted_channels_upload_the_ranges_of_refused_ones(desk: Desk) -> None:
    transport = ManyChannels(refused=CHANNELS - 1)
    with desk.runner(transport) as runner:
        job = desk.job()
        runner.submit([job])
        assert transport.up["upload"] == SIZE
        runner.wait([job], timeout=600)
        assert desk.ran_once(job)


def test_an_input_that_was_changed_before_it_was_sent_is_not_sent(desk: Desk) -> None:
    transport = ManyChannels(cut_after=LARGE_BYTES)
    with desk.runner(transport) as runner:
        job = desk.job()
        with pytest.raises(TransportError):
            runner.submit([job])
        transport.cut_after = None
        with desk.input.open("r+b") as file:
            file.write(b"other")
        with pytest.raises(JobError, match="was changed before it was sent"):
            runner.submit([job])
        assert not runner.ledger.chosen()
        runner.submit([job])
        runner.wait([job], timeout=600)
        assert desk.ran_once(job) or list(desk.work.glob(".staged-*"))  # of the first token


def test_old_ranges_of_abandoned_uploads_are_removed_and_nothing_else(desk: Desk) -> None:
    names = {"old": 40, "young": 20, "not ours": 40}
    for name, days in names.items():
        folder = desk.work / f".staged-{name}"
        folder.mkdir(parents=True)
        (folder / "0.0.aa").write_bytes(b"range")
        if name != "not ours":
            (folder / ".scheduler").touch()
        os.utime(folder, times=(time.time() - days * 86_400,) * 2)
    with desk.runner(ManyChannels()) as runner:
        runner.submit([desk.job()])
    assert {path.name for path in desk.work.glob(".staged-*")} == {".staged-young", ".staged-not ours"}


def test_a_bundle_of_many_files_that_is_large_is_uploaded_in_ranges_too(desk: Desk) -> None:
    folder = desk.folder / "many"
    (folder / "sub\nfolder").mkdir(parents=True)
    for number in range(20):
        (folder / "sub\nfolder" / str(number)).write_bytes(os.urandom(900_000))
    (folder / "sub\nfolder" / "large\n").write_bytes(os.urandom(LARGE_BYTES))
    (folder / "sub\nfolder" / "large\n").chmod(0o755)
    script = desk.folder / "s.sh"
    script.write_text("#!/bin/sh\ncd many/* && sha256sum ./* && test -x ./large*\n")
    transport = ManyChannels()
    with desk.runner(transport) as runner:
        job = Job(
            "j", JobType.SCRIPT, script_path=script, working_dir=desk.folder / "out", input_files={"many": folder}
        )
        runner.submit([job])
        assert transport.up["submit"] < 2000
        runner.wait([job], timeout=600)
        assert job.is_completed(), job.results["error"]
        assert len(Path(str(job.stdout)).read_text().splitlines()) == 21


def test_a_large_file_in_the_spool_is_a_link_to_the_users_file(desk: Desk) -> None:
    transport = ManyChannels(cut_after=0)
    with desk.runner(transport) as runner, pytest.raises(TransportError):
        runner.submit([desk.job()])
    aside = next((desk.folder / "state/spool").glob("*.large")) / "0"
    assert aside.samefile(desk.input)
