"""One job's command: how its script, container or function is started over there, and the files that it needs."""

from __future__ import annotations

import stat
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from scheduler.errors import JobError
from scheduler.job.job import Job, JobType
from scheduler.quoting import quote, quote_path
from scheduler.render import command
from scheduler.render.array_files import SMALL_BYTES
from scheduler.render.function.pack import pack_function
from scheduler.site.site import Site


@dataclass
class Shared:
    """Files of the user that go once, however many jobs need them: `shared/N` in the bundle.

    Attributes:
        uses: in how many places of the jobs each input file stands.
        alone: the job that is made now has a batch of its own.
    """

    uses: Mapping[Path, int] = field(default_factory=dict)
    alone: bool = True
    files: dict[str, Path] = field(default_factory=dict)
    _places: dict[Path, str] = field(default_factory=dict)
    _first_lines: dict[Path, bytes] = field(default_factory=dict)

    def first_line(self, script: Path) -> bytes:
        """Of a script that many may have."""
        if script not in self._first_lines:
            with script.open("rb") as file:
                self._first_lines[script] = file.readline()
        return self._first_lines[script]

    def is_for_one(self, path: Path) -> bool:
        """A small file that one job alone needs, of several that are submitted together: it goes with the job's own."""
        if self.alone or self.uses.get(path) != 1:
            return False
        try:
            status = path.stat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size <= SMALL_BYTES

    def place(self, path: Path) -> str:
        """Where a file or folder here will be in the bundle: a path whose first part is a variable of the script."""
        if path not in self._places:
            self._places[path] = f"shared/{len(self._places)}"
            self.files[self._places[path]] = path
        return self._places[path]


@dataclass(frozen=True)
class Payload:
    """What one job adds to its script.

    Attributes:
        command: sh text; its last command replaces the shell.
        files: name in the control folder → content, or the path here of a file of the user.
        image: the container image, or None.
        python: the minor version of Python that its pickle needs on the site, or empty.
        pickled: its params travel inside its pickle.
    """

    command: str
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    image: str | None = None
    python: str = ""
    pickled: bool = False


def payload_of(job: Job, site: Site, shared: Shared) -> Payload:
    """How `job` is started on `site`.

    Raises:
        JobError: its command, arguments, function or files cannot be sent as they are.
    """
    makers = {JobType.SCRIPT: _script, JobType.CONTAINER: _container, JobType.FUNCTION: _function}
    made = makers[job.job_type](job, site, shared)
    if not job.input_files:
        return made
    own = [path for path in job.input_files.values() if shared.is_for_one(path)]
    places = {path: f"control/in/{number}" for number, path in enumerate(own)}
    staged = [_stage_in(name, places.get(path) or shared.place(path)) for name, path in job.input_files.items()]
    files = {**made.files, **{f"in/{number}": path for number, path in enumerate(own)}}
    return replace(made, command="\n  ".join([*staged, made.command]), files=files)


def input_paths(jobs: Iterable[Job]) -> Mapping[Path, int]:
    """In how many places of the jobs each input file stands; a script counts as one that many need."""
    uses = Counter(path for job in jobs for path in job.input_files.values())
    uses.update(Path(job.script_path) for job in jobs if job.script_path is not None)
    return uses


def _stage_in(name: str, place: str) -> str:
    """A copy of its own for each job: it may change its inputs."""
    folder = str(PurePosixPath(name).parent)
    make = "" if folder == "." else f"mkdir -p ./{quote(folder)} && "
    copy = f'{make}rm -rf ./{quote(name)} && cp -R "${place}" ./{quote(name)}'
    return f'{{ {copy}; }} || cannot_start "the input files cannot be copied to $dir"'


def _script(job: Job, site: Site, shared: Shared) -> Payload:
    path = Path(job.script_path or "")
    first_line = shared.first_line(path)
    if first_line.startswith(b"#!") and first_line.endswith(b"\r\n"):
        raise JobError(
            f"job {job.job_id!r}: {job.script_path!r} has Windows line ends: its '#!' line names nobody over there"
        )
    what = f"job {job.job_id!r}: arguments"
    arguments = "".join(f" {quote(word)}" for word in command.words(job.arguments, job.params, what=what))
    guard, start = _interpreter(path, first_line, site)
    return Payload(f'{guard}exec {start}"${shared.place(path)}"{arguments}')


def python_of(site: Site) -> str:
    """The Python of the site, as a shell word. On this very machine, unless the site says otherwise, it is our own."""
    if site.is_local and "python" not in site.model_fields_set:
        return quote(sys.executable)
    return quote_path(site.python, what="python")


def _interpreter(path: Path, first_line: bytes, site: Site) -> tuple[str, str]:
    """A guard that says when it is not there, and the words before the script's own.

    A ``.py`` file gets the site's Python, whatever its first line says: that line was written for this machine.
    """
    if path.suffix == ".py":
        return _guard(python_of(site), why=_NO_PYTHON), f"{python_of(site)} "
    if not first_line.startswith(b"#!"):
        return "", "bash "
    words = first_line[2:].decode("utf-8", "replace").split()
    named = words[1] if len(words) == 2 and words[0].endswith("/env") else "".join(words[:1])
    return _guard(quote(named), why="the script's first line asks for it"), ""


_NO_PYTHON = "the site's python or modules are wrong"


def _guard(program: str, *, why: str) -> str:
    """Without it a shell says that the script is not found, or nothing at all."""
    return f'command -v {program} >/dev/null 2>&1 || cannot_start "there is no" {program} "on $(uname -n): {why}"\n  '


def _container(job: Job, site: Site, shared: Shared) -> Payload:
    image = job.container_image or ""
    if job.container_command is None:
        return Payload(_run_script(job, site), image=image)
    text = command.fill(job.container_command, job.params, what=f"job {job.job_id!r}: container_command")
    return Payload(_inside(site, text), {"environment.sh": _environment(job, site)}, image)


def _run_script(job: Job, site: Site) -> str:
    """The image's own run script. Its environment goes by variables of the runtime's own: no shell of ours is inside.

    Without ``--no-eval`` the runtime executes what it finds in their values (seen on Apptainer 1.4.5); singularity
    before 3.10 does not know that option.
    """
    what = f"job {job.job_id!r}: arguments"
    arguments = "".join(f" {quote(word)}" for word in command.words(job.arguments, job.params, what=what))
    values = {**site.environment, **job.env_vars, "JOB_ID": job.job_id}
    modern = site.container.runtime == "apptainer"
    for name, value in values.items():
        if not modern and any(c in value for c in '$`\\"'):
            raise JobError(
                f"job {job.job_id!r}: singularity would execute what {name} holds ({value!r:.60}); "
                "give a container_command, whose environment goes another way"
            )
        if "\r\n" in value:  # seen on Apptainer 1.4.5
            raise JobError(
                f"job {job.job_id!r}: {site.container.runtime} would make a plain line end of the CR LF in {name}; "
                "give a container_command, whose environment goes another way"
            )
    prefix = f"{site.container.runtime.upper()}ENV_"
    exports = [f"export {prefix}{name}={quote(value)}" for name, value in sorted(values.items())]
    exports.append(f'export {prefix}JOB_DIR="$JOB_DIR" {prefix}JOB_PARAMS_FILE="$JOB_PARAMS_FILE"')
    verb = "run --no-eval" if modern else "run"
    return "\n  ".join([*exports, f'{_binds_guard()}exec {_runtime(site, verb)} "$image"{arguments}'])


def _function(job: Job, site: Site, shared: Shared) -> Payload:
    if job.function is None:
        raise JobError(f"job {job.job_id!r}: has no function")
    packed = pack_function(job.function, job.params, job_id=job.job_id)
    trust = " --pickle-results" if site.trust_pickles else ""
    needs = "" if packed.python is None else f"{packed.python[0]}.{packed.python[1]}"
    if job.container_image:
        files = {**packed.files, "environment.sh": _environment(job, site)}
        run = f'exec python3 -u "${{0%/*/*}}/run_function.py" "${{0%/*}}"{trust}'
        return Payload(_inside(site, run), files, job.container_image, pickled=packed.how == "pickle")
    python = python_of(site)
    start = f'exec {python} -u "$bundle/run_function.py" "$bundle/$element"{trust}'
    return Payload(_guard(python, why=_NO_PYTHON) + start, packed.files, python=needs, pickled=packed.how == "pickle")


def _inside(site: Site, text: str) -> str:
    """`text` in a shell in the container. Its environment comes from a file: no option or process list shows it."""
    whole = quote(f'. "$0"\n{text}')
    return (
        f'{_binds_guard()}exec {_runtime(site, "exec")} "$image" sh -c {whole} '
        '"$bundle/$element/environment.sh" "$JOB_DIR" "$JOB_PARAMS_FILE"'
    )


def _binds_guard() -> str:
    return (
        'case $bundle$dir in *[:,]*) cannot_start "a folder with : or , in its name cannot be bound: $dir" ;; esac\n  '
    )


def _runtime(site: Site, verb: str) -> str:
    """`apptainer exec` with the site's options; the job's folders are bound and current."""
    options = [*map(quote, site.container.options)]
    options += [f"--bind {quote_path(bind, what='container.binds')}" for bind in site.container.binds]
    return " ".join([site.container.runtime, verb, *options, '--bind "$bundle" --bind "$dir" --pwd "$dir"'])


def _environment(job: Job, site: Site) -> bytes:
    """What the payload's environment is inside a container, even with ``--cleanenv``."""
    lines = [f"export JOB_ID={quote(job.job_id)}", 'export JOB_DIR="$1" JOB_PARAMS_FILE="$2"']
    values = {**site.environment, **job.env_vars}
    lines += [f"export {name}={quote(value)}" for name, value in sorted(values.items())]
    return ("\n".join(lines) + "\n").encode()
