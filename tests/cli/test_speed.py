"""Progress in bytes: how fast, and how long still."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.cli.screen.progress import Speed


def test_the_speed_is_that_of_the_last_seconds_and_tells_what_is_left() -> None:
    seconds: Iterator[float] = iter([0.0, 0.5, 2.0, 30.0, 32.0])
    speed = Speed(lambda: next(seconds))
    assert speed.shown(0, 10**9) == "1 kB of 1.0 GB"
    assert speed.shown(10**7, 10**9) == "10.0 MB of 1.0 GB"
    assert speed.shown(10**8, 10**9) == "100.0 MB of 1.0 GB, 50.0 MB/s, 0:18 left"
    assert speed.shown(5 * 10**8, 10**9) == "500.0 MB of 1.0 GB"
    assert speed.shown(6 * 10**8, 10**9) == "600.0 MB of 1.0 GB, 50.0 MB/s, 0:08 left"


def test_another_collection_begins_anew() -> None:
    seconds: Iterator[float] = iter([0.0, 2.0, 3.0, 5.0])
    speed = Speed(lambda: next(seconds))
    speed.shown(10**6, 10**9)
    speed.shown(10**9, 10**9)
    assert speed.shown(1000, 10**6) == "1 kB of 1.0 MB"
    assert speed.shown(501_000, 10**6) == "501 kB of 1.0 MB, 250 kB/s, 0:02 left"
