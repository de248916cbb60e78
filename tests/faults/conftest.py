"""The sum of the counts of all tests of faults, which pytest prints at the end of the run."""

from __future__ import annotations

from collections.abc import Callable

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
