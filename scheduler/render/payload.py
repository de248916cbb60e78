"""One job's command: how its script, container or function is started on the node, and the files that it needs."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from scheduler.errors import JobError
from scheduler.job.job import Job, JobType
from scheduler.quoting import quote
from scheduler.render import command, container
from scheduler.render.array_files import SMALL_BYTES
from scheduler.render.function.pack import Packer
from scheduler.render.site_python import python_of
from scheduler.site.site import Site

_LONGEST_FIRST_LINE = 4096


@dataclass
class Shared:
    """What the jobs of one bundle have in common. A file that several jobs need is sent once, as `shared/N`.

    Attributes:
        uses: how often each input file occurs in the jobs.
        alone: whether the job that is being made is the only one of its batch.
        files: path in the bundle → local path.
        packer: of all functions.
    """

    uses: Mapping[Path, int] = field(default_factory=dict)
    alone: bool = True
    files: dict[str, Path] = field(default_factory=dict)
    packer: Packer = field(default_factory=Packer)
    _paths: dict[Path, str] = field(default_factory=dict)
    _first_lines: dict[Path, bytes] = field(default_factory=dict)

    def first_line(self, script: Path) -> bytes:
        """The first line of a script. It is read once for all jobs."""
        if script not in self._first_lines:
            with script.open("rb") as file:
                self._first_lines[script] = file.readline(_LONGEST_FIRST_LINE)
        return self._first_lines[script]

    def is_for_one(self, path: Path) -> bool:
        """Whether only one job of a larger batch needs this small file: then it travels with that job's own files."""
        if self.alone or self.uses.get(path) != 1:
            return False
        try:
            status = path.stat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size <= SMALL_BYTES

    def path_of(self, path: Path) -> str:
        """The path in the bundle of a local file or folder; the job's script has its first part as a variable."""
        if path not in self._paths:
            self._paths[path] = f"shared/{len(self._paths)}"
            self.files[self._paths[path]] = path
        return self._paths[path]


@dataclass(frozen=True)
class Payload:
    """What one job adds to its script.

    Attributes:
        command: sh text. Its last command replaces the shell.
        files: name in the control folder → content, or the local path of a file of the user.
        image: the container image, or None.
        python: the minor version of Python that its pickle needs, a blank, and why it is pickled; or empty.
        pickled: whether its params are inside its pickle.
    """

    command: str = field(repr=False)
    files: Mapping[str, bytes | Path] = field(default_factory=dict, repr=False)
    image: str | None = None
    python: str = ""
    pickled: bool = False


def payload_of(job: Job, site: Site, shared: Shared) -> Payload:
    """How a job is started on a site.

    Args:
        job: of any type.
        site: where it runs.
        shared: what the jobs of its bundle have in common; files that it needs are added.

    Raises:
        JobError: its command, arguments, function or files cannot be sent as they are.
    """
    makers = {JobType.SCRIPT: _script, JobType.CONTAINER: _container, JobType.FUNCTION: _function}
    made = makers[job.job_type](job, site, shared)
    if not job.input_files:
        return made
    own = [path for path in job.input_files.values() if shared.is_for_one(path)]
    paths = {path: f"control/in/{number}" for number, path in enumerate(own)}
    staged = [_stage_in(name, paths.get(path) or shared.path_of(path)) for name, path in job.input_files.items()]
    if (
        site.is_local and not job.runs_apart
    ):  # later submissions find out from it which files in the working_dir are such copies
        staged.insert(0, f"printf '%s\\0' {' '.join(map(quote, job.input_files))} >\"$control/inputs\"")
    files = {**made.files, **{f"in/{number}": path for number, path in enumerate(own)}}
    return replace(made, command="\n  ".join([*staged, made.command]), files=files)


def input_paths(jobs: Iterable[Job]) -> Mapping[Path, int]:
    """How often each input file occurs in the jobs. Scripts count too."""
    uses = Counter(path for job in jobs for path in job.input_files.values())
    uses.update(Path(job.script_path) for job in jobs if job.script_path is not None)
    return uses


def _stage_in(name: str, source: str) -> str:
    """Copies an input file to the job's folder. Each job has its own copy, because it may change its inputs."""
    folder = str(PurePosixPath(name).parent)
    make = "" if folder == "." else f"mkdir -p ./{quote(folder)} && "
    copy = f'{make}rm -rf ./{quote(name)} && cp -R "${source}" ./{quote(name)}'
    return f'{{ {copy}; }} || cannot_start "the input files cannot be copied to $dir"'


def _script(job: Job, site: Site, shared: Shared) -> Payload:
    path = Path(job.script_path or "")
    first_line = shared.first_line(path)
    if first_line.startswith(b"#!") and first_line.endswith(b"\r\n"):
        raise JobError(
            f"job {job.job_id!r}: {job.script_path!r} has Windows line ends: the interpreter in its '#!' line would not"
            " be found; convert it (dos2unix)"
        )
    what = f"job {job.job_id!r}: arguments"
    arguments = "".join(f" {quote(word)}" for word in command.words(job.arguments, job.params, what=what))
    guard, start = _interpreter(path, first_line, site)
    return Payload(f'{guard}exec {start}"${shared.path_of(path)}"{arguments}')


def _interpreter(path: Path, first_line: bytes, site: Site) -> tuple[str, str]:
    """The interpreter of a script: a check that it exists, and the words that come before the script's path.

    A ``.py`` file gets the site's Python, whatever its first line is: that line was written for this machine.
    """
    if path.suffix == ".py":
        return _guard(python_of(site), why=_NO_PYTHON), f"{python_of(site)} "
    if not first_line.startswith(b"#!"):
        return "", "bash "
    words = first_line[2:].decode("utf-8", "replace").split()
    named = words[1] if len(words) == 2 and words[0].endswith("/env") else "".join(words[:1])
    return _guard(quote(named), why="the first line of the script names it"), ""


_NO_PYTHON = "the site's python or modules are wrong"
_PYTHON_IN_IMAGE = """\
command -v python3 >/dev/null 2>&1 || {
  echo "there is no python3 in the container image" >"${0%/*}/cannot"
  exit 72
}
"""


def _guard(program: str, *, why: str) -> str:
    """Checks that a program exists. Without the check, the shell's error would name the script, or nothing."""
    return f'command -v {program} >/dev/null 2>&1 || cannot_start "there is no" {program} "on $(uname -n): {why}"\n  '


def _container(job: Job, site: Site, shared: Shared) -> Payload:
    image = job.container_image or ""
    if job.container_command is None:
        return Payload(container.run_script(job, site), image=image)
    text = command.fill(job.container_command, job.params, what=f"job {job.job_id!r}: container_command")
    return Payload(container.inside(site, text), {"environment.sh": container.environment(job, site)}, image)


def _function(job: Job, site: Site, shared: Shared) -> Payload:
    if job.function is None:
        raise JobError(f"job {job.job_id!r}: it has no function")
    packed = shared.packer.pack(job.function, job.params, job_id=job.job_id)
    trust = " --pickle-results" if site.trust_pickles else ""
    needs = "" if packed.python is None else f"{packed.python[0]}.{packed.python[1]} job {job.job_id!r}: {packed.why}"
    if job.container_image:
        files = {**packed.files, "environment.sh": container.environment(job, site)}
        run = f'{_PYTHON_IN_IMAGE}exec python3 -u "${{0%/*/*}}/run_function.py" "${{0%/*}}"{trust}'
        return Payload(container.inside(site, run), files, job.container_image, pickled=packed.how == "pickle")
    python = python_of(site)
    start = f'exec {python} -u "$bundle/run_function.py" "$bundle/$element"{trust}'
    return Payload(_guard(python, why=_NO_PYTHON) + start, packed.files, python=needs, pickled=packed.how == "pickle")
