"""What the tests of faults share: the sum of their counts, which is told at the end of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .campaign import Counts

_SUM = pytest.StashKey[Counts]()
Judge = Callable[[Counts], None]


@pytest.fixture
def judge(pytestconfig: pytest.Config) -> Judge:
    """Adds counts to the sum, and lets nothing pass that is not clean."""

    def judged(counts: Counts) -> None:
        pytestconfig.stash[_SUM] = pytestconfig.stash.get(_SUM, Counts()) + counts
        assert counts.clean, counts

    return judged


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The counts of all faulted campaigns."""
    total = config.stash.get(_SUM, None)
    if total is not None:
        terminalreporter.section("faults")
        terminalreporter.write_line(
            f"{total.campaigns} faulted campaigns: submissions tried {total.submitted}, "
            f"faults injected {total.faults}, lost {total.lost}, twice {total.twice}, "
            f"false states {total.false_states}, broken outputs {total.broken_outputs}"
        )
