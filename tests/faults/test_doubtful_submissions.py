"""Submit commands whose exit code or output is not what it seems, and jobs that are cancelled while it is not known
whether the batch system has them; on real Slurm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import BatchError, Cause, JobState
from scheduler.engine.connect import transport_to
from scheduler.ledger.ledger import Ledger
from tests.testcluster import Cluster

from .broken_cluster import wait_for
from .campaign import FAILS, Campaign, Task, campaign_at, drive
from .conditions import SiteWrapper
from .conftest import Check

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
Start = Callable[..., Campaign]
NEVER_RUNS = Task(state=JobState.CANCELLED, ends=0, output=False)


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Iterator[Start]:
    """Makes campaigns on Slurm."""
    site = cluster.site("doubtful", limits={"poll_seconds": 0.3})
    transport = transport_to(site)

    def make(tasks: Sequence[Task], **resources: object) -> Campaign:
        return campaign_at(site, transport, tmp_path / str(len(list(tmp_path.iterdir()))), tasks, **resources)

    yield make
    transport.close()


def each_in_a_batch(*tasks: Task) -> list[Task]:
    """The tasks with different walltimes: each is submitted by itself."""
    return [replace(task, minutes=5 + number) for number, task in enumerate(tasks)]


WRAPPERS = """
sbatch() {
  case $2 in
    0/*) echo 'Welcome to the cluster.'; command sbatch "$@"; echo '17 jobs, 2 projects' ;;
    1/*) command sbatch "$@"; echo 'accounting: cannot write the log' >&2; return 1 ;;
    2/*) command sbatch "$2" ;;
    3/*) command sbatch "$@" >/dev/null ;;
    4/*) echo 4711; command sbatch "$@" ;;
    5/*) command sbatch "$@"; return 255 ;;
    6/*) SBATCH_WAIT=1 command sbatch "$@" ;;
  esac
}"""


def test_a_wrapper_that_prints_more_or_fails_after_submitting_runs_each_job_once(
    start: Start, cluster: Cluster, check_counts: Check
) -> None:
    campaign = start(each_in_a_batch(*[Task()] * 6, FAILS))
    runner = campaign.runner(SiteWrapper(campaign.transport, WRAPPERS))
    runner.submit(campaign.jobs)
    known = [row.batch_id is not None for row in runner.ledger.chosen()]
    assert known == [True, False, True, False, False, False, False]  # only a certain id is recorded
    drive(runner, campaign.jobs)
    rows = runner.ledger.chosen()
    runner.close()
    queue = cluster.enter("squeue", "-h", "-t", "all", "-o", "%A %j").splitlines()
    assert {f"{row.batch_id} {row.name}" for row in rows} <= set(queue)
    check_counts(campaign.counts())


ACCEPTS_LATE = """
sbatch() {
  (until [ -e "%s" ]; do sleep 0.1; done; exec setsid sbatch "$@") >/dev/null 2>&1 &
  echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
  return 1
}"""


def test_a_job_that_is_cancelled_while_its_submission_is_in_doubt_never_runs(
    start: Start, cluster: Cluster, check_counts: Check
) -> None:
    """Of an array one task, and a job of its own; the controller has them after they are recorded as cancelled."""
    campaign = start((NEVER_RUNS, Task(), FAILS, replace(NEVER_RUNS, minutes=6)))
    flag = f"{campaign.runs}/accept"
    runner = campaign.runner(SiteWrapper(campaign.transport, ACCEPTS_LATE % flag))
    jobs = campaign.jobs
    runner.submit(jobs)
    assert {job.state for job in jobs} == {JobState.SUBMITTING}
    runner.cancel([jobs[0], jobs[3]])
    wait_for(lambda: runner.poll() or jobs[3].final)  # type: ignore[func-returns-value]
    assert jobs[0].state is jobs[3].state is JobState.CANCELLED
    names = [row.name for row in runner.ledger.chosen()]
    cluster.enter("touch", flag)
    wait_for(lambda: _queued(cluster, names[3]))
    wait_for(lambda: runner.poll() or "CANCELLED" in _queued(cluster, names[3]) or not _unfinished(cluster, names[3]))  # type: ignore[func-returns-value]
    drive(runner, jobs)
    runner.close()
    wait_for(lambda: not any(_unfinished(cluster, name) for name in names))
    cluster.enter("rm", flag)
    check_counts(campaign.counts())


def _queued(cluster: Cluster, name: str) -> str:
    return cluster.enter("squeue", "-h", "-t", "all", "-n", name, "-o", "%T").strip()


def _unfinished(cluster: Cluster, name: str) -> str:
    return cluster.enter("squeue", "-h", "-n", name, "-o", "%T").strip()


NO_CONTROLLER = """
sbatch() {
  echo "$PWD $2" >>"%s"
  echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2
  return 1
}"""


def test_a_batch_that_is_never_accepted_is_handed_over_a_few_times_and_then_has_failed(start: Start) -> None:
    campaign = start((replace(NEVER_RUNS, state=JobState.FAILED),))
    calls = f"{campaign.runs}/calls"
    runner = campaign.runner(SiteWrapper(campaign.transport, NO_CONTROLLER % calls))
    runner.submit(campaign.jobs)
    [job] = campaign.jobs
    wait_for(lambda: runner.poll() or job.final)  # type: ignore[func-returns-value]
    assert (job.state, job.status.cause) == (JobState.FAILED, Cause.REFUSED)
    assert "Unable to contact slurm controller" in job.status.reason
    assert campaign.recorded()["calls"] == 3
    runner.close()


def test_an_id_that_is_none_in_an_old_ledger_is_not_sent(start: Start, check_counts: Check) -> None:
    campaign = start((Task(seconds=1),))
    runner = campaign.runner()
    runner.submit(campaign.jobs)
    runner.close()
    ledger = Ledger(campaign.folder / "ledger")
    [row] = ledger.chosen()
    ledger.record_ids(row.bundle, {row.first: "Welcome to the cluster."})
    ledger.close()
    runner = campaign.runner(campaign="again")
    runner.session.poll()
    runner.session.wait([row.key], timeout=300)
    assert runner.ledger.chosen()[0].batch_id not in (None, "Welcome to the cluster.")
    campaign.jobs[0].observe(runner.ledger.chosen()[0].status, runner.ledger.chosen()[0].results)
    runner.close()
    check_counts(campaign.counts())


def test_a_directive_that_sbatch_rejects_is_a_refusal(start: Start) -> None:
    campaign = start((Task(),), native=["--mail-type=WHENDONE"])
    with campaign.runner() as runner, pytest.raises(BatchError, match="mail-type"):
        runner.submit(campaign.jobs)
    assert campaign.jobs[0].status.cause is Cause.REFUSED
