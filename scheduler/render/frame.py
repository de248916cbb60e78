"""The files of a bundle that do not depend on a single job: marker, runtime scripts, the files of each batch.

A first submission (`bundle.py`) and a retry (`retry.py`) make them in the same way.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

import jinja2

from scheduler.batch.base import BatchSystem, text_of
from scheduler.batch.request import BatchRequest
from scheduler.render.grouping import Group, One, members_file
from scheduler.render.runtime.files import text
from scheduler.render.template import JobTemplate, check_includes, rendered

MARKER = ".scheduler"
"""The file that marks a remote folder as ours. Without it nothing in a folder is ever deleted."""
_LONGEST_LABEL = 40


def new_token() -> str:
    """Ten random characters (50 bits), so that no two submissions have the same token."""
    return "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(10))


def label(text: str) -> str:
    """The readable part of a batch's name: `text` in characters that every batch system accepts, a letter first."""
    slug = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-.")[:_LONGEST_LABEL]
    return slug if slug[:1].isalpha() else f"j{slug}"


def common_files(token: str, system: BatchSystem, *, functions: bool) -> dict[str, bytes]:
    """The files that every bundle of this batch system contains.

    Args:
        token: of the submission.
        system: the batch system.
        functions: whether one of the jobs is a Python function.

    Returns:
        Path in the bundle → content.
    """
    files = {
        MARKER: f"{token}\n".encode(),
        "harness.sh": "".join(map(text, ("options.sh", "family.sh", "glob.sh", "harness.sh"))).encode(),
        **{name: text_of(system.name, name).encode() for name in system.bundle_files},
    }
    if functions:
        files |= {name: text(name).encode() for name in ("run_function.py", "function_result.py")}
    return files | {"ends/.keep": b"", "guards/.keep": b""}


def batch_list(batches: Iterable[tuple[int, int, str]]) -> bytes:
    """``batches/list``: for each batch its first job, the number of its array tasks, and the path of its script."""
    return "".join(f"{first}\t{count}\t{script}\n" for first, count, script in batches).encode()


def batch_files(request: BatchRequest, group: Group[One]) -> dict[str, bytes]:
    """The files in the folder of one batch, beside its script."""
    folder, walltime = f"batches/{request.first}", request.resources.walltime
    files = {f"{folder}/name": f"{request.name}\n".encode()}
    if walltime is not None:
        files[f"{folder}/walltime"] = f"{int(walltime.total_seconds())}\n".encode()
    if group.packed:
        files[f"{folder}/members"] = members_file(group, request.first)
    return files


def dispatch_files(system: BatchSystem, *, packed: bool) -> dict[str, bytes]:
    """What the script of an array or pack sources to start the scripts of its jobs."""
    if packed:
        variables = f"core_variables='{' '.join(system.core_variables)}'\n"
        parts = map(text, ("options.sh", "family.sh", "element.sh", "pack.sh"))
        return {"pack.sh": "".join([variables, *parts]).encode()}
    return {"element.sh": (text("options.sh") + text("element.sh")).encode()}


def dispatch_script(
    template: jinja2.Template, directives: str, request: BatchRequest, job: JobTemplate, *, packed: bool
) -> bytes:
    """The script of an array or pack: the directives of the batch, then the start of each job's own script.

    Raises:
        ConfigError: the template fails, or does not extend a packaged template.
    """
    context = {"name": request.name, "array_first": request.first, "directives": directives, "packed": packed,
               "array": request.count > 1}  # fmt: skip
    script = rendered(template, context, job)
    check_includes(template, script, f'. "$bundle/{"pack" if packed else "element"}.sh"')
    return script.encode()
