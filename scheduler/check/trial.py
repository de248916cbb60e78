"""Trial jobs: one small job of each type is submitted, followed, collected and checked. No local files are kept."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from scheduler.check.finding import Finding, failed, ok
from scheduler.check.machine import runtime_missing
from scheduler.engine.adopt.adoption import TRIAL_FOLDER
from scheduler.errors import ConfigError, SchedulerError, WaitTimeout
from scheduler.job.job import Job, JobType
from scheduler.job.resources import Resources
from scheduler.job.state import JobState
from scheduler.ledger.ledger import Ledger
from scheduler.quoting import quote
from scheduler.runner import Runner
from scheduler.site.site import Site
from scheduler.transports.base import Transport

WALLTIME = timedelta(minutes=5)
_OUTPUT = "mark.txt"
_READ_BYTES = 10_000
# In a module outside this package, so that it is sent as source: the remote Python may be of any version.
_FUNCTION = """\
import os
import sys


def trial(mark):
    with open("mark.txt", "w") as file:
        file.write(mark)
    return {"python": "%d.%d.%d" % sys.version_info[:3], "host": os.uname()[1]}
"""


@dataclass(frozen=True)
class _Trial:
    """A trial job.

    Attributes:
        name: of its type, for the finding.
        mark: what its output must contain.
        describe: called with its results (and its standard output as ``_stdout``); returns the end of the finding.
    """

    name: str
    job: Job
    mark: str
    describe: Callable[[Mapping[str, Any]], str]


def run_trial_jobs(site: Site, transport: Transport, *, image: str | None, timeout: float) -> list[Finding]:
    """Submit trial jobs together, wait for all of them, and check each. Unfinished ones are cancelled at the end.

    Args:
        site: the site to check.
        transport: the connection to it.
        image: the remote path of a container image; without it, no container job is run.
        timeout: seconds to wait for the jobs.
    """
    with _folder(site) as folder:
        try:
            trials = _trials(site, folder, image)
            runner = Runner(site, ledger=Ledger(folder / "ledger"), transport=transport)
            return list(_run(runner, trials, timeout))
        except SchedulerError as error:
            do = "see the message; jobs named check-… may remain in the queue, each with a walltime of 5 minutes"
            return [failed("jobs", str(error), do)]


def _run(runner: Runner, trials: list[_Trial], timeout: float) -> Iterator[Finding]:
    jobs = [trial.job for trial in trials]
    late = ""
    try:
        runner.submit(jobs)
        runner.wait(jobs, timeout=timeout)
    except WaitTimeout:
        late = f"not finished after {timeout:g} s; it was cancelled"
    finally:
        unfinished = [job for job in jobs if job.queued or job.is_running()]
        if unfinished:
            with contextlib.suppress(SchedulerError):
                runner.cancel(unfinished)
    for trial in trials:
        yield from _findings(trial, late, runner.site)


def _findings(trial: _Trial, late: str, site: Site) -> Iterator[Finding]:
    """The findings about one trial job. `late`: why an unfinished one is unfinished."""
    job, name = trial.job, f"job: {trial.name}"
    if late and not job.final:
        do = "if the queue is busy, allow more time (--timeout) or set another queue: in the site file"
        yield failed(name, f"{job.status}: {late}", do)
        return
    if job.status.state is not JobState.COMPLETED:
        error = job.error or job.status.reason or str(job.status)
        yield failed(name, str(error), "see the end of its output; scheduler render prints the script of a job")
        return
    local = Path(job.working_dir) / _OUTPUT
    if not local.is_file() or _beginning(local).strip() != trial.mark:
        words = f"the job completed, but the local {_OUTPUT} does not have the content that the job wrote"
        yield failed(name, words, "report this as a bug of scheduler")
        return
    description = trial.describe({**job.results, "_stdout": _stdout(job)})
    yield ok(name, f"submitted, completed and collected{': ' if description else ''}{description}")
    if trial.name == "script":
        yield from _node_findings(job, site)


def _node_findings(job: Job, site: Site) -> Iterator[Finding]:
    """What the trial script found on the compute node."""
    for line in _stdout(job).splitlines():
        kind, _, rest = line.partition("\t")
        code, _, words = rest.partition("\t")
        if kind == "container" and code == "0":
            yield ok("container", f"{words.strip()} (on a compute node)")
        elif kind == "container":
            yield runtime_missing(f"{words.strip() or 'cannot be run'} (on a compute node)", site)


def _stdout(job: Job) -> str:
    return _beginning(Path(job.stdout)) if job.stdout else ""


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_READ_BYTES).decode("utf-8", "replace")


def _trials(site: Site, folder: Path, image: str | None) -> list[_Trial]:
    mark = secrets.token_hex(4)
    longest = site.limits.walltime or WALLTIME
    resources = Resources(walltime=min(WALLTIME, longest), cpus=1)
    script = folder / "trial.sh"
    script.write_text(_script(site), encoding="utf-8")

    def new_job(name: str, kind: JobType, **more: Any) -> Job:
        job_id, outputs = f"check-{name}-{mark}", [_OUTPUT]
        return Job(job_id, kind, working_dir=folder / name, output_files=outputs, resources=resources, **more)

    of_script = new_job("script", JobType.SCRIPT, script_path=script, arguments=[mark])
    of_function = new_job("function", JobType.FUNCTION, function=_function(folder), params={"mark": mark})
    trials = [
        _Trial("script", of_script, mark, _describe_script),
        _Trial(
            "function", of_function, mark, lambda results: f"Python {results.get('python')} on {results.get('host')}"
        ),
    ]
    if image is not None:
        command = f"printf %s {{{{ mark }}}} >{_OUTPUT}"
        of_container = new_job(
            "container", JobType.CONTAINER, container_image=image, container_command=command, params={"mark": mark}
        )
        trials.append(_Trial("container", of_container, mark, lambda _: image))
    return trials


def _describe_script(results: Mapping[str, Any]) -> str:
    return f"on {str(results['_stdout']).partition(chr(10))[0]}"


def _script(site: Site) -> str:
    """A script that writes its argument to the output and looks for the container runtime on the compute node."""
    runtime, modules = quote(site.container.runtime), " ".join(map(quote, site.container.modules))
    load = f"command -v module >/dev/null 2>&1 || . /etc/profile; module load {modules} && " if modules else ""
    return f"""\
#!/bin/sh
uname -n
printf %s "$1" >{_OUTPUT}
words=$( ({load}{runtime} --version) 2>&1 | tail -n 1)
code=1
({load}command -v {runtime}) >/dev/null 2>&1 && code=0
printf 'container\\t%s\\t%s\\n' "$code" "$words"
"""


def _function(folder: Path) -> Callable[..., Any]:
    name = f"scheduler_check_{secrets.token_hex(4)}"
    path = folder / f"{name}.py"
    path.write_text(_FUNCTION, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # `inspect` needs it to find the source
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.trial
    return function


@contextmanager
def _folder(site: Site) -> Iterator[Path]:
    """A temporary folder. For local transport it is in the current directory: jobs run there, on compute nodes too."""
    parent = Path.cwd() if site.is_local else None
    folder = Path(tempfile.mkdtemp(prefix=TRIAL_FOLDER, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
