"""The three forms of ``qstat -f`` (plain, JSON, dsv) as attributes of jobs. Only tests need the first two.

Each form has faults. Plain ``-f`` breaks lines inside words and prints newlines of a value unescaped. JSON is not
always JSON: backslashes, control characters and bytes that are not UTF-8 are printed unescaped. A job that cannot be
read is left out; the other jobs of the same answer are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from scheduler.batch.pbs.attributes import Attributes, read_dsv, unescaped

_ATTRIBUTE = re.compile(r" {4}([A-Za-z_][A-Za-z0-9_.]*) = (.*)\Z", re.S)
_JSON_JOB = re.compile(r'\s*"(\d+(?:\[\d*\])?\.[^"]*)"\s*:\s*\{\s*\Z')
_JSON_PAIR = re.compile(r'\s*"([A-Za-z_][A-Za-z0-9_.]*)"\s*:\s*(.*)\Z', re.S)
_DSV = re.compile(r"Job Id: [^\s|~,;:]+(\S+?)Job_Name=")


def read_jobs(text: str) -> list[Attributes]:
    """The jobs in one answer of ``qstat -f``, in any of the three forms."""
    start = text.lstrip()
    if start.startswith("{"):
        return list(_read_json(start))
    lines = text.split("\n")
    delimiters = [found[1] for line in lines if (found := _DSV.match(line))]
    if delimiters or any(line.startswith("Job Id: ") and "|" in line for line in lines):
        return [read_dsv(line, *delimiters[:1]) for line in lines if line.startswith("Job Id: ")]
    return list(_read_plain(lines))


def _read_plain(lines: list[str]) -> Iterator[Attributes]:
    """``Job Id: 1.host``, then lines of ``name = value``: a tab continues the value, anything else was a newline."""
    jobs: list[dict[str, str]] = []
    name = ""
    for line in lines:
        attribute = _ATTRIBUTE.match(line)
        if line.startswith("Job Id: "):
            jobs.append({"id": line[8:]})
            name = ""
        elif jobs and attribute and attribute[1] not in jobs[-1]:
            name = attribute[1]
            jobs[-1][name] = attribute[2]
        elif name:
            jobs[-1][name] += line[1:] if line.startswith("\t") else f"\n{line}"
    return ({key: value.strip("\n") for key, value in job.items()} for job in jobs)


def _read_json(text: str) -> Iterator[Attributes]:
    try:
        answer = json.loads(text, strict=False)
    except ValueError:
        yield from _read_broken_json(text.split("\n"))
        return
    jobs = answer.get("Jobs") if isinstance(answer, dict) else None
    for job_id, values in jobs.items() if isinstance(jobs, dict) else ():
        if isinstance(values, dict):
            yield {"id": str(job_id), **_flat(values)}


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = str(value)
    return found


def _read_broken_json(lines: list[str]) -> Iterator[Attributes]:
    """One pair a line, as both builds print it. A line that is not a pair belongs to a value that is not escaped.

    The last job of a truncated answer is left out: the missing part may be what matters.
    """
    whole = [line.strip() for line in lines if line.strip()][-2:] == ["}", "}"]
    job: dict[str, str] = {}
    group = ""
    for line in lines:
        head, pair = _JSON_JOB.match(line), _JSON_PAIR.match(line)
        if head:
            if job:
                yield job
            job, group = {"id": head[1]}, ""
        elif line.strip().rstrip(",") == "}":
            group = ""
        elif pair and pair[2].strip() == "{":
            group = f"{pair[1]}."
        elif pair and job:
            job.setdefault(group + pair[1], _bare(pair[2]))
    if job and whole:
        yield job


def _bare(text: str) -> str:
    text = text.strip().removesuffix(",")
    return unescaped(text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text
