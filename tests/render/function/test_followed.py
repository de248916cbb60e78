"""The value of every variable is followed through the statements of its module: a change of it reaches the job or is
refused, and an unchanged module is never refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scheduler.errors import JobError
from scheduler.render.function.loaded.changes import values_to_send
from scheduler.render.function.reach import Reach, Variable

from .conftest import Make
from .node import Node, pack_function

SOURCE = """
import functools, os
from collections import Counter, OrderedDict, defaultdict, deque
AUG = 1
AUG += 1
for LOOP in range(3):
    pass
SQUARES = [i * i for i in range(4)]
TEXT = f"n{AUG}"
WORDS = "a b c".split()
MERGED = [*SQUARES, 3]
BOTH = {**{"a": 1}, "b": -AUG}
HERE = {"home": os.getcwd(), "n": 5}
groups, queue, counts, order = defaultdict(list), deque(maxlen=3), Counter(), OrderedDict()
hooks, table, chosen = [], {}, set()
class Base:
    x = 1
class Other(Base):
    x = 2
    def m(self): return 1
class C(Base):
    y = 3
    tables = {}
    def m(self): return 2
def scale(x): return x * getattr(scale, "factor", 1)
def g(x): return 2
def k(x, *, by=2): return x * by
@functools.lru_cache(maxsize=None)
def cached(x): return x
shift = lambda x: x
class Settings:
    def __init__(self): self.a = 1
SETTINGS = Settings()
def apply_all(some, x):
    for one in some:
        x = one(x)
    return x
def apply(x): return apply_all(hooks, x)
"""
CHANGES = {
    "m.AUG = 7": "m.AUG",
    "m.LOOP = 9": "m.LOOP",
    "m.SQUARES.append(4)": "m.SQUARES",
    "m.TEXT = 'z'": "m.TEXT",
    "m.WORDS.append('d')": "m.WORDS",
    "m.MERGED.append(4)": "m.MERGED",
    "m.BOTH['c'] = 3": "sorted(m.BOTH)",
    "m.HERE['n'] = 6": "m.HERE['n']",
    "del m.AUG": "m.AUG",
    "del m.g": "m.g(1)",
    "del m.C.y": "m.C.y",
    "del m.C.m": "m.C().m()",
    "m.scale.factor = 3": "m.scale(1)",
    "m.C.m.tag = 1": "getattr(m.C.m, 'tag', 0)",
    "m.cached.tag = 1": "getattr(m.cached, 'tag', 0)",
    "m.g.tag = object()": "hasattr(m.g, 'tag')",
    "m.groups['a'].append(1)": "[dict(m.groups), m.groups['new']]",
    "m.queue.extend([1, 2, 3, 4])": "[list(m.queue), m.queue.maxlen]",
    "m.queue.append(object())": "len(m.queue)",
    "m.counts['a'] += 1": "[dict(m.counts), m.counts['none']]",
    "m.order['a'] = 1": "list(m.order.items())",
    "m.groups = m.defaultdict(int, a=1)": "m.groups['b']",
    "m.hooks.append(object())": "len(m.hooks)",
    "m.hooks.append(lambda x: 77)": "m.apply(1)",
    "m.table[1] = object()": "len(m.table)",
    "m.chosen.add(object())": "len(m.chosen)",
    "m.C.tables['a'] = object()": "len(m.C.tables)",
    "m.C.__bases__ = (m.Other,)": "m.C.x",
    "m.C = m.Other": "m.C().m()",
    "m.C.m = m.Other.m": "m.C().m()",
    "m.C.__len__ = lambda self: 77": "len(m.C())",
    "m.C.__call__ = m.g": "callable(m.C())",
    "m.C.z = [1]": "getattr(m.C, 'z', 0)",
    "m.Base.__init__ = lambda self: setattr(self, 'q', 1)": "getattr(m.C(), 'q', 0)",
    "m.g = m.scale": "m.g(1)",
    "m.g = m.shift": "m.g(1)",
    "m.g = m.functools.wraps(m.g)(lambda x: 77)": "m.g(1)",
    "m.g.__code__ = m.shift.__code__": "m.g(1)",
    "m.k.__kwdefaults__ = {'by': 9}": "m.k(1)",
    "m.g.__defaults__ = (3,)": "m.g()",
    "m.cached = m.functools.lru_cache(lambda x: 77)": "m.cached(1)",
    "m.shift = m.g": "m.shift(1)",
    "m.shift.__defaults__ = (3,)": "m.shift()",
    "m.SETTINGS.extra = 5": "getattr(m.SETTINGS, 'extra', 0)",
    "m.functools = m.os": "m.functools.__name__",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_module_gives_the_job_what_it_has_here_or_is_refused(change: str, make: Make, node: Node) -> None:
    files = {"followed.py": SOURCE, "job.py": f"import followed as m\ndef f():\n    return {CHANGES[change]}\n"}
    job: Any = make("job", files)
    untouched = json.loads(pack_function(job.f, {}, job_id="j").files["function/call.json"])
    assert untouched["values"] == {}
    exec(change, {"m": job.m, "__name__": "__main__"})
    try:
        packed = pack_function(job.f, {}, job_id="j")
    except JobError as error:
        assert "followed" in str(error)
        assert any(words in str(error) for words in ("change the file", "start Python again"))
        return
    assert "del" not in change
    outcome = node.run(packed)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.result == json.loads(json.dumps({"result": job.f()}))


def test_containers_of_collections_get_their_content_in_every_python(make: Make, node: Node, each_python: str) -> None:
    job: Any = make(
        "job",
        {
            "followed.py": "from collections import deque, defaultdict\nQ, D = deque([5], 2), defaultdict(list)\n",
            "job.py": "import followed as m\nfrom followed import Q\n"
            "def f():\n    return [list(m.Q), m.Q is Q, m.D['x'], dict(m.D)]\n",
        },
    )
    job.m.Q.append(7)
    job.m.D["a"].append(1)
    assert node.run(pack_function(job.f, {}, job_id="j"), python=each_python).result == {
        "result": [[5, 7], True, [], {"a": [1], "x": []}]
    }


FILLERS = {
    "a decorator": "def take(f):\n    held.append(f)\n    return f\n@take\ndef one(): pass\n",
    "a function": "def fill():\n    held.append(object())\nfill()\n",
    "another name": "def fill(some):\n    some.append(object())\nfill(held)\n",
    "an attribute": "class Filler:\n    def __init__(self, into): self.into = into\n"
    "    def go(self): self.into.append(object())\nFiller(held).go()\n",
    "a loop": "for n in range(3):\n    held.append(object())\n",
    "a text": "import sys\ngetattr(sys.modules[__name__], 'held').append(object())\n",
    "globals": "globals()['held'].append(object())\n",
    "a return value": "def get(): return held\nget().append(object())\n",
    "a builtin function": "list(map(held.append, [object()]))\n",
}


@pytest.mark.parametrize("filler", FILLERS)
def test_what_the_user_s_code_fills_is_left_to_it(filler: str, make: Make, node: Node) -> None:
    job: Any = make(
        "job",
        {
            "filled.py": f"held = []\n{FILLERS[filler]}",
            "job.py": "import filled\ndef f():\n    return len(filled.held)\n",
        },
    )
    assert job.f() > 0
    assert node.run(pack_function(job.f, {}, job_id="j")).result == {"result": job.f()}


NAMES = ["a", "b", "c"]
VALUES = st.recursive(
    st.one_of(st.integers(-5, 5), st.booleans(), st.none(), st.text("xyz", max_size=3), st.floats(-2, 2, width=16)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("kl", max_size=2), inner, max_size=3)),
    max_leaves=5,
)
KNOWN = st.one_of(
    VALUES.map(repr),
    st.sampled_from(NAMES),
    st.sampled_from(["[i for i in range(3)]", "{k: [] for k in 'kl'}", "f'{a}'", "'p q'.split()", "a == b", "not a"]),
    st.sampled_from(["[a, *'xy']", "{'k': a}", "a if b else c", "a or b", "len(str(a))", "(a, b)[0]"]),
)
ANY = st.one_of(KNOWN, st.just("object()"), st.just("[object(), a]"))
NAME = st.sampled_from(NAMES)
SIMPLE = st.one_of(
    st.builds("{} = {}".format, NAME, KNOWN),
    st.builds("{} = {} = {}".format, NAME, NAME, KNOWN),
    st.builds("for {} in range(2):\n    {} = {}".format, NAME, NAME, KNOWN),
)
STATEMENTS = st.one_of(
    SIMPLE,
    st.builds("{} = {}".format, NAME, ANY),
    st.builds("if {}:\n    {} = {}".format, ANY, NAME, ANY),
    st.builds("if isinstance({0}, list):\n    {0}.append({1})".format, NAME, ANY),
    st.builds("if type({0}) is dict:\n    {0}['n'] = {1}".format, NAME, ANY),
    st.builds("try:\n    {} += {}\nexcept TypeError:\n    pass".format, NAME, ANY),
)
_number = itertools.count()
_few = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _found(make: Make, statements: list[str]) -> tuple[Any, Callable[[], dict[str, Any]]]:
    """A module of these statements, and a function that finds out what was changed in it."""
    name = f"any_module_{next(_number)}"
    module = make(name, {f"{name}.py": "\n".join(["a, b, c = 1, [2], {'k': 3}", *statements]) + "\n"})

    def changed() -> dict[str, Any]:
        variables = tuple(Variable(module, name, vars(module)[name]) for name in NAMES)
        return dict(values_to_send(Reach(variables, (), (module,), frozenset(NAMES))).get(name, {}))

    return module, changed


@_few
@example(["a = [object(), a]", "b = [object(), a]", "if isinstance(a, list):\n    a.append(object())"])
@given(st.lists(STATEMENTS, max_size=8))
def test_an_unchanged_module_is_never_refused(make: Make, statements: list[str]) -> None:
    _, changed = _found(make, statements)
    changed()


@_few
@example(["a = []", "a = f'{a}'"], "a")
@given(st.lists(SIMPLE, max_size=8), NAME)
def test_of_simple_statements_exactly_what_was_changed_is_sent(make: Make, statements: list[str], name: str) -> None:
    module, changed = _found(make, statements)
    assert changed() == {}
    setattr(module, name, ["changed", 77])
    assert [literal for _, literal in changed().values()] == ["['changed', 77]"]
