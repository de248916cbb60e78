"""Archives of all tar programs are read to the byte; incomplete and invalid ones are rejected."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from scheduler import OutputError, TransportError
from scheduler.engine.collect.tar_reader import LONGEST_HEADER, Member, members

NAMES = [
    "a",
    "é☢ \n'\"$x",
    "-rf",
    "deep/" * 30 + "file",
    "d/" * 60 + "n" * 90,
    "x" * 200,
    "long/" * 500 + "end",
    "\udcff raw",
]
CONTENTS = [b"", b"x", b"y" * 511, b"z" * 512, os.urandom(513), os.urandom(100_000), b"\0" * 2_000_000, b"end"]


class SmallReads(io.BytesIO):
    """A connection on which few bytes arrive at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1000, size or 0))


def read(archive: bytes, source: type[io.BytesIO] = io.BytesIO) -> list[tuple[str, bytes, str | None]]:
    """Name, content and link of each member."""
    return [
        (one.name, one.content(), one.link) for one in members(source(archive), files=len(NAMES), size=len(archive))
    ]


def archive_of(members: list[tuple[str, bytes]], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in members:
            one = tarfile.TarInfo(name)
            one.size = len(content)
            tar.addfile(one, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("source", [io.BytesIO, SmallReads], ids=["at once", "few bytes at a time"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_all_names_and_contents_are_read_from_each_archive_format(form: int, source: type[io.BytesIO]) -> None:
    made = list(zip(NAMES, CONTENTS, strict=True))
    assert read(archive_of(made, form), source) == [(name, content, None) for name, content in made]


def test_a_long_name_in_two_header_fields_is_joined() -> None:
    made = [("deep/" * 30 + "file", b"1"), ("short", b"2")]
    assert read(archive_of(made, tarfile.USTAR_FORMAT)) == [(name, content, None) for name, content in made]


@pytest.mark.parametrize("program", ["tar", "bsdtar", "busybox"])
@pytest.mark.parametrize("form", [(), ("--format=pax",), ("--format=ustar",)], ids=["its own", "pax", "ustar"])
def test_archives_of_installed_tar_programs_are_read(program: str, form: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which(program) is None or (program == "busybox" and form):
        pytest.skip(f"{program} is not installed, or supports only one format")
    (tmp_path / "deep" / ("n" * 120)).mkdir(parents=True)
    names = ["a", "deep/b", f"deep/{'n' * 120}/c", "é"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 1000)
    os.link(tmp_path / "a", tmp_path / "again")
    command = [program, *(["tar"] if program == "busybox" else []), *form, "-chf", "-", *names, "again"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    expected = [(name, name.encode() * 1000, None) for name in names]
    assert read(done.stdout) in ([*expected, ("again", b"", "a")], [*expected, ("again", b"a" * 1000, None)])


def test_a_member_whose_content_is_not_read_is_skipped() -> None:
    made = archive_of([("a", b"a" * 3_000_000), ("b", b"b")], tarfile.GNU_FORMAT)
    got = [one.content() if one.name == "b" else b"" for one in members(io.BytesIO(made), files=2, size=3_000_001)]
    assert got == [b"", b"b"]


def test_an_archive_that_ends_early_anywhere_is_a_transport_error() -> None:
    made = archive_of([(NAMES[5], b"content"), ("b", b"more" * 200)], tarfile.GNU_FORMAT)
    for end in range(0, 4 * 512 + 1024 + 512, 64):
        with pytest.raises(TransportError):
            read(made[:end])


@pytest.mark.parametrize(
    "record",
    [
        b"0 path=a\n", b"5 a=b", b"99 path=a\n", b"x path=a\n", b"9" * 5000 + b" a=b\n", b"11 size=-1\n",
        b"30 size=" + b"9" * 21 + b"\n", b"\n",
    ],
)  # fmt: skip
def test_an_invalid_extended_header_is_rejected(record: bytes) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    made = header.tobuf(tarfile.USTAR_FORMAT) + record + b"\0" * (-len(record) % 512)
    with pytest.raises(OutputError):
        read(made + archive_of([("a", b"x")], tarfile.USTAR_FORMAT))


def test_endless_extended_headers_are_rejected_in_bounded_memory() -> None:
    record = b"".join(b"19 key%06d=value\n" % number for number in range(1000))
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    one = header.tobuf(tarfile.USTAR_FORMAT) + record + b"\0" * (-len(record) % 512)
    assert len(record) < LONGEST_HEADER
    source = io.BytesIO(one * 300)
    tracemalloc.start()
    with pytest.raises(OutputError, match="more bytes than the manifest lists"):
        list[Member](members(source, files=20, size=1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
