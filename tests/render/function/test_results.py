"""What a function returns becomes JSON. A value that JSON cannot hold is an error that names the part."""

from __future__ import annotations

import math
import sys

import pytest

from scheduler.render.function.pack import PackedFunction

from .conftest import Make
from .node import Node, pack_function

KINDS = """
import array, collections, datetime, decimal, enum, os, pathlib, sys

class Level(enum.Enum):
    HIGH = 2

class Name(str, enum.Enum):
    A = "a"

class Text(str):
    pass

class Number:  # like a numpy scalar
    def __init__(self, value):
        self.value = value
    def tolist(self):
        return self.value
    def item(self):
        return self.value

class Awkward:
    def item(self, needed):
        raise RuntimeError

Hit = collections.namedtuple("Hit", "x y")

loop = []
loop.append(loop)
"""
GOOD = {
    "{'a': 1}": {"a": 1},
    "None": {"result": None},
    "3": {"result": 3},
    "[1, (2, 3), {4}]": {"result": [1, [2, 3], [4]]},
    "{1: 'a', None: 'b', False: 'c', (1, 2): 'd', Level.HIGH.value + .5: 'e'}": {
        "1": "a", "null": "b", "false": "c", "(1, 2)": "d", "2.5": "e",
    },
    "frozenset([3, 1, 2])": {"result": [1, 2, 3]},
    "{'p': pathlib.Path('/a') / 'b', 'd': datetime.date(2024, 2, 29)}": {"p": "/a/b", "d": "2024-02-29"},
    "datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)": {"result": "2024-01-01T00:00:00+00:00"},
    "[Level.HIGH, Name.A, Text('t'), True]": {"result": [2, "a", "t", True]},
    "{Level.HIGH: 1, Name.A: 2}": {"2": 1, "a": 2},
    "Hit(1, [2])": {"result": {"x": 1, "y": [2]}},
    "{'n': Number(1.5), 'a': [Number([1, [2]])], 'r': range(2), 'y': array.array('d', [1])}": {
        "n": 1.5, "a": [[1, [2]]], "r": [0, 1], "y": [1.0],
    },
    "collections.OrderedDict([('z', 1), ('a', collections.Counter('aa'))])": {"z": 1, "a": {"a": 2}},
    "'\\ud800 \\u2028 \\x00 \\u00e9 $HOME'": {"result": "\ud800 \u2028 \x00 é $HOME"},
    "10 ** 30": {"result": 10**30},
}  # fmt: skip
BAD = {
    "b'x'": "result is of type bytes",
    "{'x': [1, {'y': 1j}]}": 'result["x"][1]["y"] is of type complex',
    "{'é': [Awkward()]}": 'result["é"][0] is of type kinds.Awkward',
    "[{1, (2, 1j)}]": "result[0] (an item)[1] is of type complex",
    "Hit(0, len)": 'result["y"] is of type builtin_function_or_method',
    "(n for n in [1])": "result is of type generator",
    "decimal.Decimal(1)": "result is of type decimal.Decimal",
    "[Number]": "result[0] is the class kinds.Number",
    "[Number(1j)]": "result[0] is of type kinds.Number",
    "loop": "result[0] contains itself",
    "{1: 2, '1': 3}": 'two keys become the same text in JSON: result["1"]',
    "object": "result is the class object",
}


def returning(expression: str, make: Make) -> PackedFunction:
    return pack_function(make("kinds", {"kinds.py": f"{KINDS}\ndef f():\n    return {expression}\n"}).f, {}, job_id="j")


@pytest.mark.parametrize("expression", GOOD)
def test_a_result_that_json_can_hold(expression: str, make: Make, node: Node) -> None:
    outcome = node.run(returning(expression, make))
    assert outcome.result == GOOD[expression], outcome.stderr
    assert outcome.exit_code == 0


@pytest.mark.parametrize("expression", BAD)
def test_a_result_that_json_cannot_hold_is_an_error_that_names_the_part(
    expression: str, make: Make, node: Node
) -> None:
    outcome = node.run(returning(expression, make))
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert BAD[expression] in outcome.stderr
    assert "the function ran" in outcome.stderr
    assert outcome.error is not None
    assert BAD[expression] in outcome.error["message"]
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("part", ["GOOD", "BAD"])
def test_results_of_all_types_on_every_python(part: str, make: Make, node: Node, each_python: str) -> None:
    expression = {"GOOD": "[Number([1.5]), Hit(1, {2}), Level.HIGH]", "BAD": "{'x': b''}"}[part]
    outcome = node.run(returning(expression, make), python=each_python)
    good = {"result": [[1.5], {"x": 1, "y": [2]}, 2]}
    assert (outcome.exit_code, outcome.result) == ((0, good) if part == "GOOD" else (1, None)), outcome.stderr


def test_nan_and_infinity_are_read_by_python(make: Make, node: Node) -> None:
    result = node.run(returning("{'n': float('nan'), 'i': [float('inf'), -float('inf')]}", make)).result
    assert math.isnan(result["n"])
    assert result["i"] == [math.inf, -math.inf]


def test_a_dataclass_is_an_object(make: Make, node: Node) -> None:
    text = "import dataclasses\n@dataclasses.dataclass\nclass D:\n    a: int\n    b: tuple\n"
    module = make("data", {"data.py": text + "def f():\n    return [D(1, (2,))]\n"})
    assert node.run(pack_function(module.f, {}, job_id="j")).result == {"result": [{"a": 1, "b": [2]}]}


def test_numpy_values_become_numbers_and_lists(make: Make, node: Node) -> None:
    pytest.importorskip("numpy")
    text = (
        "import numpy as np\n"
        "def f(n, x):\n"
        "    return {'i': np.int64(n), 'f': np.float32(.5), 'b': np.bool_(True), 'a': np.arange(4).reshape(2, 2),\n"
        "            's': np.str_('x'), 'k': {np.int64(1): x}, 'z': np.array(3),\n"
        "            'o': np.array([None, {'y': np.float64(1)}])}\n"
    )
    numpy = pytest.importorskip("numpy")
    params = {"n": numpy.int64(7), "x": numpy.float32(0.25)}
    packed = pack_function(make("with_numpy", {"with_numpy.py": text}).f, params, job_id="j")
    node.unpack(packed.files)
    assert packed.how == "source"
    assert node.start().result == {
        "i": 7, "f": 0.5, "b": True, "a": [[0, 1], [2, 3]], "s": "x", "k": {"1": 0.25}, "o": [None, {"y": 1.0}], "z": 3,
    }  # fmt: skip


def test_numpy_times_and_structured_arrays_keep_what_they_mean(make: Make, node: Node) -> None:
    pytest.importorskip("numpy")
    text = (
        "import numpy as np\n"
        "def f():\n"
        "    rows = np.array([(1, .5), (2, np.nan)], dtype=[('n', 'i4'), ('x', 'f8')])\n"
        "    day = np.array(['2024-02-29', 'NaT'], dtype='datetime64[D]')\n"
        "    return {'rows': rows[:1], 'row': rows[0], 'day': day, 'ns': np.datetime64('2024-01-01T00:00', 'ns'),\n"
        "            'none': rows[:0]}\n"
    )
    assert node.run(pack_function(make("times", {"times.py": text}).f, {}, job_id="j")).result == {
        "rows": [{"n": 1, "x": 0.5}], "row": {"n": 1, "x": 0.5}, "day": ["2024-02-29", "NaT"], "none": [],
        "ns": "2024-01-01T00:00:00.000000000",
    }  # fmt: skip
    span = "import numpy as np\ndef f():\n    return np.timedelta64(1, 'ns')\n"
    outcome = node.run(pack_function(make("span", {"span.py": span}).f, {}, job_id="j"))
    assert "result is of type numpy.timedelta64, which JSON cannot hold" in outcome.stderr


SERIES = """
class Series:  # like that of pandas
    index = name = None
    def tolist(self):
        return [1]
class Stamp:
    def isoformat(self):
        return "2024-01-01"
class Sub(Series):
    pass
"""


@pytest.mark.parametrize("package", ["pandas", "polars", "xarray", "pyarrow"])
def test_a_table_is_refused_since_json_would_lose_its_index(package: str, make: Make, node: Node) -> None:
    """Stand-ins with the names of these packages."""
    text = f"from {package}.frame import Series, Stamp, Sub\n"
    text += "def f(n):\n    return [Stamp(), Series(), {'s': Sub()}][n:]\n"
    files = {"tables.py": text, f"{package}/__init__.py": "", f"{package}/frame.py": SERIES}
    f = make("tables", files).f
    for n, part in ((0, f"result[1] is of type {package}.frame.Series"), (2, f'result[0]["s"] is of type {package}.')):
        outcome = node.run(pack_function(f, {"n": n}, job_id="j"), {"n": n})
        assert (outcome.exit_code, outcome.result) == (1, None)
        assert f"{part}" in outcome.stderr
        assert "to_dict()" in outcome.stderr


def test_a_series_of_pandas_is_refused(make: Make, node: Node) -> None:
    pytest.importorskip("pandas", reason="the stand-ins above are enough")
    text = (
        "import pandas\ndef f(n):\n    s = pandas.Series([1], index=['a'])\n    return [s, s.to_frame(), s.index][n]\n"
    )
    f = make("series", {"series.py": text}).f
    for n in range(3):
        assert "whose index, names or types JSON would lose" in node.run(pack_function(f, {"n": n}, job_id="j")).stderr


def test_a_number_with_too_many_digits_is_refused(make: Make, node: Node) -> None:
    if not hasattr(sys, "get_int_max_str_digits"):
        pytest.skip("this version of Python has no limit")
    outcome = node.run(returning("10 ** 5000", make))
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert outcome.stderr.startswith("error: the function ran, but JSON cannot hold its result: ")


def test_a_pickle_is_left_only_where_the_site_trusts_them(make: Make, node: Node) -> None:
    packed = returning("{'c': 1j}", make)
    assert not (node.run(packed).control / "result.pkl").exists()
    outcome = node.run(packed, options=("--pickle-results",))
    assert (outcome.exit_code, outcome.result, outcome.error) == (0, None, None)
    assert (outcome.control / "result.pkl").read_bytes().startswith(b"\x80\x04")
    assert node.run(returning("1", make), options=("--pickle-results",)).result == {"result": 1}
    assert not (outcome.control / "result.pkl").exists()


def test_no_incomplete_result_is_left(make: Make, node: Node) -> None:
    outcome = node.run(returning("[0] * 100000", make))
    assert outcome.result == {"result": [0] * 100_000}
    assert sorted(path.name for path in outcome.control.iterdir()) == ["function", "params.json", "result.json"]
    assert list(node.job.iterdir()) == []
