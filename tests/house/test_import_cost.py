"""The cost of imports: no large library is loaded before it is needed. Each test starts a new Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("paramiko", "cryptography", "pydantic", "jinja2", "simple_slurm", "typer", "rich", "cloudpickle", "yaml"),
    *("sqlite3", "platformdirs", "subprocess", "logging", "scheduler.runner", "scheduler.job"),
}


def loaded_after(statement: str) -> set[str]:
    """The modules that a new interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_no_large_library() -> None:
    assert loaded_after("import scheduler") & HEAVY == loaded_after("") & HEAVY


@pytest.mark.parametrize("unneeded", ["paramiko", "simple_slurm", "typer", "rich"])
def test_working_on_this_machine_loads_no_library_for_ssh_slurm_or_the_terminal(unneeded: str) -> None:
    assert unneeded not in loaded_after(
        "import scheduler.runner, scheduler.transports.local.transport, scheduler.batch.shell.system"
    )


@pytest.mark.parametrize("unneeded", ["paramiko", "cryptography"])
def test_the_openssh_transport_loads_no_other_ssh_library(unneeded: str) -> None:
    assert unneeded not in loaded_after("import scheduler.runner, scheduler.transports.openssh.transport")


def test_every_public_name_can_be_imported() -> None:
    loaded = loaded_after("import scheduler\nfor name in scheduler.__all__: getattr(scheduler, name)")
    assert {"scheduler.runner", "scheduler.job.job"} <= loaded
