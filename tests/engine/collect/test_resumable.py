"""Large outputs come home in pieces: a cut loses nothing that has come, and nothing gets its name that is not whole."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scheduler import OutputError, TransportError
from scheduler.engine.collect import fetch
from scheduler.engine.collect.fetch import LARGE_BYTES
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.local.transport import LocalTransport
from tests.engine.collect.test_fetch import a_row, over_there

SIZE = LARGE_BYTES + 1_234_567
CONTENT = os.urandom(1 << 20) * (SIZE // (1 << 20)) + os.urandom(SIZE % (1 << 20))


@dataclass
class Metered(Transport):
    """This machine. `cut_after`: so many bytes of what fetch says, the line is cut; `meanwhile` is called then."""

    cut_after: int | None = None
    meanwhile: Callable[[], object] = lambda: None
    down: int = 0
    asked: list[str] = field(default_factory=list)

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
        return LocalTransport().run(program, args, stdin=stdin, stdout=self._counted(stdout), timeout=timeout)

    def _counted(self, take: Callable[[bytes], None] | None) -> Callable[[bytes], None] | None:
        if take is None:
            return None

        def taken(piece: bytes) -> None:
            self.down += len(piece)
            if self.cut_after is not None and self.down > self.cut_after:
                take(piece[: len(piece) - (self.down - self.cut_after)])
                self.meanwhile()
                raise TransportError("cut, on purpose")
            take(piece)

        return taken

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Far:
    """A job that has ended over there with a large output and a small one, and the folder here they come to."""

    folder: Path
    output: Path
    home: Path

    def collect(self, transport: Transport, progress: fetch.Progress | None = None) -> None:
        row = a_row(self.home, folder=str(self.folder))
        listed = fetch.manifest([row], transport, self.home.parent)
        fetch.fetch(listed.outputs, transport, progress)

    @property
    def parts(self) -> list[Path]:
        """What is here of files that are not whole."""
        return list(self.home.glob(".*.part"))


@pytest.fixture
def far(tmp_path: Path) -> Far:
    bundle, inside = over_there(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "it's large.root").write_bytes(CONTENT)
    (inside / "small.root").write_bytes(b"small")
    return Far(bundle, inside / "it's large.root", tmp_path / "home")


def test_a_large_file_comes_home_whole_among_small_ones(far: Far) -> None:
    line, told = Metered(), list[tuple[int, int]]()
    far.collect(line, lambda done, total: told.append((done, total)))
    assert (far.home / far.output.name).read_bytes() == CONTENT
    assert (far.home / "small.root").read_bytes() == b"small"
    assert line.asked == ["manifest", "fetch"]
    assert told[-1] == (SIZE + 5 + 5, SIZE + 5 + 5)  # "small" and the job's "said"
    assert not far.parts


@pytest.mark.parametrize(
    "cut_after", [7, 4_000_000, SIZE + 10, SIZE + 60], ids=["head", "middle", "hash", "end of hash"]
)
def test_after_a_cut_only_the_rest_is_sent(far: Far, cut_after: int) -> None:
    with pytest.raises(TransportError):
        far.collect(Metered(cut_after))
    assert not (far.home / far.output.name).exists()
    line, told = Metered(), list[tuple[int, int]]()
    far.collect(line, lambda done, total: told.append((done, total)))
    assert (far.home / far.output.name).read_bytes() == CONTENT
    assert SIZE - cut_after < line.down < SIZE - min(cut_after, SIZE) + 30_000
    assert told[-1][0] == told[-1][1] <= SIZE - min(cut_after, SIZE) + 50
    assert not far.parts


def test_many_cuts_come_to_one_file(far: Far) -> None:
    for _ in range(9):
        with pytest.raises(TransportError):
            far.collect(Metered(1_000_000))
    line = Metered()
    far.collect(line)
    assert (far.home / far.output.name).read_bytes() == CONTENT
    assert line.down < SIZE - 8_000_000


def test_a_file_that_has_changed_since_the_cut_comes_from_its_beginning(far: Far) -> None:
    with pytest.raises(TransportError):
        far.collect(Metered(4_000_000))
    other = bytes(SIZE)
    far.output.write_bytes(other)
    told = list[tuple[int, int]]()
    far.collect(Metered(), lambda done, total: told.append((done, total)))
    assert (far.home / far.output.name).read_bytes() == other
    assert told[-1] == (SIZE + 10, SIZE + 10)


def test_a_file_that_changes_while_it_is_sent_does_not_get_its_name(far: Far) -> None:
    class Changing(Metered):
        def run(self, program: Program, *args: object, **options: object) -> Reply:
            if program.name == "fetch":
                far.output.write_bytes(CONTENT[:-1] + b"x" + b"more")
            return super().run(program, *args, **options)  # type: ignore[arg-type]

    with pytest.raises(OutputError, match="changes still"):
        far.collect(Changing())
    assert not (far.home / far.output.name).exists()
    assert not far.parts
    with pytest.raises(OutputError, match=r"did not come whole|changes still"):
        far.output.write_bytes(CONTENT)
        far.collect(_Shrinking(far.output))
    assert not (far.home / far.output.name).exists()


class _Shrinking(Metered):
    def __init__(self, output: Path) -> None:
        super().__init__()
        self._output = output

    def run(self, program: Program, *args: object, **options: object) -> Reply:
        if program.name == "fetch":
            self._output.unlink()
        return super().run(program, *args, **options)  # type: ignore[arg-type]


def test_a_large_file_that_is_home_is_not_sent_again(far: Far) -> None:
    far.collect(Metered())
    line = Metered()
    far.collect(line)
    assert line.asked == ["manifest", "fetch"]
    assert line.down < 200
    (far.home / far.output.name).write_bytes(bytes(SIZE))  # of an earlier run, say
    far.collect(Metered())
    assert (far.home / far.output.name).read_bytes() == CONTENT


def test_two_processes_at_one_file_do_not_mix_their_pieces(far: Far) -> None:
    other = Metered(4_000_000)
    with pytest.raises(TransportError):
        far.collect(Metered(5_000_000, meanwhile=lambda: _expect_cut(far, other)))
    assert other.down >= 4_000_000
    far.collect(Metered())
    assert (far.home / far.output.name).read_bytes() == CONTENT
    assert not far.parts


def _expect_cut(far: Far, line: Metered) -> None:
    with pytest.raises(TransportError):
        far.collect(line)


@pytest.mark.parametrize("said", [b"from 9\n", b"from -1\n", b"from 0\n\0" * 100, b"nonsense\n", b"from 0"])
def test_what_a_site_says_of_a_file_is_not_believed(far: Far, said: bytes) -> None:
    class Lying(Metered):
        def run(self, program: Program, *args: object, **options: object) -> Reply:
            if program.name != "fetch":
                return super().run(program, *args, **options)  # type: ignore[arg-type]
            options["stdout"](said)  # type: ignore[operator]
            return Reply("fetch", 0, b"", b"")

    with pytest.raises((OutputError, TransportError)):
        far.collect(Lying())
    assert not (far.home / far.output.name).exists()


def test_memory_does_not_grow_with_a_file(far: Far) -> None:
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    far.collect(Metered())
    before = peak()
    with far.output.open("r+b") as file:
        file.truncate(300 << 20)
    far.collect(Metered())
    assert (far.home / far.output.name).stat().st_size == 300 << 20
    assert peak() - before < 60
