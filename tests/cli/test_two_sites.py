"""Two site files of one name are two sites: each job is followed, cancelled and collected where it was submitted."""

from __future__ import annotations

import json
from pathlib import Path

from .workspace import Workspace

RIG = """\
transport: local
scheduler: shell
work_dir: {folder}
limits: {{poll_seconds: 0.2}}
"""


def rig(workspace: Workspace, path: str, folder: str) -> str:
    """A site file; its work_dir is beside the current directory. Returns the path."""
    (workspace.folder / path).parent.mkdir(parents=True, exist_ok=True)
    return workspace.write(path, RIG.format(folder=json.dumps(str(workspace.folder.parent / folder))))


def bundles(workspace: Workspace, folder: str) -> int:
    """How many bundles a work_dir has."""
    return len(list((workspace.folder.parent / folder).glob("*/.scheduler")))


def test_two_site_files_of_one_name_do_not_mix(workspace: Workspace) -> None:
    here, other = rig(workspace, "rig.yaml", "one"), rig(workspace, "other/rig.yaml", "two")
    file = workspace.sweep("endless", count=1)
    workspace.scheduler("submit", file, "--site", here)
    assert "at another site" in workspace.scheduler("submit", file, "--site", other, code=1).err
    second = workspace.scheduler("submit", file, "--site", other, "--campaign", "second")
    assert "1 job submitted" in second.err and "jobs of site 'rig' are at" in second.err
    assert (bundles(workspace, "one"), bundles(workspace, "two")) == (1, 1)

    first, last = workspace.scheduler("status", "--json", "--no-refresh").json
    assert first["site"] == "rig" and last["site"].startswith("rig~")
    for selected, expected in ((here, [first]), (other, [last]), (last["site"], [last]), ("rig", [first, last])):
        found = workspace.scheduler("status", "--json", "--no-refresh", "--site", selected).json
        assert [job["site"] for job in found] == [job["site"] for job in expected]

    workspace.scheduler("cancel", "job-endless-0", "--site", other)
    done = workspace.scheduler("wait", "--site", other, "--json", code=3).json
    assert [(job["site"], job["cause"]) for job in done] == [(last["site"], "cancelled")]
    assert workspace.scheduler("status", "--json", "--site", here).json[0]["state"] in ("queued", "running")
    workspace.scheduler("cancel", "--site", here, "--all", "--yes")
    assert workspace.scheduler("wait", "--site", here, "--json", code=3).json[0]["cause"] == "cancelled"


def test_a_name_that_means_something_else_now_is_reported_and_its_jobs_are_followed_where_they_are(
    workspace: Workspace,
) -> None:
    rig(workspace, "site_configs/rig.yaml", "one")
    workspace.killed_after_submit("run", workspace.sweep("slow", count=1, outputs="[out.txt]"), "--site", "rig")
    rig(workspace, "site_configs/rig.yaml", "two")
    workspace.end_slow_jobs()
    done = workspace.scheduler("wait", "--site", "rig")
    assert "site 'rig' is another one today: shell at this machine" in done.err
    assert "scheduler adopt rig" in done.err
    assert (workspace.folder / "job-slow-0/out.txt").exists()
    assert not Path(workspace.folder.parent / "two").exists()


def test_a_path_of_a_site_without_jobs_selects_none_and_a_missing_file_is_an_error(workspace: Workspace) -> None:
    here = rig(workspace, "rig.yaml", "one")
    assert "No jobs with" in workspace.scheduler("status", "--site", f"./{here}").err
    assert "nowhere.yaml" in workspace.scheduler("status", "--site", "./nowhere.yaml", code=1).err
