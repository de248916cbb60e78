"""What was changed in a module since it was imported is sent with the function, or refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import JobError

from .conftest import Make
from .node import Node, pack_function
from .test_scripts import ScriptFolder, result_of

CONSTANTS = """
import os, dataclasses
EVENTS = 100
LIMIT = 10 * EVENTS
A, B = 1, 2
NAME: str = "a" + "b"
TABLE = {"n": [1, EVENTS], "t": (1, 2)}
ITEMS = [1]
CHOSEN = dict(energy=18)
HOME = os.getcwd()
cache = {}
_model = None
class Beam:
    energy = 18.0
    kinds = ["e"]
    def total(self):
        return self.energy * 2
@dataclasses.dataclass
class Cut:
    low: float = 1.0
def scale(x):
    return x
def model():
    global _model
    if _model is None:
        _model = object()
    cache[1] = _model
    return _model
"""
SIM = """
import constants
from constants import ITEMS, EVENTS
from constants import scale as grow
def f():
    from constants import Cut
    constants.model()
    return [constants.EVENTS, constants.LIMIT, constants.A, constants.B, constants.NAME, constants.TABLE["n"],
            constants.TABLE["t"][1], constants.ITEMS, ITEMS, constants.CHOSEN, constants.Beam().total(),
            constants.Beam.kinds, Cut().low, EVENTS, constants.scale(3), grow(4), bool(constants.HOME)]
"""
FILES = {"constants.py": CONSTANTS, "sim.py": SIM}

CHANGES = {
    "": "",
    "constants.EVENTS = 500": "",
    "constants.LIMIT, constants.A, constants.B = -1.5, None, True": "",
    "constants.NAME = 'it\\'s $HOME'; constants.TABLE['n'][1] = 7; constants.TABLE['t'] = (0, (9,))": "",
    "constants.ITEMS.append(2)": "",
    "constants.ITEMS = [3]": "",
    "sim.ITEMS = ['own']; sim.EVENTS = 9; constants.CHOSEN['energy'] = 5": "",
    "constants.Beam.energy = 5.5; constants.Beam.kinds.append('p'); constants.Cut.low = 3.0": "",
    "constants.model(); constants.HOME = 'elsewhere'": "",
    "constants.EVENTS = object()": "constants.EVENTS, a object, was changed after its module was imported",
    "constants.EVENTS = float('inf')": "constants.EVENTS, a float, was changed",
    "constants.scale = lambda x: 5": "constants.scale was replaced after its module was imported",
    "constants.scale = print": "constants.scale was replaced",
    "sim.grow = lambda x: 6": "sim.grow, a function, was changed",
    "constants.Beam.total = lambda self: 7": "constants.Beam.total was replaced",
    "constants.Beam = 3": "constants.Beam was replaced",
    "constants.TABLE['n'] = [object()]": "constants.TABLE, a dict, was changed",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_module_gives_the_job_the_values_that_it_has_here(change: str, make: Make, node: Node) -> None:
    sim = make("sim", FILES)
    exec(change, {"constants": sys.modules["constants"], "sim": sim})
    if CHANGES[change]:
        with pytest.raises(JobError, match="job 'my job': ") as caught:
            pack_function(sim.f, {}, job_id="my job")
        assert CHANGES[change] in str(caught.value)
        assert "change the file" in str(caught.value)
        return
    packed = pack_function(sim.f, {}, job_id="j")
    there, here = node.run(packed), sim.f()
    assert there.exit_code == 0, there.stderr
    assert there.result["result"] == [list(item) if isinstance(item, tuple) else item for item in here]


def test_changed_values_reach_old_versions_of_python(make: Make, node: Node, each_python: str) -> None:
    sim = make("sim", FILES)
    sim.constants.EVENTS, sim.constants.TABLE["n"] = 500, [None, True, "é"]
    if "3.6" not in each_python:  # no dataclasses
        assert node.run(pack_function(sim.f, {}, job_id="j"), python=each_python).result["result"][5] == [
            None,
            True,
            "é",
        ]


def test_numpy_scalars_are_sent_as_numbers(make: Make, node: Node) -> None:
    numpy = pytest.importorskip("numpy")
    sim = make("sim", FILES)
    sim.constants.EVENTS, sim.constants.A = numpy.int64(7), numpy.float64(2.0)
    assert node.run(pack_function(sim.f, {}, job_id="j")).result["result"][:3] == [7, 1000, 2.0]


def test_a_pickled_function_finds_the_changed_values_too(make: Make, node: Node) -> None:
    constants: Any = make("constants", FILES)
    constants.EVENTS = 77
    assert node.run(pack_function(lambda: constants.EVENTS, {}, job_id="j")).result == {"result": 77}


def test_a_script_changes_a_module_of_a_package(tmp_path: Path, node: Node) -> None:
    (tmp_path / "my analysis").mkdir()
    scripts = ScriptFolder(tmp_path / "my analysis")
    text = (
        "import lab.constants as c, lab\nc.EVENTS = 500\nlab.constants.ENERGY += 1\nlab.NEW = 'n'\n"
        "def g():\n    return lab.constants.ENERGY\n"
        "def f():\n    return [c.EVENTS, g(), lab.NEW, lab.derived()]\n"
        "import packing_for_tests\npacking_for_tests.pack(f)\n"
    )
    package = {
        "lab/__init__.py": "from .constants import *\nfrom .tools import derived\n",
        "lab/constants.py": "EVENTS = 100\nENERGY = 18\n",
        "lab/tools.py": "from .constants import EVENTS\ndef derived():\n    return EVENTS\n",
    }
    scripts.write({"scan.py": text, **package})
    packed = scripts.run("scan.py")
    assert packed.how == "source", packed.why
    assert result_of(node, packed) == {"result": [500, 19, "n", 100]}
    assert json.loads(packed.files["function/call.json"])["values"].keys() == {"lab", "lab.constants"}


def test_a_script_imports_a_value_that_was_changed_before(tmp_path: Path, node: Node) -> None:
    (tmp_path / "my analysis").mkdir()
    scripts = ScriptFolder(tmp_path / "my analysis")
    text = (
        "import constants\nconstants.EVENTS = 500\nconstants.ITEMS.append(2)\n"
        "from constants import EVENTS, LIMIT as ALL, ITEMS\nimport os\n"
        "def f():\n    ITEMS.append(os.sep)\n    return [EVENTS, ALL, ITEMS, constants.ITEMS]\n"
        "import packing_for_tests\npacking_for_tests.pack(f)\n"
    )
    scripts.write({"scan.py": text, "constants.py": "EVENTS = 100\nLIMIT = 7\nITEMS = [1]\n"})
    packed = scripts.run("scan.py")
    assert packed.how == "source", packed.why
    assert result_of(node, packed) == {"result": [500, 7, [1, 2, "/"], [1, 2, "/"]]}


EDITS = {
    "def f(x):\n    return x + 2\n": "f() there is not the one",
    "def g(x):\n    return x\n": "f() there is not the one",
    "# a remark\n\ndef f(x):\n    return x + 1\n": "",
    "def f(x):\n    return x + 1\n\ndef more():\n    pass\n": "",
    "def f(x:\n": "",
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_module_that_was_edited_since_it_was_loaded_is_reported(edit: str, make: Make, node: Node) -> None:
    module = make("edited", {"edited.py": "def f(x):\n    return x + 1\n"})
    Path(module.__file__ or "").write_text(edit)
    if not EDITS[edit] and "(x:" not in edit:
        assert node.run(pack_function(module.f, {"x": 1}, job_id="j"), {"x": 1}).result == {"result": 2}
        return
    with pytest.raises(JobError, match=r"edited.py has been edited since"):
        pack_function(module.f, {"x": 1}, job_id="j")


def test_an_edited_helper_is_reported_and_an_edited_constant_is_sent_as_it_was_loaded(make: Make, node: Node) -> None:
    files = {"run.py": "import aide\ndef f():\n    return aide.n() + aide.N\n"}
    module = make("run", {**files, "aide.py": "N = 1\ndef n():\n    return N\n"})
    aide: Any = module.aide
    Path(aide.__file__).write_text("N = 1000\ndef n():\n    return N\n")
    assert node.run(pack_function(module.f, {}, job_id="j")).result == {"result": 2}
    Path(aide.__file__).write_text("N = 1\ndef n():\n    return -N\n")
    with pytest.raises(JobError, match=r"aide\.py has been edited since it was loaded: n\(\)"):
        pack_function(module.f, {}, job_id="j")


def test_a_module_whose_file_was_removed_is_reported(make: Make) -> None:
    module = make("removed", {"removed.py": "def f():\n    return 1\n"})
    Path(module.__file__ or "").unlink()
    with pytest.raises(JobError, match=r"removed\.py, which has been loaded, does not exist any more"):
        pack_function(module.f, {}, job_id="j")
