"""Resources and Retry: every usual notation is accepted, and no wrong value can be made."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import JobError
from scheduler.job.resources import Resources, Retry
from scheduler.job.units import format_walltime, parse_memory, parse_walltime

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("4G", 4096),
        ("3 GB", 3072),
        ("500MB", 500),
        ("2.5 GiB", 2560),
        ("4096 M", 4096),
        ("4gb", 4096),
        ("4Gi", 4096),
        ("2T", 2 << 20),
        ("4096K", 4),
        ("1 KB", 1),  # rounded up, never down to 0
        ("1b", 1),
        (" 4G ", 4096),
    ],
)
def test_memory_is_read_in_the_usual_notations(text: str, mib: int) -> None:
    assert parse_memory(text) == mib
    assert Resources(memory=text).memory_mib == mib


@pytest.mark.parametrize("text", ["", "4X", "4 G B", "-4G", "4G\n4G", "0G", "1e3G", "G", "4iB", "9" * 18 + "T", "1,5G"])
def test_other_text_is_not_an_amount_of_memory(text: str) -> None:
    with pytest.raises(JobError, match="memory"):
        Resources(memory=text)


@pytest.mark.parametrize("value", [4, 4.5, "4096", "4.5", True])
def test_memory_without_a_unit_is_refused_with_what_to_write(value: Any) -> None:
    with pytest.raises(JobError, match=r"memory: .*unit.*GB"):
        Resources(memory=value)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("01:30:00", 1.5 * HOUR),
        ("2-00:00:00", 48 * HOUR),
        ("1-12", 36 * HOUR),
        ("1-12:30", 36.5 * HOUR),
        ("90m", 1.5 * HOUR),
        ("1h30m", 1.5 * HOUR),
        ("1 h 30 min", 1.5 * HOUR),
        ("2 h", 2 * HOUR),
        ("1.5 h", 1.5 * HOUR),
        ("2 days", 48 * HOUR),
        ("1d12h", 36 * HOUR),
        ("30:00", 0.5 * HOUR),
        ("100:00:00", 100 * HOUR),
        ("1s", timedelta(seconds=1)),
    ],
)
def test_walltime_is_read_in_the_usual_notations(text: str, length: timedelta) -> None:
    assert parse_walltime(text) == length
    assert Resources(walltime=text).walltime == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "1:75:00",
        "1-24",
        "0:00",
        "30m1h",
        "1h1h",
        "2 fortnights",
        "-1:00:00",
        "99999-00",
        "9" * 9 + "d",
    ],
)
def test_other_text_is_not_a_walltime(text: str) -> None:
    with pytest.raises(JobError, match="walltime"):
        Resources(walltime=text)


@pytest.mark.parametrize("value", [90, 1.5, "90", True])
def test_walltime_without_a_unit_is_refused_with_what_to_write(value: Any) -> None:
    with pytest.raises(JobError, match=r"walltime: .*unit"):
        Resources(walltime=value)


def test_a_timedelta_is_a_walltime_in_whole_seconds_rounded_up() -> None:
    assert Resources(walltime=timedelta(milliseconds=1500)).walltime == timedelta(seconds=2)
    for wrong in (timedelta(0), timedelta(days=-1), timedelta.max):
        with pytest.raises(JobError, match="walltime: must be above 0"):
            Resources(walltime=wrong)


@given(st.integers(min_value=1, max_value=1 << 40))
def test_memory_written_in_its_own_notation_is_read_back_unchanged(mib: int) -> None:
    memory = Resources(memory=f"{mib}M").memory
    assert memory is not None
    assert parse_memory(memory) == mib


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=3000)))
def test_walltime_written_in_its_own_notation_is_read_back_unchanged(length: timedelta) -> None:
    again = parse_walltime(format_walltime(length))
    assert timedelta(0) <= again - length < timedelta(seconds=1)


@given(st.text(max_size=40))
def test_any_text_gives_a_value_or_a_job_error(text: str) -> None:
    fields: dict[str, Any] = {
        "memory": text,
        "walltime": text,
        "queue": text,
        "constraint": text,
        "native": [text],
    }
    for name, value in fields.items():
        try:
            stored = Resources.from_json({name: value}).to_json()[name]
        except JobError:
            continue
        for line in stored if isinstance(stored, list) else [stored]:
            assert line.isprintable()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cpu": 1}, r"resources: cpu: no such key; did you mean 'cpus'\?"),
        ({"cpus": 0}, "cpus: must be above 0, not 0"),
        ({"cpus": True}, "cpus: must be a whole number, not True"),
        ({"cpus": "4"}, "cpus: must be a whole number, not '4'"),
        ({"gpus": -1}, "gpus: must be 0 or more, not -1"),
        ({"queue": "-p"}, "queue: may contain letters"),
        ({"account": "a b"}, "account: may contain letters"),
        ({"qos": "x\n#SBATCH --uid=0"}, "qos: may contain letters"),
        ({"constraint": "a;b"}, "constraint: must be features"),
        ({"native": "--gres=disk:4G"}, "native: must be a list"),
        ({"native": ["gres"]}, r"native\[0\]: must begin with an option"),
        ({"native": ["-l ok", "--x=1\n#SBATCH --uid=0"]}, r"native\[1\]: must be one line"),
        ({"native": ["--x=\u2028y"]}, r"native\[0\]: must be one line"),
        ({"native": ["-"]}, r"native\[0\]: must begin with an option"),
    ],
)
def test_wrong_resources_name_the_field_and_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        Resources(**values)


def test_one_error_names_everything_that_is_wrong() -> None:
    with pytest.raises(JobError) as caught:
        Resources.from_json({"cpus": 0, "memory": "4", "wall_time": "1h"})
    assert all(word in str(caught.value) for word in ("cpus", "memory", "did you mean 'walltime'?"))


@pytest.mark.parametrize("text", ["cpu", "[rack1*2&rack2*4]", "(knl&snc4)|haswell", "intel,ib"])
def test_the_operators_of_a_constraint_are_allowed(text: str) -> None:
    assert Resources(constraint=text).constraint == text


def test_numpy_like_integers_are_integers() -> None:
    class Seven:
        def __index__(self) -> int:
            return 7

    assert Resources.from_json({"cpus": Seven()}).cpus == 7


def test_equal_requests_in_different_notations_are_equal_and_have_the_same_hash() -> None:
    one = Resources(memory="3 GB", walltime="90m", native=["--x"])
    other = Resources(memory="3072M", walltime="1:30:00", native=("--x",))
    assert one == other
    assert len({one, other}) == 1


def test_resources_cannot_be_changed_after_they_are_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Resources(cpus=1).cpus = 2


def test_unset_fields_come_from_the_defaults_and_native_directives_are_joined() -> None:
    site = Resources(cpus=1, memory="3 GB", gpus=2, queue="production", native=["--a", "--b"])
    asked = Resources(memory="8G", gpus=0, native=["--b", "--c"]).over(site)
    assert (asked.cpus, asked.memory_mib, asked.gpus, asked.queue) == (1, 8192, 0, "production")
    assert asked.native == ("--a", "--b", "--c")


def test_resources_are_unchanged_after_json() -> None:
    full = Resources(
        cpus=2, memory="3 GB", walltime="2-03:04:05", gpus=0, nodes=2, tasks=4, queue="q", account="eic",
        qos="regular", constraint="cpu", native=["--gres=disk:4G"],
    )  # fmt: skip
    assert full.walltime is not None
    assert format_walltime(full.walltime) == "2-03:04:05"
    assert Resources.from_json(json.loads(json.dumps(full.to_json()))) == full
    assert Resources().to_json() == {}


def test_retry_is_off_by_default_and_unchanged_after_json() -> None:
    assert Retry().times == 0
    full = Retry(times=2, on=["out of memory"], memory_factor=2, exit_codes=[65, 78])
    assert Retry.from_json(json.loads(json.dumps(full.to_json()))) == full
    assert len({full, Retry()}) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"times": -1}, "retry: times: must be 0 or more"),
        ({"on": ["oom"]}, r"on\[0\]: must be one of 'node failure'"),
        ({"memory_factor": 0.5}, "memory_factor: must be 1.0 or more"),
        ({"memory_factor": True}, "memory_factor: must be a number"),
        ({"walltime_factor": float("nan")}, "walltime_factor: must be a finite"),
        ({"exit_codes": [0]}, r"exit_codes\[0\]: must be 1 or more"),
        ({"exit_codes": [256]}, r"exit_codes\[0\]: must be 255 or less"),
        ({"time": 1}, "did you mean 'times'"),
    ],
)
def test_a_wrong_retry_names_the_field_and_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        Retry(**values)
