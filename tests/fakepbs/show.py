"""Formats jobs as qstat prints them: two tables, plain attributes, JSON (not always valid) and dsv."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from .resources import size_in_bytes

_LINE = 79
_HEAD = """
{server}: 
{gap}Req'd  Req'd   Elap
"""  # noqa: W291  (qstat prints it so)


def as_table(jobs: list[Any]) -> str:
    """The table of qstat without -a."""
    lines = ["Job id            Name             User              Time Use S Queue",
             "----------------  ---------------- ----------------  -------- - -----"]  # fmt: skip
    for job_id, pairs in jobs:
        of = dict(pairs)
        used = of.get("resources_used.cput", "0")
        owner = of["Job_Owner"].partition("@")[0]
        start = f"{_cut(job_id, 16):<17} {_cut(of['Job_Name'], 16):<16} {owner:<16}"
        lines.append(f"{start}  {used:>8} {of['job_state']} {of['queue']:<16}")
    return "\n".join(lines) + "\n"


def as_wide_table(
    jobs: list[Any], server: str, states: str, *, wide: bool, comments: bool = False, nodes: bool = False
) -> str:
    """The table of qstat with -a, -u and similar options."""
    widths = (30, 15, 15, 15, 8, 4, 5, 6) if wide else (15, 8, 8, 10, 6, 3, 3, 6)
    titles = ("Job ID", "Username", "Queue", "Jobname", "SessID", "NDS", "TSK", "Memory")
    head = [f"{title:<{width}}" for title, width in zip(titles, widths, strict=True)]
    lines = [" ".join(head) + " Time  S Time", " ".join("-" * width for width in widths) + " ----- - -----"]
    for job_id, pairs in jobs:
        of = dict(pairs)
        if of["job_state"] not in states:
            continue
        lines.append(_row(job_id, of, widths) + (f" {of.get('exec_host', '  -- ')}" if nodes else ""))
        if comments:
            lines.append(f"   {of['comment']}" if of.get("comment") and of["job_state"] != "S" else "    -- ")
    gap = " " * (sum(widths) + 1)
    return _HEAD.format(server=server, gap=gap) + "\n".join(lines) + "\n"


def _row(job_id: str, of: dict[str, Any], widths: tuple[int, ...]) -> str:
    walltime = of.get("Resource_List.walltime")
    elapsed = of["resources_used.walltime"][:5] if "resources_used.walltime" in of else " -- "
    memory = _memory(of["Resource_List.mem"]) if "Resource_List.mem" in of else " -- "
    cells = (
        f"{_cut(job_id, widths[0]):<{widths[0]}}", f"{of['Job_Owner'].partition('@')[0]:<{widths[1]}}",
        f"{of['queue']:<{widths[2]}}", f"{_cut(of['Job_Name'], widths[3]):<{widths[3]}}",
        f"{of.get('session_id', '-- '):>{widths[4]}}",
        f"{of['Resource_List.nodect']:>{widths[5]}}", f"{of['Resource_List.ncpus']:>{widths[6]}}",
        f"{memory:>{widths[7]}}",
    )  # fmt: skip
    return " ".join(cells) + f" {walltime[:5] if walltime else ' -- ':>5} {of['job_state']} {elapsed:>5}"


def _memory(text: str) -> str:
    size = size_in_bytes(text)
    return f"{size // 2**30}gb" if size % 2**30 == 0 else f"{size // 2**20}mb"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}*"


def as_plain(jobs: list[Any], *, wide: bool) -> str:
    """The output of -f: lines of 79 characters, broken at commas or inside words."""
    parts = []
    for job_id, pairs in jobs:
        lines = [f"Job Id: {job_id}"]
        for name, value in pairs:
            head, text = f"    {name} = ", value_of(name, value)
            lines.append(head + (text if wide else _wrapped(text, len(head))))
        parts.append("\n".join(lines) + "\n\n")
    return "".join(parts)


def _wrapped(text: str, column: int) -> str:
    if column + len(text) < _LINE:
        return text
    return _at_commas(text, column) if "," in text else _anywhere(text, column)


def _anywhere(text: str, column: int) -> str:
    out = ""
    while column + len(text) >= _LINE:
        room = _LINE - column
        out += text[:room] + "\n\t"
        text, column = text[room:], 8
    return out + text


def _at_commas(text: str, column: int) -> str:
    """Break between the parts of a list; a part is broken only if it does not fit. Commas do not count."""
    out = ""
    for token in re.findall(r"[^,]*,|[^,]+", text):
        size = len(token.removesuffix(",").encode("utf-8", "surrogateescape"))
        if column + size >= _LINE - 2 and column > 8:
            out += "\n\t"
            column = 8
        out += _anywhere(token, column) if column + size >= _LINE else token
        column += size
    return out


def as_dsv(jobs: list[Any], bar: str) -> str:
    """One line per job; separators inside values have a backslash before them."""
    lines = []
    for job_id, pairs in jobs:
        cells = [f"{name}={_escaped(value_of(name, value), bar)}" for name, value in pairs]
        lines.append(bar.join([f"Job Id: {job_id}", *cells]))
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str, bar: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace(bar, f"\\{bar}")


def as_json(jobs: list[Any], server: str, *, master: bool) -> str:
    """JSON as the release prints it, or as master does. Without a job it has only the header."""
    top: dict[str, Any] = {"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": server}
    if jobs:
        top["Jobs"] = {job_id: _nested(pairs) for job_id, pairs in jobs}
    if not master:
        return json.dumps(top, indent=4, separators=(",", ":"), ensure_ascii=False) + ("\n" if jobs else "")
    text = json.dumps(top, indent="\t", separators=(",", ":\t"), ensure_ascii=False)
    return f"{text}\n"


def _nested(pairs: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        group, dot, inner = name.partition(".")
        if name == "Variable_List":
            found[name] = dict(value)
        elif dot:
            found.setdefault(group, {})[inner] = value
        else:
            found[name] = value_of(name, value) if isinstance(value, dict) else value
    return found


def value_of(name: str, value: Any) -> str:
    """A value as text; times in the time zone of the command."""
    if isinstance(value, dict):
        return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(value["time"]))
    if name == "Variable_List" and not isinstance(value, str):
        return ",".join(f"{key}={_listed(text)}" for key, text in value)
    return str(value)


def _listed(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,")
