"""The pretended PBS prints what the real ones did, command by command; ids, times, paths and loads aside."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakepbs import show
from tests.fakepbs_host import Here

from .qstat_forms import read_jobs
from .replay import BUILDS, CASES, Case, case, expected, names

ELSEWHERE = re.compile(
    r"server-|depend-|qsub-(not-installed|after-restart|mom-dead|then-ps|unreadable|in-dir|name-from-odd|v-utf8|v-json-single)|qsub-v-.*-(qstat|result)"
)
"""Cases of qsub that need another server, the real one's processes, or a file of their own."""
STATES = ("running", "queued", "held", "waiting", "toobig")


@dataclass
class Tried:
    """A pretended server of one build, with jobs in known states, and the ids of those jobs by their names."""

    build: str
    here: Here
    home: Path
    ids: dict[str, str]

    def do(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
        """What a command line prints."""
        environment = {**os.environ, "PATH": self.here.path, "HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "UTC"}
        return subprocess.run(
            ["bash", "-c", command],
            input=os.fsencode(stdin),
            env=environment,
            cwd=self.home,
            capture_output=True,
            timeout=30,
        )

    def submit(self, name: str, options: str, script: str = "sleep 300") -> None:
        """A job that tests know by its name."""
        self.ids[name] = self.do(f"qsub -N {name} {options}", script).stdout.decode().strip()

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + 20
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module", params=BUILDS)
def tried(request: pytest.FixtureRequest) -> Iterator[Tried]:
    """The states in which most recorded cases were asked after."""
    with tempfile.TemporaryDirectory(prefix="pbs-") as folder:
        prefix, home = Path(folder, "pbs"), Path(folder, "home")
        home.mkdir()
        (home / "v").mkdir()
        master = request.param.startswith("master")
        here = Here.started(prefix, master=master, cpus=8, memory=16 * 2**30)
        try:
            tried = Tried(request.param, here, home, {})
            tried.submit("running", "-l select=1:ncpus=6:mem=1gb -l walltime=01:00:00")
            tried.submit("queued", "-l select=1:ncpus=6:mem=1gb -l walltime=01:00:00")
            tried.submit("held", "-h")
            tried.submit("waiting", "-a 203001010000")
            tried.submit("toobig", "-l select=1:ncpus=64")
            yield tried
        finally:
            tried.do("qdel -W force $(qselect)")
            here.stop()


def plain(text: str, home: Path | None = None) -> str:
    """Without what differs from run to run."""
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


def same(found: subprocess.CompletedProcess[bytes], recorded: Case, tried: Tried) -> None:
    """Exit code and both streams."""
    told = (
        found.returncode,
        _of_user(plain(found.stdout.decode(), tried.home)),
        _of_user(plain(found.stderr.decode(), tried.home)),
    )
    words = (recorded.exit_code, plain(recorded.text), plain(recorded.err.decode()))
    assert told == words


def _of_user(text: str) -> str:
    """As if alice had asked: her name is five letters long, in columns of any width."""
    me = pwd.getpwuid(os.getuid()).pw_name
    text = re.sub(rf"(?<=[ =\"\t]){me}(?=[@ ])", "alice", text)
    return re.sub(rf"(LOGNAME\"?[=:\t]+\"?){me}", r"\1alice", text)


SUBMITTED = [
    row.name for row in expected() if row.build == BUILDS[0] and row.how == "submit" and not ELSEWHERE.match(row.name)
]


@pytest.mark.parametrize("name", SUBMITTED)
def test_qsub_takes_and_refuses_the_same_in_the_same_words(tried: Tried, name: str) -> None:
    recorded = case(name, tried.build)
    full = json.loads((CASES / tried.build / f"{name}.json").read_text())
    for path, content in full.get("files", {}).items():
        (tried.home / Path(path).name).write_text(content)
    if "-h" not in recorded.command.split():
        full["stdin"] = re.sub(r"sleep \d+", "true", full.get("stdin", ""))
    same(tried.do(recorded.command, full.get("stdin", "")), recorded, tried)


def _asked(build: str) -> Iterator[tuple[str, str]]:
    """Cases that ask after the five jobs: name, and the recorded id of each job → its name."""
    states = "running|queued|held|waiting|never-runs|unknown|known-unknown|two|short-id|same-twice"
    tables = "a|s|u|i|r|aw|no-arguments|garbage-id|empty-id|other-server-id|q-queue|q-unknown|id-at-server|u-other"
    others = "format-unknown|version|json-without-f|a-json"
    pattern = rf"qstat-({states}|{tables}|{others})(-\w+)*$"
    for name in names(build):
        if re.match(pattern, name) and not re.search(
            "stagein|by-operator|after-qhold|running-n|twice-json|u-json", name
        ):
            yield name, build


@pytest.mark.parametrize("name", [name for name, _ in _asked(BUILDS[0])])
def test_qstat_prints_the_same_of_the_same_jobs(tried: Tried, name: str) -> None:
    recorded = case(name, tried.build)
    listed = re.findall(r"^(\d+)\.pbslogin\s+(\w+)", case("qstat-no-arguments", tried.build).text, re.M)
    command = recorded.command
    for number, job in listed:
        command = re.sub(rf"\b{number}\b(?!\.other)", tried.ids[job].split(".")[0], command)
    tried.until(lambda: len(tried.do("qselect -s RE").stdout.split()) == 1)  # what other tests have sent is over
    found = tried.do(command.replace("-u alice", "-u $(id -un)"))
    mine = "|".join(re.escape(tried.ids[job]) for job in STATES)
    if not re.search(r"\d+|''|qstat (-f )*-F|version|usage", command) or "''" in command:
        lines = found.stdout.decode().splitlines(keepends=True)
        found.stdout = "".join(_only(lines, mine)).encode()
    same(found, recorded, tried)


def _only(lines: list[str], ids: str) -> Iterator[str]:
    """The rows of these jobs, with their comments: other tests have left some."""
    ours = True
    for line in lines:
        if re.match(r"\d", line):
            ours = bool(re.match(rf"({ids})\b", line))
        if ours:
            yield line


def test_a_table_shows_the_same_columns_and_comments_for_ones_own_jobs_with_elements(tried: Tried) -> None:
    tried.submit("two", "-h -J 0-1")
    shown = tried.do("qstat -u $(id -un) -w -t -s").stdout.decode()
    number = tried.ids["two"].split("[")[0]
    rows = [line.split() for line in shown.splitlines() if line.startswith(f"{number}[")]
    assert [(row[0].split(".")[0], row[9]) for row in rows] == [
        (f"{number}[]", "H"),
        (f"{number}[0]", "Q"),
        (f"{number}[1]", "Q"),
    ]


ENDED = {
    "qstat-ended-exit-3-xf": "exit 3", "qstat-ended-exit-3-xjson": "exit 3", "qstat-ended-exit-0-xf": "true",
    "qstat-ended-sigkill-self-xf": "kill -KILL $$", "qstat-ended-exit-127-xf": "nosuchcommand",
}  # fmt: skip


@pytest.mark.parametrize("name", ENDED)
def test_a_job_that_has_ended_shows_the_same_attributes(tried: Tried, name: str) -> None:
    recorded = case(name, tried.build)
    options = (
        "" if "Submit_arguments" not in recorded.text else recorded.text.split("Submit_arguments = ")[1].split("\n")[0]
    )
    job_id = tried.do(f"qsub {options}", f"{ENDED[name]}\n").stdout.decode().strip()
    tried.until(lambda: b" F " in tried.do(f"qstat -x {job_id}").stdout)
    command = re.sub(r"\d+\.pbslogin", job_id, recorded.command)
    found = tried.do(command)
    found.stdout = re.sub(rb"(exec_host\"?[ :=\t]+\"?pbslogin/)\d", rb"\g<1>0", found.stdout)
    same(found, recorded, tried)


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
def test_qdel_and_qselect_say_the_same(tried: Tried, name: str) -> None:
    same(tried.do(DELETED[name]), case(name, tried.build), tried)


DOWN = [name for name in names(BUILDS[0]) if re.match(r"server-down-(qstat(?!-b)|qsub|qdel|qselect)", name)]


@pytest.mark.parametrize("name", DOWN)
def test_without_a_server_they_say_the_same(tried: Tried, name: str) -> None:
    (tried.here.prefix / "home" / "down").touch()
    try:
        tried.until(lambda: tried.do("qstat").returncode == 255)
        same(tried.do(case(name, tried.build).command, "echo\n"), case(name, tried.build), tried)
    finally:
        (tried.here.prefix / "home" / "down").unlink()
        tried.until(lambda: tried.do("qstat").returncode == 0)


def test_a_frozen_server_answers_nothing_and_takes_what_a_qsub_has_said_that_was_cut_off(tried: Tried) -> None:
    os.kill(tried.here.process.pid, 19)
    assert tried.do("timeout 1 qstat").returncode == 124
    assert tried.do("timeout 1 qsub -h -N cutoff", "echo\n").returncode == 124
    os.kill(tried.here.process.pid, 18)
    tried.until(lambda: tried.do("qselect -N cutoff").stdout != b"")


def test_without_a_history_what_has_ended_is_as_unknown_as_what_never_was(tried: Tried) -> None:
    job_id = tried.do("qsub", "true\n").stdout.decode().strip()
    tried.until(lambda: tried.do(f"qstat {job_id}").returncode == 35)
    (tried.here.prefix / "home" / "nohistory").touch()
    try:
        for name in ("nohistory-qstat-finished", "nohistory-qstat-x-f-finished", "nohistory-qstat-f-json-finished"):
            recorded = case(name, tried.build)
            tried.until(lambda: tried.do(f"qstat {job_id}").returncode == 153)
            same(tried.do(re.sub(r"\d+\.pbslogin", job_id, recorded.command)), recorded, tried)
    finally:
        (tried.here.prefix / "home" / "nohistory").unlink()


def test_output_comes_at_the_end_to_where_it_belongs_readable_by_nobody_else(tried: Tried) -> None:
    """As in qsub-out-array-index-files and qsub-out-o-directory-files."""
    (tried.home / "o").mkdir()
    script = "echo out; echo err >&2; umask; pwd\n"
    asked = ("-J 0-2 -j oe -o 'o/x.^array_index^.out'", "-N dir -j oe -o o", "-N two -o o/a.out -e o/a.err")
    ids = [tried.do(f"qsub {options}", script).stdout.decode().strip() for options in asked]
    tried.until(lambda: all(b" F " in tried.do(f"qstat -x {shlex.quote(one)}").stdout for one in ids))
    found = sorted(path.name for path in (tried.home / "o").iterdir())
    assert found == sorted(["x.0.out", "x.1.out", "x.2.out", f"{ids[1]}.OU", "a.out", "a.err"])
    assert {path.stat().st_mode & 0o777 for path in (tried.home / "o").iterdir()} == {0o600}
    assert (tried.home / "o/a.out").read_text() == f"out\n0022\n{tried.home}\n"
    assert (tried.home / "o/a.err").read_text() == "err\n"


@pytest.mark.parametrize("build", BUILDS)
def test_lines_of_plain_attributes_are_broken_where_the_real_ones_break_them(build: str) -> None:
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
            [[job_id, [(key, AsItIs(value)) for key, value in pairs]] for job_id, pairs in jobs], wide=False
        )
        assert written.rstrip() == recorded.text.rstrip(), name
        compared += 1
    assert compared > 60


class AsItIs(str):
    """A value that is written as it was read."""
