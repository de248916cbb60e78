"""Submit jobs to batch systems over SSH, follow them to their end, and download their outputs.

This module has the public names. They are imported when first used, so that ``import scheduler`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scheduler.errors import (
        BatchError,
        ConfigError,
        JobError,
        JobFailed,
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

_MODULES = {
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
    "JobFailed": "scheduler.errors",
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
    "JobFailed",
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
    if name not in _MODULES:
        raise AttributeError(f"module 'scheduler' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
