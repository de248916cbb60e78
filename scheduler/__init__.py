"""Submit jobs to batch systems over SSH, follow them, bring their outputs home.

The public names and nothing else. They are imported when first used, so that ``import scheduler`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scheduler.errors import (
        BatchError,
        ConfigError,
        JobError,
        LedgerError,
        OutputError,
        SchedulerError,
        TransportError,
        WaitTimeout,
    )
    from scheduler.job.job import Job, JobType
    from scheduler.job.resources import Resources, Retry
    from scheduler.job.state import Cause, JobState, Status
    from scheduler.runner import Runner
    from scheduler.site.site import Site

__version__ = "0.1.0"

_HOMES = {
    "Job": "scheduler.job.job",
    "JobType": "scheduler.job.job",
    "JobState": "scheduler.job.state",
    "Cause": "scheduler.job.state",
    "Status": "scheduler.job.state",
    "Resources": "scheduler.job.resources",
    "Retry": "scheduler.job.resources",
    "Runner": "scheduler.runner",
    "Site": "scheduler.site.site",
    "SchedulerError": "scheduler.errors",
    "ConfigError": "scheduler.errors",
    "JobError": "scheduler.errors",
    "TransportError": "scheduler.errors",
    "BatchError": "scheduler.errors",
    "LedgerError": "scheduler.errors",
    "OutputError": "scheduler.errors",
    "WaitTimeout": "scheduler.errors",
}

__all__ = [
    "BatchError",
    "Cause",
    "ConfigError",
    "Job",
    "JobError",
    "JobState",
    "JobType",
    "LedgerError",
    "OutputError",
    "Resources",
    "Retry",
    "Runner",
    "SchedulerError",
    "Site",
    "Status",
    "TransportError",
    "WaitTimeout",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scheduler' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
