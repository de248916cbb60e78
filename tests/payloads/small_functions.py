"""Small functions that tests send as jobs. They are outside the package `tests`, since a package is sent as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable


def echo(x: int) -> dict[str, int]:
    """Return the parameter."""
    return {"x": x}


def half(z1: float) -> float:
    """Return half of the parameter."""
    return z1 / 2


def fail_first(runs: str) -> dict[str, int]:
    """Exit with 7 in the first run, return in the next one. `runs`: a file that gets a line for each run."""
    import sys

    with open(runs, "a") as file:  # noqa: PTH123
        file.write("run\n")
    if os.path.getsize(runs) < 5:  # noqa: PTH202
        sys.exit(7)
    return {"answer": 42}


def failing_first(runs: str) -> Callable[[], dict[str, int]]:
    """`fail_first` as a function that can only be pickled."""
    return lambda: fail_first(runs)


def representing(captured: object) -> Callable[[], str]:
    """A function that can only be pickled, since it captures a value."""
    return lambda: repr(captured)


def multiplying(factor: int) -> Callable[[int], int]:
    """A function that can only be pickled, since it captures a value."""
    return lambda x: factor * x
