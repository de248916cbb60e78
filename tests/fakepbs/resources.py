"""The values of -l: checks them, with the messages and exit codes of real servers, and completes them."""

from __future__ import annotations

import re

from .command import Refusal

MOST_ELEMENTS = 10000
"""Of an array."""

_TIME = re.compile(r"\d+(:\d\d?){0,2}(\.\d+)?\Z")
_SIZE = re.compile(r"(\d+)([kmgtp]?)[bw]?\Z", re.I)
_PLACE = re.compile(r"(free|pack|scatter|vscatter)?(:?(excl|exclhost|shared))?(:?group=\w+)?\Z")
_IN_CHUNK = {"ncpus", "mem", "vmem", "mpiprocs", "ompthreads", "host", "vnode", "arch"}
_OF_JOB = {
    "walltime",
    "cput",
    "pcput",
    "pmem",
    "pvmem",
    "ncpus",
    "mem",
    "vmem",
    "nodes",
    "select",
    "place",
    "software",
    "file",
}
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def resources(items: list[str], more: set[str]) -> dict[str, str]:
    """The Resource_List of a job.

    Args:
        items: the values of -l.
        more: resources that the site has defined.

    Raises:
        Refusal: a resource is unknown or has a wrong value.
    """
    wanted: dict[str, str] = {}
    for item in items:
        for pair in _pairs(item):
            name, _, value = pair.partition("=")
            wanted.setdefault(name, value)
    for name, value in wanted.items():
        _check(name, value, wanted, more)
    if "nodes" in wanted:
        count, _, ppn = wanted.pop("nodes").partition(":ppn=")
        wanted["select"] = f"{count}:ncpus={ppn or 1}" + (f":mem={wanted.pop('mem')}" if "mem" in wanted else "")
    return _complete(wanted)


def _pairs(item: str) -> list[str]:
    """The parts of an item between commas."""
    return [part for part in item.split(",") if part]


def _check(name: str, value: str, wanted: dict[str, str], more: set[str]) -> None:
    if name not in _OF_JOB | more:
        raise Refusal(f"qsub: Unknown resource Resource_List.{name}\n", 187)
    if "select" in wanted and name in ("ncpus", "mem", "vmem"):
        raise Refusal(f'qsub: "-lresource=" cannot be used with "select" or "place", resource is: {name}\n', 5)
    if "select" in wanted and name == "nodes":
        raise Refusal("qsub: Cannot be used with select or place: nodes\n", 6)
    right = {
        "walltime": bool(_TIME.match(value)), "cput": bool(_TIME.match(value)), "mem": bool(_SIZE.match(value)),
        "pvmem": bool(_SIZE.match(value)), "place": bool(value) and bool(_PLACE.match(value)),
        "ncpus": value.isdigit(), "select": bool(re.match(r"\d+(:|\+|$)|[a-z_]+=", value)),
    }  # fmt: skip
    if not right.get(name, True):
        raise Refusal(f"qsub: Illegal attribute or resource value Resource_List.{name}\n", 166)
    if name == "select":
        for chunk in value.split("+"):
            for pair in chunk.split(":")[0 if "=" in chunk.split(":")[0] else 1 :]:
                _check_chunk(*pair.partition("=")[::2], more=more)


def _check_chunk(name: str, value: str, *, more: set[str]) -> None:
    if name not in _IN_CHUNK | more:
        raise Refusal(f"qsub: Unknown resource: {name}\n", 187)
    if (name == "mem" and not _SIZE.match(value)) or (name in ("ncpus", "mpiprocs") and not value.isdigit()):
        raise Refusal(f"qsub: Illegal attribute or resource value select.{name}\n", 166)


def _complete(wanted: dict[str, str]) -> dict[str, str]:
    given = "select" in wanted
    wanted.setdefault(
        "select", f"1:ncpus={wanted.get('ncpus', '1')}" + (f":mem={wanted['mem']}" if "mem" in wanted else "")
    )
    wanted.setdefault("place", "free" if given else "pack")
    nodes = cpus = size = 0
    for chunk in wanted["select"].split("+"):
        count, pairs = chunk_of(chunk)
        nodes += count
        cpus += count * int(pairs.get("ncpus", "1"))
        size += count * size_in_bytes(pairs.get("mem", "0"))
    wanted |= {"ncpus": str(cpus), "nodect": str(nodes)}
    if size:
        wanted["mem"] = written(size)
    if "walltime" in wanted:
        wanted["walltime"] = clock(seconds(wanted["walltime"]))
    return dict(sorted(wanted.items()))


def chunk_of(text: str) -> tuple[int, dict[str, str]]:
    """``2:ncpus=4:mem=1gb`` → 2, and the resources of each chunk."""
    head, *pairs = text.split(":")
    if not head.isdigit():
        head, pairs = "1", [head, *pairs]
    return int(head), dict(pair.split("=", 1) for pair in pairs)


def size_in_bytes(text: str) -> int:
    """``512mb`` → 536870912."""
    found = _SIZE.match(text)
    return int(found[1]) * 1024 ** _POWERS[found[2].lower()] if found else 0


def written(size: int) -> str:
    """A size in the largest unit of which it is a multiple."""
    for unit in "tgmk":
        if size % 1024 ** _POWERS[unit] == 0:
            return f"{size // 1024 ** _POWERS[unit]}{unit}b"
    return f"{size}b"


def seconds(text: str) -> int:
    """``01:00:00``, ``05:00``, ``90`` or ``1.5`` in seconds."""
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return int(total)


def clock(total: float) -> str:
    """Seconds as ``01:00:00``."""
    whole = int(total)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
