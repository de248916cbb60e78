"""All tests. The folders mirror those of the package; what else there is has a docstring or a README of its own."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout."""
CASES = ROOT / "tests" / "cases"
"""What real batch systems printed, and ledgers that earlier versions wrote."""
