"""A large output is downloaded over several channels at once: completely, once, and resumed after a lost connection."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scheduler import OutputError, TransportError
from scheduler.engine import programs
from scheduler.engine.collect.stripes import LEAST_BYTES, STRIPE_BYTES
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.local.transport import LocalTransport
from tests.engine.collect.test_fetch import remote_bundle
from tests.engine.collect.test_resumable import RemoteJob

CHANNELS = 4
SIZE = CHANNELS * LEAST_BYTES + 3_456_789
CONTENT = os.urandom(SIZE)


@dataclass
class ManyChannels(Transport):
    """This machine, over a connection that is worth several channels, as OpenSSH on a long round trip.

    Attributes:
        cut_after: the connection is lost after so many bytes of output of fetch.sh on all channels; None: never.
        refused: the numbers of channels that the server refuses.
        before: called with the number of a channel before fetch.sh runs on it.
        received: bytes of output of fetch.sh on each channel.
        ran: the names of the programs that were run.
    """

    cut_after: int | None = None
    refused: frozenset[int] = frozenset()
    before: Callable[[int], object] = lambda number: None
    received: dict[int, int] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def download_streams(self) -> int:
        return CHANNELS

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
        if program.name == "fetch":
            stdout = self._counted(int(str(args[1])), int(str(args[2])), stdout)
        return LocalTransport().run(program, args, stdin=stdin, stdout=stdout, timeout=timeout)

    def _counted(
        self, number: int, channels: int, take: Callable[[bytes], None] | None
    ) -> Callable[[bytes], None] | None:
        if channels > 1 and number in self.refused:
            raise TransportError("no more sessions")
        self.before(number)
        assert take is not None

        def counted(chunk: bytes) -> None:
            with self._lock:
                if self.cut_after is not None and self.sent + len(chunk) > self.cut_after:
                    raise TransportError("cut, on purpose")
                self.received[number] = self.received.get(number, 0) + len(chunk)
            take(chunk)

        return counted

    @property
    def sent(self) -> int:
        """Bytes on all channels."""
        return sum(self.received.values())

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def remote(tmp_path: Path) -> RemoteJob:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "it's large.root").write_bytes(CONTENT)
    (inside / "small.root").write_bytes(b"small")
    return RemoteJob(bundle, inside / "it's large.root", tmp_path / "out")


def is_complete(remote: RemoteJob) -> bool:
    return (remote.local / remote.output.name).read_bytes() == remote.output.read_bytes() and not remote.parts


def test_each_channel_carries_its_share(remote: RemoteJob) -> None:
    transport, reported = ManyChannels(), list[tuple[int, int]]()
    remote.collect(transport, lambda done, total: reported.append((done, total)))
    assert is_complete(remote)
    assert (remote.local / "small.root").read_bytes() == b"small"
    assert transport.ran == ["manifest"] + ["fetch"] * CHANNELS
    assert SIZE < transport.sent < SIZE + 30_000
    assert max(transport.received.values()) - min(transport.received.values()) <= STRIPE_BYTES + 30_000
    assert reported[-1] == (SIZE + 10, SIZE + 10)


def test_several_large_files_share_the_channels(remote: RemoteJob) -> None:
    sizes = [LEAST_BYTES, LEAST_BYTES + 1, 2 * LEAST_BYTES - 1, LEAST_BYTES + STRIPE_BYTES]
    for number, size in enumerate(sizes):
        (remote.output.parent / f"{number}\n.root").write_bytes(os.urandom(size))
    transport = ManyChannels()
    remote.collect(transport)
    assert transport.ran == ["manifest"] + ["fetch"] * CHANNELS
    for path in remote.output.parent.glob("*.root"):
        assert (remote.local / path.name).read_bytes() == path.read_bytes()


def test_few_bytes_are_sent_over_one_channel(remote: RemoteJob) -> None:
    remote.output.write_bytes(CONTENT[: 2 * LEAST_BYTES - 1])
    transport = ManyChannels()
    remote.collect(transport)
    assert is_complete(remote)
    assert transport.ran == ["manifest", "fetch"]


@pytest.mark.parametrize("cut_after", [7, 300_000, 5_000_000, SIZE // 2, SIZE - 1, SIZE + 30])
def test_after_a_lost_connection_the_part_is_resumed(remote: RemoteJob, cut_after: int) -> None:
    with pytest.raises(TransportError):
        remote.collect(ManyChannels(cut_after))
    assert not (remote.local / remote.output.name).exists()
    local = sum(part.stat().st_size for part in remote.parts)
    assert local <= cut_after
    transport = ManyChannels()
    remote.collect(transport)
    assert is_complete(remote)
    assert transport.sent < SIZE - local + 30_000


def test_a_download_survives_many_lost_connections(remote: RemoteJob) -> None:
    cuts, transport = 0, ManyChannels()
    while True:
        transport.cut_after = transport.sent + 7_777_777 + 999_999 * cuts
        try:
            remote.collect(transport)
            break
        except TransportError:
            cuts += 1
    assert cuts >= 3
    assert is_complete(remote)


def test_a_part_from_several_channels_is_resumed_over_one_and_the_reverse(remote: RemoteJob) -> None:
    class OneChannel(ManyChannels):
        def download_streams(self) -> int:
            return 1

    sent = 0
    for transport in (ManyChannels(10_000_000), OneChannel(3_000_001), ManyChannels(10_000_000), OneChannel()):
        try:
            remote.collect(transport)
        except TransportError:
            sent = sum(part.stat().st_size for part in remote.parts)
        else:
            assert transport.sent < SIZE - sent + 30_000
    assert is_complete(remote)


@pytest.mark.parametrize("refused", [{1}, {0}, {3}, {0, 1, 2}, {1, 2, 3}], ids=str)
def test_the_accepted_channels_carry_the_stripes_of_refused_ones(remote: RemoteJob, refused: set[int]) -> None:
    transport = ManyChannels(refused=frozenset(refused))
    remote.collect(transport)
    assert is_complete(remote)


def test_if_every_channel_is_refused_the_error_gives_the_reason(remote: RemoteJob) -> None:
    class Refusing(ManyChannels):
        def _counted(self, *_: object) -> None:
            raise TransportError("no more sessions")

    transport = Refusing()
    with pytest.raises(TransportError, match="no more sessions"):
        remote.collect(transport)
    assert not remote.parts


def test_a_file_that_has_changed_since_is_sent_from_its_beginning(remote: RemoteJob) -> None:
    with pytest.raises(TransportError):
        remote.collect(ManyChannels(SIZE // 2))
    remote.output.write_bytes(CONTENT[::-1])
    reported = list[tuple[int, int]]()
    remote.collect(ManyChannels(), lambda done, total: reported.append((done, total)))
    assert is_complete(remote)
    assert reported[-1] == (SIZE + 10, SIZE + 10)


@pytest.mark.parametrize("number", range(CHANNELS))
def test_a_file_that_changes_while_it_is_sent_does_not_get_its_name(remote: RemoteJob, number: int) -> None:
    def change(channel: int) -> None:
        if channel == number:
            with remote.output.open("r+b") as file:
                file.seek(SIZE - 1)
                file.write(bytes([CONTENT[-1] ^ 1]))

    try:
        remote.collect(ManyChannels(before=change))
    except OutputError as error:
        assert "may still be changing" in str(error)
        assert not (remote.local / remote.output.name).exists()
        assert not remote.parts
    else:
        assert is_complete(remote)  # this byte had not been read when it changed


@pytest.mark.parametrize("size", [0, 1, STRIPE_BYTES, SIZE - 1])
def test_a_file_that_has_become_shorter_does_not_get_its_name(remote: RemoteJob, size: int) -> None:
    def shorten(channel: int) -> None:
        os.truncate(remote.output, size)

    with pytest.raises((OutputError, TransportError)):
        remote.collect(ManyChannels(before=shorten))
    assert not (remote.local / remote.output.name).exists()


@pytest.mark.parametrize("number", range(CHANNELS))
def test_an_error_of_fetch_on_one_channel_is_reported(remote: RemoteJob, number: int) -> None:
    class Broken(ManyChannels):
        def run(self, program: Program, args: Sequence[str | Expanded] = (), **options: object) -> Reply:
            if program.name == "fetch" and args[1] == str(number):
                program = Program("fetch", "echo 'Input/output error' >&2; exit 74")
            return super().run(program, args, **options)  # type: ignore[arg-type]

    with pytest.raises(OutputError, match="Input/output error"):
        remote.collect(Broken())
    assert not (remote.local / remote.output.name).exists()


def test_a_large_file_that_is_local_is_compared_over_one_channel(remote: RemoteJob) -> None:
    remote.collect(ManyChannels())
    transport = ManyChannels()
    remote.collect(transport)
    assert transport.ran == ["manifest", "fetch"]
    assert transport.sent < 200


@pytest.mark.parametrize("tools", ["this machine's", "busybox"])
@pytest.mark.parametrize("offset", [0, 1, STRIPE_BYTES - 1, STRIPE_BYTES, 3 * STRIPE_BYTES + 7, SIZE])
def test_the_stripes_make_up_the_file_with_every_set_of_tools(
    remote: RemoteJob, tmp_path: Path, tools: str, offset: int
) -> None:
    (tmp_path / "bin").mkdir()
    if tools == "busybox":
        busybox = shutil.which("busybox") or pytest.skip("busybox is not installed")
        for name in ("sh", "dd", "head", "tail", "cat", "cut", "xargs", "sha256sum", "mktemp", "rm"):
            (tmp_path / "bin" / name).symlink_to(busybox)
    sha256 = hashlib.sha256(CONTENT[:offset]).hexdigest()
    request = f"{offset}\0{sha256}\0{SIZE}\0{remote.output}\0".encode()
    printed = []
    for number in range(CHANNELS):
        command = ["sh", "-c", programs.program("fetch").text, "sh", str(len(request)), str(number), str(CHANNELS)]
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        done = subprocess.run(command, input=request, capture_output=True, check=True, env=os.environ | {"PATH": path})
        printed.append(done.stdout)
    head = f"from {offset}\n".encode()
    even = min(-(-offset // STRIPE_BYTES) * STRIPE_BYTES, SIZE)
    stripes = [CONTENT[start : start + STRIPE_BYTES] for start in range(even, SIZE, STRIPE_BYTES)]
    tail = hashlib.sha256(CONTENT).hexdigest().encode() + b"\n"
    assert printed[0] == head + CONTENT[offset:even] + b"".join(stripes[::CHANNELS]) + tail
    assert printed[1:] == [b"".join(stripes[number::CHANNELS]) for number in range(1, CHANNELS)]
