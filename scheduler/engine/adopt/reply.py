"""What adopt.sh prints, as values. A job that cannot be read is left out; so is a bundle without any."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.engine.submit.jobs_file import JobsFile
from scheduler.errors import JobError
from scheduler.job.numerals import is_number
from scheduler.job.validation import checked_job_id, checked_patterns
from scheduler.transports.base import Reply

_LINE_BYTES = 64 << 20
_TYPES = ("function", "script", "container")
_LONGEST_CAMPAIGN = 200


@dataclass
class FoundBatch:
    """A batch: the number of its first job, how many, its name, whether it is packed, and what became of it.

    `outcome`: the exit code of the batch system's command, ``tried`` or ``never``. `words`: its output.
    """

    first: int
    count: int
    name: str
    packed: bool
    outcome: str
    words: str


@dataclass
class FoundBundle:
    """A bundle that the ledger does not know.

    Attributes:
        directive: how the directives of its script begin, such as ``#SBATCH``; empty: it has none.
        site, identity, batch_system: where it was submitted; empty: not known.
        created: seconds since 1970.
        jobs: as in `JobsFile`.
    """

    token: str
    folder: str
    directive: str
    functions: bool
    created: float
    site: str = ""
    identity: str = ""
    batch_system: str = ""
    batches: list[FoundBatch] = field(default_factory=list)
    jobs: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass
class AdoptReply:
    """The reply of a site: the tokens that the ledger knows, and the other bundles by token."""

    known: list[str] = field(default_factory=list)
    bundles: dict[str, FoundBundle] = field(default_factory=dict)


def read_adopt_reply(reply: Reply) -> AdoptReply:
    """Read the lines of adopt.sh."""
    found = AdoptReply()
    for line in reply.out.split("\n"):
        key, *values = line.split("\t")
        token = values[0] if values else ""
        if not (token.isascii() and token.isalnum()):
            continue
        if key == "known":
            found.known.append(token)
        elif key == "bundle" and len(values) == 5 and values[1].startswith("/"):
            created = float(values[4]) if is_number(values[4]) else 0.0
            found.bundles[token] = FoundBundle(token, values[1], values[2], values[3] == "function", created)
        elif token in found.bundles:
            _read_part(found.bundles[token], key, values[1:])
    return found


def _read_part(bundle: FoundBundle, key: str, values: Sequence[str]) -> None:
    if key == "batch" and len(values) >= 5 and is_number(values[0]) and is_number(values[1]):
        first, count, name, packed, outcome, *words = values
        words_text = " ".join(words)[:2000]
        bundle.batches.append(FoundBatch(int(first), int(count), name, packed == "packed", outcome, words_text))
    elif key == "jobs":
        _read_jobs_file(bundle, "\t".join(values))
    elif key == "job" and len(values) >= 4 and is_number(values[0]):
        bundle.jobs.extend(_job_of_scripts(bundle, values))


def _read_jobs_file(bundle: FoundBundle, text: str) -> None:
    try:
        file = JobsFile.read(text)
    except ValueError:
        return
    bundle.site, bundle.identity, bundle.batch_system = file.site, file.identity, file.batch_system
    bundle.created = file.created
    for job in file.jobs:
        bundle.jobs.extend(_checked(job))


def _checked(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The job, if its values are such as this program writes."""
    try:
        job_id = checked_job_id(job["job_id"])
        patterns = checked_patterns(json.loads(job["patterns"]), job_id)
        resources = json.loads(job["resources"])
    except (JobError, ValueError, TypeError, RecursionError):
        return
    campaign, earlier = job["campaign"], job["earlier"]
    sound = (
        isinstance(job["element"], int) and job["type"] in _TYPES and isinstance(resources, dict)
        and isinstance(job["working_dir"], str) and Path(job["working_dir"]).is_absolute()
        and "\0" not in job["working_dir"] and ".." not in Path(job["working_dir"]).parts
        and (campaign is None or (isinstance(campaign, str) and len(campaign) <= _LONGEST_CAMPAIGN))
        and (earlier is None or (isinstance(earlier, list) and len(earlier) == 2))
    )  # fmt: skip
    if sound:
        yield {**job, "patterns": json.dumps(patterns)}


def _job_of_scripts(bundle: FoundBundle, values: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """A job of a bundle of an earlier version, from the lines of its scripts."""
    element, _, job_line, folder_line, *outputs = values
    try:
        job_id = checked_job_id(_value(job_line))
        patterns = checked_patterns([shlex.split(line)[2] for line in outputs if line], job_id)
        folder = _value(folder_line)
    except (JobError, ValueError, IndexError):
        return
    name = next((batch.name for batch in bundle.batches if batch.first <= int(element)), "")
    working_dir = folder if Path(folder).is_absolute() and ".." not in Path(folder).parts else str(Path.cwd() / job_id)
    yield {
        "element": int(element), "job_id": job_id, "working_dir": working_dir, "patterns": json.dumps(patterns),
        "type": "function" if bundle.functions else "script", "resources": "{}", "earlier": None,
        "campaign": name.partition(f".{bundle.token}")[0] or None,
    }  # fmt: skip


def _value(assignment: str) -> str:
    """The value of a shell assignment that this program has written: ``JOB_ID='b 0'``."""
    [word] = shlex.split(assignment)
    return word.partition("=")[2]
