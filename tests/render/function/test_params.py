"""Parameters arrive on the node unchanged, whatever they contain."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.render.function.pack import PackedFunction

from .node import Node

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(JSON, max_size=5))
def test_params_that_json_can_hold_arrive_as_they_were(values: list[object], tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.unpack(ECHO.files)
    assert node.run(ECHO, {"values": values}).result == {"values": values}


def _packed_echo() -> PackedFunction:
    call = {"how": "source", "module": "echo", "qualname": "f", "python": None, "modules": ["echo"]}
    source = b"def f(values):\n    return {'values': values}\n"
    return PackedFunction(
        {"function/call.json": json.dumps(call).encode(), "function/src/echo.py": source}, "source", None
    )


ECHO = _packed_echo()


HOSTILE = [
    "'",
    '"',
    "$HOME",
    "`id`",
    "$(id)",
    "\\",
    "\n",
    "\r\n",
    "\x00",
    "é\u2028\U0001f52c",
    "\udcff",
    "--pickle-results",
]


def test_hostile_parameters_stay_data(node: Node, each_python: str) -> None:
    values = [*HOSTILE, {word: word for word in HOSTILE}]
    assert node.run(ECHO, {"values": values}, python=each_python).result == {"values": values}


def test_megabytes_of_params_arrive(node: Node) -> None:
    values = [[float(n) for n in range(100_000)], "x" * 5_000_000]
    assert node.run(ECHO, {"values": values}).result == {"values": values}
