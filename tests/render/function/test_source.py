"""Functions of importable modules travel as source, and run on any Python."""

from __future__ import annotations

import json
import os.path
from pathlib import Path

import pytest

from scheduler.render.function import modules
from scheduler.render.function.pack import PackedFunction

from .conftest import Make
from .node import Node, pack_function

PACKAGE = {
    "lab/__init__.py": "from .beam import ENERGY\n",
    "lab/beam.py": "ENERGY = 18\n",
    "lab/sim/__init__.py": "",
    "lab/sim/run.py": (
        "import math\nimport beside\nfrom . import tools\nfrom ..beam import ENERGY\n"
        "def simulate(events, *, scale=1):\n"
        "    import lazily\n"
        "    return {'hits': tools.hits(events) * scale, 'energy': ENERGY, 'beside': beside.WORD, 'lazy': lazily.ONE}\n"
    ),
    "lab/sim/tools.py": "def hits(events):\n    return events * 2\n",
    "lab/unused.py": "raise RuntimeError('nobody imports this')\n",
    "beside.py": "from further import WORD\n",
    "further.py": "WORD = 'é\\u2028 $HOME'\n",
    "lazily.py": "ONE = 1\n",
    "stranger.py": "raise RuntimeError('nobody imports this')\n",
}


def sent(packed: PackedFunction) -> set[str]:
    return {name.removeprefix("function/src/") for name in packed.files if name.startswith("function/src/")}


def test_a_function_of_a_package_runs_on_every_python(make: Make, node: Node, each_python: str) -> None:
    packed = pack_function(make("lab.sim.run", PACKAGE).simulate, {"events": 3}, job_id="j")
    outcome = node.run(packed, {"events": 3}, python=each_python)
    assert outcome.result == {"hits": 6, "energy": 18, "beside": "é\u2028 $HOME", "lazy": 1}, outcome.stderr
    assert (packed.how, packed.python, outcome.exit_code, outcome.error) == ("source", None, 0, None)


def test_the_whole_package_is_sent_and_other_modules_only_if_they_are_imported(make: Make) -> None:
    packed = pack_function(make("lab.sim.run", PACKAGE).simulate, {"events": 3}, job_id="j")
    assert sent(packed) == set(PACKAGE) - {"stranger.py"}


def test_a_large_package_sends_only_what_is_imported(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_PACKAGE_LIMIT", 10)
    packed = pack_function(make("lab.sim.run", PACKAGE).simulate, {"events": 3}, job_id="j")
    assert sent(packed) == set(PACKAGE) - {"stranger.py", "lab/unused.py"}


def test_a_folder_without_init_is_a_package_too(make: Make, node: Node) -> None:
    files = {
        "space/deep/f.py": "from space.deep.g import g\ndef f():\n    from space.h import h\n    return g() + h()\n",
        "space/deep/g.py": "def g():\n    return 1\n",
        "space/h.py": "def h():\n    return 2\n",
    }
    outcome = node.run(pack_function(make("space.deep.f", files).f, {}, job_id="j"))
    assert outcome.result == {"result": 3}, outcome.stderr


def test_a_module_level_function_is_found_under_each_of_its_names(make: Make, node: Node) -> None:
    text = (
        "import functools\n"
        "def double(function):\n"
        "    @functools.wraps(function)\n"
        "    def inner(**params):\n        return 2 * function(**params)\n"
        "    return inner\n"
        "@double\ndef decorated(x):\n    return x\n"
        "@functools.lru_cache()\ndef cached(x):\n    return x\n"
        "class Tools:\n"
        "    scale = 10\n"
        "    @staticmethod\n    def static(x):\n        return x\n"
        "    @classmethod\n    def of_class(cls, x):\n        return cls.scale * x\n"
    )
    module = make("reached", {"reached.py": text})
    functions = [module.decorated, module.cached, module.Tools.static, module.Tools.of_class]
    packed = [pack_function(function, {"x": 2}, job_id="j") for function in functions]
    assert [one.how for one in packed] == ["source"] * 4
    assert [node.run(one, {"x": 2}).result["result"] for one in packed] == [4, 2, 2, 20]


def test_only_the_name_of_an_installed_module_is_sent(node: Node) -> None:
    packed = pack_function(os.path.join, {"a": "x"}, job_id="j")
    assert list(packed.files) == ["function/call.json"]
    assert node.run(packed, {"a": "x"}).result == {"result": "x"}


def test_a_module_in_site_packages_is_installed(make: Make) -> None:
    module = make("site-packages.inst", {"site-packages/inst.py": "def f():\n    return 1\n"})
    assert not sent(pack_function(module.f, {}, job_id="j"))


def test_only_the_name_of_a_module_with_compiled_parts_is_sent(make: Make) -> None:
    files = {"fast/__init__.py": "def f():\n    return 1\n", "fast/_core.cpython-311-x86_64-linux-gnu.so": ""}
    assert not sent(pack_function(make("fast", files).f, {}, job_id="j"))


def test_software_on_pythonpath_is_not_sent_without_its_libraries(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "root6" / "lib"
    stack.mkdir(parents=True)
    (stack / "libCore.so").touch()
    (stack / "ROOTISH.py").write_text("import _core_of_root\n")
    monkeypatch.syspath_prepend(str(stack))
    monkeypatch.setenv("PYTHONPATH", str(stack))
    text = "def f():\n    import ROOTISH\n    return ROOTISH\n"
    assert sent(pack_function(make("analysis", {"analysis.py": text}).f, {}, job_id="j")) == {"analysis.py"}


def test_a_compiled_library_in_the_users_folder_does_not_matter(make: Make) -> None:
    module = make("macro", {"macro.py": "def f():\n    return 1\n", "macro_C.so": ""})
    assert sent(pack_function(module.f, {}, job_id="j")) == {"macro.py"}


def test_a_module_that_the_node_does_not_have_is_named(make: Make, node: Node) -> None:
    text = "try:\n    import not_there_at_all\nexcept ImportError:\n    pass\ndef f():\n    import not_there_at_all.x\n"
    outcome = node.run(pack_function(make("wants", {"wants.py": text}).f, {}, job_id="j"))
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert outcome.error is not None
    assert outcome.error["type"] == "ModuleNotFoundError"
    assert "the module not_there_at_all was not sent with the function" in outcome.error["message"]
    assert "has none. Three ways out: install it there; set `python:`" in outcome.stderr


def test_a_module_with_the_name_of_a_module_of_python_must_be_renamed(make: Make, node: Node) -> None:
    packed = pack_function(make("mine", {"mine.py": "def f():\n    return 1\n"}).f, {}, job_id="j")
    call = json.loads(packed.files["function/call.json"])
    call["modules"] = ["traceback"]
    files = {**packed.files, "function/call.json": json.dumps(call).encode()}
    outcome = node.run(PackedFunction(files, "source", None))
    assert outcome.exit_code == 1
    assert "traceback, which was sent with the function, has the name of a module of Python" in outcome.stderr


def test_this_package_is_never_sent(make: Make) -> None:
    text = "from scheduler.errors import JobError\ndef f():\n    return 1\n"
    assert sent(pack_function(make("uses_us", {"uses_us.py": text}).f, {}, job_id="j")) == {"uses_us.py"}


def test_source_that_the_nodes_python_cannot_read_is_reported(make: Make, node: Node) -> None:
    packed = pack_function(make("good", {"good.py": "def f():\n    return 1\n"}).f, {}, job_id="j")
    files = {**packed.files, "function/src/good.py": b"def f(:\n"}
    outcome = node.run(PackedFunction(files, "source", None))
    assert "cannot read this source; it may be written for another version of Python" in outcome.stderr
    assert outcome.exit_code == 1


def test_files_that_a_module_imports_may_be_of_any_syntax(make: Make) -> None:
    files = {"odd/__init__.py": "def f():\n    return 1\n", "odd/template.py": "{{ not python }} (\n"}
    assert sent(pack_function(make("odd", files).f, {}, job_id="j")) == set(files)
