"""A package that only an annotation or a default needs may be missing on the node."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import Make
from .node import Node, pack_function, pythons
from .test_scripts import ScriptFolder, result_of, source_of

ABSENT = (
    "def array(items):\n    return items\nclass ndarray:\n    pass\ndef float64(x):\n    return x\nint64 = float64\n"
)
"""An installed package that the node does not have."""

BODY = """
import dataclasses, functools
import absent as np
from absent import ndarray as Array
from typing import ClassVar, Optional, List
LIMIT: np.ndarray = 4
class Hit:
    at: np.ndarray
    energy: Optional[Array] = None
    def near(self, other: "Hit", by: np.ndarray = None) -> List[np.ndarray]:
        return [self.energy, other.energy]
    @property
    def size(self) -> np.ndarray:
        return 3
@dataclasses.dataclass
class Cut:
    low: Optional[np.ndarray] = None
    step: float = np.float64(2.)
@functools.lru_cache(maxsize=None)
def cached(x: Array) -> np.ndarray:
    return x
def f(n: "int" = 1, *args: np.ndarray, x: float = np.float64(.5), k=np.int64(3), **more: Array) -> Optional[
    np.ndarray
]:
    def inner(y: np.ndarray) -> Array:
        return y
    cut: Array = Cut()
    assert LIMIT == 4
    line = __import__("inspect").stack()[0].lineno
    return [n, x, k, inner(1), Hit().near(Hit()), Hit().size, cached(2), cut.low, cut.step, line]
"""


@pytest.fixture
def absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "absent.py").write_text(ABSENT)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_in_a_module(absent: Path, make: Make, node: Node) -> None:
    module = make("annotated", {"annotated.py": BODY})
    packed = pack_function(module.f, {}, job_id="j")
    for version, python in pythons().items():
        if version >= (3, 7):  # dataclasses
            outcome = node.run(packed, python=python)
            assert outcome.exit_code == 0, outcome.stderr
            assert outcome.result["result"] == module.f()
    del sys.modules["absent"]


def test_in_a_script(absent: Path, tmp_path: Path, node: Node) -> None:
    (tmp_path / "my analysis").mkdir()
    scripts = ScriptFolder(tmp_path / "my analysis")
    path = f"import sys; sys.path.insert(0, {str(absent)!r})"
    text = f"{path}\n{BODY}STEP = np.float64(3)\nprint(np.array([1]))\n"
    scripts.write({"scan.py": text + "import packing_for_tests\npacking_for_tests.pack(f)\n"})
    packed = scripts.run("scan.py")
    assert packed.how == "source", packed.why
    assert "absent" not in source_of(packed, "main_of_scan.py")
    assert result_of(node, packed)["result"][:9] == [1, 0.5, 3, 1, [None, None], 3, 2, None, 2.0]


def test_an_import_that_is_used_otherwise_stays(absent: Path, make: Make, node: Node) -> None:
    text = "import absent as np\ndef f(x: np.ndarray = None) -> np.ndarray:\n    return np.array([1])\n"
    packed = pack_function(make("using", {"using.py": text}).f, {}, job_id="j")
    assert packed.files["function/src/using.py"] == text.encode()
    outcome = node.run(packed)
    assert "the module absent was not sent with the function" in outcome.stderr
    del sys.modules["absent"]


def test_an_import_that_nothing_uses_stays(absent: Path, make: Make) -> None:
    """It may be imported for what it does, or for other modules."""
    text = (
        "import absent\nfrom absent import array\n__all__ = ['array']\ndef f(x: array = None) -> int:\n    return 1\n"
    )
    packed = pack_function(make("exporting", {"exporting.py": text}).f, {}, job_id="j")
    assert packed.files["function/src/exporting.py"] == text.encode()
    del sys.modules["absent"]


def test_a_decorator_that_may_read_annotations_keeps_them(absent: Path, make: Make) -> None:
    text = (
        "import functools\nimport absent as np\n@functools.singledispatch\ndef f(x=None):\n    return 1\n"
        "@f.register\ndef _(x: np.ndarray):\n    return 2\n"
    )
    packed = pack_function(make("dispatching", {"dispatching.py": text}).f, {}, job_id="j")
    assert packed.files["function/src/dispatching.py"] == text.encode()
    del sys.modules["absent"]


def test_numpy_scalars_of_a_script_are_plain_numbers(tmp_path: Path, node: Node) -> None:
    pytest.importorskip("numpy")
    (tmp_path / "my analysis").mkdir()
    scripts = ScriptFolder(tmp_path / "my analysis")
    text = (
        "import numpy as np\nSTEP = np.float64(.1) * 2\nN = np.arange(3)[2]\n"
        "YES = np.bool_(True)\nWORD = np.str_('é')\n"
        "def f(x: np.ndarray = np.float64('nan'), n=N) -> np.ndarray:\n"
        "    return {'v': [STEP, N, YES, WORD, n, x != x], 'types': [type(v).__name__ for v in (STEP, N, YES, WORD)]}\n"
        "import packing_for_tests\npacking_for_tests.pack(f)\n"
    )
    scripts.write({"scan.py": text})
    packed = scripts.run("scan.py")
    assert packed.how == "source", packed.why
    assert "numpy" not in source_of(packed, "main_of_scan.py")
    assert result_of(node, packed) == {"v": [0.2, 2, True, "é", 2, True], "types": ["float", "int", "bool", "str"]}
