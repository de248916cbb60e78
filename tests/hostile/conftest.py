"""Counts the hostile cases that were tried, and says so in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

_TRIED = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(_TRIED, Counter())


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[[int], None]:
    """Called with the number of hostile values that a test has just tried."""
    kind = request.module.__name__.rpartition("test_")[2]
    counter = request.config.stash.setdefault(_TRIED, Counter())

    def count(number: int = 1) -> None:
        counter[kind] += number

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counter = config.stash.get(_TRIED, Counter[str]())
    if counter:
        parts = ", ".join(f"{kind} {number}" for kind, number in sorted(counter.items()))
        terminalreporter.write_line(f"hostile cases: {counter.total()} tried, none executed, none escaped ({parts})")
