"""A large output comes home over several channels at once: whole, once, and gone on with after a cut."""

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
from tests.engine.collect.test_fetch import over_there
from tests.engine.collect.test_resumable import Far

CHANNELS = 4
SIZE = CHANNELS * LEAST_BYTES + 3_456_789
CONTENT = os.urandom(SIZE)


@dataclass
class Line(Transport):
    """This machine, as if it were far, behind OpenSSH.

    Attributes:
        down: bytes that `fetch` said on each channel.
        cut_after: so many bytes on all of them, everything is cut.
        refused: channels that are not given.
        before: called before each `fetch`, with the number of its channel.
    """

    cut_after: int | None = None
    refused: frozenset[int] = frozenset()
    before: Callable[[int], object] = lambda number: None
    down: dict[int, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
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
            self.asked.append(program.name)
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

        def taken(piece: bytes) -> None:
            with self._lock:
                if self.cut_after is not None and self.sent + len(piece) > self.cut_after:
                    raise TransportError("cut, on purpose")
                self.down[number] = self.down.get(number, 0) + len(piece)
            take(piece)

        return taken

    @property
    def sent(self) -> int:
        """On all channels."""
        return sum(self.down.values())

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def far(tmp_path: Path) -> Far:
    bundle, inside = over_there(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "it's large.root").write_bytes(CONTENT)
    (inside / "small.root").write_bytes(b"small")
    return Far(bundle, inside / "it's large.root", tmp_path / "home")


def came_whole(far: Far) -> bool:
    return (far.home / far.output.name).read_bytes() == far.output.read_bytes() and not far.parts


def test_each_channel_brings_its_share(far: Far) -> None:
    line, told = Line(), list[tuple[int, int]]()
    far.collect(line, lambda done, total: told.append((done, total)))
    assert came_whole(far)
    assert (far.home / "small.root").read_bytes() == b"small"
    assert line.asked == ["manifest"] + ["fetch"] * CHANNELS
    assert SIZE < line.sent < SIZE + 30_000
    assert max(line.down.values()) - min(line.down.values()) <= STRIPE_BYTES + 30_000
    assert told[-1] == (SIZE + 10, SIZE + 10)


def test_several_large_files_share_the_channels(far: Far) -> None:
    sizes = [LEAST_BYTES, LEAST_BYTES + 1, 2 * LEAST_BYTES - 1, LEAST_BYTES + STRIPE_BYTES]
    for number, size in enumerate(sizes):
        (far.output.parent / f"{number}\n.root").write_bytes(os.urandom(size))
    line = Line()
    far.collect(line)
    assert line.asked == ["manifest"] + ["fetch"] * CHANNELS
    for path in far.output.parent.glob("*.root"):
        assert (far.home / path.name).read_bytes() == path.read_bytes()


def test_less_than_a_channel_is_worth_comes_over_one(far: Far) -> None:
    far.output.write_bytes(CONTENT[: 2 * LEAST_BYTES - 1])
    line = Line()
    far.collect(line)
    assert came_whole(far)
    assert line.asked == ["manifest", "fetch"]


@pytest.mark.parametrize("cut_after", [7, 300_000, 5_000_000, SIZE // 2, SIZE - 1, SIZE + 30])
def test_after_a_cut_the_beginning_that_has_come_is_gone_on_with(far: Far, cut_after: int) -> None:
    with pytest.raises(TransportError):
        far.collect(Line(cut_after))
    assert not (far.home / far.output.name).exists()
    here = sum(part.stat().st_size for part in far.parts)
    assert here <= cut_after
    line = Line()
    far.collect(line)
    assert came_whole(far)
    assert line.sent < SIZE - here + 30_000


def test_many_cuts_come_to_one_file(far: Far) -> None:
    cuts, line = 0, Line()
    while True:
        line.cut_after = line.sent + 7_777_777 + 999_999 * cuts
        try:
            far.collect(line)
            break
        except TransportError:
            cuts += 1
    assert cuts >= 3
    assert came_whole(far)


def test_what_came_over_several_channels_is_gone_on_with_over_one_and_the_other_way(far: Far) -> None:
    class One(Line):
        def download_streams(self) -> int:
            return 1

    sent = 0
    for line in (Line(10_000_000), One(3_000_001), Line(10_000_000), One()):
        try:
            far.collect(line)
        except TransportError:
            sent = sum(part.stat().st_size for part in far.parts)
        else:
            assert line.sent < SIZE - sent + 30_000
    assert came_whole(far)


@pytest.mark.parametrize("refused", [{1}, {0}, {3}, {0, 1, 2}, {1, 2, 3}], ids=str)
def test_what_channels_would_have_brought_that_the_server_does_not_give_the_others_bring(
    far: Far, refused: set[int]
) -> None:
    line = Line(refused=frozenset(refused))
    far.collect(line)
    assert came_whole(far)


def test_without_any_channel_it_is_said_why(far: Far) -> None:
    class Refusing(Line):
        def _counted(self, *_: object) -> None:
            raise TransportError("no more sessions")

    line = Refusing()
    with pytest.raises(TransportError, match="no more sessions"):
        far.collect(line)
    assert not far.parts


def test_a_file_that_has_changed_since_the_cut_comes_from_its_beginning(far: Far) -> None:
    with pytest.raises(TransportError):
        far.collect(Line(SIZE // 2))
    far.output.write_bytes(CONTENT[::-1])
    told = list[tuple[int, int]]()
    far.collect(Line(), lambda done, total: told.append((done, total)))
    assert came_whole(far)
    assert told[-1] == (SIZE + 10, SIZE + 10)


@pytest.mark.parametrize("number", range(CHANNELS))
def test_a_file_that_changes_while_it_is_sent_does_not_get_its_name(far: Far, number: int) -> None:
    def change(channel: int) -> None:
        if channel == number:
            with far.output.open("r+b") as file:
                file.seek(SIZE - 1)
                file.write(bytes([CONTENT[-1] ^ 1]))

    try:
        far.collect(Line(before=change))
    except OutputError as error:
        assert "changes still" in str(error)
        assert not (far.home / far.output.name).exists()
        assert not far.parts
    else:
        assert came_whole(far)  # nobody had read so far when it changed


@pytest.mark.parametrize("size", [0, 1, STRIPE_BYTES, SIZE - 1])
def test_a_file_that_has_become_shorter_does_not_get_its_name(far: Far, size: int) -> None:
    def shorten(channel: int) -> None:
        os.truncate(far.output, size)

    with pytest.raises((OutputError, TransportError)):
        far.collect(Line(before=shorten))
    assert not (far.home / far.output.name).exists()


@pytest.mark.parametrize("number", range(CHANNELS))
def test_a_file_that_cannot_be_read_on_one_channel_is_said(far: Far, number: int) -> None:
    class Broken(Line):
        def run(self, program: Program, args: Sequence[str | Expanded] = (), **options: object) -> Reply:
            if program.name == "fetch" and args[1] == str(number):
                program = Program("fetch", "echo 'Input/output error' >&2; exit 74")
            return super().run(program, args, **options)  # type: ignore[arg-type]

    with pytest.raises(OutputError, match="Input/output error"):
        far.collect(Broken())
    assert not (far.home / far.output.name).exists()


def test_a_large_file_that_is_home_is_compared_over_one_channel(far: Far) -> None:
    far.collect(Line())
    line = Line()
    far.collect(line)
    assert line.asked == ["manifest", "fetch"]
    assert line.sent < 200


@pytest.mark.parametrize("tools", ["ours", "busybox"])
@pytest.mark.parametrize("offset", [0, 1, STRIPE_BYTES - 1, STRIPE_BYTES, 3 * STRIPE_BYTES + 7, SIZE])
def test_the_stripes_are_the_file_with_every_tool(far: Far, tmp_path: Path, tools: str, offset: int) -> None:
    (tmp_path / "bin").mkdir()
    if tools == "busybox":
        busybox = shutil.which("busybox") or pytest.skip("busybox is not installed")
        for name in ("sh", "dd", "head", "tail", "cat", "cut", "xargs", "sha256sum", "mktemp", "rm"):
            (tmp_path / "bin" / name).symlink_to(busybox)
    sha256 = hashlib.sha256(CONTENT[:offset]).hexdigest()
    asked = f"{offset}\0{sha256}\0{SIZE}\0{far.output}\0".encode()
    said = []
    for number in range(CHANNELS):
        command = ["sh", "-c", programs.program("fetch").text, "sh", str(len(asked)), str(number), str(CHANNELS)]
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        done = subprocess.run(command, input=asked, capture_output=True, check=True, env=os.environ | {"PATH": path})
        said.append(done.stdout)
    head = f"from {offset}\n".encode()
    even = min(-(-offset // STRIPE_BYTES) * STRIPE_BYTES, SIZE)
    stripes = [CONTENT[start : start + STRIPE_BYTES] for start in range(even, SIZE, STRIPE_BYTES)]
    tail = hashlib.sha256(CONTENT).hexdigest().encode() + b"\n"
    assert said[0] == head + CONTENT[offset:even] + b"".join(stripes[::CHANNELS]) + tail
    assert said[1:] == [b"".join(stripes[number::CHANNELS]) for number in range(1, CHANNELS)]
