"""``scheduler collect --again``: outputs that were removed or changed are reported, and downloaded once more."""

from __future__ import annotations

from .workspace import Workspace


def test_changed_outputs_are_reported_and_collected_to_another_folder(workspace: Workspace) -> None:
    workspace.scheduler("run", workspace.sweep("good", count=1, outputs="[out.txt]"), "-s", "local")
    there = workspace.scheduler("collect", "job-good-0", "--to", "else")
    assert (workspace.folder / "else/job-good-0/out.txt").exists() and "1 completed" in there.out
    (workspace.folder / "job-good-0/out.txt").write_text("other")
    assert "was changed on this machine" in workspace.scheduler("status", "job-good-0", "--json").json[0]["reason"]
    assert "was changed" in workspace.scheduler("wait", "job-good-0", code=1).err
