"""The whole way through every kind of login there is, by both ways of SSH: a job to its end, another one cancelled."""

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

from .logins import LOGINS, WAYS, site_of, ssh_of, user_of, way_to

pytestmark = pytest.mark.cluster

SCRIPT = "#!/bin/sh\nid -un >user.txt; head -c 300000 /dev/zero >big.bin; echo '{\"answer\": 42}' >result.json\n"
LONG = "#!/bin/sh\nsleep 300\n"


@dataclass(frozen=True)
class Arrival:
    """What came of two jobs, or why nothing came."""

    done: Job | None = None
    cancelled: Job | None = None
    error: Exception | None = None


@pytest.fixture(scope="module")
def arrivals(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Arrival]:
    """All logins at once: what takes time is waiting for jobs."""
    folder = tmp_path_factory.mktemp("logins")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(LOGINS)) as pool:
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        patch.setenv("SCHEDULER_NO_PROMPT", "1")
        which = [(way, login) for login in LOGINS for way in WAYS]
        places = [folder / f"{way} {login}" for way, login in which]
        ways, logins = zip(*which, strict=True)
        came = pool.map(lambda way, login, place: _arrive(cluster, way, login, place), ways, logins, places)
        return dict(zip(which, came, strict=True))


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("way", WAYS)
def test_jobs_go_the_whole_way_through_every_login(
    arrivals: dict[tuple[str, str], Arrival], way: str, login: str
) -> None:
    came = arrivals[way, login]
    if came.error is not None:
        raise came.error
    assert came.done is not None and came.cancelled is not None
    results = came.done.get_results()
    assert came.done.is_completed(), came.done.status
    assert (Path(came.done.working_dir) / "user.txt").read_text().strip() == user_of(login)
    assert (Path(came.done.working_dir) / "big.bin").stat().st_size == 300_000
    assert results["answer"] == 42
    assert str(came.cancelled.status).startswith("cancelled"), came.cancelled.status


@pytest.mark.parametrize("way", WAYS)
def test_a_list_of_commands_is_named_as_the_reason_and_nothing_is_lost(
    cluster: Cluster, tmp_path: Path, way: str
) -> None:
    site = cluster.site("restricted", user="restricted", transport=way)
    (job, _) = _jobs(tmp_path)
    with Runner(site, ledger=Ledger(tmp_path / "state"), prompt=False) as runner:
        with pytest.raises(TransportError, match="Command rejected by allowed-commands: exec /bin/sh") as caught:
            runner.submit([job])
        assert "may run only some commands" in str(caught.value)
    assert not job.status.final


@pytest.mark.parametrize("way", WAYS)
def test_a_full_home_is_named_with_what_to_do(cluster: Cluster, tmp_path: Path, way: str) -> None:
    site = cluster.site("full", user="full", transport=way)
    (job, _) = _jobs(tmp_path)
    with Runner(site, ledger=Ledger(tmp_path / "state"), prompt=False) as runner:
        with pytest.raises(BatchError, match="No space left on device") as caught:
            runner.submit([job])
        assert "work_dir" in str(caught.value)


def test_a_machine_with_slurm_and_without_bash_is_named(cluster: Cluster, tmp_path: Path) -> None:
    site = cluster.site("nobash", transport="ssh", ssh=ssh_of(cluster, "posix"))
    (job, _) = _jobs(tmp_path)
    with (
        Runner(site, ledger=Ledger(tmp_path / "state"), prompt=False) as runner,
        pytest.raises(BatchError, match="/bin/bash does not exist on login"),
    ):
        runner.submit([job])


def test_a_wait_whose_line_is_lost_says_that_a_code_is_needed_and_goes_on_when_somebody_is_there(
    cluster: Cluster, tmp_path: Path
) -> None:
    """It neither asks nor hangs in the middle, where nobody may be; the job goes on meanwhile."""
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
            with pytest.raises(LoginError, match="nobody is asked again after a connection was lost"):
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


def _arrive(cluster: Cluster, way: str, login: str, folder: Path) -> Arrival:
    done, long = _jobs(folder)
    try:
        site, ledger = site_of(cluster, way, login), Ledger(folder / "state")
        with (
            way_to(cluster, way, login, folder) as transport,
            Runner(site, ledger=ledger, transport=transport, prompt=False) as runner,
        ):
            runner.submit([done, long])
            runner.cancel([long])
            runner.wait([done, long], timeout=600)
    except (AssertionError, TransportError, BatchError, TimeoutError) as error:
        return Arrival(error=error)
    return Arrival(done, long)
