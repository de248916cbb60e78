"""Functions that cannot travel as source are pickled for the same Python; others are refused."""

from __future__ import annotations

import functools
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from scheduler.errors import JobError
from scheduler.render.function.pack import PackedFunction, Packer

from .conftest import Make
from .node import HERE, Node, pack_function, pythons, version_of

FACTORY = {
    "factory.py": (
        "import functools\nfrom basics import add\nSCALE = 10\n"
        "class Adder:\n"
        "    def __init__(self, n):\n        self.n = n\n"
        "    def __call__(self, x):\n        return add(self.n, x) * SCALE\n"
        "    def method(self, x):\n        return add(self.n, x)\n"
        "def closure(n):\n"
        "    def inner(x):\n        import lazily_needed\n        return lazily_needed.NUMBER + add(n, x) * SCALE\n"
        "    return inner\n"
        "double = lambda x: add(x, x)\n"
        "partial = functools.partial(add, 1)\n"
        "def identity(x):\n    return x\n"
    ),
    "basics.py": "def add(a, b=0, x=0):\n    return a + b + x\n",
    "lazily_needed.py": "NUMBER = 100\n",
}


def sources(packed: PackedFunction) -> set[str]:
    return {name.removeprefix("function/src/") for name in packed.files if name.startswith("function/src/")}


@pytest.mark.parametrize(
    ("expression", "result", "why"),
    [
        ("closure(1)", 130, "inner is not a module-level function"),
        ("double", 4, "<lambda> is a lambda"),
        ("partial", 3, "partial"),
        ("Adder(1)", 30, "Adder"),
        ("Adder(1).method", 3, "method"),
    ],
)
def test_a_function_without_a_name_in_a_module(expression: str, result: int, why: str, make: Make, node: Node) -> None:
    function = eval(expression, vars(make("factory", FACTORY)))
    packed = pack_function(function, {"x": 2}, job_id="j")
    assert (packed.how, packed.python) == ("pickle", HERE)
    assert why in packed.why
    assert "basics.py" in sources(packed)
    outcome = node.run(packed)
    assert outcome.result == {"result": result}, outcome.stderr


def test_the_variables_of_a_closure_are_sent(node: Node) -> None:
    data = {(1, 2): {3j}}
    packed = pack_function(lambda n: {"n": n, "data": str(data)}, {"n": 1}, job_id="j")
    assert node.run(packed).result == {"n": 1, "data": "{(1, 2): {3j}}"}


@pytest.mark.parametrize("value", [{1, 2}, {1: "a"}, 1j, b"x", {"a": [object]}, threading.Event])
def test_params_that_json_cannot_hold_are_pickled_with_the_function(value: Any, make: Make, node: Node) -> None:
    function = make("factory", FACTORY).identity
    packed = pack_function(lambda x: repr(x), {"x": value}, job_id="j")
    assert node.run(packed).result == {"result": repr(value)}
    packed = pack_function(function, {"x": value}, job_id="j")
    assert packed.how == "pickle"
    assert "params['x']" in packed.why
    assert "factory.py" in sources(packed)


def test_params_that_contain_themselves_arrive_unchanged(node: Node) -> None:
    loop: list[Any] = []
    loop.append(loop)
    packed = pack_function(lambda x: x[0] is x, {"x": loop}, job_id="j")
    assert node.run(packed).result == {"result": True}


def test_a_packer_finds_a_source_once_and_packs_every_job(make: Make, node: Node) -> None:
    packer, module = Packer(), make("factory", FACTORY)
    packs = [packer.pack(module.identity, {"x": x}, job_id="j") for x in (1, {2}, 3)]
    packs += [packer.pack(module.double, {"x": 4}, job_id="j")]
    assert [packed.how for packed in packs] == ["source", "pickle", "source", "pickle"]
    assert packs[0].files == packs[2].files
    assert node.run(packs[3]).result == {"result": 8}


def test_a_tuple_arrives_as_a_list(make: Make, node: Node) -> None:
    packed = pack_function(make("factory", FACTORY).identity, {"x": (1, (2,))}, job_id="j")
    assert packed.how == "source"
    assert node.run(packed, {"x": (1, (2,))}).result == {"result": [1, [2]]}


def test_a_numpy_array_is_pickled(make: Make) -> None:
    numpy = pytest.importorskip("numpy")
    assert pack_function(make("factory", FACTORY).identity, {"x": numpy.zeros(3)}, job_id="j").how == "pickle"


def test_a_function_made_by_exec(node: Node) -> None:
    space: dict[str, Any] = {"N": 3}
    exec("def f(x):\n    return helper(x) + N\ndef helper(x):\n    return 2 * x\n", space)
    packed = pack_function(space["f"], {"x": 2}, job_id="j")
    assert packed.how == "pickle"
    assert node.run(packed).result == {"result": 7}


def test_another_python_reports_that_it_cannot_read_the_pickle(node: Node, other_python: str) -> None:
    packed = pack_function(lambda: 1, {}, job_id="j")
    outcome = node.run(packed, python=other_python)
    theirs, ours = ".".join(map(str, version_of(other_python))), ".".join(map(str, HERE))
    assert (outcome.exit_code, outcome.result) == (87, None)
    assert outcome.error is not None
    for part in (f"Python {theirs}", f"Python {ours}", "a lambda", "module-level", "`python:`", "container"):
        assert part in outcome.stderr
        assert part in outcome.error["message"]


def test_the_pickle_is_read_with_the_cloudpickle_that_wrote_it(node: Node) -> None:
    def where() -> str:
        import cloudpickle

        return str(cloudpickle.__file__)

    outcome = node.run(pack_function(where, {}, job_id="j"), python=pythons()[HERE])
    assert outcome.result["result"] == str(node.control / "function" / "cloudpickle" / "cloudpickle" / "__init__.py")


def test_on_a_site_that_trusts_pickles_the_result_is_pickled_with_cloudpickle(node: Node) -> None:
    outcome = node.run(pack_function(lambda: {"f": lambda: 1}, {}, job_id="j"), options=("--pickle-results",))
    assert outcome.exit_code == 0, outcome.stderr
    assert (outcome.control / "result.pkl").exists()


async def _async() -> None: ...


async def _async_generator() -> AsyncIterator[int]:
    yield 1


def _generator() -> Iterator[int]:
    yield 1


class _Callable:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_async, "_async is async"),
        (_async_generator, "_async_generator is async"),
        (functools.partial(_async), "is async"),
        (_Callable(), "_Callable is async"),
        (_generator, "_generator is a generator"),
        (3, "which cannot be called"),
    ],
)
def test_a_callable_that_returns_no_result_is_refused(function: Any, message: str) -> None:
    with pytest.raises(JobError, match=f"'my job'.*{message}"):
        pack_function(function, {}, job_id="my job")


def test_params_that_do_not_fit_are_refused(make: Make) -> None:
    def f(x: int, *, y: int = 0) -> None: ...

    for params in ({}, {"x": 1, "z": 2}):
        with pytest.raises(JobError, match=r"'my job': params do not fit .*f\(x: .*: .*(missing|unexpected)"):
            pack_function(f, params, job_id="my job")


def test_a_function_that_cannot_travel_is_refused_with_both_reasons() -> None:
    lock = threading.Lock()
    with pytest.raises(
        JobError, match=r"'my job': .*not as source, because .*lambda.*nor by cloudpickle: .*lock.*params"
    ):
        pack_function(lambda: lock, {}, job_id="my job")


def test_the_call_names_the_python_that_it_needs(make: Make) -> None:
    call = json.loads(pack_function(lambda: 1, {}, job_id="j").files["function/call.json"])
    assert (call["how"], call["python"]) == ("pickle", list(sys.version_info[:2]))


def test_a_lock_that_cannot_be_sent_is_named() -> None:
    lock = {"a": [threading.Lock()]}
    with pytest.raises(JobError, match=r"cannot pickle '_thread.lock' object \(in lock\['a'\]\[0\]\)\. Make it"):
        pack_function(lambda: lock, {}, job_id="j")
