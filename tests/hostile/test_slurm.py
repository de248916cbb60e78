"""A thousand hostile values through a real Slurm, in one submission: they arrive unchanged, and none is executed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import Job, JobType, Resources, Runner, SchedulerError
from scheduler.ledger.ledger import Ledger
from tests.end_to_end.hostile import CANARY, JOB_IDS, VALUES
from tests.end_to_end.running import in_hostile_folder
from tests.testcluster import Cluster

from .values import HARD

pytestmark = pytest.mark.cluster
Tried = Callable[[int], None]
SEED = 20261126
USER = "tess"  # her login shell is tcsh, and few other tests use her account
JOBS, EACH = 24, 40
RECORD = """\
printf '%s\\0' "$@" >words
env -0 >environment
cat "$JOB_PARAMS_FILE" >params
"""


def carried_values() -> Iterator[str]:
    """Values that a job may hold, the same in every run of the tests."""
    dice = random.Random(SEED)
    while True:
        text = dice.choice(VALUES) if dice.random() < 0.2 else "".join(dice.choices(HARD, k=dice.randint(1, 4)))
        if "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
            yield text


def footprint(cluster: Cluster) -> set[str]:
    """Every file on the cluster that the user could have written, outside her work folder."""
    places = f"/home/{USER} /tmp /var/tmp /dev/shm /opt"
    found = cluster.enter(
        "sh", "-c", f"find {places} -xdev -user {USER} -not -path '*/it*s a *work*' 2>/dev/null; true"
    )
    return {line for line in found.splitlines() if "/scheduler." not in line and "bash_history" not in line}


def test_a_thousand_values_arrive_and_none_is_executed(cluster: Cluster, tmp_path: Path, tried: Tried) -> None:
    before, values = footprint(cluster), carried_values()
    sent: dict[Job, list[str]] = {}
    with in_hostile_folder(tmp_path) as inside:
        (inside / "it's a $record.sh").write_text(RECORD)
        for number in range(JOBS):
            mine = [next(values) for _ in range(EACH)]
            names = [f"v{n}" for n in range(EACH)]
            job_id = JOB_IDS[number] if number < len(JOB_IDS) else f"plain {number}"
            job = Job(
                job_id, JobType.SCRIPT, script_path=inside / "it's a $record.sh",
                params=dict(zip(names, mine, strict=True)), arguments=[f"{{{{ {name} }}}}" for name in names],
                env_vars={name.upper(): value for name, value in zip(names, mine, strict=True)},
                output_files=["words", "environment", "params", f"{mine[0][:40].strip('/').replace('..', '')}*"][:3],
                working_dir=inside / f"out{number}",
            )  # fmt: skip
            sent[job] = mine
        with Runner(cluster.site("far", user=USER), ledger=Ledger(tmp_path / "state")) as runner:
            runner.submit(sent)
            runner.wait(sent, timeout=1500)
    for job, mine in sent.items():
        assert job.is_completed(), (job.status, job.get_results().get("error"))
        home = Path(job.working_dir)
        assert (home / "words").read_bytes().decode().split("\0")[:-1] == mine
        pairs = (home / "environment").read_bytes().decode().split("\0")[:-1]
        assert dict(pair.partition("=")[::2] for pair in pairs)["JOB_ID"] == job.job_id
        tried(3 * EACH)
    assert [path for path in tmp_path.rglob("*") if path.name == CANARY] == []
    assert not [line for line in footprint(cluster) - before if CANARY in line]
    assert cluster.enter("find", f"/home/{USER}", "-name", CANARY) == ""
    new = {line for line in footprint(cluster) - before if not line.startswith(("/tmp/", "/var/tmp/"))}
    assert new == set(), new


def test_directives_that_would_do_more_are_refused_before_anything_is_sent(
    cluster: Cluster, tmp_path: Path, tried: Tried
) -> None:
    (tmp_path / "a.sh").write_text("true\n")
    natives = [
        f"--wrap=touch {CANARY}", "--uid=0", "-o/tmp/x", f"--output=/home/{USER}/.cshrc", "--chdir=/", "--job-name=x",
        "--comment=a\n#SBATCH --uid=0", "--array=0-9999", f"--bcast=$(touch {CANARY})",
    ]  # fmt: skip
    others = {"queue": f"main;touch {CANARY}", "account": "$(id)", "qos": "-x", "constraint": "a b"}
    attacks: list[dict[str, Any]] = [{"native": [one]} for one in natives] + [{key: one} for key, one in others.items()]
    taken = []
    with Runner(cluster.site("far", user=USER), ledger=Ledger(tmp_path / "state")) as runner:
        for number, attack in enumerate(attacks):
            tried(1)
            with contextlib.suppress(SchedulerError):
                job = Job(
                    f"a{number}", JobType.SCRIPT, script_path=tmp_path / "a.sh",
                    working_dir=tmp_path / f"out{number}", resources=Resources.from_json(attack),
                )  # fmt: skip
                runner.submit([job])
                runner.cancel([job])
                taken.append(attack)
    assert taken == []
    assert cluster.enter("find", f"/home/{USER}", "-name", CANARY) == ""
