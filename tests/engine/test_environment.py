"""The environment of our programs: what an enclosing job, a user or a site has set changes none of them.

As little as possible is changed for the payload."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scheduler.engine.programs import prelude
from scheduler.transports.base import Program
from scheduler.transports.wire import Decoder, encode
from tests.unpacked import SHELLS, installed

ENCLOSING = {
    "SLURM_JOB_ID": "77", "SLURM_JOBID": "77", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "70",
    "SLURM_RESTART_COUNT": "4", "SLURM_MEM_PER_CPU": "9", "SLURM_CPUS_PER_TASK": "9", "SLURM_NTASKS": "40",
    "SLURM_STEP_ID": "1", "SLURM_NODELIST": "n[1-9]", "SLURM_EXPORT_ENV": "NONE", "SLURM_CLUSTERS": "other",
    "SLURMD_NODENAME": "n1", "SRUN_DEBUG": "3", "PBS_JOBID": "1.server", "PBS_ARRAY_INDEX": "2", "PBS_DPREFIX": "#X",
    "PBS_O_WORKDIR": "/w", "_CONDOR_SCRATCH_DIR": "/c", "_CONDOR_SLOT": "slot1", "PMI_RANK": "3", "PMIX_RANK": "3",
    "OMPI_COMM_WORLD_RANK": "3", "LSB_JOBID": "1", "CUDA_VISIBLE_DEVICES": "2", "SCHEDULER_BUNDLE": "/b",
    "SCHEDULER_ELEMENT": "3",
}  # fmt: skip
KEPT = {
    "SLURM_CONF": "/etc/slurm.conf", "PBS_SERVER": "server", "PBS_CONF_FILE": "/etc/pbs.conf", "PBS_EXEC": "/opt/pbs",
    "CONDOR_CONFIG": "/etc/condor", "_CONDOR_COLLECTOR_HOST": "pool", "SBATCH_RESERVATION": "r", "OMPI_MCA_btl": "tcp",
    "PATH_OF_USER": "a b\nSLURM_JOB_ID=1", "LANG": "C.UTF-8",
}  # fmt: skip
ASIDE = {
    "SQUEUE_FORMAT": "%i", "SQUEUE_STATES": "CD", "SACCT_FORMAT": "JobID", "SCANCEL_NAME": "x", "SINFO_FORMAT": "%n",
    "QUOTING_STYLE": "shell-always", "TAR_OPTIONS": "--nonsense", "LS_COLORS": "x", "GREP_OPTIONS": "-v",
    "POSIXLY_CORRECT": "1", "LC_ALL": "C.UTF-8", "CDPATH": "/", "GZIP": "-1", "XZ_OPT": "-9", "BLOCK_SIZE": "1M",
    "TIME_STYLE": "full-iso", "TMPDIR": "/no/such/folder", "BASH_ENV": "/no/such/file", "ENV": "/no/such/file",
}  # fmt: skip
OPTIONS = {
    "SHELLOPTS": "errexit:nounset:noclobber:pipefail:xtrace:keyword:monitor:onecmd",
    "BASHOPTS": "failglob:nullglob:extglob:lastpipe",
    "BASH_FUNC_ls%%": "() { echo hijacked; }", "IFS": "e",
}  # fmt: skip
PROGRAM = r"""
false
make_scratch
echo 1 >"$scratch/a"
echo 2 >"$scratch/a"
[ "$(cat "$scratch/a")" = 2 ] && [ "$(ls "$scratch")" = a ] || exit 9
last=; pattern='@(a)'
echo b | while read -r last; do :; done
case $last,$(echo b | awk -v c=d '{ print c }'),b in ,d,$pattern) exit 9 ;; ,d,*) ;; *) exit 9 ;; esac
awk 'BEGIN { for (name in ENVIRON) printf "ours %s=%s%c", name, ENVIRON[name], 1 }'
as_login awk 'BEGIN { for (name in ENVIRON) printf "login %s=%s%c", name, ENVIRON[name], 1 }'
as_login sh -c 'exit 3'
"""


def run(shell: str, environment: dict[str, str]) -> tuple[int | None, dict[str, dict[str, str]]]:
    """The exit code of the program, and the variables that it and `as_login` have."""
    call = encode(Program("environment", prelude() + PROGRAM))
    command = [*SHELLS[shell], "-c", f'eval "$(command -p head -c {len(call.opening)})"']
    plain = {"PATH": os.environ["PATH"], "HOME": "/", **environment}
    done = subprocess.run(command, input=call.opening, env=plain, capture_output=True, timeout=300)
    decoder = Decoder(call.nonce)
    out = decoder.feed(done.stdout).decode()
    found: dict[str, dict[str, str]] = {"ours": {}, "login": {}}
    for entry in out.split("\1")[:-1]:
        who, _, pair = entry.partition(" ")
        name, _, value = pair.partition("=")
        found[who][name] = value
    return decoder.exit_code, found


@pytest.fixture(params=SHELLS, scope="module")
def polluted(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    code, found = run(request.param, {**ENCLOSING, **KEPT, **ASIDE, **OPTIONS})
    assert code == 3
    return found


def test_what_describes_an_enclosing_job_reaches_neither_our_programs_nor_the_payload(
    polluted: dict[str, dict[str, str]],
) -> None:
    assert [name for who in polluted.values() for name in who if name in ENCLOSING] == []


def test_what_reaches_the_controller_and_what_the_user_has_set_is_kept(polluted: dict[str, dict[str, str]]) -> None:
    for who in polluted.values():
        assert who.items() >= KEPT.items()


def test_what_changes_our_commands_is_unset_for_them_and_set_for_the_payload(
    polluted: dict[str, dict[str, str]],
) -> None:
    assert polluted["ours"].keys() & (ASIDE.keys() - {"LC_ALL"}) <= {"POSIXLY_CORRECT"}  # bash in POSIX mode sets it
    assert polluted["ours"]["LC_ALL"] == "C"
    assert polluted["login"].items() >= ASIDE.items()


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_is_added_for_the_payload(shell: str, tmp_path: Path) -> None:
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    _, found = run(shell, {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "2"})
    added = {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "OMP_NUM_THREADS", "AWKPATH", "AWKLIBPATH"}
    assert found["login"].keys() - added == set()
    assert found["ours"]["TMPDIR"] == str(tmp_path)


def test_gpus_that_a_user_has_chosen_outside_a_job_are_kept() -> None:
    _, found = run("dash", {"CUDA_VISIBLE_DEVICES": "1"})
    assert found["login"]["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.parametrize("path", [None, "", "/no/such/folder:/"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_path_without_the_folders_of_the_system_stops_no_program(shell: str, path: str | None) -> None:
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    call = encode(Program("path", f"{prelude()}\nmake_scratch; as_login awk 'BEGIN {{ exit 3 }}'"))
    command = [str(shutil.which(SHELLS[shell][0])), *SHELLS[shell][1:], "-c", call.command.split("'")[1]]
    done = subprocess.run(command, input=call.opening, env={} if path is None else {"PATH": path}, capture_output=True)
    decoder = Decoder(call.nonce)
    decoder.feed(done.stdout)
    assert decoder.exit_code == 3, done.stderr


@pytest.mark.parametrize("shell", ["dash", "busybox"])
@pytest.mark.parametrize("options", ["noexec", "errexit:noexec", "noexec:braceexpand", "onecmd"])
def test_scripts_of_jobs_are_executed_where_noexec_is_exported(shell: str, options: str) -> None:
    """Bash would execute none of their commands, and exit with 0."""
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    _, found = run(shell, {"SHELLOPTS": options})
    assert found["ours"] and not {"SHELLOPTS"} & {*found["ours"], *found["login"]}
