"""Every kind of login, over both SSH transports: one job runs to its end, another one is cancelled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler import BatchError, Job, JobType, Runner, TransportError
from scheduler.engine.connect import transport_to
from scheduler.errors import LoginError
from scheduler.ledger.ledger import Ledger
from tests.prompters import PreparedPrompter, code
from tests.testcluster import Cluster
from tests.transports.relay import Relay

from .logins import LOGINS, TRANSPORTS, site_of, ssh_of, transport_of, user_of

pytestmark = pytest.mark.cluster

SCRIPT = "#!/bin/sh\nid -un >user.txt; head -c 300000 /dev/zero >big.bin; echo '{\"answer\": 42}' >result.json\n"
LONG = "#!/bin/sh\nsleep 300\n"


@dataclass(frozen=True)
class Outcome:
    """Two finished jobs, or the error."""

    done: Job | None = None
    cancelled: Job | None = None
    error: Exception | None = None


@pytest.fixture(scope="module")
def outcomes(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Outcome]:
    """All logins at once, since most of the time is waiting for jobs."""
    folder = tmp_path_factory.mktemp("logins")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(LOGINS)) as pool:
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        patch.setenv("SCHEDULER_NO_PROMPT", "1")
        cases = [(transport, login) for login in LOGINS for transport in TRANSPORTS]
        found = pool.map(lambda case: _run_jobs(cluster, case[0], case[1], folder / " ".join(case)), cases)
        return dict(zip(cases, found, strict=True))


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_jobs_run_and_are_cancelled_over_every_login(
    outcomes: dict[tuple[str, str], Outcome], transport: str, login: str
) -> None:
    outcome = outcomes[transport, login]
    if outcome.error is not None:
        raise outcome.error
    assert outcome.done is not None and outcome.cancelled is not None
    results = outcome.done.get_results()
    assert outcome.done.is_completed(), outcome.done.status
    assert (Path(outcome.done.working_dir) / "user.txt").read_text().strip() == user_of(login)
    assert (Path(outcome.done.working_dir) / "big.bin").stat().st_size == 300_000
    assert results["answer"] == 42
    assert str(outcome.cancelled.status).startswith("cancelled"), outcome.cancelled.status


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_list_of_allowed_commands_is_reported_and_the_job_is_kept(
    cluster: Cluster, tmp_path: Path, transport: str
) -> None:
    site = cluster.site("restricted", user="restricted", transport=transport)
    (job, _) = _jobs(tmp_path)
    with Runner(site, ledger=Ledger(tmp_path / "state"), prompt=False) as runner:
        with pytest.raises(TransportError, match="Command rejected by allowed-commands: exec /bin/sh") as caught:
            runner.submit([job])
        assert "may run only some commands" in str(caught.value)
    assert not job.status.final


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_full_home_directory_is_reported_with_what_to_do(cluster: Cluster, tmp_path: Path, transport: str) -> None:
    site = cluster.site("full", user="full", transport=transport)
    (job, _) = _jobs(tmp_path)
    with Runner(site, ledger=Ledger(tmp_path / "state"), prompt=False) as runner:
        with pytest.raises(BatchError, match="No space left on device") as caught:
            runner.submit([job])
        assert "work_dir" in str(caught.value)


def test_a_slurm_host_without_bash_is_reported(cluster: Cluster, tmp_path: Path) -> None:
    site = cluster.site("nobash", transport="ssh", ssh=ssh_of(cluster, "posix"))
    (job, _) = _jobs(tmp_path)
    with (
        Runner(site, ledger=Ledger(tmp_path / "state"), prompt=False) as runner,
        pytest.raises(BatchError, match="/bin/bash does not exist on login"),
    ):
        runner.submit([job])


def test_a_wait_that_loses_its_connection_fails_without_a_prompt_and_the_next_wait_prompts(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The user may have left during the wait. The job keeps running."""
    (job, _) = _jobs(tmp_path)
    known, prompter = tmp_path / "known_hosts", PreparedPrompter({"Verification code:": code})
    key = (cluster.folder / "known_hosts").read_text().splitlines()[0].partition(" ")[2]
    with Relay(22, host=cluster.host) as relay:
        known.write_text(f"[127.0.0.1]:{relay.port} {key}\n")
        ssh = {**ssh_of(cluster, "twofactor"), "port": relay.port, "known_hosts": str(known)}
        site = cluster.site("twofactor", host="127.0.0.1", ssh=ssh)
        with Runner(site, ledger=Ledger(tmp_path / "state"), transport=transport_to(site, prompter=prompter)) as runner:
            runner.submit([job])
            relay.cut()
            with pytest.raises(LoginError, match="there is no prompt after a lost connection"):
                runner.wait([job], timeout=600)
            assert not job.status.final
            assert len(prompter.asked) == 1
            runner.wait([job], timeout=600)
    assert job.is_completed()
    assert len(prompter.asked) == 2


def _jobs(folder: Path) -> tuple[Job, Job]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("short.sh", SCRIPT), ("long.sh", LONG)):
        (folder / name).write_text(text)
    outputs = ["user.txt", "big.bin"]
    return (
        Job("short", JobType.SCRIPT, script_path=folder / "short.sh", output_files=outputs,
            working_dir=str(folder / "short")),
        Job("long", JobType.SCRIPT, script_path=folder / "long.sh", working_dir=str(folder / "long")),
    )  # fmt: skip


def _run_jobs(cluster: Cluster, name: str, login: str, folder: Path) -> Outcome:
    done, long = _jobs(folder)
    try:
        site, ledger = site_of(cluster, name, login), Ledger(folder / "state")
        with (
            transport_of(cluster, name, login, folder) as transport,
            Runner(site, ledger=ledger, transport=transport, prompt=False) as runner,
        ):
            runner.submit([done, long])
            runner.cancel([long])
            runner.wait([done, long], timeout=600)
    except (AssertionError, TransportError, BatchError, TimeoutError) as error:
        return Outcome(error=error)
    return Outcome(done, long)
