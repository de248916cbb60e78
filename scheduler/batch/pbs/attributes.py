"""The attributes of PBS jobs as qstat prints them in three forms: text in, attributes out. Their meaning: `pbs.py`.

Each form has its faults. Plain ``-f`` breaks lines in mid-word and leaves newlines of a value as they are. JSON is not
always JSON: backslashes, control characters and bytes that are not UTF-8 stand in it as they came. ``-F dsv`` escapes
them all, so it is the one that is asked for. A job that cannot be read is left out; others of the same answer are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

Attributes = Mapping[str, str]
"""Name → value, as ``Resource_List.walltime`` → ``01:00:00``; ``id`` is the job's own."""

_ATTRIBUTE = re.compile(r" {4}([A-Za-z_][A-Za-z0-9_.]*) = (.*)\Z", re.S)
_JSON_JOB = re.compile(r'\s*"(\d+(?:\[\d*\])?\.[^"]*)"\s*:\s*\{\s*\Z')
_JSON_PAIR = re.compile(r'\s*"([A-Za-z_][A-Za-z0-9_.]*)"\s*:\s*(.*)\Z', re.S)
_DSV = re.compile(r"Job Id: [^\s|~,;:]+(\S+?)Job_Name=")
_ESCAPED = re.compile(r"\\(.)", re.S)


def read_jobs(text: str) -> list[Attributes]:
    """The jobs of one answer of ``qstat -f``, in whichever form."""
    start = text.lstrip()
    if start.startswith("{"):
        return list(_read_json(start))
    lines = text.split("\n")
    bars = [found[1] for line in lines if (found := _DSV.match(line))]
    if bars or any(line.startswith("Job Id: ") and "|" in line for line in lines):
        return [read_dsv(line, *bars[:1]) for line in lines if line.startswith("Job Id: ")]
    return list(_read_plain(lines))


def read_dsv(line: str, bar: str = "|") -> dict[str, str]:
    """``Job Id: 1.host|key=value|…``: a bar, comma, backslash or newline in a value has a backslash before it."""
    end = re.escape(bar)
    fields = re.findall(rf"(?:{end})?((?:(?!{end})[^\\]|\\.)+)", line.rstrip("\r\n"), re.S)
    found: dict[str, str] = {}
    if fields and fields[0].startswith("Job Id: "):
        found["id"] = fields[0][8:].strip()
    for field in fields[1:]:
        key, sign, value = field.partition("=")
        if sign:
            found.setdefault(key, _ESCAPED.sub(_unescaped, value))
    return found


def _read_plain(lines: list[str]) -> Iterator[Attributes]:
    """``Job Id: 1.host``, then lines of ``name = value``: a tab goes on in mid-word, anything else was a newline."""
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
    """One pair a line, as both builds print it: what is no pair of ours belongs to a value that is not escaped.

    The last job of an answer that was cut off is left out: what is missing of it may be what matters.
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
    if len(text) > 1 and text[0] == text[-1] == '"':
        return _ESCAPED.sub(_unescaped, text[1:-1])
    return text


def _unescaped(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(match[1], match[1])
