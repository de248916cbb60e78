"""Progress of downloads: their speed and the time left."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.cli.screen.progress import Speed


def test_the_speed_is_the_average_of_the_last_seconds_and_gives_the_time_left() -> None:
    seconds: Iterator[float] = iter([0.0, 0.5, 2.0, 30.0, 32.0])
    speed = Speed(lambda: next(seconds))
    assert speed.text(0, 10**9) == "1 kB of 1.0 GB"
    assert speed.text(10**7, 10**9) == "10.0 MB of 1.0 GB"
    assert speed.text(10**8, 10**9) == "100.0 MB of 1.0 GB, 50.0 MB/s, 0:18 left"
    assert speed.text(5 * 10**8, 10**9) == "500.0 MB of 1.0 GB"
    assert speed.text(6 * 10**8, 10**9) == "600.0 MB of 1.0 GB, 50.0 MB/s, 0:08 left"


def test_a_new_download_resets_the_speed() -> None:
    seconds: Iterator[float] = iter([0.0, 2.0, 3.0, 5.0])
    speed = Speed(lambda: next(seconds))
    speed.text(10**6, 10**9)
    speed.text(10**9, 10**9)
    assert speed.text(1000, 10**6) == "1 kB of 1.0 MB"
    assert speed.text(501_000, 10**6) == "501 kB of 1.0 MB, 250 kB/s, 0:02 left"
