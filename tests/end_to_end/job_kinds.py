"""The kinds of jobs that the tests run: for each, a function that makes a job with a chosen end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from job_payloads import SH, end, python_script
from scheduler import Job, JobType

from .sites import Target

Make = Callable[..., Job]
"""Called with a job_id, how the job is to end (see payloads.py), and further arguments of Job."""


def kinds(target: Target) -> dict[str, Make]:
    """Every kind of job that `target` can run, with the function that makes one."""
    made: dict[str, Make] = {"script": _sh_script}
    if target.python:
        made |= {"python script": _py_script, "function": _function}
    for image, what in zip(target.images, ("image", "sandbox"), strict=False):
        made[f"container from {what}"] = lambda job_id, how, image=image, **more: _container(job_id, how, image, **more)
        made[f"function in {what}"] = lambda job_id, how, image=image, **more: _function(
            job_id, how, container_image=image, **more
        )
    return made


def why_missing(kind: str, target: Target) -> str:
    """Why `target` cannot run jobs of that kind."""
    lacks = "Python" if kind in ("python script", "function") else "container image for tests"
    return f"no {lacks} on {target.site.name}"


def _sh_script(job_id: str, how: str, **more: Any) -> Job:
    path = Path("it's a $script.sh")
    path.write_text(SH)
    return Job(job_id, JobType.SCRIPT, script_path=path, arguments=["{{ how }}"], params={"how": how}, **more)


def _py_script(job_id: str, how: str, **more: Any) -> Job:
    path = Path("it's a `script`.py")
    path.write_text(python_script())
    return Job(job_id, JobType.SCRIPT, script_path=path, arguments=[how], **more)


def _container(job_id: str, how: str, image: str, **more: Any) -> Job:
    text = "set -- {{ how }}\n" + SH
    params = {"how": how}
    return Job(job_id, JobType.CONTAINER, container_image=image, container_command=text, params=params, **more)


def _function(job_id: str, how: str, **more: Any) -> Job:
    return Job(job_id, JobType.FUNCTION, function=end, params={"how": how}, **more)
