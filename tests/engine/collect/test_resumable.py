"""Downloads of large outputs are resumed after a lost connection, and only a complete file gets its name."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scheduler import OutputError, TransportError
from scheduler.engine.collect.fetch import Progress, fetch
from scheduler.engine.collect.manifest import LARGE_BYTES, manifest
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.local.transport import LocalTransport
from tests.engine.collect.test_fetch import a_row, remote_bundle

SIZE = LARGE_BYTES + 1_234_567
CONTENT = os.urandom(1 << 20) * (SIZE // (1 << 20)) + os.urandom(SIZE % (1 << 20))


@dataclass
class Metered(Transport):
    """This machine, over a connection that counts bytes.

    Attributes:
        cut_after: the connection is lost after so many bytes of output of fetch.sh; None: never.
        meanwhile: called when it is lost.
        received: bytes of output of fetch.sh.
        ran: the names of the programs that were run.
    """

    cut_after: int | None = None
    meanwhile: Callable[[], object] = lambda: None
    received: int = 0
    ran: list[str] = field(default_factory=list)

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
        return LocalTransport().run(program, args, stdin=stdin, stdout=self._counted(stdout), timeout=timeout)

    def _counted(self, take: Callable[[bytes], None] | None) -> Callable[[bytes], None] | None:
        if take is None:
            return None

        def counted(chunk: bytes) -> None:
            self.received += len(chunk)
            if self.cut_after is not None and self.received > self.cut_after:
                take(chunk[: len(chunk) - (self.received - self.cut_after)])
                self.meanwhile()
                raise TransportError("cut, on purpose")
            take(chunk)

        return counted

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class RemoteJob:
    """A finished job with a large output and a small one.

    Attributes:
        folder: its bundle on the remote side.
        output: its large output on the remote side.
        local: the folder that outputs are downloaded to.
    """

    folder: Path
    output: Path
    local: Path

    def collect(self, transport: Transport, progress: Progress | None = None) -> None:
        row = a_row(self.local, folder=str(self.folder))
        listed = manifest([row], transport, self.local.parent)
        fetch(listed.outputs, transport, progress)

    @property
    def parts(self) -> list[Path]:
        """The parts of incomplete downloads."""
        return list(self.local.glob(".*.part"))


@pytest.fixture
def remote(tmp_path: Path) -> RemoteJob:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "it's large.root").write_bytes(CONTENT)
    (inside / "small.root").write_bytes(b"small")
    return RemoteJob(bundle, inside / "it's large.root", tmp_path / "out")


def test_a_large_file_is_downloaded_along_with_small_ones(remote: RemoteJob) -> None:
    transport, reported = Metered(), list[tuple[int, int]]()
    remote.collect(transport, lambda done, total: reported.append((done, total)))
    assert (remote.local / remote.output.name).read_bytes() == CONTENT
    assert (remote.local / "small.root").read_bytes() == b"small"
    assert transport.ran == ["manifest", "fetch"]
    assert reported[-1] == (SIZE + 5 + 5, SIZE + 5 + 5)  # "small" and "text\n" in stdout
    assert not remote.parts


@pytest.mark.parametrize(
    "cut_after", [7, 4_000_000, SIZE + 10, SIZE + 60], ids=["first line", "middle", "hash", "end of hash"]
)
def test_after_a_lost_connection_only_the_rest_is_sent(remote: RemoteJob, cut_after: int) -> None:
    with pytest.raises(TransportError):
        remote.collect(Metered(cut_after))
    assert not (remote.local / remote.output.name).exists()
    transport, reported = Metered(), list[tuple[int, int]]()
    remote.collect(transport, lambda done, total: reported.append((done, total)))
    assert (remote.local / remote.output.name).read_bytes() == CONTENT
    assert SIZE - cut_after < transport.received < SIZE - min(cut_after, SIZE) + 30_000
    assert reported[-1][0] == reported[-1][1] <= SIZE - min(cut_after, SIZE) + 50
    assert not remote.parts


def test_a_download_survives_many_lost_connections(remote: RemoteJob) -> None:
    for _ in range(9):
        with pytest.raises(TransportError):
            remote.collect(Metered(1_000_000))
    transport = Metered()
    remote.collect(transport)
    assert (remote.local / remote.output.name).read_bytes() == CONTENT
    assert transport.received < SIZE - 8_000_000


def test_a_file_that_has_changed_since_is_sent_from_its_beginning(remote: RemoteJob) -> None:
    with pytest.raises(TransportError):
        remote.collect(Metered(4_000_000))
    other = bytes(SIZE)
    remote.output.write_bytes(other)
    reported = list[tuple[int, int]]()
    remote.collect(Metered(), lambda done, total: reported.append((done, total)))
    assert (remote.local / remote.output.name).read_bytes() == other
    assert reported[-1] == (SIZE + 10, SIZE + 10)


def test_a_file_that_changes_while_it_is_sent_does_not_get_its_name(remote: RemoteJob) -> None:
    class Changing(Metered):
        def run(self, program: Program, *args: object, **options: object) -> Reply:
            if program.name == "fetch":
                remote.output.write_bytes(CONTENT[:-1] + b"x" + b"more")
            return super().run(program, *args, **options)  # type: ignore[arg-type]

    with pytest.raises(OutputError, match="may still be changing"):
        remote.collect(Changing())
    assert not (remote.local / remote.output.name).exists()
    assert not remote.parts
    with pytest.raises(OutputError, match=r"not sent completely|may still be changing"):
        remote.output.write_bytes(CONTENT)
        remote.collect(_Shrinking(remote.output))
    assert not (remote.local / remote.output.name).exists()


class _Shrinking(Metered):
    def __init__(self, output: Path) -> None:
        super().__init__()
        self._output = output

    def run(self, program: Program, *args: object, **options: object) -> Reply:
        if program.name == "fetch":
            self._output.unlink()
        return super().run(program, *args, **options)  # type: ignore[arg-type]


def test_a_large_file_that_is_local_is_not_sent_again(remote: RemoteJob) -> None:
    remote.collect(Metered())
    transport = Metered()
    remote.collect(transport)
    assert transport.ran == ["manifest", "fetch"]
    assert transport.received < 200
    (remote.local / remote.output.name).write_bytes(bytes(SIZE))  # as an earlier run could have left it
    remote.collect(Metered())
    assert (remote.local / remote.output.name).read_bytes() == CONTENT


def test_two_processes_that_download_one_file_do_not_mix_their_parts(remote: RemoteJob) -> None:
    other = Metered(4_000_000)
    with pytest.raises(TransportError):
        remote.collect(Metered(5_000_000, meanwhile=lambda: _expect_cut(remote, other)))
    assert other.received >= 4_000_000
    remote.collect(Metered())
    assert (remote.local / remote.output.name).read_bytes() == CONTENT
    assert not remote.parts


def _expect_cut(remote: RemoteJob, transport: Metered) -> None:
    with pytest.raises(TransportError):
        remote.collect(transport)


@pytest.mark.parametrize("reply", [b"from 9\n", b"from -1\n", b"from 0\n\0" * 100, b"nonsense\n", b"from 0"])
def test_an_invalid_reply_about_a_file_is_rejected(remote: RemoteJob, reply: bytes) -> None:
    class Lying(Metered):
        def run(self, program: Program, *args: object, **options: object) -> Reply:
            if program.name != "fetch":
                return super().run(program, *args, **options)  # type: ignore[arg-type]
            options["stdout"](reply)  # type: ignore[operator]
            return Reply("fetch", 0, b"", b"")

    with pytest.raises((OutputError, TransportError)):
        remote.collect(Lying())
    assert not (remote.local / remote.output.name).exists()


def test_memory_does_not_grow_with_the_size_of_a_file(remote: RemoteJob) -> None:
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    remote.collect(Metered())
    before = peak()
    with remote.output.open("r+b") as file:
        file.truncate(300 << 20)
    remote.collect(Metered())
    assert (remote.local / remote.output.name).stat().st_size == 300 << 20
    assert peak() - before < 60
