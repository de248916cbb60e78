"""A module that a job file names may do anything when it is imported: it is reported with the line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.campaign.named_function import NotFound, named_function

BODIES = {
    "import sys\nsys.exit(0)": r"cannot import 'NAME': it called sys\.exit\(0\) when it was imported \(FILE, line 2\)",
    "def g():\n    raise SystemExit\ng()": r"it called sys\.exit\(\) when it was imported \(FILE, line 2\)",
    "1 / 0": r"cannot import 'NAME': ZeroDivisionError: division by zero \(FILE, line 1\)",
    "class Stop(BaseException): pass\nraise Stop('now')": r"Stop: now \(FILE, line 2\)",
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('n')\np.parse_args()": (
        r"sys\.exit\(2\).*FILE, line 4"
    ),
    "import not_there_at_all": r"No module named 'not_there_at_all' \(FILE, line 1\); PYTHONPATH is",
    "def f(:": r"invalid syntax \(NAME\.py, line 1\)",
    "x = 1": r"'.*NAME\.py' has no function 'f'; it has none at all",
    "f = 1": r"'f' in '.*NAME\.py' is a int, which cannot be called",
    "import os\nos._exit(0)": r"cannot import 'NAME': it called os\._exit\(0\) when it was imported \(FILE, line 2\)",
    "class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute": (r"Mute: <.*failed> \(FILE, line 3\)"),
}


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_what_a_module_does_at_import_is_reported_with_its_line(number: int, tmp_path: Path) -> None:
    body = list(BODIES)[number]
    name = f"imported_{number}"
    file = tmp_path / f"{name}.py"
    file.write_text(body)
    expected = BODIES[body].replace("NAME", name).replace("FILE", re.escape(str(file)))
    with pytest.raises(NotFound, match=expected):
        named_function(str(file), "f", beside=tmp_path / "job.yaml")


def test_an_interrupt_stays_one(tmp_path: Path) -> None:
    file = tmp_path / "imported_interrupt.py"
    file.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        named_function(str(file), "f", beside=tmp_path)


def test_output_and_arguments_of_the_command_are_kept_apart(tmp_path: Path) -> None:
    text = (
        "import os, sys\nprint('printed')\nos.system('echo child')\nARGV = list(sys.argv)\ndef f():\n    return ARGV\n"
    )
    (tmp_path / "imported_loud.py").write_text(text)
    code = (
        "import pathlib\nfrom scheduler.campaign.named_function import named_function\n"
        f"f = named_function({str(tmp_path / 'imported_loud.py')!r}, 'f', beside=pathlib.Path('/'))\nprint(f())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "--json"], capture_output=True, text=True, check=True)
    assert done.stdout == "['imported_loud']\n"
    assert done.stderr.splitlines() == ["printed", "child"] or sorted(done.stderr.splitlines()) == ["child", "printed"]


def test_a_module_changes_neither_the_current_folder_nor_the_way_to_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "import os\nchild = os.fork()\nif child == 0:\n    os._exit(3)\nENDED = os.waitpid(child, 0)[1] >> 8\n"
    (tmp_path / "imported_far.py").write_text(text + "os.chdir('/')\ndef f():\n    return ENDED\n")
    leave = os._exit
    assert named_function("imported_far.py", "f", beside=tmp_path / "job.yaml")() == 3
    assert Path.cwd() == tmp_path and os._exit is leave
