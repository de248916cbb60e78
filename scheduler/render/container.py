"""How a container is started on the node: its image and binds, its environment, and the shell that runs in it."""

from __future__ import annotations

from scheduler.errors import JobError
from scheduler.job.job import Job
from scheduler.quoting import path_variables, quote, quote_path
from scheduler.render import command
from scheduler.site.site import Site

_IN_THE_CONTAINER = """\
: >"${0%/*}/starting"
unset BASH_ENV
. "$0"
! command -v bash >/dev/null 2>&1 || exec bash -o pipefail -c "$3" "$0" "$1" "$2"
exec sh -c "$3" "$0" "$1" "$2\""""
"""The first program in a container. It empties the file that says that the container has not started. Then bash runs
the command, or sh if the image has no bash; in bash a pipeline fails if one of its programs fails."""


def run_script(job: Job, site: Site) -> str:
    """Runs the image's own run script. The environment is passed in variables of the runtime, since no shell of ours
    runs in the container.

    Without ``--no-eval`` the runtime evaluates the values of these variables as shell text (observed on Apptainer
    1.4.5). Singularity before 3.10 does not have that option.
    """
    what = f"job {job.job_id!r}: arguments"
    arguments = "".join(f" {quote(word)}" for word in command.words(job.arguments, job.params, what=what))
    values = {**site.environment, **job.env_vars, "JOB_ID": job.job_id}
    modern = site.container.runtime == "apptainer"
    for name, value in values.items():
        if not modern and any(c in value for c in '$`\\"'):
            raise JobError(
                f'job {job.job_id!r}: singularity would execute the value of {name}, which has one of $ ` \\ "; '
                "give a container_command, whose environment is passed in another way"
            )
        if "\r\n" in value:  # observed on Apptainer 1.4.5
            raise JobError(
                f"job {job.job_id!r}: {site.container.runtime} would replace CR LF by LF in the value of {name}; "
                "give a container_command, whose environment is passed in another way"
            )
    prefix = f"{site.container.runtime.upper()}ENV_"
    exports = [f"export {prefix}{name}={quote(value)}" for name, value in sorted(values.items())]
    exports.append(f'export {prefix}JOB_DIR="$JOB_DIR" {prefix}JOB_PARAMS_FILE="$JOB_PARAMS_FILE"')
    verb = "run --no-eval" if modern else "run"
    start = f'{_guards(site)}{_starting(site, "run")}exec {_runtime(site, verb)} "$image"{arguments}'
    return "\n  ".join([*exports, start])


def inside(site: Site, text: str) -> str:
    """Runs `text` in a shell in the container. The environment is read from a file, so no process list shows it."""
    return (
        f'{_guards(site)}{_starting(site)}exec {_runtime(site, "exec")} "$image" sh -c {quote(_IN_THE_CONTAINER)} '
        f'"$bundle/$element/environment.sh" "$JOB_DIR" "$JOB_PARAMS_FILE" {quote(text)}'
    )


def _guards(site: Site) -> str:
    """Checks what the runtime would report in a way that names neither the cause nor the key of the site file."""
    folders = (
        'case $bundle$dir in *[:,]*) cannot_start "a folder with : or , in its name cannot be bound: $dir" ;; esac\n  '
    )
    return folders + "".join(variables_guard(bind, what="container.binds") for bind in site.container.binds)


def _starting(site: Site, *more: str) -> str:
    """Records that the container has not started. If the payload ends before it has, harness.sh makes the runtime's
    message the reason. No shell of ours runs in a container with its own run script: there only a message counts."""
    words = " ".join(quote(word) for word in more)
    lines = f'"{site.container.runtime} could not start the container on $(uname -n)" {words}'.rstrip()
    return f"printf '%s\\n' {lines} >\"$bundle/$element/starting\" 2>/dev/null\n  "


def variables_guard(path: str, *, what: str) -> str:
    """Checks that the variables in a remote path are set: the shell's own error would not become the job's reason."""
    checks = (
        f'[ -n "${{{name}:-}}" ] || cannot_start "{name} is not set on $(uname -n), but {what} uses it"\n  '
        for name in path_variables(path)
    )
    return "".join(checks)


def image_assignment(image: str) -> str:
    """Sets the variable `image`; variables and a leading ``~/`` in it are expanded on the node."""
    what = "container_image"
    return f"{variables_guard(image, what=what)}image={quote_path(image, what=what)}"


def _runtime(site: Site, verb: str) -> str:
    """``apptainer exec`` with the site's options. The bundle and the job's folder are bound; the latter is current."""
    options = [*map(quote, site.container.options)]
    options += [f"--bind {quote_path(bind, what='container.binds')}" for bind in site.container.binds]
    return " ".join([site.container.runtime, verb, *options, '--bind "$bundle" --bind "$dir" --pwd "$dir"'])


def environment(job: Job, site: Site) -> bytes:
    """sh text that sets the payload's environment in a container, even with ``--cleanenv``."""
    lines = [f"export JOB_ID={quote(job.job_id)}", 'export JOB_DIR="$1" JOB_PARAMS_FILE="$2"']
    values = {**site.environment, **job.env_vars}
    lines += [f"export {name}={quote(value)}" for name, value in sorted(values.items())]
    return ("\n".join(lines) + "\n").encode()
