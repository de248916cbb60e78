"""The command on a real Slurm, over SSH: its process is killed, others go on."""

from __future__ import annotations

import json

import pytest

from tests.prompters import Terminal, code
from tests.testcluster import Cluster

from .desk import COMMAND, Desk, wait_for

pytestmark = pytest.mark.cluster


@pytest.fixture
def far(desk: Desk, cluster: Cluster) -> Desk:
    """A desk with a site `far`, which is the cluster."""
    settings = cluster.site("far").to_json()["settings"]
    desk.write("site_configs/far.yaml", json.dumps(settings))  # JSON is YAML
    return desk


def test_what_a_killed_process_submitted_comes_home_with_another(far: Desk) -> None:
    file = far.sweep("good", "slow", count=3, outputs="[]")
    over_there = (far.folder / "job.sh").read_text().replace('"$RAN"', '"$HOME/ran.$SLURM_ARRAY_JOB_ID"')
    over_there = over_there.replace('until [ -e "$RAN.go" ]; do sleep 0.1; done', "sleep 2")
    far.write("job.sh", over_there)
    far.killed_after_submit("run", file, "--site", "far")
    assert len(far.scheduler("status", "--json").json) == 6
    waited = far.scheduler("wait", "--json")
    jobs = {job["job_id"]: job for job in waited.json}
    assert {job["state"] for job in jobs.values()} == {"completed"}
    assert jobs["job-good-2"]["results"]["mass"] == 0.25 and jobs["job-slow-0"]["batch_id"].endswith("_3")
    assert (far.folder / "job-good-1" / "job.stdout").read_text() == "out of good\n"
    again = far.scheduler("run", file, "--site", "far", "--json")
    assert again.json == waited.json and "submitted before: 6 of 6 jobs" in again.err


def test_a_job_that_runs_over_there_is_read_and_cancelled_from_here(far: Desk) -> None:
    file = far.sweep("endless", count=1)
    far.write("job.sh", '#!/bin/sh\necho "begun"\nsleep 3600\n')
    far.killed_after_submit("run", file, "--site", "far")
    wait_for(lambda: far.scheduler("logs", "job-endless-0").out == "begun\n", what="its first line")
    far.scheduler("cancel", "job-endless-0")
    far.scheduler("wait", code=3)
    job = far.scheduler("status", "--json", "job-endless-0").json[0]
    assert (job["state"], job["cause"]) == ("cancelled", "cancelled")


def test_outputs_come_home_with_their_bytes_told(far: Desk) -> None:
    file = far.sweep("good", count=1, outputs="[big.bin]")
    far.write("job.sh", "#!/bin/sh\nhead -c 3000000 /dev/urandom >big.bin\n")
    done = far.scheduler("run", file, "--site", "far")
    assert "3.0 MB came home" in done.err and (far.folder / "job-good-0" / "big.bin").stat().st_size == 3_000_000


@pytest.fixture
def coded(desk: Desk, cluster: Cluster) -> Desk:
    """A desk with a site `coded`, where a key and a code are wanted, and a job for it."""
    desk.write("site_configs/coded.yaml", json.dumps(cluster.site("coded", user="twofactor").to_json()["settings"]))
    desk.sweep("good", name="good", count=1, outputs="[user.txt]")
    desk.write("job.sh", "#!/bin/sh\nid -un >user.txt\n")
    return desk


def test_a_code_is_asked_for_once_at_the_terminal_whatever_moves_there(coded: Desk) -> None:
    with at_terminal(coded, "run", "good.yaml", "--site", "coded") as terminal:
        terminal.shows("Verification code:")
        terminal.types(code())
        assert terminal.ends() == 0, terminal.screen
    assert terminal.screen.count("Verification code:") == 1
    assert (coded.folder / "good-good-0" / "user.txt").read_text() == "twofactor\n"


def test_no_prompt_fails_at_once_with_what_is_needed(coded: Desk) -> None:
    with at_terminal(coded, "--no-prompt", "run", "good.yaml", "--site", "coded") as terminal:
        assert terminal.ends() == 1
    assert "It wants a password or a one-time code, and nobody may be asked (--no-prompt" in _unfolded(terminal.screen)
    assert "Verification code:" not in terminal.screen
    assert "Nothing is lost: the same command goes on with these jobs." in terminal.screen


def test_a_site_may_change_its_transport_while_its_jobs_go_on(far: Desk) -> None:
    file = far.sweep("good", count=1, outputs="[]")
    far.write("job.sh", "#!/bin/sh\nsleep 1\n")
    far.scheduler("submit", file, "--site", "far")
    settings = json.loads((far.folder / "site_configs/far.yaml").read_text())
    (far.folder / "site_configs/far.yaml").write_text(json.dumps({**settings, "transport": "openssh"}))
    assert far.scheduler("wait", "--json").json[0]["state"] == "completed"


def at_terminal(desk: Desk, *words: str) -> Terminal:
    """The command, as somebody types it who can be asked."""
    return Terminal([COMMAND, *words], environment=desk.environment, folder=desk.folder)


def _unfolded(screen: str) -> str:
    return " ".join(screen.split())
