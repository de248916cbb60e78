"""How many cases of one kind the tests try: some in `make test`, all in `make soak`, which sets SCHEDULER_TEST_ALL.

Every promise has its test in `make test`. What only repeats it (more seeds, more places of a cut, the same answer of a
second build or of a third shell) is left to `make soak`.
"""

from __future__ import annotations

import os

ALL = os.environ.get("SCHEDULER_TEST_ALL") == "yes"


def amount(some: int, *, soak: int) -> int:
    """The number of cases of this run: `some`, or `soak` if all are tried."""
    return soak if ALL else some
