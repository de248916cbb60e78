"""The findings that facts give for a site, without any machine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.batch.capabilities import read_capabilities
from scheduler.check.facts import read_facts
from scheduler.check.finding import Finding, Mark
from scheduler.check.look import findings
from scheduler.site.site import Site
from scheduler.transports.base import Reply

KEYS = {"transport": "local", "scheduler": "slurm", "work_dir": "/w", "limits": {"walltime": "1h"}}
FACTS = {
    "clock": "1000", "user": "anna", "host": "login1", "shell": "/bin/tcsh", "work": "/w", "free": "9999999 99999999",
    "inodes": "5000 9000", "python": "3.9", "container": "apptainer version 1.4.5", "end": "",
}  # fmt: skip
BATCH = [
    "version\tslurm 24.11.5", "live\t0\t", "history\t0\t", "queue\tmain\tup\t2-00:00:00\tdefault",
    "queue\tdebug\tdown\t30:00\t", "queue\tlong\tup\tinfinite\t", "array\t1001", "account\teic\t",
    "account\teic\tlong", "trial\t0\tsbatch: Job 1 to start",
]  # fmt: skip


def found(batch: list[str] = BATCH, *, bad: tuple[str, ...] = (), keys: Any = None, **facts: str) -> list[Finding]:
    """The findings on a machine without problems but the given ones."""
    texts = {**FACTS, **facts}
    lines = [f"{name}\t{int(name in bad)}\t{words}" for name, words in texts.items()]
    lines += [f"batch\t0\t{line}" for line in batch]
    reply = Reply("check", 0, "\n".join(lines).encode(), b"")
    site = Site.from_mapping({**KEYS, **(keys or {})}, name="here")
    return findings(read_facts(reply, asked_at=999.5, answered_at=1000.5), site)


def one(name: str, among: list[Finding]) -> Finding:
    [match] = [finding for finding in among if finding.name == name]
    return match


def test_an_option_that_the_sites_sbatch_does_not_have_is_a_failure() -> None:
    keys = {"native_options": ["oom-kill-step", "spread-segments"]}
    lines = [*BATCH, "options\t--account --oom-kill-step --nodes"]
    failure = one("native_options", found(lines, keys=keys))
    assert failure.mark is Mark.FAILED
    assert failure.words == "sbatch of this site has no option --spread-segments"
    assert not [finding for finding in found(BATCH, keys=keys) if finding.name == "native_options"]


def test_a_python_without_its_standard_library_is_a_failure() -> None:
    words = "Python 3.13 has no complete standard library: No module named 'json'"
    failure = one("python", found(bad=("python",), python=words))
    assert failure.mark is Mark.FAILED
    assert words in failure.words
    assert "python3-minimal" in failure.do


def without(tag: str) -> list[str]:
    return [line for line in BATCH if not line.startswith(f"{tag}\t")]


def test_without_problems_there_is_no_failure_and_nothing_to_do() -> None:
    assert [finding for finding in found() if finding.mark is not Mark.OK or finding.do] == []


@pytest.mark.parametrize(
    ("keys", "name", "words", "do"),
    [
        ({"queue": "mian"}, "queue", "'mian' does not exist", "set queue: to one of main, debug, long"),
        ({"queue": "debug"}, "queue", "'debug' is down", "wait until it is open"),
        ({"limits": {"walltime": "72:00:00"}}, "walltime", "main allows 2-00:00:00; the site file allows 3-", "2-00"),
        ({"limits": {}, "defaults": {"walltime": "3 days"}}, "walltime", "default for jobs is 3-", "set defaults"),
        ({"limits": {"array_size": 5000}}, "array size", "allows 1001 array tasks", "array_size: 1001"),
    ],
)  # fmt: skip
def test_each_setting_that_the_batch_system_does_not_allow_is_a_failure(
    keys: Any, name: str, words: str, do: str
) -> None:
    finding = one(name, found(keys=keys))
    assert finding.mark is Mark.FAILED
    assert words in finding.words and do in finding.do


@pytest.mark.parametrize(
    ("bad", "facts", "name", "words"),
    [
        ("work", {"work": "mkdir: cannot create directory '/w': Permission denied"}, "work_dir", "Permission denied"),
        ("work", {"work": "head: write error: No space left on device"}, "work_dir", "No space left"),
        ("python", {"python": "sh: 1: python3: not found"}, "python", "not found"),
        ("", {"python": "2.7"}, "python", "python3 is version 2.7"),
        ("", {"clock": "4600"}, "clock", "3600 s ahead of this machine"),
        ("", {"clock": "10"}, "clock", "behind this machine"),
    ],
)
def test_each_problem_of_the_login_node_is_a_failure(bad: str, facts: dict[str, Any], name: str, words: str) -> None:
    finding = one(name, found(bad=(bad,), **facts))
    assert finding.mark is Mark.FAILED and finding.do
    assert words in finding.words


def test_missing_batch_commands_are_listed_by_name() -> None:
    finding = one("batch system", found(["missing\tsbatch", "missing\tsqueue"]))
    assert (finding.mark, finding.words) == (Mark.FAILED, "slurm: sbatch, squeue: command not found")


def test_the_error_of_a_queue_that_cannot_be_queried_is_unedited() -> None:
    words = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    finding = one("batch system", found([*without("live"), f"live\t1\t{words}"]))
    assert finding.mark is Mark.FAILED and words in finding.words


def test_missing_accounting_is_a_note() -> None:
    finding = one("history", found([*without("history"), "history\t1\tSlurm accounting storage is disabled"]))
    assert finding.mark is Mark.NOTE and "Slurm accounting storage is disabled" in finding.words


def test_refused_directives_are_reported_with_the_batch_systems_message() -> None:
    finding = one("directives", found([*without("trial"), "trial\t1\tInvalid qos specification"]))
    assert finding.mark is Mark.FAILED and "Invalid qos specification" in finding.words


@pytest.mark.parametrize(("code", "mark"), [(0, Mark.NOTE), (1, Mark.FAILED)])
def test_another_account_is_a_failure_unless_a_job_with_it_would_be_accepted(code: int, mark: Mark) -> None:
    trial = f"trial\t{code}\tInvalid account or account/partition combination specified"
    finding = one("account", found([*without("trial"), trial], keys={"account": "atlas"}))
    assert finding.mark is mark
    assert "'atlas' is not one of your accounts" in finding.words and "set account: to one of eic" in finding.do


def test_a_variable_that_changes_jobs_is_a_note_with_its_value() -> None:
    note = one("environment", found([*BATCH, "variable\tSBATCH_RESERVATION\tbeam time"]))
    assert (note.mark, note.words.split(" is ")[0]) == (Mark.NOTE, "SBATCH_RESERVATION=beam time")


def test_missing_programs_are_listed() -> None:
    reply = Reply("check", 0, b"tool\t127\ttar\ntool\t127\tawk\nend\t0\t\n", b"")
    site = Site.from_mapping(KEYS, name="here")
    finding = one("programs", findings(read_facts(reply, asked_at=0, answered_at=0), site))
    assert finding.mark is Mark.FAILED and "tar, awk" in finding.words


def test_an_early_end_of_check_sh_is_reported_with_its_error() -> None:
    reply = Reply("check", 70, b"user\t0\tanna\n", b"cannot make a temporary folder in /tmp\n")
    site = Site.from_mapping(KEYS, name="here")
    finding = one("programs", findings(read_facts(reply, asked_at=0, answered_at=0), site))
    assert finding.mark is Mark.FAILED and "temporary folder in /tmp" in finding.words


def test_a_missing_runtime_fails_only_if_the_site_file_sets_container_and_jobs_run_there() -> None:
    facts: dict[str, Any] = {"container": "apptainer: command not found"}
    assert one("container", found(bad=("container",), **facts)).mark is Mark.NOTE
    shell: dict[str, Any] = {"scheduler": "shell", "container": {"binds": ["/cvmfs"]}}
    assert one("container", found(bad=("container",), keys=shell, **facts)).mark is Mark.FAILED


def test_little_free_space_and_the_age_policy_are_notes() -> None:
    little = found(free="1000 99999999", keys={"limits": {"purge_days": 60}})
    assert one("free space", little).mark is Mark.NOTE and "1000" not in one("free space", little).words
    assert "60 days" in one("age policy", little).words


def test_walltimes_are_read_in_the_formats_of_slurm_and_pbs() -> None:
    reported = read_capabilities(["queue\ta\tup\t2-00:00:00\t", "queue\tb\tup\t72:00:00\t", "queue\tc\tup\t30:00\t"])
    lengths = [queue.walltime for queue in reported.queues]
    assert lengths == [timedelta(days=2), timedelta(days=3), timedelta(minutes=30)]


HEADS = st.sampled_from(sorted(FACTS)).map(lambda name: name.encode() + b"\t0\t")
TAGS = st.sampled_from(["queue", "array", "live", "account", "trial", "version"])
SITE = Site.from_mapping({**KEYS, "queue": "main"}, name="here")


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.binary(max_size=60) | HEADS, max_size=20), tag=TAGS, words=st.text())
def test_any_reply_gives_findings(lines: list[bytes], tag: str, words: str) -> None:
    reply = Reply("check", 0, b"\n".join([*lines, f"batch\t0\t{tag}\t{words}".encode(errors="replace")]), b"")
    assert findings(read_facts(reply, asked_at=0, answered_at=1), SITE)
