"""What an import costs: nothing heavy is loaded before it is needed. Seen from a fresh Python each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("paramiko", "cryptography", "pydantic", "jinja2", "simple_slurm", "typer", "rich", "cloudpickle", "yaml"),
    *("sqlite3", "platformdirs", "subprocess", "logging", "scheduler.runner", "scheduler.job"),
}


def loaded_after(statement: str) -> set[str]:
    """The names of all modules, after this statement in a new interpreter."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import scheduler") & HEAVY == loaded_after("") & HEAVY


@pytest.mark.parametrize("unneeded", ["paramiko", "simple_slurm", "typer", "rich"])
def test_working_on_this_machine_loads_no_ssh_no_slurm_and_no_screen(unneeded: str) -> None:
    assert unneeded not in loaded_after(
        "import scheduler.runner, scheduler.transports.local.transport, scheduler.batch.shell.system"
    )


@pytest.mark.parametrize("unneeded", ["paramiko", "cryptography"])
def test_the_ssh_of_openssh_needs_no_other(unneeded: str) -> None:
    assert unneeded not in loaded_after("import scheduler.runner, scheduler.transports.openssh.transport")


def test_every_public_name_can_be_had() -> None:
    loaded = loaded_after("import scheduler\nfor name in scheduler.__all__: getattr(scheduler, name)")
    assert {"scheduler.runner", "scheduler.job.job"} <= loaded
