"""A function that fails: its own traceback on stderr, a short error, and the exit code."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest

from scheduler.render.function.pack import PackedFunction

from .conftest import Make
from .node import RUN_FUNCTION, Node, pack_function

CHAIN = """
def deep():
    raise KeyError("inner 'é'")

def f():
    try:
        deep()
    except KeyError as error:
        raise ValueError("outer") from error
"""


def packed(make: Make, body: str) -> PackedFunction:
    text = "import os, sys, signal, threading, time\n" + body
    return pack_function(make("fails", {"fails.py": text}).f, {}, job_id="j")


def test_run_function_compiles_on_the_oldest_supported_python() -> None:
    ast.parse(RUN_FUNCTION.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_an_error_with_a_cause_is_reported_as_python_reports_it(make: Make, node: Node, each_python: str) -> None:
    outcome = node.run(packed(make, CHAIN), python=each_python)
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert "The above exception was the direct cause" in outcome.stderr
    assert "KeyError: \"inner 'é'\"" in outcome.stderr
    assert outcome.stderr.endswith("ValueError: outer\n")
    assert "run_function.py" not in outcome.stderr
    assert outcome.error == {"type": "ValueError", "message": "outer", "traceback": outcome.stderr}


def test_an_error_while_the_module_is_imported_is_the_functions_error(make: Make, node: Node) -> None:
    text = "import os\nif 'JOB_ID' in os.environ:\n    raise RuntimeError('at import')\ndef f():\n    return 1\n"
    sent = pack_function(make("at_import", {"at_import.py": text}).f, {}, job_id="j")
    outcome = node.run(sent, environment={"JOB_ID": "j"})
    assert outcome.exit_code == 1
    assert "run_function.py" not in outcome.stderr
    assert "importlib" not in outcome.stderr
    assert outcome.stderr.endswith("RuntimeError: at import\n")


@pytest.mark.parametrize(
    ("body", "code", "message", "stderr"),
    [
        ("def f():\n    sys.exit(3)\n", 3, "the function called sys.exit(3)", ""),
        ("def f():\n    sys.exit('no beam')\n", 1, "no beam", "no beam\n"),
        ("def f():\n    sys.exit(True)\n", 1, "the function called sys.exit(True)", ""),
        ("def f():\n    os._exit(5)\n", 5, None, ""),
    ],
)
def test_sys_exit_in_a_function_sets_the_exit_code(
    body: str, code: int, message: str | None, stderr: str, make: Make, node: Node
) -> None:
    outcome = node.run(packed(make, body))
    assert (outcome.exit_code, outcome.result, outcome.stderr) == (code, None, stderr)
    assert (outcome.error or {}).get("message") == message


def test_a_function_that_exits_with_0_has_returned_nothing(make: Make, node: Node) -> None:
    outcome = node.run(packed(make, "def f():\n    sys.exit(0)\n"))
    assert (outcome.exit_code, outcome.result, outcome.error) == (0, {"result": None}, None)


def test_a_signal_ends_the_function_as_any_other_process(make: Make, node: Node) -> None:
    outcome = node.run(packed(make, "def f():\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(9)\n"))
    assert (outcome.exit_code, outcome.result, outcome.error) == (-15, None, None)
    outcome = node.run(packed(make, "def f():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(9)\n"))
    assert (outcome.exit_code, outcome.result) == (-2, None)


def test_a_child_that_the_function_forks_leaves_no_result(make: Make, node: Node) -> None:
    fork = "def f():\n    child = os.fork()\n    if not child:\n        {0}\n"
    body = fork + "    os.waitpid(child, 0)\n    return 'parent'\n"
    for end in ("sys.exit(0)", "return 'child'"):
        assert node.run(packed(make, body.format(end))).result == {"result": "parent"}


def test_the_error_of_an_earlier_attempt_is_removed(make: Make, node: Node) -> None:
    assert node.run(packed(make, "def f():\n    sys.exit('no')\n")).error
    good = pack_function(make("good_now", {"good_now.py": "def f():\n    return 1\n"}).f, {}, job_id="j")
    outcome = node.run(good)
    assert (outcome.result, outcome.error) == ({"result": 1}, None)


def test_an_error_whose_message_cannot_be_shown_is_reported(make: Make, node: Node) -> None:
    body = "class Bad(Exception):\n    def __str__(self):\n        raise RuntimeError\ndef f():\n    raise Bad\n"
    outcome = node.run(packed(make, body))
    assert outcome.exit_code == 1
    assert outcome.error is not None
    assert outcome.error["type"] == "Bad"


def test_printed_text_is_in_the_log_at_once_in_any_locale(make: Make, node: Node, each_python: str) -> None:
    body = "def f():\n    print('é \\udcff')\n    sys.stderr.write('ü\\n')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    outcome = node.run(packed(make, body), python=each_python, environment={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"})
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (-9, "é \\udcff\n", "ü\n")


def test_the_function_has_its_own_arguments_path_and_folder(make: Make, node: Node) -> None:
    body = (
        "def f():\n"
        "    import staged\n"
        "    return {'argv': sys.argv, 'here': os.getcwd(), 'first': sys.path[0], 'last': sys.path[-1],\n"
        "            'n': staged.N, 'ours': [p for p in sys.path if 'remote' in p]}\n"
    )
    node.job.mkdir(parents=True)
    (node.job / "staged.py").write_text("N = 1\n")
    result = node.run(packed(make, body)).result
    source = str(node.control / "function" / "src")
    job = str(node.job)
    assert result == {"argv": ["f"], "here": job, "first": source, "last": job, "n": 1, "ours": []}


def test_processes_that_the_function_spawns_find_its_module(make: Make, node: Node) -> None:
    body = (
        "def square(n):\n    return n * n\n"
        "def f():\n"
        "    import multiprocessing\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "        return pool.map(square, [1, 2, 3])\n"
    )
    assert node.run(packed(make, body)).result == {"result": [1, 4, 9]}


def test_the_folder_may_change_while_it_runs(make: Make, node: Node) -> None:
    assert node.run(packed(make, "def f():\n    os.chdir('/')\n    return 1\n")).result == {"result": 1}


def test_a_python_that_is_too_old_is_named(node: Node) -> None:
    """Python 2 reaches the message. Without a Python 2, another Python claims to be an old version."""
    call = {"how": "pickle", "module": "", "qualname": "f", "python": [2, 6], "why": "it is old", "modules": []}
    node.unpack({"function/call.json": json.dumps(call).encode()})
    outcome = node.start()
    assert outcome.exit_code == 87
    assert "the function f was pickled by Python 2.6 (it is old), which Python 3." in outcome.stderr
    assert outcome.error is not None
    assert "set the site's `python:` to a Python 2.6" in outcome.error["message"]


def test_run_function_needs_nothing_but_the_control_folder(make: Make, node: Node) -> None:
    """In a container, neither this package nor a home directory exists."""
    sent = packed(make, "def f():\n    return sorted(set(sys.modules) & {'scheduler', 'site', 'cloudpickle'})\n")
    node.unpack({**sent.files, "params.json": b"{}", "run_function.py": RUN_FUNCTION.read_bytes()})
    node.job.mkdir(parents=True)
    command = [sys.executable, "-S", "-E", str(node.control / "run_function.py"), str(node.control)]
    subprocess.run(command, cwd=node.job, env={"PATH": os.environ["PATH"]}, check=True)
    assert node.read("result.json") == {"result": []}
