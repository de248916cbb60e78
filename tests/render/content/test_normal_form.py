"""The normal form of source: the same on every version of Python, whatever its comments and layout are."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from pathlib import Path

import pytest

import scheduler.render.content.normal_form as normal_form_module
from scheduler.render.content.normal_form import normal_form

from ..function.node import pythons

SAMPLE = Path(__file__).with_name("sample.py.txt")
GOLDEN = "e30ad79cac40b35678633019f620670452e0e9a38a1ad1a56d993b988d40810f"
PROGRAM = """
import ast, hashlib, runpy, sys
form = runpy.run_path(sys.argv[1])["normal_form"]
tree = ast.parse(open(sys.argv[2], encoding="utf-8").read())
print(hashlib.sha256(form(tree, docstrings=False).encode("ascii")).hexdigest())
"""


@pytest.mark.parametrize(
    "python", [pytest.param(path, id=f"3.{minor}") for (_, minor), path in pythons().items() if minor >= 10]
)
def test_every_python_gives_the_same_digest(python: str) -> None:
    module = normal_form_module.__file__
    done = subprocess.run([python, "-c", PROGRAM, module, SAMPLE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == GOLDEN


def form(text: str, *, docstrings: bool = False) -> str:
    return normal_form(ast.parse(text), docstrings=docstrings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1  # beam", "x = (1)"),
        ("def f():\n    'says'\n    return 1", "def f(): return 1"),
        ("x = 'a' 'b'", 'x = "ab"'),
        ("x = f'a' f'{y}'", "x = f'a{y}'"),
        ("x = u'a'", "x = 'a'"),
        ("x = 0x10", "x = 16"),
    ],
)
def test_layout_comments_and_docstrings_do_not_count(one: str, other: str) -> None:
    assert form(one) == form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = '1'", "x = 1"),
        ("x = b'1'", "x = '1'"),
        ("x = None", "x = 'None'"),
        ("x = 0.0", "x = -0.0"),
        ("f(a, b)", "f([a, b])"),
        ("f(*a)", "f(**a)"),
        ("return_ = None", "return_ = ()"),
        ("x = f'{a!r}'", "x = f'{a!s}'"),
        ("x = f'{a}b'", "x = f'{a:b}'"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(a=1): pass", "def f(*, a=1): pass"),
        ("import a.b", "import a.b as a"),
        ("from .a import b", "from ..a import b"),
        ("async def f(): pass", "def f(): pass"),
    ],
)
def test_what_changes_the_meaning_counts(one: str, other: str) -> None:
    assert form(one) != form(other)


def test_docstrings_count_where_they_are_used() -> None:
    one, other = "def f():\n    'a'", "def f():\n    'b'"
    assert form(one) == form(other)
    assert form(one, docstrings=True) != form(other, docstrings=True)


def test_the_digest_is_of_ascii_text() -> None:
    assert hashlib.sha256(form(SAMPLE.read_text(encoding="utf-8")).encode("ascii")).hexdigest() == GOLDEN
