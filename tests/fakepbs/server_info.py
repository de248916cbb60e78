"""The output of ``qstat -B -f`` and ``qstat -Q -f``: the server and its queues."""

from __future__ import annotations

from pathlib import Path

from .resources import MOST_ELEMENTS

_SERVER = {
    "server_state": "Active", "scheduling": "True", "default_queue": "workq", "query_other_jobs": "True",
    "max_array_size": str(MOST_ELEMENTS), "pbs_version": "23.06.06",
}  # fmt: skip
_QUEUES = {
    "workq": {"enabled": "True", "started": "True"},
    "closedq": {"enabled": "False", "started": "True"},
    "limitq": {"resources_max.ncpus": "4", "resources_max.walltime": "00:10:00", "enabled": "True", "started": "True"},
    "stoppedq": {"enabled": "True", "started": "False"},
}


def server(name: str, home: Path) -> str:
    """``qstat -B -f``."""
    history = {} if (home / "nohistory").exists() else {"job_history_enable": "True"}
    return _block("Server", name, {**_SERVER, **history})


def queues() -> str:
    """``qstat -Q -f``."""
    return "".join(_block("Queue", name, {"queue_type": "Execution", **values}) for name, values in _QUEUES.items())


def _block(kind: str, name: str, values: dict[str, str]) -> str:
    lines = [f"    {key} = {value}\n" for key, value in values.items()]
    return f"{kind}: {name}\n{''.join(lines)}\n"
