"""Jobs of every kind are retried on every site; on Slurm, memory and walltime grow and a requeue is not a retry."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Cause, Job, JobError, JobState, JobType, Resources, Retry, Runner
from scheduler.batch.shown_id import shown_id
from scheduler.engine import programs
from scheduler.engine.connect import transport_to
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Program
from tests.testcluster import Cluster
from tests.unpacked import PBS_FUNCTIONS, until
from tests.wrapped import Counting

from .job_kinds import kinds
from .running import runner_in
from .sites import Target, alone


def poll_until(runner: Runner, true: Callable[[], object]) -> None:
    """Poll without collecting, until `true` returns something true."""
    deadline = time.monotonic() + 600
    while not true():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        runner.poll()
        time.sleep(0.2)


def test_every_kind_of_job_is_retried_and_all_its_attempts_are_kept(target: Target, folder: Path) -> None:
    retry = Retry(times=1, exit_codes=[3])
    jobs = [make(f"it's {kind}", "exit-3", retry=retry) for kind, make in kinds(target).items()]
    with runner_in(folder, target) as runner:
        runner.submit(jobs)
        runner.wait(jobs, timeout=600)
        rows = runner.ledger.of_keys(runner.keys(jobs))
        earlier = runner.ledger.attempts.of([row.key for row in rows])
        first_logs = [
            runner.transport.run(programs.program("tail"), [one.folder or "", str(one.element), "stdout", "5"]).out
            for one in earlier
        ]
    for job in jobs:
        results = job.get_results()
        assert (str(job.status), job.status.retries) == ("failed: exit code 3", 1), results
        assert job.attempts == 2 and "the last line" in results["error"]
        assert Path(str(job.stdout)).read_text() == f"out of {job.job_id}\n"
    assert first_logs == [f"out of {job.job_id}\n" for job in jobs]
    assert {str(one.status) for one in earlier} == {"failed: exit code 3"}


@pytest.mark.parametrize(("count", "unequal"), [(40, False), (12, True)], ids=["40", "12 unequal"])
def test_retrying_any_number_of_jobs_takes_one_more_command(
    target: Target, folder: Path, count: int, unequal: bool
) -> None:
    Path("job.sh").write_text("#!/bin/sh\nexit $1\n")
    transport = Counting(transport_to(target.site))
    jobs = [
        Job(f"j{n}", JobType.SCRIPT, script_path="job.sh", arguments=[7 if n % 3 else 0],
            retry=Retry(times=1, exit_codes=[7]), resources=alone(n) if unequal else Resources(walltime="5m"))
        for n in range(count)
    ]  # fmt: skip
    with Runner(target.site, ledger=Ledger(folder / "ledger"), transport=transport) as runner:
        runner.submit(jobs)
        ask = next(f"{row.folder}/ends" for row in runner.ledger.of_keys(runner.keys(jobs)))
        until(lambda: len(_listed(runner, ask)) == count, seconds=600.0)
        if target.site.scheduler in _BUSY:  # a job stays in the queue for a moment after its end
            names = {row.name for row in runner.ledger.of_keys(runner.keys(jobs))}
            busy = Program("list", _BUSY[target.site.scheduler])
            until(lambda: not runner.transport.run(busy, [",".join(names), *names]).out, seconds=600.0)
        poll_until(runner, lambda: all(job.final or job.status.retries for job in jobs))
        asked = [name for name in transport.take() if name != "list"]
        assert asked.count("submit") == 2 and set(asked) == {"submit", "poll"}
        assert asked[asked.index("poll") :].count("submit") == 1
        rows = [row for row in runner.ledger.of_keys(runner.keys(jobs)) if row.retries]
        assert len(rows) == sum(n % 3 > 0 for n in range(count)) and len({row.bundle for row in rows}) == 1
        assert {row.first for row in rows} == ({row.element for row in rows} if unequal else {0})
        runner.wait(jobs, timeout=600)
        assert transport.take().count("submit") == 0
    assert [str(job.status) for job in jobs] == ["failed: exit code 7" if n % 3 else "completed" for n in range(count)]


_BUSY = {
    "slurm": 'squeue -h -t PD,R,CG -n "$1"',
    "pbs": f'{PBS_FUNCTIONS}\nshift; find_pbs qselect && for name; do qselect -u "$user_name" -N "$name" || echo; done',
}
"""Prints something as long as a batch with one of these names is in the queue: the names, joined and one by one."""


def _listed(runner: Runner, folder: str) -> list[str]:
    return runner.transport.run(Program("list", 'ls "$1"'), [folder]).out.split()


GROWS = """\
#!/bin/sh
case $1 in
  memory)
    pause=3600; [ ! -e "$2" ] || pause=4; touch "$2"
    exec python3 -c "import time; held = b'x' * 400_000_000; time.sleep($pause); print('had it')" ;;
  time) [ ! -e "$2" ] || { rm "$2"; echo 'had it'; exit 0; }; touch "$2"; exec sleep 3600 ;;
  held) touch "$2"; exec sleep 3600 ;;
esac
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_on_slurm_memory_and_walltime_grow_and_a_requeue_is_not_a_retry(cluster: Cluster, tmp_path: Path) -> None:
    script, mark = tmp_path / "grows.sh", f"/tmp/mark.{uuid.uuid4().hex}"
    script.write_text(GROWS)
    retry = Retry(
        times=2, on=["node failure", "preempted", "out of memory", "time limit"], memory_factor=2, exit_codes=[143]
    )

    def job(how: str, **asked: str) -> Job:
        more = {"retry": retry, "resources": Resources(**asked), "working_dir": tmp_path / how}  # type: ignore[arg-type]
        return Job(how, JobType.SCRIPT, script_path=script, arguments=[how, f"{mark}.{how}"], **more)  # type: ignore[arg-type]

    memory, late, requeued = job("memory", memory="300 MB"), job("time", walltime="1m"), job("held", memory="200 MB")
    site = cluster.site("grows", limits={"poll_seconds": 0.5, "walltime": "80s"}, defaults={"walltime": "80s"})
    with Runner(site, ledger=Ledger(tmp_path / "state")) as runner:
        runner.submit([memory, late, requeued])
        poll_until(runner, requeued.is_running)
        [row] = runner.ledger.of_keys(runner.keys([requeued]))
        cluster.enter("scontrol", "update", f"JobId={shown_id(row)}", "Requeue=1")
        cluster.enter("scontrol", "requeue", shown_id(row))
        poll_until(runner, lambda: not requeued.is_running())
        assert (requeued.state, requeued.status.retries) == (JobState.QUEUED, 0)
        runner.cancel([requeued])
        runner.wait(timeout=600)
        rows = {one.job_id: one for one in runner.ledger.chosen()}
        histories = {one.job_id: [text for _, text in runner.ledger.history(one.key)] for one in rows.values()}
        earlier = {one.job: one for one in runner.ledger.attempts.of(one.key for one in rows.values())}
    assert (memory.is_completed(), memory.status.retries) == (True, 1), memory.get_results()
    assert '"memory": "600M"' in rows["memory"].resources
    assert earlier[rows["memory"].key].status.cause is Cause.OUT_OF_MEMORY
    assert (late.is_completed(), late.status.retries) == (True, 1), late.get_results()
    assert '"walltime": "00:01:20"' in rows["time"].resources
    assert earlier[rows["time"].key].status.cause is Cause.TIME_LIMIT
    assert "attempt 2, after failed: time limit: walltime 00:01:00 → 00:01:20" in histories["time"]
    assert (requeued.state, requeued.status.retries) == (JobState.CANCELLED, 0)
    assert shown_id(rows["held"]) == shown_id(row)


@pytest.mark.cluster
def test_on_slurm_a_failed_node_is_excluded_and_a_refused_retry_leaves_the_job_unchanged(
    cluster: Cluster, tmp_path: Path
) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\nexit 7\n")
    job = Job("j", JobType.SCRIPT, script_path=script, working_dir=tmp_path / "j", retry=Retry(times=1))
    with Runner(cluster.site("exclude"), ledger=Ledger(tmp_path / "state")) as runner:
        runner.submit([job])
        poll_until(runner, lambda: job.final)
        [row] = runner.ledger.of_keys(runner.keys([job]))
        node = _node_of(cluster, shown_id(row))
        failure = replace(row.status, cause=Cause.NODE_FAILURE, node=node)  # pretended: other tests use the nodes
        runner.ledger.observe({row.key: failure}, {row.key: "node failure"})
        runner.wait([job], timeout=600)
        [again] = runner.ledger.of_keys([row.key])
        assert (str(job.status), job.status.retries) == ("failed: exit code 7", 1)
        assert (node, _node_of(cluster, shown_id(again))) in (("node1", "node2"), ("node2", "node1"))
        results = dict(job.get_results())
        with pytest.raises(JobError, match=r"'j' first: not retried: sbatch --parsable refused it .*[Mm]emory"):
            runner.retry([job], memory="900 GB")
        assert (str(job.status), job.status.retries, job.get_results()) == ("failed: exit code 7", 1, results)


def _node_of(cluster: Cluster, job_id: str) -> str:
    """The node of a job, from Slurm's accounting, which may lag."""
    command = ("sacct", "-n", "-X", "-P", "-j", job_id, "-o", "NodeList")
    until(lambda: cluster.enter(*command).strip() not in ("", "None assigned"))
    return cluster.enter(*command).strip()
