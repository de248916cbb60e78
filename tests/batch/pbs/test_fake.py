"""The fake PBS prints what real servers printed, command by command, except for ids, times, paths and loads."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler.batch.base import Key
from scheduler.batch.pbs.system import SYSTEM
from scheduler.job.evidence import Observation
from tests.batch.counts import EVERY
from tests.fakepbs import show
from tests.fakepbs.command import Settings, send
from tests.fakepbs_host import LocalFakePbs
from tests.unpacked import PBS_FUNCTIONS

from .qstat_forms import read_jobs
from .replay import BUILDS, CASES, Case, case, expected, names

ELSEWHERE = re.compile(
    r"server-|depend-|qsub-(not-installed|after-restart|mom-dead|then-ps|unreadable|in-dir|name-from-odd|v-utf8|v-json-single)|qsub-v-.*-(qstat|result)"
)
"""Cases of qsub that need another server, processes of a real server, or a special file."""
LONGEST_SECONDS = 240
"""Ends a test that hangs; no outcome depends on it."""
STATES = ("running", "queued", "held", "waiting", "toobig")


@dataclass
class Server:
    """A fake server of one build, with jobs in known states.

    Attributes:
        home: the home and current directory of the user who types the commands.
        ids: name of a job → its id.
    """

    build: str
    pbs: LocalFakePbs
    home: Path
    ids: dict[str, str]

    def run(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run a command line to its end."""
        return subprocess.run(
            ["bash", "-c", command], input=os.fsencode(stdin), env=self._environment(), cwd=self.home,
            capture_output=True, timeout=LONGEST_SECONDS,
        )  # fmt: skip

    def running(self) -> list[str]:
        """The ids of the jobs that run or end, as `qselect -s RE` prints them."""
        asked = {"name": None, "states": "RE", "owner": None, "queue": None}
        flags = {"elements": False, "arrays": False, "history": False}
        ids: list[str] = send(Settings.of(self.pbs.prefix), do="select", **asked, **flags)
        return ids

    def kill_once_sent(self, command: str) -> None:
        """Run a command that gets no answer, and kill it when it has sent its request."""
        sent = self.home / "sent"
        sent.unlink(missing_ok=True)
        with subprocess.Popen(
            command.split(), env={**self._environment(), "FAKEPBS_SENT": str(sent)}, cwd=self.home,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            self.until(sent.exists)
            time.sleep(0.2)  # long enough for an answer that must not come
            assert process.poll() is None
            process.kill()
            assert process.stdout and process.stdout.read() == b""

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": self.pbs.path, "HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "UTC"}

    def submit(self, name: str, options: str, script: str = "sleep 86400") -> None:
        """Submit a job that tests know by its name."""
        self.ids[name] = self.run(f"qsub -N {name} {options}", script).stdout.decode().strip()

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module", params=BUILDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with jobs in the states in which most cases were recorded."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        prefix, home = Path(folder, "pbs"), Path(folder, "home")
        home.mkdir()
        (home / "v").mkdir()
        master = request.param.startswith("master")
        pbs = LocalFakePbs.started(prefix, master=master, cpus=8, memory=16 * 2**30)
        server = Server(request.param, pbs, home, {})
        try:
            server.submit("running", "-l select=1:ncpus=6:mem=1gb -l walltime=01:00:00")
            server.submit("queued", "-l select=1:ncpus=6:mem=1gb -l walltime=01:00:00")
            server.submit("held", "-h")
            server.submit("waiting", "-a 203001010000")
            server.submit("toobig", "-l select=1:ncpus=64")
            yield server
        finally:
            server.run("qdel -W force $(qselect)")
            pbs.stop()


def plain(text: str, home: Path | None = None) -> str:
    """Remove what differs from run to run."""
    text = re.sub(r"\n\t(?=\S|\n| )", "", text)  # lines of plain attributes, broken where their length has it
    if home is not None:
        text = text.replace(str(home), "/home/alice").replace(str(home.parent / "pbs"), "/opt/pbs")
    text = re.sub(r"\b\d+(\[[\d-]*\])?\.pbslogin", "N\\1.pbslogin", text)
    text = re.sub(r"([./][oe])\d+\b", r"\1N", text)
    text = re.sub(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ (at )?\d+:\d+(:\d+ \d{4})?", "TIME", text)
    text = re.sub(r"(timestamp\"?[ =:\t]+)\d+", r"\1TIME", text)
    text = re.sub(r"((session_id|cpupercent)\"?[ =:\t]+)\d+", r"\1N", text)
    text = re.sub(r"(resources_used.[a-z]+ = )\d\S*|(\.(cput|mem|vmem|walltime)=)[^|]*", r"\1\2N", text)
    used = re.compile(r"\"(mem|vmem|cput|walltime)\":\s*\"[^\"]*\"")
    text = re.sub(r"\"resources_used[^}]*}", lambda match: used.sub(r'"\1":"N"', match[0]), text)
    text = re.sub(r"(?<=workq) +(\w+\*?) +\d+(?= )", r" \1 N", text)  # SessID
    text = re.sub(r"(?<= [RES] )\d\d:\d\d$", "ELAPSED", text, flags=re.M)
    text = re.sub(r"  +|(?<=-)-+", " ", text)  # the width of columns; that of each table has a test of its own below
    text = re.sub(r"(PBS_O_PATH\"?[=:\t]+\"?)[^,\"|\n]*", r"\1PATH", text)
    return text


def same(found: subprocess.CompletedProcess[bytes], recorded: Case, server: Server) -> None:
    """Compare exit code, stdout and stderr with the recorded ones."""
    printed = (
        found.returncode,
        _of_user(plain(found.stdout.decode(), server.home)),
        _of_user(plain(found.stderr.decode(), server.home)),
    )
    assert printed == (recorded.exit_code, plain(recorded.text), plain(recorded.err.decode()))


def _of_user(text: str) -> str:
    """Replace the name of the current user by that of alice, who typed the recorded commands."""
    me = pwd.getpwuid(os.getuid()).pw_name
    text = re.sub(rf"(?<=[ =\"\t]){me}(?=[@ ])", "alice", text)
    return re.sub(rf"(LOGNAME\"?[=:\t]+\"?){me}", r"\1alice", text)


SUBMITTED = [
    row.name for row in expected() if row.build == BUILDS[0] and row.how == "submit" and not ELSEWHERE.match(row.name)
]


@pytest.mark.parametrize("name", SUBMITTED)
def test_qsub_accepts_and_refuses_the_same_with_the_same_messages(server: Server, name: str) -> None:
    recorded = case(name, server.build)
    full = json.loads((CASES / server.build / f"{name}.json").read_text())
    for path, content in full.get("files", {}).items():
        (server.home / Path(path).name).write_text(content)
    if "-h" not in recorded.command.split():
        full["stdin"] = re.sub(r"sleep \d+", "true", full.get("stdin", ""))
    same(server.run(recorded.command, full.get("stdin", "")), recorded, server)


def _asked() -> Iterator[str]:
    """The cases of qstat about the five jobs of the fixture."""
    states = "running|queued|held|waiting|never-runs|unknown|known-unknown|two|short-id|same-twice"
    tables = "a|s|u|i|r|aw|no-arguments|garbage-id|empty-id|other-server-id|q-queue|q-unknown|id-at-server|u-other"
    others = "format-unknown|version|json-without-f|a-json"
    pattern = rf"qstat-({states}|{tables}|{others})(-\w+)*$"
    for name in names(BUILDS[0]):
        if re.match(pattern, name) and not re.search(
            "stagein|by-operator|after-qhold|running-n|twice-json|u-json", name
        ):
            yield name


@pytest.mark.parametrize("name", [*_asked()])
def test_qstat_prints_the_same_about_the_same_jobs(server: Server, name: str) -> None:
    recorded = case(name, server.build)
    listed = re.findall(r"^(\d+)\.pbslogin\s+(\w+)", case("qstat-no-arguments", server.build).text, re.M)
    command = recorded.command
    for number, job in listed:
        command = re.sub(rf"\b{number}\b(?!\.other)", server.ids[job].split(".")[0], command)
    server.until(lambda: len(server.running()) == 1)  # jobs of other tests are finished
    found = server.run(command.replace("-u alice", "-u $(id -un)"))
    mine = "|".join(re.escape(server.ids[job]) for job in STATES)
    if not re.search(r"\d+|''|qstat (-f )*-F|version|usage", command) or "''" in command:
        lines = found.stdout.decode().splitlines(keepends=True)
        found.stdout = "".join(_only(lines, mine)).encode()
    same(found, recorded, server)


def _only(lines: list[str], ids: str) -> Iterator[str]:
    """The rows of these jobs with their comments; other tests have submitted more."""
    ours = True
    for line in lines:
        if re.match(r"\d", line):
            ours = bool(re.match(rf"({ids})\b", line))
        if ours:
            yield line


def test_the_table_of_a_users_own_jobs_has_the_same_columns_and_comments_with_array_tasks(server: Server) -> None:
    server.submit("two", "-h -J 0-1")
    shown = server.run("qstat -u $(id -un) -w -t -s").stdout.decode()
    number = server.ids["two"].split("[")[0]
    rows = [line.split() for line in shown.splitlines() if line.startswith(f"{number}[")]
    assert [(row[0].split(".")[0], row[9]) for row in rows] == [(f"{number}[0]", "Q"), (f"{number}[1]", "Q")]
    whole = server.run("qstat -u $(id -un) -w").stdout.decode().splitlines()
    assert [line.split()[9] for line in whole if line.startswith(f"{number}[")] == ["H"]


def test_the_tasks_of_an_array_are_held_with_it_and_those_that_run_continue(server: Server) -> None:
    server.submit("waits", "-a 203001010000 -J 0-1")
    server.submit("begun", "-J 0-1%1")
    number = server.ids["begun"].split("[")[0]
    server.until(lambda: seen_of(server, "begun") == ["running", "queued"])
    server.run(f"qhold '{number}[]'")
    assert seen_of(server, "begun") == ["running", "held"]
    reason = listed(server)["begun", 1].reason
    assert reason.startswith(f"Job held by {pwd.getpwuid(os.getuid()).pw_name} on ")
    assert seen_of(server, "waits") == ["queued", "queued"]
    server.run(f"qrls '{number}[]'")
    assert seen_of(server, "begun") == ["running", "queued"]
    server.run(f"qdel '{number}[]'")


def seen_of(server: Server, name: str) -> list[str]:
    """The states of the tasks of an array, by index."""
    return [str(one.state) for (of, _), one in sorted(listed(server).items()) if of == name]


def listed(server: Server) -> Mapping[Key, Observation]:
    """The tasks of the arrays that tests know by a name, as a poll reads them."""
    arrays = {name: job_id for name, job_id in server.ids.items() if "[]" in job_id}
    asked = "".join(f"0\t/f\t{name}\t{job_id}\t0\t0-9\tarray\n" for name, job_id in arrays.items())
    (server.home / "asked").write_text(asked)
    program = f"{PBS_FUNCTIONS}\nmake_scratch\nbatch_live asked"
    return SYSTEM.read_live(server.run(program).stdout.decode().splitlines(), EVERY)


ENDED = {
    "qstat-ended-exit-3-xf": "exit 3", "qstat-ended-exit-3-xjson": "exit 3", "qstat-ended-exit-0-xf": "true",
    "qstat-ended-sigkill-self-xf": "kill -KILL $$", "qstat-ended-exit-127-xf": "nosuchcommand",
}  # fmt: skip


@pytest.mark.parametrize("name", ENDED)
def test_a_finished_job_has_the_same_attributes(server: Server, name: str) -> None:
    recorded = case(name, server.build)
    options = (
        "" if "Submit_arguments" not in recorded.text else recorded.text.split("Submit_arguments = ")[1].split("\n")[0]
    )
    job_id = server.run(f"qsub {options}", f"{ENDED[name]}\n").stdout.decode().strip()
    server.until(lambda: b" F " in server.run(f"qstat -x {job_id}").stdout)
    command = re.sub(r"\d+\.pbslogin", job_id, recorded.command)
    found = server.run(command)
    found.stdout = re.sub(rb"(exec_host\"?[ :=\t]+\"?pbslogin/)\d", rb"\g<1>0", found.stdout)
    same(found, recorded, server)


OF_ARRAY = "id=$(echo x | qsub -h -J 0-5); element() { echo ${id/\\[\\]/[$1]}; }; "
DELETED = {
    "qdel-unknown": "qdel 999999", "qdel-garbage": "qdel abc", "qdel-no-argument": "qdel",
    "qdel-empty-argument": "qdel ''", "qdel-held": "qdel $(echo x | qsub -h)",
    "qdel-queued": "qdel $(echo x | qsub -l select=1:ncpus=64)", "qdel-array": OF_ARRAY + "qdel $id",
    "qdel-array-range": OF_ARRAY + "qdel $(element 2-3)",
    "qdel-finished": "id=$(echo x | qsub -h); qdel $id; qdel $id",
    "qdel-x-finished": "id=$(echo x | qsub -h); qdel $id; qdel -x $id",
    "qdel-mixed": "a=$(echo x | qsub -h); b=$(echo x | qsub -h); qdel $a; qdel 999999 $a $b",
    "qdel-array-element-out-of-range": OF_ARRAY + "qdel $(element 12)",
    "qdel-array-element-expired": OF_ARRAY + "qdel $(element 1); qdel $(element 1)",
    "qselect-none": "qselect -N nosuchname", "qselect-n": "qselect -N running",
    "qselect-q-unknown": "qselect -q nosuch", "qselect-bad": "qselect -s ?",
}  # fmt: skip


@pytest.mark.parametrize("name", DELETED)
def test_qdel_and_qselect_print_the_same(server: Server, name: str) -> None:
    same(server.run(DELETED[name]), case(name, server.build), server)


DOWN = [name for name in names(BUILDS[0]) if re.match(r"server-down-(qstat(?!-b)|qsub|qdel|qselect)", name)]


@pytest.mark.parametrize("name", DOWN)
def test_without_a_server_all_commands_print_the_same(server: Server, name: str) -> None:
    (server.pbs.home / "down").touch()
    try:
        server.until(lambda: server.run("qstat").returncode == 255)
        same(server.run(case(name, server.build).command, "echo\n"), case(name, server.build), server)
    finally:
        (server.pbs.home / "down").unlink()
        server.until(lambda: server.run("qstat").returncode == 0)


def test_a_frozen_server_answers_nothing_and_later_accepts_the_job_of_a_qsub_that_was_killed(server: Server) -> None:
    server.pbs.freeze()
    server.kill_once_sent("qstat")
    server.kill_once_sent("qsub -h -N cutoff")
    server.pbs.thaw()
    server.until(lambda: server.run("qselect -N cutoff").stdout != b"")


def test_without_a_history_a_finished_job_is_as_unknown_as_one_that_was_never_submitted(server: Server) -> None:
    job_id = server.run("qsub", "true\n").stdout.decode().strip()
    server.until(lambda: server.run(f"qstat {job_id}").returncode == 35)
    (server.pbs.home / "nohistory").touch()
    try:
        for name in ("nohistory-qstat-finished", "nohistory-qstat-x-f-finished", "nohistory-qstat-f-json-finished"):
            recorded = case(name, server.build)
            server.until(lambda: server.run(f"qstat {job_id}").returncode == 153)
            same(server.run(re.sub(r"\d+\.pbslogin", job_id, recorded.command)), recorded, server)
    finally:
        (server.pbs.home / "nohistory").unlink()


def test_output_is_delivered_at_the_end_of_the_job_and_readable_by_its_owner_alone(server: Server) -> None:
    """As recorded in qsub-out-array-index-files and qsub-out-o-directory-files."""
    (server.home / "o").mkdir()
    script = "echo out; echo err >&2; umask; pwd\n"
    asked = ("-J 0-2 -j oe -o 'o/x.^array_index^.out'", "-N dir -j oe -o o", "-N two -o o/a.out -e o/a.err")
    ids = [server.run(f"qsub {options}", script).stdout.decode().strip() for options in asked]
    server.until(lambda: all(b" F " in server.run(f"qstat -x {shlex.quote(one)}").stdout for one in ids))
    found = sorted(path.name for path in (server.home / "o").iterdir())
    assert found == sorted(["x.0.out", "x.1.out", "x.2.out", f"{ids[1]}.OU", "a.out", "a.err"])
    assert {path.stat().st_mode & 0o777 for path in (server.home / "o").iterdir()} == {0o600}
    assert (server.home / "o/a.out").read_text() == f"out\n0022\n{server.home}\n"
    assert (server.home / "o/a.err").read_text() == "err\n"


@pytest.mark.parametrize("build", BUILDS)
def test_long_lines_of_attributes_are_broken_where_a_real_qstat_breaks_them(build: str) -> None:
    compared = 0
    for name in names(build):
        recorded = case(name, build)
        if (
            not re.fullmatch(r"qstat( -[xt])* -f( -t)? '?\d\S*( \d\S*)*", recorded.command)
            or recorded.exit_code
            or b"line2" in recorded.out
        ):
            continue
        jobs = [
            [of["id"], [(key, value) for key, value in of.items() if key != "id"]] for of in read_jobs(recorded.text)
        ]
        written = show.as_plain(
            [[job_id, [(key, Verbatim(value)) for key, value in pairs]] for job_id, pairs in jobs], wide=False
        )
        assert written.rstrip() == recorded.text.rstrip(), name
        compared += 1
    assert compared > 60


class Verbatim(str):
    """A value that is printed as it was read."""
