"""The command with a real Slurm, over SSH: processes are killed, later ones continue."""

from __future__ import annotations

import json

import pytest

from tests.prompters import Terminal, code
from tests.testcluster import Cluster

from .workspace import COMMAND, Workspace, wait_for

pytestmark = pytest.mark.cluster


@pytest.fixture
def far(workspace: Workspace, cluster: Cluster) -> Workspace:
    """A workspace with a site file `far` for the test cluster."""
    settings = cluster.site("far").to_json()["settings"]
    workspace.write("site_configs/far.yaml", json.dumps(settings))  # JSON is YAML
    return workspace


def test_jobs_of_a_killed_process_are_collected_by_another(far: Workspace) -> None:
    file = far.sweep("good", "slow", count=3, outputs="[]")
    script = (far.folder / "job.sh").read_text().replace('"$RAN"', '"$HOME/ran.$SLURM_ARRAY_JOB_ID"')
    script = script.replace('until [ -e "$RAN.go" ]; do sleep 0.1; done', "sleep 2")
    far.write("job.sh", script)
    far.killed_after_submit("run", file, "--site", "far")
    assert len(far.scheduler("status", "--json").json) == 6
    waited = far.scheduler("wait", "--json")
    jobs = {job["job_id"]: job for job in waited.json}
    assert {job["state"] for job in jobs.values()} == {"completed"}
    assert jobs["job-good-2"]["results"]["mass"] == 0.25 and jobs["job-slow-0"]["batch_id"].endswith("_3")
    assert (far.folder / "job-good-1" / "job.stdout").read_text() == "out of good\n"
    again = far.scheduler("run", file, "--site", "far", "--json")
    assert again.json == waited.json and "already submitted: 6 of 6 jobs" in again.err


def test_the_output_of_a_running_job_is_printed_and_the_job_is_cancelled(far: Workspace) -> None:
    file = far.sweep("endless", count=1)
    far.write("job.sh", '#!/bin/sh\necho "begun"\nsleep 3600\n')
    far.killed_after_submit("run", file, "--site", "far")
    wait_for(lambda: far.scheduler("logs", "job-endless-0").out == "begun\n", what="the first line of output")
    far.scheduler("cancel", "job-endless-0")
    far.scheduler("wait", code=3)
    job = far.scheduler("status", "--json", "job-endless-0").json[0]
    assert (job["state"], job["cause"]) == ("cancelled", "cancelled")


def test_the_number_of_downloaded_bytes_is_printed(far: Workspace) -> None:
    file = far.sweep("good", count=1, outputs="[big.bin]")
    far.write("job.sh", "#!/bin/sh\nhead -c 3000000 /dev/urandom >big.bin\n")
    done = far.scheduler("run", file, "--site", "far")
    assert "3.0 MB downloaded" in done.err and (far.folder / "job-good-0" / "big.bin").stat().st_size == 3_000_000


@pytest.fixture
def coded(workspace: Workspace, cluster: Cluster) -> Workspace:
    """A workspace with a site file `coded`, whose login needs a key and a one-time code, and a job file."""
    workspace.write(
        "site_configs/coded.yaml", json.dumps(cluster.site("coded", user="twofactor").to_json()["settings"])
    )
    workspace.sweep("good", name="good", count=1, outputs="[user.txt]")
    workspace.write("job.sh", "#!/bin/sh\nid -un >user.txt\n")
    return workspace


def test_one_prompt_for_a_one_time_code_on_a_terminal_with_a_progress_bar(coded: Workspace) -> None:
    with at_terminal(coded, "run", "good.yaml", "--site", "coded") as terminal:
        terminal.shows("Verification code:")
        terminal.types(code())
        assert terminal.ends() == 0, terminal.screen
    assert terminal.screen.count("Verification code:") == 1
    assert (coded.folder / "good-good-0" / "user.txt").read_text() == "twofactor\n"


def test_no_prompt_fails_at_once_and_names_what_the_login_needs(coded: Workspace) -> None:
    with at_terminal(coded, "--no-prompt", "run", "good.yaml", "--site", "coded") as terminal:
        assert terminal.ends() == 1
    needed = "It requires a password or a one-time code, and prompts are turned off (--no-prompt"
    assert needed in _unfolded(terminal.screen)
    assert "Verification code:" not in terminal.screen
    assert "Run the same command again to resume the submission." in _unfolded(terminal.screen)


def test_the_transport_of_a_site_can_be_changed_while_its_jobs_run(far: Workspace) -> None:
    file = far.sweep("good", count=1, outputs="[]")
    far.write("job.sh", "#!/bin/sh\nsleep 1\n")
    far.scheduler("submit", file, "--site", "far")
    settings = json.loads((far.folder / "site_configs/far.yaml").read_text())
    (far.folder / "site_configs/far.yaml").write_text(json.dumps({**settings, "transport": "openssh"}))
    assert far.scheduler("wait", "--json").json[0]["state"] == "completed"


def at_terminal(workspace: Workspace, *arguments: str) -> Terminal:
    """The command, started by a user at a terminal."""
    return Terminal([COMMAND, *arguments], environment=workspace.environment, folder=workspace.folder)


def _unfolded(screen: str) -> str:
    return " ".join(screen.split())
