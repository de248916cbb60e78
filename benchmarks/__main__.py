"""Runs both sides in turn on the test cluster, and writes the table of medians: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import hand
from .far import Far, as_argument, far_away
from .table import Measured, as_markdown, write_into

Steps = Mapping[str, Sequence[float]]
"""What was done → the seconds that it took."""
EACH = 1000
"""So many jobs are also submitted by hand one by one, and by us through openssh."""
PAGE = Path(__file__).parents[1] / "docs/pages/performance.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """See the help."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was begun on the cluster is removed then, too
    found = Measured()
    try:
        for milliseconds in options.round_trips:
            with far_away(milliseconds) as far:
                for turn in range(options.repeat):
                    say(f"{milliseconds} ms, turn {turn + 1} of {options.repeat}")
                    _turn(far, options, found)
    finally:  # what was measured until then is told, even if it is not all
        table = as_markdown(found)
        print(table)
    if options.write:
        write_into(PAGE, table)
        say(f"written into {PAGE}")


def say(text: str) -> None:
    """For whoever waits."""
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    numbers = lambda text: [int(one) for one in text.split(",") if one]  # noqa: E731
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--jobs", type=numbers, default=[1, 100, 1000, 10000], help="how many, e.g. 1,100")
    parser.add_argument("--file-mb", type=int, default=500, help="the one large file; 0: none")
    parser.add_argument("--files", type=int, default=1000, help="of 10 kB; 0: none")
    parser.add_argument("--round-trips", type=numbers, default=[0, 50], help="milliseconds that the line adds")
    parser.add_argument("--ssh-only", action="store_true", help="no rows for the openssh transport and rsync")
    parser.add_argument("--repeat", type=int, default=3, help="how often; medians are told")
    parser.add_argument("--quick", action="store_true", help="1 and 100 jobs, 50 MB, 200 files, once")
    parser.add_argument("--write", action="store_true", help="put the table into docs/pages/performance.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.jobs, options.file_mb, options.files, options.repeat = [1, 100], 50, 200, 1
    return options


def _turn(far: Far, options: argparse.Namespace, found: Measured) -> None:
    ways = ["ssh"] if options.ssh_only else ["ssh", "openssh"]
    for count in options.jobs:
        say(f"  {count} jobs")
        _jobs(far, count, found, ways)
    if options.file_mb:
        say(f"  one file of {options.file_mb} MB")
        _one_file(far, options.file_mb, found, ways)
    if options.files:
        say(f"  {options.files} files")
        _many_files(far, options.files, found, ways)


def _jobs(far: Far, count: int, found: Measured, ways: Sequence[str]) -> None:
    fresh(far, ["in"])
    hand.fill(far.here / "in", count, 1000)
    name = f"{count:,} jobs"
    by_hand = {"submit": [hand.submit_arrays(far, count)], "poll": hand.poll(far, 3)}
    hand.cancel(far)
    if count == EACH:
        found.hand(far, f"{name}: submit, against one sbatch a job", hand.submit_each(far, count))
        hand.cancel(far)
    hand.make_outputs(far, count)
    by_hand["collect"] = [hand.collect(far)]
    for said in _beside(far, name, by_hand, found, what="jobs", count=count, polls=3):
        if count == EACH and said["what"] == "submit":
            found.ours(far, name, said | {"what": "submit, against one sbatch a job"})
    if count == EACH and "openssh" in ways:
        _beside(far, f"{name}, openssh", by_hand, found, what="jobs", way="openssh", count=count, polls=3)


def _one_file(far: Far, megabytes: int, found: Measured, ways: Sequence[str]) -> None:
    fresh(far, [])
    with (far.here / "large").open("wb") as file, Path("/dev/urandom").open("rb") as noise:
        for _ in range(megabytes):
            file.write(noise.read(1_000_000))
    name = f"one file of {megabytes} MB"
    scp = {"out": [hand.file_up(far)], "home": [hand.file_down(far)]}
    rsync = hand.rsync(far, "large") if "openssh" in ways else {}
    far.ssh(f"rm -rf {far.work}/large {far.work}/rsync")
    for way in ways:
        _both(far, name, way, scp, rsync, found, what="file")


def _many_files(far: Far, count: int, found: Measured, ways: Sequence[str]) -> None:
    fresh(far, ["many"])
    hand.fill(far.here / "many", count, 10_000)
    name = f"{count:,} files of 10 kB"
    tar = {"out": [hand.files_up(far)], "home": [hand.files_down(far)]}
    rsync = hand.rsync(far, "many") if "openssh" in ways else {}
    for way in ways:
        _both(far, name, way, tar, rsync, found, what="files")


def _both(far: Far, name: str, way: str, by_hand: Steps, rsync: Steps, found: Measured, *, what: str) -> None:
    """Ours beside the pipeline; and beside rsync what goes as rsync would, by OpenSSH."""
    said = _beside(far, name if way == "ssh" else f"{name}, {way}", by_hand, found, what=what, way=way)
    if way == "openssh" and rsync:
        against = f"{name}, {way} against rsync"
        for step, seconds in rsync.items():
            found.hand(far, f"{against}: {step}", *seconds)
        for one in said[:-1]:
            found.ours(far, against, one)


def _beside(
    far: Far, name: str, by_hand: Steps, found: Measured, *, what: str, way: str = "ssh", **given: int
) -> list[dict[str, Any]]:
    """Tell what was measured by hand, and what ours says of the same."""
    for step, seconds in by_hand.items():
        found.hand(far, f"{name}: {step}", *seconds)
    told = ours(far, what, way, **given)
    for said in told:
        found.ours(far, name, said)
    return told


def fresh(far: Far, folders: Sequence[str]) -> None:
    """Empty folders here, and nothing over there."""
    set_aside(far)
    for folder in folders:
        (far.here / folder).mkdir()
    (far.here / "job.sh").write_text("#!/bin/sh\nhead -c 10000 /dev/urandom >out.bin\n")
    far.ssh(f"mkdir -p {far.work}.old; mv {far.work} {far.work}.old/$(date +%s%N); mkdir {far.work}")


def set_aside(far: Far) -> None:
    """What is here: some disks make files slowly for a while after they have removed thousands."""
    old = far.here / "old" / str(time.time_ns())
    old.mkdir(parents=True)
    for folder in far.here.iterdir():
        if folder.is_dir() and folder.name != "old":
            folder.rename(old / folder.name)


def ours(far: Far, what: str, way: str, **given: Any) -> list[dict[str, Any]]:
    """What our side says of itself, with the connections that it made. Nothing is home before."""
    if (far.here / "home").exists():
        (far.here / "home").rename(far.here / "old" / f"home-{time.time_ns()}")
    before = far.passed()[0]
    given |= {"site": far.site_keys(way), "here": str(far.here)}
    command = [sys.executable, "-m", "benchmarks.ours", what, as_argument(given)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    said[-1]["connections"] = far.passed()[0] - before
    return said


if __name__ == "__main__":
    main()
