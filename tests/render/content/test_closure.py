"""Which statements of the user's modules count for a function: what it needs, and nothing else."""

from __future__ import annotations

import pytest

from scheduler.render.content.closure import needed_source

MODULE = """
import math, helper
from helper import scale as s, other
import pkg.inner as inner

LIMIT = 3
UNUSED = 5
SETTINGS = {}
SETTINGS["a"] = 1
REGISTRY = {}

def register(f):
    REGISTRY[f.__name__] = f
    return f

@register
def plugin(x):
    return helper.twice(x)

class Base:
    def __init_subclass__(cls):
        REGISTRY[cls.__name__] = cls

class Sub(Base):
    value = 1

def f(x):
    return s(x) * LIMIT + sum(g(x) for g in REGISTRY.values()) + inner.three() + SETTINGS["a"]

def unused():
    return UNUSED

if __name__ == "__main__":
    f(3)
"""
HELPER = """
K = 3
def scale(x): return x * K
def other(): return 1
def twice(x): return 2 * x
def unneeded(): return 7
"""
FILES = {"m.py": MODULE, "helper.py": HELPER, "pkg/__init__.py": "A = 1", "pkg/inner.py": "def three(): return 3"}


def needed(files: dict[str, str], name: str = "f") -> list[tuple[str, str]]:
    return needed_source({path: text.encode() for path, text in files.items()}, "m", name)


def edited(path: str, old: str, new: str) -> dict[str, str]:
    assert old in FILES[path]
    return {**FILES, path: FILES[path].replace(old, new)}


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("m.py", "UNUSED = 5", "UNUSED = 6"),
        ("m.py", "    return UNUSED", "    return UNUSED + 1"),
        ("m.py", "f(3)", "f(4)"),
        ("m.py", "LIMIT = 3", "LIMIT = 3  # planes\n\n"),
        ("m.py", "import math, helper", "import os, helper, math"),
        ("helper.py", "return 7", "return 8"),
        ("helper.py", "return 1", "return 9"),
        ("pkg/__init__.py", "A = 1", "A = 2"),
    ],
)
def test_unrelated_lines_do_not_count(path: str, old: str, new: str) -> None:
    assert needed(edited(path, old, new)) == needed(FILES)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("m.py", "LIMIT = 3", "LIMIT = 4"),
        ("m.py", 'SETTINGS["a"] = 1', 'SETTINGS["a"] = 2'),
        ("m.py", "REGISTRY[f.__name__] = f", "REGISTRY[f.__name__] = f(1)"),
        ("m.py", "helper.twice(x)", "helper.twice(x) + 1"),
        ("m.py", "value = 1", "value = 2"),
        ("m.py", "scale as s, other", "other as s, scale"),
        ("m.py", "import math, helper", "import math, helper\nmath.seed(3)"),
        ("helper.py", "K = 3", "K = 4"),
        ("helper.py", "2 * x", "3 * x"),
        ("helper.py", "K = 3", "K = 3\nprint(K)"),
        ("pkg/inner.py", "return 3", "return 4"),
        ("pkg/__init__.py", "A = 1", "A = 1\nimport helper\nhelper.K = 4"),
    ],
)
def test_what_the_function_needs_counts(path: str, old: str, new: str) -> None:
    assert needed(edited(path, old, new)) != needed(FILES)


@pytest.mark.parametrize(
    "reach",
    [
        "eval('unused')()",
        "globals()['unused']()",
        "__import__('helper').unneeded()",
        "getattr(helper, 'unneeded')()",
    ],
)
def test_a_function_that_reaches_names_at_run_time_needs_everything_there(reach: str) -> None:
    files = edited("m.py", "return s(x)", f"return {reach} + s(x)")
    path, old = ("helper.py", "return 7") if "helper" in reach else ("m.py", "UNUSED = 5")
    other = {**files, path: files[path].replace(old, old + "9")}
    assert needed(other) != needed(files)


@pytest.mark.parametrize(
    ("files", "path", "old", "new"),
    [
        ({"m.py": "from helper import *\ndef f(): return K", "helper.py": "K = 1"}, "helper.py", "1", "2"),
        ({"m.py": "def f():\n    import helper\n    return helper.K", "helper.py": "K = 1"}, "helper.py", "1", "2"),
        ({"m.py": "def f():\n    from helper import K", "helper.py": "K = 1"}, "helper.py", "1", "2"),
        ({"m.py": "import p.q\ndef f(): return p.q.K", "p/__init__.py": "", "p/q.py": "K = 1"}, "p/q.py", "1", "2"),
        ({"m.py": "from p import q\ndef f(): return q.K", "p/__init__.py": "", "p/q.py": "K = 1"}, "p/q.py", "1", "2"),
        (
            {"m.py": "from p import K\ndef f(): return K", "p/__init__.py": "from .q import K", "p/q.py": "K = 1"},
            "p/q.py", "1", "2",
        ),
        ({"m.py": "import helper\ndef f(): return helper.a", "helper.py": "def __getattr__(n): return 1"},
         "helper.py", "1", "2"),
        ({"m.py": "try:\n    import fast as h\nexcept ImportError:\n    import slow as h\ndef f(): return h.K",
          "slow.py": "K = 1"}, "slow.py", "1", "2"),
        ({"m.py": "import helper\nclass f(helper.A): pass", "helper.py": "class A:\n    x = 1"}, "helper.py", "1", "2"),
        ({"m.py": "def f(:", "helper.py": ""}, "m.py", ":", "::"),
    ],
)  # fmt: skip
def test_imports_of_every_kind_are_followed(files: dict[str, str], path: str, old: str, new: str) -> None:
    assert needed({**files, path: files[path].replace(old, new)}) != needed(files)


def test_the_name_of_the_functions_own_file_does_not_count() -> None:
    renamed = {"n.py": MODULE, **{path: text for path, text in FILES.items() if path != "m.py"}}
    content = {path: text.encode() for path, text in renamed.items()}
    assert sorted(needed_source(content, "n", "f")) == sorted(needed(FILES))
