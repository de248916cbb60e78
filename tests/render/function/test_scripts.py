"""Of a script only what the function refers to is sent; its other statements do not run. A case is a file in scripts/.

Lines that begin with `#` give the expected result. Each case is run as a script that packs its own `f`; a statement at
its end imports a module that is not there when the function runs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scheduler.render.function.pack import PackedFunction

from .node import Node, pythons

CASES = sorted(Path(__file__).with_name("scripts").glob("*.txt"))
PACKING = """
import json, os, pathlib
from scheduler.render.function.pack import Packer

def pack(function, **params):
    packed = Packer().pack(function, params, job_id="j")
    folder = pathlib.Path(os.environ["PACKED_IN"])
    for name, content in packed.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "packed.json").write_text(json.dumps([packed.how, packed.python, packed.why, sorted(packed.files)]))
"""
ENDING = "\nimport packing_for_tests\npacking_for_tests.pack(f)\n"


@dataclass(frozen=True)
class ScriptFolder:
    """The folder where a script is and runs."""

    folder: Path

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, stdin: str = "") -> PackedFunction:
        self.write({"../tools/packing_for_tests.py": PACKING})
        packed = self.folder.parent / "packed"
        path = {"PYTHONPATH": str(self.folder.parent / "tools"), "PACKED_IN": str(packed)}
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=self.folder, env={**os.environ, **path}, check=True, text=True, input=stdin)
        how, python, why, names = json.loads((packed / "packed.json").read_text())
        files = {name: (packed / name).read_bytes() for name in names}
        return PackedFunction(files, how, python and tuple(python), why)


@pytest.fixture
def scripts(tmp_path: Path) -> ScriptFolder:
    (tmp_path / "my analysis").mkdir()
    return ScriptFolder(tmp_path / "my analysis")


def expected(case: str) -> dict[str, str]:
    return dict(re.findall(r"^# (\w+): (.*)$", case, re.MULTILINE))


def pythons_for(packed: PackedFunction) -> list[str]:
    """The Pythons that have what the cases use; a pickle runs only on the one that wrote it."""
    if packed.python is None:
        return [path for version, path in pythons().items() if version >= (3, 7)]
    return [sys.executable]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_script(path: Path, scripts: ScriptFolder, node: Node) -> None:
    text = path.read_text(encoding="utf-8")
    scripts.write({"script é.py": text + ENDING, "helpers.py": "def five():\n    return 5\n"})
    packed = scripts.run("script é.py")
    wanted = expected(text)
    assert packed.how == wanted["travels"], packed.why
    assert wanted.get("why", "") in packed.why
    for python in pythons_for(packed):
        outcome = node.run(packed, python=python)
        assert outcome.result == json.loads(wanted["result"]), (python, outcome.stderr)


def result_of(node: Node, packed: PackedFunction) -> Any:
    outcome = node.run(packed)
    assert outcome.exit_code == 0, outcome.stderr
    return outcome.result


def source_of(packed: PackedFunction, name: str) -> str:
    return packed.files[f"function/src/{name}"].decode()


def test_nothing_else_of_the_script_is_sent(scripts: ScriptFolder) -> None:
    text = (
        "import helpers, os\nSECRET = 'xyzzy'\nprint(SECRET)\ndef other():\n    return SECRET\ndef f():\n    return 1\n"
    )
    scripts.write({"scan.py": text + ENDING, "helpers.py": ""})
    packed = scripts.run("scan.py")
    assert source_of(packed, "main_of_scan.py").split() == ["def", "f():", "return", "1"]
    assert not any("helpers" in name for name in packed.files)


def test_the_lines_of_a_script_keep_their_numbers(scripts: ScriptFolder, node: Node) -> None:
    text = "import os\n\nprint('once')\n\n\ndef f():\n    # a remark\n    raise ValueError('here')\n"
    scripts.write({"scan.py": text + ENDING})
    outcome = node.run(scripts.run("scan.py"))
    assert 'main_of_scan.py", line 8, in f\n' in outcome.stderr


def test_a_module_run_by_its_name_keeps_its_relative_imports(scripts: ScriptFolder, node: Node) -> None:
    imports = "from .tools import two\nfrom . import tools as t\n"
    run = imports + "def f():\n    return [two(), t.two(), __name__]\n" + ENDING
    scripts.write({"lab/__init__.py": "", "lab/tools.py": "def two():\n    return 2\n", "lab/run.py": run})
    assert result_of(node, scripts.run("-m", "lab.run")) == {"result": [2, 2, "lab.main_of_run"]}


def test_a_package_run_by_its_name(scripts: ScriptFolder, node: Node) -> None:
    main = "from .tools import two\ndef f():\n    return two()\n" + ENDING
    scripts.write({"lab/__init__.py": "", "lab/tools.py": "def two():\n    return 2\n", "lab/__main__.py": main})
    assert result_of(node, scripts.run("-m", "lab")) == {"result": 2}


def test_a_module_can_import_the_script(scripts: ScriptFolder, node: Node) -> None:
    """As it can locally: under its own name the script is another module, and runs as such."""
    scripts.write({"scan.py": "N = 1\ndef f():\n    import other\n    return other.N\n"})
    scripts.write({"other.py": "from scan import N\n", "go.py": "from scan import f\n" + ENDING})
    assert result_of(node, scripts.run("go.py")) == {"result": 1}


def test_a_function_typed_into_a_session_is_pickled(scripts: ScriptFolder, node: Node) -> None:
    packed = scripts.run("-", stdin="n = 2\ndef f():\n    return n\n" + ENDING)
    assert (packed.how, packed.python) == ("pickle", sys.version_info[:2])
    assert result_of(node, packed) == {"result": 2}


def test_a_function_typed_in_after_a_script_is_pickled(scripts: ScriptFolder, node: Node) -> None:
    scripts.write({"scan.py": "def f():\n    return 'old'\n"})
    packed = scripts.run("-i", "scan.py", stdin="def f():\n    return 'new'\n\n" + ENDING)
    assert packed.how == "pickle"
    assert result_of(node, packed) == {"result": "new"}


def test_a_function_of_a_notebook_is_pickled_with_the_modules_in_its_folder(scripts: ScriptFolder, node: Node) -> None:
    scripts.write({"helpers.py": "from deeper import N\ndef n():\n    return N\n", "deeper.py": "N = 3\n"})
    cell = (
        "import linecache, sys, types\n"
        "import __main__\n"
        "del __main__.__file__\n"
        "cell = 'import helpers\\ndef f():\\n    import helpers as h\\n    return helpers.n() + h.n()\\n'\n"
        "name = '<ipython-input-1-abc>'\n"
        "linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)\n"
        "exec(compile(cell, name, 'exec'))\n"
    )
    scripts.write({"notebook.py": cell + ENDING})
    packed = scripts.run("notebook.py")
    assert packed.how == "pickle"
    assert {"function/src/helpers.py", "function/src/deeper.py"} <= set(packed.files)
    assert result_of(node, packed) == {"result": 6}


def test_a_function_of_a_script_that_was_edited_while_it_runs_is_pickled(scripts: ScriptFolder, node: Node) -> None:
    editing = "import pathlib\npathlib.Path(__file__).write_text('\\n\\ndef f():\\n    pass\\n')\n"
    scripts.write({"scan.py": "def f():\n    return 'as it runs'\n" + editing + ENDING})
    packed = scripts.run("scan.py")
    assert "has changed since it was started" in packed.why
    assert result_of(node, packed) == {"result": "as it runs"}


def test_a_script_in_another_encoding(scripts: ScriptFolder, node: Node) -> None:
    text = "# coding: latin-1\nWORD = 'Grüße'\ndef f():\n    return WORD\n"
    (scripts.folder / "old.py").write_bytes((text + ENDING).encode("latin-1"))
    assert result_of(node, scripts.run("old.py")) == {"result": "Grüße"}


def test_numpy_values_of_a_script_are_written_as_source(scripts: ScriptFolder, node: Node) -> None:
    pytest.importorskip("numpy")
    text = (
        "import numpy as np\nGRID = np.linspace(0, 1, 3)\nGRID[0] = np.nan\nMASK = np.zeros((2, 0, 1), dtype=bool)\n"
        "STEP = np.float32(0.1)\nNAMES = np.array(['a', 'bc'])\n"
        "def f():\n    kinds = [str(x.dtype) for x in (GRID, MASK, STEP, NAMES)]\n"
        "    return {'grid': GRID[1:], 'nan': bool(np.isnan(GRID[0])), 'shape': MASK.shape, 'kinds': kinds}\n"
    )
    scripts.write({"scan.py": text + ENDING})
    packed = scripts.run("scan.py")
    assert packed.how == "source", packed.why
    kinds = ["float64", "bool", "float32", "<U2"]
    assert result_of(node, packed) == {"grid": [0.5, 1.0], "nan": True, "shape": [2, 0, 1], "kinds": kinds}
