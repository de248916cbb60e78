"""One tiny job of each type goes all the way: submitted, waited for, brought home, looked at. Nothing stays here."""

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
from scheduler.check.machine import no_runtime
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
_SEEN = "seen.txt"
# Of a module that is no part of this package: so it goes as source, whatever Python is over there.
_FUNCTION = """\
import os
import sys


def look(word):
    with open("seen.txt", "w") as file:
        file.write(word)
    return {"python": "%d.%d.%d" % sys.version_info[:3], "host": os.uname()[1]}
"""


@dataclass(frozen=True)
class _Trial:
    """What a job is tried for, and what of its results is worth telling."""

    name: str
    job: Job
    word: str
    tell: Callable[[Mapping[str, Any]], str]


def try_jobs(site: Site, transport: Transport, *, image: str | None, timeout: float) -> list[Finding]:
    """Submit the jobs at once, wait for all, and say how each has fared. What goes on after `timeout` is cancelled."""
    with _folder(site) as folder:
        try:
            trials = _trials(site, folder, image)
            runner = Runner(site, ledger=Ledger(folder / "ledger"), transport=transport)
            return list(_tried(runner, trials, timeout))
        except SchedulerError as error:
            do = "what the message says; jobs called check-… may be left in the queue, for five minutes each"
            return [failed("jobs", str(error), do)]


def _tried(runner: Runner, trials: list[_Trial], timeout: float) -> Iterator[Finding]:
    jobs = [trial.job for trial in trials]
    late = ""
    try:
        runner.submit(jobs)
        runner.wait(jobs, timeout=timeout)
    except WaitTimeout:
        late = f"it had not ended after {timeout:g} s, and was cancelled"
    finally:
        left = [job for job in jobs if job.queued or job.is_running()]
        if left:
            with contextlib.suppress(SchedulerError):
                runner.cancel(left)
    for trial in trials:
        yield from _fared(trial, late, runner.site)


def _fared(trial: _Trial, late: str, site: Site) -> Iterator[Finding]:
    job, name = trial.job, f"job: {trial.name}"
    if job.status.state is not JobState.COMPLETED:
        if late and not job.final:
            words = f"{job.status}: {late}"
            yield failed(
                name, words, "a busy queue? Give it longer (--timeout), or another queue: scheduler sites show"
            )
            return
        error = (job.results or {}).get("error") or job.status.reason or str(job.status)
        yield failed(name, str(error), "what its last words say; scheduler render shows the script of a job")
        return
    home = Path(job.working_dir) / _SEEN
    if not home.is_file() or home.read_text(encoding="utf-8", errors="replace").strip() != trial.word:
        yield failed(name, f"it completed, and its file {_SEEN} holds something else", "this should not be: tell us")
        return
    told = trial.tell({**(job.results or {}), "_stdout": _stdout(job)})
    yield ok(name, f"submitted, ended and brought home{': ' if told else ''}{told}")
    if trial.name == "script":
        yield from _of_node(job, site)


def _of_node(job: Job, site: Site) -> Iterator[Finding]:
    """What the script saw on the compute node."""
    for line in _stdout(job).splitlines():
        kind, _, rest = line.partition("\t")
        code, _, words = rest.partition("\t")
        if kind == "container" and code == "0":
            yield ok("container", f"{words.strip()} (on a compute node)")
        elif kind == "container":
            yield no_runtime(f"{words.strip() or 'cannot be run'} (on a compute node)", site)


def _stdout(job: Job) -> str:
    path = (job.results or {}).get("stdout")
    return Path(path).read_text(encoding="utf-8", errors="replace")[:10_000] if path else ""


def _trials(site: Site, folder: Path, image: str | None) -> list[_Trial]:
    mark = secrets.token_hex(4)
    longest = site.limits.walltime or WALLTIME
    resources = Resources(walltime=min(WALLTIME, longest), cpus=1)
    script = folder / "look.sh"
    script.write_text(_script(site), encoding="utf-8")

    def made(name: str, kind: JobType, **more: Any) -> Job:
        return Job(
            f"check-{name}-{mark}", kind, working_dir=folder / name, output_files=[_SEEN], resources=resources, **more
        )

    trials = [
        _Trial("script", made("script", JobType.SCRIPT, script_path=script, arguments=[mark]), mark, _host_of_script),
        _Trial("function", made("function", JobType.FUNCTION, function=_function(folder), params={"word": mark}), mark,
               lambda results: f"Python {results.get('python')} on {results.get('host')}"),
    ]  # fmt: skip
    if image is not None:
        command = f"printf %s {{{{ word }}}} >{_SEEN}"
        job = made(
            "container", JobType.CONTAINER, container_image=image, container_command=command, params={"word": mark}
        )
        trials.append(_Trial("container", job, mark, lambda _: image))
    return trials


def _host_of_script(results: Mapping[str, Any]) -> str:
    return f"on {str(results['_stdout']).partition(chr(10))[0]}"


def _script(site: Site) -> str:
    """It leaves its argument in a file, and looks for the container runtime where jobs will need it."""
    runtime, modules = quote(site.container.runtime), " ".join(map(quote, site.container.modules))
    load = f"command -v module >/dev/null 2>&1 || . /etc/profile; module load {modules} && " if modules else ""
    return f"""\
#!/bin/sh
uname -n
printf %s "$1" >{_SEEN}
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
    sys.modules[name] = module  # where its source is looked for
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.look
    return function


@contextmanager
def _folder(site: Site) -> Iterator[Path]:
    """A folder of our own. Where jobs run in their working_dir, compute nodes must see it: it is made in this one."""
    at = Path.cwd() if site.is_local else None
    folder = Path(tempfile.mkdtemp(prefix="scheduler-check-", dir=at))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
