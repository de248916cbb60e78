"""The sum of the counts of all tests of faults, which pytest prints at the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .campaign import Counts

_SUM = pytest.StashKey[Counts]()
Check = Callable[[Counts], None]


@pytest.fixture
def check_counts(pytestconfig: pytest.Config) -> Check:
    """Adds counts to the sum, and fails if they are not clean."""

    def checked(counts: Counts) -> None:
        pytestconfig.stash[_SUM] = pytestconfig.stash.get(_SUM, Counts()) + counts
        assert counts.clean, counts

    return checked


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist sends its counts to the process that prints them."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["faults"] = vars(session.config.stash.get(_SUM, Counts()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a worker."""
    counts = Counts(**getattr(node, "workeroutput", {}).get("faults", {}))
    if counts.campaigns:
        node.config.stash[_SUM] = node.config.stash.get(_SUM, Counts()) + counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the counts of all campaigns with faults."""
    total = config.stash.get(_SUM, None)
    if total is not None:
        terminalreporter.section("faults")
        terminalreporter.write_line(
            f"{total.campaigns} faulted campaigns: submissions tried {total.submitted}, "
            f"faults injected {total.faults}, lost {total.lost}, twice {total.twice}, "
            f"false states {total.false_states}, broken outputs {total.broken_outputs}, "
            f"cancelled but ran {total.cancelled_but_ran}"
        )
