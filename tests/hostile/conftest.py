"""Counts the hostile values that the tests have tried, and prints the number at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

LEAST = 10_000
EVERYWHERE = {"cluster", "files", "folders", "inputs", "jobs", "replies", "screen", "secrets", "trust"}
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of all suites that has tried fewer values than the documentation promises."""
    counter = session.config.stash.get(_TRIED, Counter[str]())
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:  # a worker of pytest-xdist: the process that started it decides
        output["hostile"] = dict(counter)
        return
    if set(counter) >= EVERYWHERE and counter.total() < LEAST and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the numbers of a worker."""
    node.config.stash[_TRIED].update(getattr(node, "workeroutput", {}).get("hostile", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counter = config.stash.get(_TRIED, Counter[str]())
    if counter:
        parts = ", ".join(f"{kind} {number}" for kind, number in sorted(counter.items()))
        failed = len(terminalreporter.getreports("failed"))
        outcome = "see the failures" if failed else "none executed, none escaped"
        terminalreporter.write_line(f"hostile cases: {counter.total()} tried, {outcome} ({parts})")
