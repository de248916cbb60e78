"""pack.sh, run by every installed sh: jobs side by side on one node, each with its own end file."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler import Job, JobType, Resources, Site
from scheduler.engine.poll.reply import read_end
from scheduler.job.evidence import End
from scheduler.render.bundle import render
from tests.clocks import path_with_date
from tests.unpacked import SHELLS, installed, unpack, until

SITE = Site.from_mapping(
    {
        "transport": "ssh",
        "host": "h",
        "scheduler": "slurm",
        "work_dir": "/work",
        "limits": {"whole_node": True, "cores_per_node": 16},
    },
    name="whole",
)


class Pack:
    """A pack of jobs (name → shell text), unpacked below `folder`, which `shell` runs."""

    def __init__(self, folder: Path, shell: str, texts: dict[str, str], walltimes: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self.shell, jobs = SHELLS[shell], []
        for name, text in texts.items():
            script = folder / f"{name}.sh"
            script.write_text(text)
            resources = Resources(cpus=3, walltime=walltimes.get(name, "1h"))
            jobs.append(Job(name, JobType.SCRIPT, script_path=script, resources=resources))
        bundle = render(jobs, SITE, token="abcdefghjk")
        assert [one.packed for one in bundle.batches] == [True]
        self.folder = unpack(bundle, folder / "bundle")
        self.elements = {job.job_id: element for element, job in bundle.jobs}

    def begin(self, job_id: str = "7", attempt: int = 0) -> subprocess.Popen[str]:
        """Start the pack in its own session, with this number as its id in the batch system."""
        environment = {**os.environ, "SLURM_SUBMIT_DIR": str(self.folder), "SLURM_JOB_ID": job_id}
        environment |= {"SLURM_RESTART_COUNT": str(attempt), "SLURM_CPUS_PER_TASK": "16"}
        return subprocess.Popen(
            [*self.shell, str(self.folder / "batches/0/script.sh")],
            env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, job_id: str = "7", attempt: int = 0) -> str:
        """Run the pack to its end. Returns what it wrote to the log of the batch system."""
        process = self.begin(job_id, attempt)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
        return said

    def end(self, name: str, attempt: int = 0) -> End | None:
        path = self.folder / f"ends/{self.elements[name]}.{attempt}"
        return read_end(path.read_text().partition(" ")[2]) if path.exists() else None

    def ends(self, attempt: int = 0) -> dict[str, tuple[int, str]]:
        """The end of each job."""
        found = {name: self.end(name, attempt) for name in self.elements}
        return {name: (end.exit_code, end.signal) for name, end in found.items() if end is not None}

    def place(self, name: str) -> Path:
        return self.folder / str(self.elements[name]) / "dir"

    def verdict(self, name: str) -> str:
        path = self.folder / f"batches/0/member.{self.elements[name]}"
        return path.read_text() if path.exists() else ""


Make = Callable[..., Pack]


@pytest.fixture(params=SHELLS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes a pack that each installed sh runs."""
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")

    def pack(texts: dict[str, str], **walltimes: str) -> Pack:
        return Pack(tmp_path / "it's a $folder", request.param, texts, walltimes)

    return pack


ENDLESS = "echo $$ >pid.new; mv pid.new pid; exec sleep 100"
STUBBORN = "trap '' TERM; echo $$ >pid.new; mv pid.new pid; while :; do sleep 1; done"


def test_each_job_ends_by_itself_in_its_own_folder(make: Make) -> None:
    pack = make({"well": "echo $JOB_ID >id; pwd >where", "three": "exit 3", "nine": "kill -9 $$"})
    pack.run()
    assert pack.ends() == {"well": (0, ""), "three": (3, ""), "nine": (137, "")}
    assert (pack.place("well") / "id").read_text() == "well\n"
    assert (pack.place("well") / "where").read_text() == f"{pack.place('well').resolve()}\n"


def test_the_jobs_run_side_by_side(make: Make) -> None:
    meet = "touch ../../met.{me}; until [ -e ../../met.{other} ]; do sleep 0.1; done"
    pack = make({"a": meet.format(me="a", other="b"), "b": meet.format(me="b", other="a")})
    pack.run()
    assert pack.ends() == {"a": (0, ""), "b": (0, "")}


def test_each_job_finds_its_own_number_of_cores(make: Make) -> None:
    says = "echo $OMP_NUM_THREADS $NCPUS $SLURM_CPUS_PER_TASK >cores"
    pack = make({"a": says, "b": says})
    pack.run()
    assert (pack.place("a") / "cores").read_text() == "3 3 3\n"


def test_a_cancelled_job_ends_and_the_others_continue(make: Make) -> None:
    pack = make({"a": ENDLESS, "b": "until [ -e ../../go ]; do sleep 0.1; done"})
    process = pack.begin()
    until(lambda: (pack.place("a") / "pid").exists())
    (pack.folder / "batches/0/cancel").mkdir()
    (pack.folder / f"batches/0/cancel/{pack.elements['a']}").touch()
    until(lambda: pack.end("a"))
    assert pack.end("b") is None
    (pack.folder / "go").touch()
    process.communicate(timeout=600)
    assert pack.ends() == {"a": (143, "TERM"), "b": (0, "")}
    assert "CANCELLED AT" in pack.verdict("a")
    assert pack.verdict("b") == ""


def test_each_job_has_its_own_walltime_and_is_killed_if_it_ignores_the_signal(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour passes as soon as both jobs have begun; the second one may run for two. The second one begins after the
    pack has computed the deadline of the first one."""
    pack = make({"a": STUBBORN, "b": "touch begun; sleep 3"}, a="30m", b="2h")
    begun = shlex.join([str(pack.place("a") / "pid"), str(pack.place("b") / "begun")])
    monkeypatch.setenv("PATH", path_with_date(tmp_path / "bin", 3600, begun))
    pack.run()
    end = pack.end("a")
    assert end is not None
    assert (end.exit_code, pack.ends()["b"]) == (137, (0, ""))
    assert "DUE TO TIME LIMIT" in pack.verdict("a")
    assert not _is_there(int((pack.place("a") / "pid").read_text()))


def test_the_pack_writes_the_end_file_of_a_job_whose_script_is_killed(make: Make) -> None:
    pack = make({"a": ENDLESS, "b": "until [ -e ../../go ]; do sleep 0.1; done"})
    process = pack.begin()
    until(lambda: (pack.place("a") / "pid").exists())
    payload = int((pack.place("a") / "pid").read_text())
    script = _parent(payload)
    os.kill(script, signal.SIGKILL)
    os.kill(payload, signal.SIGKILL)
    until(lambda: pack.end("a"))
    (pack.folder / "go").touch()
    process.communicate(timeout=600)
    assert pack.ends() == {"a": (137, ""), "b": (0, "")}


def test_all_jobs_get_the_signal_when_the_batch_is_cancelled(make: Make) -> None:
    pack = make({"a": ENDLESS, "b": ENDLESS})
    process = pack.begin()
    until(lambda: all((pack.place(name) / "pid").exists() for name in "ab"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    assert pack.ends() == {"a": (143, "TERM"), "b": (143, "TERM")}
    assert pack.verdict("a") == ""


@pytest.mark.parametrize("name", ["USR2", "HUP", "CONT", "ALRM"])
def test_a_warning_reaches_every_payload_and_ends_nothing(make: Make, name: str) -> None:
    waits = f"trap 'touch warned' {name}; touch ready; while [ ! -e warned ]; do sleep 0.05; done; exit 4"
    pack = make({"a": waits, "b": waits})
    process = pack.begin()
    until(lambda: all((pack.place(job) / "ready").exists() for job in "ab"))
    process.send_signal(getattr(signal, f"SIG{name}"))
    process.communicate(timeout=600)
    assert pack.ends() == {"a": (4, ""), "b": (4, "")}


def test_a_second_copy_of_the_batch_runs_nothing_and_writes_no_end_file(make: Make) -> None:
    pack = make({"a": "echo x >>../../ran; exit 3", "b": "echo x >>../../ran; kill -9 $PPID"})
    pack.run(job_id="7")
    before = pack.ends()
    pack.run(job_id="8")
    assert (pack.folder / "ran").read_text() == "x\nx\n"
    assert pack.ends() == before


def test_after_a_requeue_only_unfinished_jobs_run(make: Make) -> None:
    counts = "echo x >>../../ran.$JOB_ID; "
    pack = make(
        {"well": counts, "three": counts + "exit 3", "lost": counts + "kill -9 $$", "late": counts + ENDLESS}, late="2s"
    )
    pack.run()
    pack.run(attempt=1)
    ran = {name: len((pack.folder / f"ran.{name}").read_text().split()) for name in pack.elements}
    assert ran == {"well": 1, "three": 1, "lost": 2, "late": 1}
    assert pack.ends(attempt=1) == {"lost": (137, "")}


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
