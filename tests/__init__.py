"""All tests. The folders mirror those of the package; what else there is has a docstring or a README of its own."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout."""
CASES = ROOT / "tests" / "cases"
"""What real batch systems printed, and ledgers that earlier versions wrote."""

# Functions that tests send as jobs are top-level modules, since of a module in a package the whole package is sent.
sys.path.append(str(ROOT / "tests" / "payloads"))
