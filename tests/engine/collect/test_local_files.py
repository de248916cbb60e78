"""Local files: links below the job's folder are not followed, edited files are kept, killed processes leave nothing."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import OutputError
from scheduler.engine.collect import local_files, resumable
from scheduler.engine.collect.fetch import fetch
from scheduler.engine.collect.local_files import Properties, Where
from scheduler.engine.collect.manifest import LARGE_BYTES, manifest
from scheduler.engine.collect.output import Output
from scheduler.transports.local.transport import LocalTransport
from tests.engine.collect.test_fetch import a_row, remote_bundle

CALLS = "declared 0 'plots' 'plots' 'plots'"


def remote_plots(tmp_path: Path, content: bytes) -> tuple[Path, Path]:
    """A bundle whose job left plots/a.png."""
    bundle, inside = remote_bundle(tmp_path, CALLS)
    (inside / "plots").mkdir()
    (inside / "plots" / "a.png").write_bytes(content)
    return bundle, inside / "plots" / "a.png"


def collect(bundle: Path, local: Path) -> dict[str, str]:
    """Download its outputs. Returns the names under which edited files are kept."""
    kept: dict[str, str] = {}
    listed = manifest([a_row(local, patterns=["plots"], folder=str(bundle))], LocalTransport(), local.parent)
    assert not listed.bad
    fetch(listed.outputs, LocalTransport(), kept=kept)
    return kept


@pytest.mark.parametrize("size", [0, 10, LARGE_BYTES], ids=["empty", "small", "large"])
@pytest.mark.parametrize("target", ["../outside", "missing"])
def test_nothing_is_written_through_a_link_to_a_folder(target: str, size: int, tmp_path: Path) -> None:
    bundle, _ = remote_plots(tmp_path, bytes(size))
    local = tmp_path / "out"
    local.mkdir()
    (tmp_path / "outside").mkdir()
    (local / "plots").symlink_to(target)
    with pytest.raises(OutputError, match="link") as raised:
        collect(bundle, local)
    assert raised.value.jobs == {5}
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (local / "missing").exists()
    assert (local / "job.stdout").read_text() == "text\n"


@pytest.mark.parametrize("size", [0, 10, LARGE_BYTES], ids=["empty", "small", "large"])
def test_a_link_in_the_place_of_a_file_is_replaced_and_never_read_or_written(size: int, tmp_path: Path) -> None:
    bundle, remote = remote_plots(tmp_path, bytes(size))
    local, outside = tmp_path / "out", tmp_path / "outside"
    (local / "plots").mkdir(parents=True)
    outside.write_bytes(bytes(size))  # equal: a link to it must not count as the file
    (local / "plots" / "a.png").symlink_to(outside)
    collect(bundle, local)
    assert not (local / "plots" / "a.png").is_symlink()
    assert (local / "plots" / "a.png").read_bytes() == remote.read_bytes()
    assert outside.read_bytes() == bytes(size)


@pytest.mark.parametrize("size", [0, 10, LARGE_BYTES], ids=["empty", "small", "large"])
def test_nothing_is_written_where_a_link_leads_into_a_git_folder(size: int, tmp_path: Path) -> None:
    bundle, _ = remote_plots(tmp_path, bytes(size))
    (tmp_path / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / "out").symlink_to(".git/hooks")
    with pytest.raises(OutputError, match=r"\.git folder"):
        collect(bundle, tmp_path / "out")
    assert list((tmp_path / ".git" / "hooks").iterdir()) == []


@pytest.mark.parametrize("kind", ["hard link", "link", "missing link", "pipe", "folder"])
@pytest.mark.parametrize("size", [10, LARGE_BYTES], ids=["small", "large"])
def test_what_has_the_name_of_a_temporary_file_is_not_written(size: int, kind: str, tmp_path: Path) -> None:
    bundle, remote = remote_plots(tmp_path, b"x" * size)
    local, outside = tmp_path / "out", tmp_path / "outside"
    (local / "plots").mkdir(parents=True)
    outside.write_text("of somebody")
    number = next(local_files._numbers)
    names = [f".{os.getpid()}-{number + n}.part" for n in range(1, 9)] + [resumable._part_name("a.png")]
    make: dict[str, Callable[[Path], object]] = {
        "hard link": lambda place: os.link(outside, place), "pipe": os.mkfifo, "folder": Path.mkdir,
        "link": lambda place: place.symlink_to(outside), "missing link": lambda place: place.symlink_to("new"),
    }  # fmt: skip
    for name in names:
        make[kind](local / "plots" / name)
    collect(bundle, local)
    assert (local / "plots" / "a.png").read_bytes() == remote.read_bytes()
    assert outside.read_text() == "of somebody" and not (local / "plots" / "new").exists()


@pytest.mark.parametrize("size", [0, 10, LARGE_BYTES + 3], ids=["empty", "small", "large"])
@pytest.mark.parametrize("mode", [0o755, 0o644, 0o700])
def test_executable_bits_and_times_are_kept(mode: int, size: int, tmp_path: Path) -> None:
    bundle, remote = remote_plots(tmp_path, bytes(size))
    remote.chmod(mode)
    os.utime(remote, (1_000_000_001, 1_000_000_001))
    collect(bundle, tmp_path / "out")
    found = (tmp_path / "out" / "plots" / "a.png").stat()
    assert found.st_mtime_ns == 1_000_000_001 * 10**9
    umask = os.umask(0o022)
    os.umask(umask)
    assert found.st_mode & 0o111 == mode & 0o111 & ~umask


@pytest.mark.parametrize("size", [10, LARGE_BYTES + 3], ids=["small", "large"])
def test_an_edited_file_is_kept_beside_the_new_one_and_reported(size: int, tmp_path: Path) -> None:
    bundle, remote = remote_plots(tmp_path, b"1" * size)
    plots = tmp_path / "out" / "plots"
    assert collect(bundle, tmp_path / "out") == {}
    remote.write_bytes(b"2" * size)
    assert collect(bundle, tmp_path / "out") == {}, "an unedited file is replaced"
    assert [path.name for path in plots.iterdir()] == ["a.png"]
    for number, kept in enumerate(["a.png.orig", "a.png.orig.1"]):
        (plots / "a.png").write_text(f"edited {number}")
        os.utime(plots / "a.png", ns=(1, 1_700_000_000_000_000_001))
        assert collect(bundle, tmp_path / "out") == {str(plots / "a.png"): kept}
        assert (plots / kept).read_text() == f"edited {number}"
        assert (plots / "a.png").read_bytes() == b"2" * size


def test_a_part_is_removed_if_there_is_no_space_for_it(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the part is what takes the space."""
    bundle, _ = remote_plots(tmp_path, b"1" * (LARGE_BYTES + 3))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE_BYTES // 2, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            collect(bundle, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["job.stdout", "plots"]
    collect(bundle, tmp_path / "out")
    assert (tmp_path / "out" / "plots" / "a.png").stat().st_size == LARGE_BYTES + 3


def test_parts_of_killed_processes_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    code = """if True:
        import sys, time
        from scheduler.engine.collect import local_files, resumable
        folder = local_files._open_root(sys.argv[1], make=False)
        print(local_files._new_part(folder, 0)[0], flush=True)
        time.sleep(600)"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) for _ in "12"
    ]
    names = [process.stdout.readline().strip() for process in writers if process.stdout is not None]
    writers[0].send_signal(signal.SIGKILL)
    writers[0].wait()
    (tmp_path / ".a.root.0123abcd.part").write_bytes(b"x")
    (tmp_path / ".a.root.0123abcd.77.once.part").write_bytes(b"x")
    (tmp_path / ".mine.part").write_bytes(b"x")
    (tmp_path / ".link.0123abcd.part").symlink_to(".mine.part")
    local_files.remove_leftovers([Where(str(tmp_path), f"{tmp_path}/a.root")])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([names[1], ".mine.part", ".link.0123abcd.part"])
    writers[1].kill()
    for process in writers:
        process.communicate()
    local_files.remove_leftovers([Where(str(tmp_path), f"{tmp_path}/a.root")])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".link.0123abcd.part", ".mine.part"]


def test_a_folder_of_hundreds_of_names_is_made_without_following_links(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 200)
    assert local_files.put(Where(str(tmp_path), f"{tmp_path}/{deep}/a"), b"x", Properties(0o755)) == ""
    assert (tmp_path / deep / "a").read_bytes() == b"x"


def test_the_path_that_a_site_elsewhere_reports_does_not_make_a_local_file_its_output(tmp_path: Path) -> None:
    """A site elsewhere that reports the path of the local file could pass an old file for a new one."""
    old, new = tmp_path / "out" / "a.png", tmp_path / "bundle" / "a.png"
    for path, text in ((old, "old result"), (new, "new result")):
        path.parent.mkdir()
        path.write_text(text)
    digest = hashlib.sha256(b"new result").hexdigest()
    output = Output(5, "0", str(old), str(old), len("new result"), digest)
    fetch([output], LocalTransport(), on_this_machine=True)  # there, it is the file itself
    assert old.read_text() == "old result"
    with pytest.raises(OutputError, match="SHA-256"):
        fetch([output], LocalTransport())
    fetch([replace(output, remote_path=str(new))], LocalTransport())
    assert old.read_text() == "new result"
