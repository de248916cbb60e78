"""What a function does not reach of the user's modules is not evaluated on the node, and its packages not imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scheduler.render.content.closure import needed_source
from scheduler.render.function.pack import PackedFunction

from ..conftest import Make
from ..node import Node, pack_function
from ..test_scripts import ScriptFolder

ONLY_HERE = """
class X:
    pass
class Array:
    def __class_getitem__(cls, item):
        return cls
def jit(f=None, **options):
    return f or jit
def array(items):
    return items
KEPT = []
def register(f):
    KEPT.append(f)
    return f
class model:
    class Base:
        pass
"""
"""An installed package that the node does not have."""
SENT = "function/src/"


@pytest.fixture(autouse=True)
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "onlyhere.py").write_text(ONLY_HERE)
    (folder / "another.py").write_text("def one():\n    return 1\n")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("onlyhere", "another"):
        sys.modules.pop(name, None)


UNREACHED = {
    "a default": "import onlyhere\ndef g(x=onlyhere.X):\n    return x",
    "a default of a keyword": "import onlyhere as o\ndef g(*, x=o.X()):\n    return x",
    "a default of a method": "import onlyhere\nclass G:\n    def g(self, x=onlyhere.X):\n        return x",
    "a default of a lambda": "import onlyhere\nclass G:\n    g = lambda x=onlyhere.X: x",
    "a decorator": "import onlyhere\n@onlyhere.jit\ndef g():\n    return 1",
    "a decorator with arguments": "from onlyhere import jit\n@jit(nopython=True)\ndef g():\n    return 1",
    "an async function": "import onlyhere\n@onlyhere.jit\nasync def g():\n    return 1",
    "a decorated class": "import onlyhere\n@onlyhere.jit\nclass G:\n    pass",
    "a base class": "import onlyhere\nclass G(onlyhere.Array):\n    pass",
    "a base class of a base class": "import onlyhere\nclass G(onlyhere.X):\n    pass\nclass H(G):\n    pass",
    "a class attribute": "import onlyhere\nclass G:\n    kind = onlyhere.X",
    "an alias": "import onlyhere\nVec = onlyhere.Array",
    "an alias with an index": "import onlyhere, typing\nVec = typing.List[onlyhere.Array[int]]",
    "an alias of an alias": "import onlyhere\nVec = onlyhere.Array\nRow = Vec",
    "an alias with an annotation": "import onlyhere\nfrom typing import Type\nVec: Type = onlyhere.Array",
    "a type variable": "import onlyhere\nfrom typing import TypeVar\nT = TypeVar('T', bound=onlyhere.X)",
    "a table of functions": "import onlyhere\n@onlyhere.jit\ndef g():\n    return 1\nTOOLS = {'g': g}",
    "a body": "import onlyhere\ndef g():\n    return onlyhere.array([1])\nTOOLS = {'g': g}",
    "an import of several": "import onlyhere, another, os\nVec = onlyhere.X\nOne = another.one",
    "an import over lines": "from onlyhere import (\n    X,\n    Array,\n)\nVec = [X, Array]",
    "a guarded import": "try:\n    import onlyhere\nexcept ImportError:\n    onlyhere = None\n"
    "def g(x=onlyhere.X if 1 else 2):\n    return x",
    "a suppressed import": "import contextlib\nwith contextlib.suppress(ImportError):\n    import onlyhere\n"
    "def g(x: 'int' = onlyhere.X):\n    return x",
    "an import for checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from onlyhere import X\n"
    "def g(x: 'X'):\n    return x",
    "the export of a name": "import onlyhere\nVec = onlyhere.X\n__all__ = ['Vec', 'f']",
    "two on one line": "import onlyhere; Vec = onlyhere.X; LIMIT = 3\nassert LIMIT == 3",
}


def lab(text: str) -> str:
    return f'"""Text."""\nimport sys\n{text}\ndef f(n=1):\n    return [n, sys._getframe().f_lineno]\n'


@pytest.mark.parametrize("text", UNREACHED.values(), ids=UNREACHED)
def test_what_is_not_reached_is_left_out(text: str, make: Make, node: Node) -> None:
    module = make("lab", {"lab.py": lab(text)})
    packed = pack_function(module.f, {}, job_id="j")
    assert packed.how == "source"
    assert result(node, packed) == module.f()


@pytest.mark.parametrize("text", UNREACHED.values(), ids=UNREACHED)
def test_the_identity_of_a_function_does_not_depend_on_what_is_left_out(text: str, make: Make) -> None:
    packed = pack_function(make("lab", {"lab.py": lab(text)}).f, {}, job_id="j")
    assert needed_source(packed.whole, "lab", "f") == needed_source(sent(packed), "lab", "f")
    assert packed.whole == {"lab.py": lab(text).encode()}


REACHED = {
    "a default": "import onlyhere\ndef f(x=onlyhere.X):\n    return 1",
    "a decorator": "import onlyhere\n@onlyhere.jit\ndef f():\n    return 1",
    "a base class": "import onlyhere\nclass G(onlyhere.X):\n    pass\ndef f():\n    return len([G()])",
    "a base class in a method": "import onlyhere\nclass G(onlyhere.X):\n    pass\nclass H:\n"
    "    def h(self):\n        return G()\ndef f():\n    return len([H().h()])",
    "an alias": "import onlyhere\nVec = onlyhere.X\ndef f():\n    return len([Vec()])",
    "a call in a helper": "import onlyhere\ndef g():\n    return onlyhere.array([1])\ndef f():\n    return g()",
    "an import in the function": "import onlyhere\nV = onlyhere.X\ndef f():\n    import onlyhere\n    return 1",
    "a guarded import": "try:\n    import onlyhere\nexcept ImportError:\n    onlyhere = None\n"
    "def g(x=onlyhere.X):\n    return x\ndef f():\n    return 1 if onlyhere else 0",
    "a registry": "import onlyhere\nALL = {}\ndef register(g):\n    ALL[g.__name__] = g\n    return g\n"
    "@register\ndef g(x=onlyhere.X):\n    return 2\ndef f():\n    return sum(g() for g in ALL.values())",
    "a hook of subclasses": "import onlyhere\nclass A:\n    all = []\n    def __init_subclass__(cls):\n"
    "        A.all.append(cls)\nclass B(A, onlyhere.X):\n    pass\ndef f():\n    return len(A.all)",
    "a registry of the package": "import onlyhere\n@onlyhere.register\ndef g():\n    return 3\n"
    "def f():\n    return onlyhere.KEPT[0]()",
    "a statement of its own": "import onlyhere\nonlyhere.register(1)\ndef f():\n    return 1",
    "a branch": "import onlyhere\nif onlyhere.KEPT:\n    LIMIT = 2\nelse:\n    LIMIT = 3\ndef f():\n    return 1",
    "a value by a call": "import onlyhere\nGRID = onlyhere.array([1])\ndef g():\n    return GRID\n"
    "def f():\n    return 1",
    "a call of a function that uses it": "import onlyhere\ndef g():\n    return onlyhere.array([1])\nGRID = g()\n"
    "def f():\n    return 1",
    "an import that nothing names": "import onlyhere\ndef f():\n    return 1",
    "a star": "from onlyhere import *\nVec = X\ndef f():\n    return 1",
    "an import by version": "import sys\nif sys.version_info > (3,):\n    import onlyhere\nVec = onlyhere.X\n"
    "def f():\n    return 1",
    "globals": "import onlyhere\nVec = onlyhere.X\ndef f():\n    return len([globals()['V' + 'ec']])",
    "getattr": "import sys, onlyhere\nVec = onlyhere.X\ndef f(n='Vec'):\n"
    "    return len([getattr(sys.modules[__name__], n)])",
    "a name in text": "import onlyhere, operator\nclass Vec(onlyhere.X):\n    pass\nKINDS = ['lab.Vec']\n"
    "def f():\n    return KINDS",
    "pickle": "import onlyhere, pickle\nclass Vec(onlyhere.X):\n    pass\n"
    "def f():\n    return pickle.loads(pickle.dumps(1))",
    "annotations that are read": "import onlyhere, typing\nVec = onlyhere.X\ndef g(x: Vec):\n    pass\n"
    "def f():\n    return len(typing.get_type_hints(g))",
    "a model": "import onlyhere\nfrom onlyhere import X\nclass M(onlyhere.model.Base):\n    x: 'X'\n"
    "def f():\n    return len(M.__mro__)",
}


@pytest.mark.parametrize("text", REACHED.values(), ids=REACHED)
def test_what_is_reached_is_sent_and_names_the_missing_package(
    text: str, make: Make, node: Node, only_here: Path
) -> None:
    module = make("lab", {"lab.py": text})
    packed = pack_function(module.f, {}, job_id="j")
    assert sent(packed) == {"lab.py": text.encode()}
    there = node.run(packed, environment={"PYTHONPATH": str(only_here)})
    assert there.exit_code == 0, there.stderr
    assert there.result["result"] == module.f()
    if "except ImportError" not in text:
        missing = node.run(packed)
        assert missing.exit_code
        assert "the module onlyhere was not sent with the function" in missing.stderr


PACKAGE = {
    "track/__init__.py": "from track.types import Vec, Row\nfrom .fit import fit, Mine\nSTEP = 2\n",
    "track/types.py": "import onlyhere\nVec = onlyhere.Array\nRow = 'row'\nclass Old(onlyhere.X):\n    pass\n",
    "track/fit.py": (
        "from . import types\nfrom .types import Vec, Old\nfrom track import effects\nimport track.types as t\n"
        "class Mine:\n    pass\n"
        "Alias = t.Vec\n"
        "def other(x=Old):\n    return x\n"
        "def fit(n: int, v: Vec = None, a: 'Vec' = None, m: Mine = None, b: types.Vec = None) -> Alias:\n"
        "    return [n, effects.DONE, fit.__annotations__['m'] is Mine]\n"
    ),
    "track/effects.py": "from .fill import ALL, Late\nDONE = []\nfrom track import fill\nDONE.append(fill.ALL)\n",
    "track/fill.py": "import onlyhere\nALL = 4\nclass Late(onlyhere.X):\n    pass\n",
}


def test_names_are_followed_from_module_to_module(make: Make, node: Node) -> None:
    module = make("track", PACKAGE)
    packed = pack_function(module.fit, {"n": 1}, job_id="j")
    assert result(node, packed, {"n": 1}) == [1, [4], True]
    for path, text in sent(packed).items():
        assert len(text.splitlines()) <= len(PACKAGE[path].splitlines())
        assert b"onlyhere" not in text


def test_a_package_that_one_module_uses_stays_in_all(make: Make, node: Node, only_here: Path) -> None:
    """What the others give to it may be what the function uses."""
    files = {
        "plugin.py": "import onlyhere\nimport another\nOne = another.one\n@onlyhere.register\ndef g():\n    return 3\n",
        "lab.py": "import plugin, onlyhere\ndef f():\n    return onlyhere.KEPT[-1]()\n",
    }
    packed = pack_function(make("lab", files).f, {}, job_id="j")
    (only_here / "another.py").unlink()
    assert sent(packed)["plugin.py"].startswith(b"import onlyhere\n\n\n@onlyhere.register")
    outcome = node.run(packed, environment={"PYTHONPATH": str(only_here)})
    assert outcome.result["result"] == 3, outcome.stderr


def test_a_star_needs_all_of_a_module(make: Make) -> None:
    files = {
        "names.py": "import onlyhere\n__all__ = ['Vec']\nVec = onlyhere.X\n",
        "lab.py": "from names import *\ndef f():\n    return 1\n",
    }
    assert sent(pack_function(make("lab", files).f, {}, job_id="j"))["names.py"] == files["names.py"].encode()


def test_files_that_cannot_be_written_anew_are_sent_unchanged(make: Make, tmp_path: Path) -> None:
    text = "# coding: latin-1\nimport onlyhere\nWORD = 'é'\nVec = onlyhere.X\ndef f():\n    return 1\n"
    make("other", {"other.py": "", "lab.py": text})
    (tmp_path / "my code" / "lab.py").write_bytes(text.encode("latin-1"))
    packed = pack_function(make("lab", {}).f, {}, job_id="j")
    assert sent(packed)["lab.py"] == text.encode("latin-1")


def test_a_changed_variable_is_kept(make: Make, node: Node) -> None:
    files = {"lab.py": "import onlyhere\nEVENTS = 5\nVec = onlyhere.X\ndef f():\n    return EVENTS\n"}
    module = make("lab", files)
    module.EVENTS = 500  # type: ignore[attr-defined]
    assert result(node, pack_function(module.f, {}, job_id="j")) == 500


def test_a_pickled_function_leaves_out_what_it_does_not_name(make: Make, node: Node) -> None:
    text = "import onlyhere\ndef g(x=onlyhere.X):\n    return 1\nclass Track:\n    def size(self):\n        return 7\n"
    calling = (
        "import lab\ndef sized():\n    track = lab.Track()\n    return lambda: track.size()\n"
        "def called():\n    return lambda: lab.g()\ndef found():\n    return lambda name: getattr(lab, name)()\n"
    )
    module = make("calling", {"lab.py": text, "calling.py": calling})
    packed = pack_function(module.sized(), {}, job_id="j")
    assert packed.how == "pickle"
    assert result(node, packed) == 7
    assert sent(pack_function(module.called(), {}, job_id="j"))["lab.py"] == text.encode()
    assert sent(pack_function(module.found(), {"name": "g"}, job_id="j"))["lab.py"] == text.encode()


def test_a_module_that_a_script_imports(only_here: Path, tmp_path: Path, node: Node) -> None:
    (tmp_path / "my analysis").mkdir()
    scripts = ScriptFolder(tmp_path / "my analysis")
    scripts.write(
        {
            "helper.py": "import onlyhere\nclass Vec(onlyhere.X):\n    pass\ndef five():\n    return 5\n",
            "scan.py": f"import sys; sys.path.insert(0, {str(only_here)!r})\nimport onlyhere, helper\n"
            "def unused(x=onlyhere.X):\n    return x\ndef f(v: helper.Vec = None):\n    return helper.five()\n"
            "import packing_for_tests\npacking_for_tests.pack(f)\n",
        }
    )
    packed = scripts.run("scan.py")
    assert packed.how == "source", packed.why
    assert result(node, packed) == 5


def sent(packed: PackedFunction) -> dict[str, bytes]:
    return {path.removeprefix(SENT): text for path, text in packed.files.items() if path.startswith(SENT)}


def result(node: Node, packed: PackedFunction, params: Mapping[str, Any] | None = None) -> Any:
    outcome = node.run(packed, params)
    assert outcome.exit_code == 0, outcome.stderr
    return outcome.result["result"]
