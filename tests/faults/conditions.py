"""Conditions of sites as transports: wrappers of their submit command, and what the environment of a user has set.

A condition changes the text of our programs: it defines an sh function `sbatch`, or replaces the function that submits
to a machine without a batch system; or it exports variables and sets options of the shell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from scheduler.transports.base import Expanded, Program, Reply, Transport
from tests.wrapped import Streams, Wrapped

if TYPE_CHECKING:
    from typing_extensions import Unpack

POLLUTED = """
export SLURM_JOB_ID=77 SLURM_JOBID=77 SLURM_ARRAY_JOB_ID=70 SLURM_ARRAY_TASK_ID=3 SLURM_RESTART_COUNT=4
export SLURM_CPUS_PER_TASK=9 SLURM_NTASKS=40 SLURM_NTASKS_PER_NODE=7 SLURM_NNODES=3 SLURM_SUBMIT_DIR=/tmp
export SLURM_STEP_ID=1 SLURM_MEM_PER_CPU=77 SLURM_EXPORT_ENV=NONE SLURM_HINT=nomultithread
export PMIX_RANK=3 PBS_JOBID=1.server CUDA_VISIBLE_DEVICES=2 SCHEDULER_BUNDLE=/tmp SCHEDULER_ELEMENT=7
export SQUEUE_STATES=COMPLETED SQUEUE_FORMAT=%i SQUEUE_PARTITION=none SQUEUE_USERS=nobody SACCT_FORMAT=JobID
export SCANCEL_STATE=SUSPENDED SCANCEL_NAME=x SBATCH_TIMELIMIT=1 SBATCH_MEM_PER_CPU=9999999 SBATCH_WAIT=1
export SBATCH_ACCOUNT=nosuch SBATCH_ARRAY_INX=0-3 SBATCH_OUTPUT=/dev/null SBATCH_JOB_NAME=x
export QUOTING_STYLE=shell-always TAR_OPTIONS=--nonsense TMPDIR=/no/such POSIXLY_CORRECT=1 GREP_OPTIONS=-v
export LC_ALL=C.UTF-8 LS_COLORS=x CDPATH=/
[ -n "${BASH_VERSION:-}" ] || export SHELLOPTS=noexec:xtrace:errexit BASHOPTS=failglob:nullglob:extglob
set -euf"""
"""Variables of an enclosing job, of a user and of a site, and options of the shell."""
CHATTY = "echo 'Welcome. You have 17 jobs:'; real \"$@\"; code=$?; echo 'quota 80 %'; return $code"
FAILS_AFTERWARDS = "real \"$@\"; echo 'accounting: cannot write the log' >&2; return 1"
SILENT = "real \"$@\" >/dev/null; echo 'sbatch: error: Socket timed out on send/recv operation' >&2; return 137"
TIMED_OUT = "real \"$@\" >/dev/null; echo 'wrapper: no answer in 10 s' >&2; return 124"
ON_STDERR = 'real "$@" >&2'
LATE = """
echo >>"$RUNS/accept.calls"
(until [ -e "$RUNS/accept" ]; do sleep 0.1; done; real "$@"; echo >>"$RUNS/accept.done") >/dev/null 2>&1 &
echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
return 137"""
"""The batch system accepts the batch once the file `accept` exists, after an error."""
WRAPPERS = (CHATTY, FAILS_AFTERWARDS, SILENT, TIMED_OUT, ON_STDERR)


class SiteWrapper(Wrapped):
    """A login node on which the site has put something else before `sbatch`: the text of an sh function."""

    def __init__(self, inner: Transport, function: str) -> None:
        super().__init__(inner)
        self._function = function

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        program = replace(program, text=f"{self._function}\n{program.text}")
        return super().run(program, args, **streams)


class Submitting(Wrapped):
    """A login node with such a wrapper around the submit command of any batch system.

    Args:
        inner: a transport to it.
        body: of the function; `real` is the command that is wrapped.
        runs: a remote folder, as $RUNS.
    """

    def __init__(self, inner: Transport, body: str, *, runs: str) -> None:
        super().__init__(inner)
        self._body, self._runs = body, runs

    def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
        if program.name == "submit":
            slurm = f"real() {{ command sbatch \"$@\"; }}\nsbatch() {{ {self._body}\n}}\nRUNS='{self._runs}'\n"
            text = program.text
            if "\nsbatch_script()" not in text:
                slurm = f"RUNS='{self._runs}'\n"
                text = text.replace("\nbatch_submit() {", f"\nbatch_submit() {{ {self._body}\n}}\nreal() {{")
            program = replace(program, text=slurm + text)
        return super().run(program, args, **streams)
