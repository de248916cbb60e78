"""The ``#SBATCH`` directives: every resource as an option of sbatch; quirks of simple-slurm that users never see."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from scheduler.batch.base import find
from scheduler.batch.request import BatchRequest
from scheduler.batch.slurm.directives import MANAGED, header
from scheduler.errors import ConfigError
from scheduler.job.resources import Resources

SLURM = find("slurm")


def directives(count: int = 1, first: int = 0, style: str = "per_node", **resources: Any) -> dict[str, str]:
    """The directives of a batch, option → value."""
    lines = SLURM.directives(BatchRequest("b0.k3-0", count, first, Resources(**resources), style)).splitlines()
    assert all(line.startswith("#SBATCH --") for line in lines)
    return {words[0]: " ".join(words[1:]) for words in (re.split(r"[ =]+", line[8:], maxsplit=1) for line in lines)}


def test_a_job_that_requests_nothing_has_a_name_and_a_log_and_is_not_requeued() -> None:
    assert directives() == {
        "--job-name": "b0.k3-0", "--output": "batches/0/log.0", "--open-mode": "append", "--no-requeue": "",
    }  # fmt: skip


def test_every_resource_becomes_an_option_of_sbatch() -> None:
    options = directives(
        cpus=4, memory="8 GB", walltime="2-00:00:00", gpus=2, nodes=2, tasks=8, queue="main,debug", account="eic",
        qos="short", constraint="[rack1|rack2]", native=["--gres=disk:4G", "--exclusive", "--comment=x"],
    )  # fmt: skip
    assert options.items() >= {
        "--cpus-per-task": "4", "--mem": "8192M", "--time": "2-00:00:00", "--gpus-per-node": "2", "--nodes": "2",
        "--ntasks": "8", "--partition": "main,debug", "--account": "eic", "--qos": "short",
        "--constraint": "[rack1|rack2]", "--gres": "disk:4G", "--exclusive": "", "--comment": "x",
    }.items()  # fmt: skip


def test_an_array_has_its_indices_and_a_log_for_each_task() -> None:
    options = directives(count=40, first=7)
    assert (options["--array"], options["--output"]) == ("0-39", "batches/7/log.%a")


@pytest.mark.parametrize(
    ("style", "option", "value"),
    [("per_node", "--mem", "1000M"), ("per_cpu", "--mem-per-cpu", "334M"), ("omit", "--cpus-per-task", "3")],
)
def test_memory_is_requested_in_the_style_of_the_site(style: str, option: str, value: str) -> None:
    options = directives(style=style, cpus=3, memory="1000 MB")
    assert options[option] == value
    assert len([name for name in options if name.startswith("--mem")]) == (style != "omit")


def test_zero_gpus_are_not_requested() -> None:
    assert "--gpus-per-node" not in directives(gpus=0)


@pytest.mark.parametrize(
    "value",
    ["a\n#SBATCH --uid=0", "a b", "--wrap=x", "-x", "", " a", "a\r", "\x1b[0m", "é", "a\0", "\n", "a\u2028b", "a\x85b"],
)
def test_a_value_that_cannot_be_written_as_a_directive_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written as a directive"):
        header({"comment": value}, [])


def test_a_value_that_begins_with_a_dash_does_not_end_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        header({"job-name": "--wrap=x"}, [])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("native", "line"),
    [
        ("--gres=disk:4G", "#SBATCH --gres=disk:4G"),
        ("--gres disk:4G", "#SBATCH --gres=disk:4G"),
        ("--exclusive", "#SBATCH --exclusive"),
        ("--exclusive=user", "#SBATCH --exclusive=user"),
        ("-w node7", "#SBATCH --nodelist=node7"),
        ("-wnode7", "#SBATCH --nodelist=node7"),
        ("--signal=B:USR1@60", "#SBATCH --signal=B:USR1@60"),
        ("--mail-type=FAIL,TIME_LIMIT", "#SBATCH --mail-type=FAIL,TIME_LIMIT"),
        ("--ntasks-per-node=4", "#SBATCH --ntasks-per-node=4"),
        ("--nice 100", "#SBATCH --nice=100"),
        ("--propagate NONE", "#SBATCH --propagate=NONE"),
        ("--comment=two words", '#SBATCH --comment="two words"'),
        ('--comment="two words"', '#SBATCH --comment="two words"'),
        ("--comment=a#b", '#SBATCH --comment="a#b"'),
        ("--comment=it's", '#SBATCH --comment="it\'s"'),
        ('--comment=say "a\\b"', '#SBATCH --comment="say \\"a\\\\b\\""'),
    ],
)
def test_native_directives_are_passed_on(native: str, line: str) -> None:
    (written,) = header({}, [native]).splitlines()
    assert re.sub(" +", " ", written) == line


@pytest.mark.parametrize(
    ("native", "words"),
    [
        ("--partiton=x", "simple-slurm does not know --partiton; did you mean 'partition'?"),
        ("--par=x", "does not know --par;"),
        ("--gre=x", "does not know --gre; did you mean 'gres'?"),
        ("-Z 1", "does not know -Z;"),
        ("gres=x", "is not an option of sbatch"),
        ("--", "is not an option of sbatch"),
        ("-", "is not an option of sbatch"),
        ("--gres=a\n#SBATCH --uid=0", "is not an option of sbatch"),
        ("--comment=--wrap=x", "cannot be written as a directive"),
        ("--comment=é", "is not an option of sbatch"),
    ],
)
def test_an_unknown_native_directive_is_refused_and_the_message_names_the_nearest_one(native: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        header({}, [native])
    assert words in str(error.value)


def test_an_option_of_a_newer_sbatch_is_passed_on_if_the_site_file_lists_it() -> None:
    native = ["--oom-kill-step=1", "--gres=disk:4G", "--spread-segments", "--oom-kill-step 0"]
    with pytest.raises(ConfigError, match=r"simple-slurm does not know --oom-kill-step.*native_options: \[oom-kill"):
        header({}, native)
    lines = header({"nodes": 2}, native, ["oom-kill-step", "spread-segments"]).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "#SBATCH --gres=disk:4G", "#SBATCH --nodes 2", "#SBATCH --oom-kill-step=1", "#SBATCH --spread-segments",
        "#SBATCH --oom-kill-step=0",
    ]  # fmt: skip
    assert header({}, ["--spread-segments"], ["spread-segments"]) == "#SBATCH --spread-segments"
    for hidden in ("outpu", "job-nam", "arr", "output"):
        with pytest.raises(ConfigError, match="scheduler sets itself"):
            header({}, [f"--{hidden}=x"], [hidden])
    assert header({}, ["--newer='two words'"], ["newer"]) == '#SBATCH --newer="two words"'


@pytest.mark.parametrize("option", sorted(MANAGED))
def test_a_native_directive_cannot_set_an_option_that_scheduler_sets(option: str) -> None:
    with pytest.raises(ConfigError, match=r"scheduler sets itself|does not know"):
        header({}, [f"--{option}=1"])


@pytest.mark.parametrize("native", ["-J x", "-Jx", "-p main", "-t 1", "-N 2", "-n2", "-c 4", "-A eic", "-a 1-3", "-o x",
                                    "-D /tmp", "-M other", "-q x", "-W"])  # fmt: skip
def test_short_forms_of_our_options_are_refused_too(native: str) -> None:
    with pytest.raises(ConfigError, match="scheduler sets itself"):
        header({}, [native])


def test_the_users_logging_configuration_is_unchanged() -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.root.manager.disable)
    header({"comment": "logging"}, [])
    assert (root.level, list(root.handlers), logging.root.manager.disable) == before


def test_the_first_import_of_simple_slurm_changes_no_logging_and_prints_nothing() -> None:
    program = (
        "import logging, sys\n"
        "from scheduler.batch.slurm.directives import header\n"
        "assert 'simple_slurm' not in sys.modules\n"
        "header({'comment': 'x'}, [])\n"
        "assert 'simple_slurm' in sys.modules\n"
        "root = logging.getLogger()\n"
        "assert (root.level, root.handlers) == (logging.WARNING, []), (root.level, root.handlers)\n"
        "logging.getLogger('simple_slurm').debug('not to be seen')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("value", ["%i %j %T", "not,a;format", "", "%.18i %.9P"])
def test_the_users_squeue_format_does_no_harm_and_is_kept(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_FORMAT", value)
    assert header({"comment": f"x{len(value)}"}, []).startswith("#SBATCH --comment")
    assert os.environ["SQUEUE_FORMAT"] == value


def test_the_users_squeue_format_is_kept_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_FORMAT", "%i %j")
    with pytest.raises(ConfigError):
        header({"no-such-option": "x"}, [])
    assert os.environ["SQUEUE_FORMAT"] == "%i %j"
