"""Runs both sides in turn on the test cluster, and prints the table of medians: ``python -m benchmarks --help``."""

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
"""Step (``"submit"``) → the seconds that it took, one value per turn."""
EACH = 1000
"""For this number of jobs there are two more comparisons: with one sbatch per job, and with the openssh transport."""
PAGE = Path(__file__).parents[1] / "docs/pages/performance.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and with ``--write`` store them in the performance page."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` clauses clean up on the cluster
    found = Measured()
    try:
        for milliseconds in options.round_trips:
            with far_away(milliseconds) as far:
                for turn in range(options.repeat):
                    say(f"{milliseconds} ms, turn {turn + 1} of {options.repeat}")
                    _turn(far, options, found)
    finally:  # after an interruption, too: print what was measured so far
        table = as_markdown(found)
        print(table)
    if options.write:
        write_into(PAGE, table)
        say(f"stored in {PAGE}")


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    numbers = lambda text: [int(one) for one in text.split(",") if one]  # noqa: E731
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--jobs", type=numbers, default=[1, 100, 1000, 10000], help="numbers of jobs, for example 1,100"
    )
    parser.add_argument("--file-mb", type=int, default=500, help="size of the large file; 0: skip it")
    parser.add_argument("--files", type=int, default=1000, help="number of files of 10 kB; 0: skip them")
    parser.add_argument("--round-trips", type=numbers, default=[0, 50], help="milliseconds that the relay adds")
    parser.add_argument("--ssh-only", action="store_true", help="skip the openssh transport and rsync")
    parser.add_argument("--repeat", type=int, default=3, help="number of turns; the tables have medians")
    parser.add_argument("--quick", action="store_true", help="1 and 100 jobs, 50 MB, 200 files, one turn")
    parser.add_argument("--write", action="store_true", help="store the tables in docs/pages/performance.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.jobs, options.file_mb, options.files, options.repeat = [1, 100], 50, 200, 1
    return options


def _turn(far: Far, options: argparse.Namespace, found: Measured) -> None:
    transports = ["ssh"] if options.ssh_only else ["ssh", "openssh"]
    for count in options.jobs:
        say(f"  {count} jobs")
        _jobs(far, count, found, transports)
    if options.file_mb:
        say(f"  one file of {options.file_mb} MB")
        _one_file(far, options.file_mb, found, transports)
    if options.files:
        say(f"  {options.files} files")
        _many_files(far, options.files, found, transports)


def _jobs(far: Far, count: int, found: Measured, transports: Sequence[str]) -> None:
    fresh(far, ["in"])
    hand.fill(far.local / "in", count, 1000)
    name = f"{count:,} jobs"
    by_hand = {"submit": [hand.submit_arrays(far, count)], "poll": hand.poll(far, 3)}
    hand.cancel(far)
    if count == EACH:
        found.hand(far, f"{name}: submit, against one sbatch per job", hand.submit_each(far, count))
        hand.cancel(far)
    hand.make_outputs(far, count)
    by_hand["collect"] = [hand.collect(far)]
    for result in _compare(far, name, by_hand, found, what="jobs", count=count, polls=3):
        if count == EACH and result["what"] == "submit":
            found.ours(far, name, result | {"what": "submit, against one sbatch per job"})
    if count == EACH and "openssh" in transports:
        _compare(far, f"{name}, openssh", by_hand, found, what="jobs", transport="openssh", count=count, polls=3)


def _one_file(far: Far, megabytes: int, found: Measured, transports: Sequence[str]) -> None:
    fresh(far, [])
    with (far.local / "large").open("wb") as file, Path("/dev/urandom").open("rb") as noise:
        for _ in range(megabytes):
            file.write(noise.read(1_000_000))
    name = f"one file of {megabytes} MB"
    scp = {"upload": [hand.file_up(far)], "download": [hand.file_down(far)]}
    rsync = hand.rsync(far, "large") if "openssh" in transports else {}
    far.ssh(f"rm -rf {far.work}/large {far.work}/rsync")
    for transport in transports:
        _compare_with_both(far, name, transport, scp, rsync, found, what="file")


def _many_files(far: Far, count: int, found: Measured, transports: Sequence[str]) -> None:
    fresh(far, ["many"])
    hand.fill(far.local / "many", count, 10_000)
    name = f"{count:,} files of 10 kB"
    tar = {"upload": [hand.files_up(far)], "download": [hand.files_down(far)]}
    rsync = hand.rsync(far, "many") if "openssh" in transports else {}
    for transport in transports:
        _compare_with_both(far, name, transport, tar, rsync, found, what="files")


def _compare_with_both(
    far: Far, name: str, transport: str, by_hand: Steps, rsync: Steps, found: Measured, *, what: str
) -> None:
    """Compare scheduler with the pipeline; and with rsync, if the transport is openssh, which rsync uses too."""
    results = _compare(
        far, name if transport == "ssh" else f"{name}, {transport}", by_hand, found, what=what, transport=transport
    )
    if transport == "openssh" and rsync:
        against = f"{name}, {transport} against rsync"
        for step, seconds in rsync.items():
            found.hand(far, f"{against}: {step}", *seconds)
        for result in results[:-1]:
            found.ours(far, against, result)


def _compare(
    far: Far, name: str, by_hand: Steps, found: Measured, *, what: str, transport: str = "ssh", **given: int
) -> list[dict[str, Any]]:
    """Record what was measured by hand, run our side, record its results, and return them."""
    for step, seconds in by_hand.items():
        found.hand(far, f"{name}: {step}", *seconds)
    results = ours(far, what, transport, **given)
    for result in results:
        found.ours(far, name, result)
    return results


def fresh(far: Far, folders: Sequence[str]) -> None:
    """Create empty local folders and an empty remote folder."""
    move_away(far)
    for folder in folders:
        (far.local / folder).mkdir()
    (far.local / "job.sh").write_text("#!/bin/sh\nhead -c 10000 /dev/urandom >out.bin\n")
    far.ssh(f"mkdir -p {far.work}.old; mv {far.work} {far.work}.old/$(date +%s%N); mkdir {far.work}")


def move_away(far: Far) -> None:
    """Move local folders away instead of deleting them: some disks create files slowly after thousands were deleted."""
    old = far.local / "old" / str(time.time_ns())
    old.mkdir(parents=True)
    for folder in far.local.iterdir():
        if folder.is_dir() and folder.name != "old":
            folder.rename(old / folder.name)


def ours(far: Far, what: str, transport: str, **given: Any) -> list[dict[str, Any]]:
    """Run our side in a process of its own, without local outputs of an earlier run.

    Returns:
        One mapping per step, as `benchmarks.ours` prints it; the last one has the number of connections, too.
    """
    if (far.local / "outputs").exists():
        (far.local / "outputs").rename(far.local / "old" / f"outputs-{time.time_ns()}")
    before = far.passed()[0]
    given |= {"site": far.site_keys(transport), "local": str(far.local)}
    command = [sys.executable, "-m", "benchmarks.ours", what, as_argument(given)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    results: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    results[-1]["connections"] = far.passed()[0] - before
    return results


if __name__ == "__main__":
    main()
