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
        ("sys.exit(3)", 3, "the function called sys.exit(3)", ""),
        ("sys.exit('no beam')", 1, "no beam", "no beam\n"),
        ("sys.exit(True)", 1, "the function called sys.exit(True)", ""),
        ("raise SystemExit(True)", 1, "the function called sys.exit(True)", ""),
        ("sys.exit(-1)", 255, "the function called sys.exit(-1)", ""),
        ("sys.exit(257)", 1, "the function called sys.exit(257)", ""),
        ("sys.exit(2 ** 70)", 255, "the function called sys.exit(1180591620717411303424)", ""),
        ("sys.exit((1, 'x'))", 1, "(1, 'x')", "(1, 'x')\n"),
        ("sys.exit(2.5)", 1, "2.5", "2.5\n"),
        ("os._exit(5)", 5, None, ""),
    ],
)
def test_sys_exit_in_a_function_sets_the_exit_code(
    body: str, code: int, message: str | None, stderr: str, make: Make, node: Node
) -> None:
    outcome = node.run(packed(make, f"def f():\n    {body}\n"))
    assert (outcome.exit_code, outcome.result, outcome.stderr) == (code, None, stderr)
    assert (outcome.error or {}).get("message") == message


@pytest.mark.parametrize("code", ["0", "", "None", "False", "256", "os.system('exit 1')", "-256", "2 ** 40"])
def test_an_exit_code_that_a_shell_sees_as_0_is_a_failure(code: str, make: Make, node: Node) -> None:
    outcome = node.run(packed(make, f"def f():\n    sys.exit({code})\n"))
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert outcome.error is not None
    assert outcome.error["message"].startswith("the function called sys.exit(")
    assert "a function that succeeds must return" in outcome.error["message"]
    assert outcome.stderr == f"error: {outcome.error['message']}\n"


def test_an_exit_while_the_module_is_imported_names_the_module(make: Make, node: Node, each_python: str) -> None:
    text = "import os, sys\nif 'JOB_ID' in os.environ:\n    sys.exit(0)\ndef f():\n    return 1\n"
    sent = pack_function(make("leaves", {"leaves.py": text}).f, {}, job_id="j")
    outcome = node.run(sent, python=each_python, environment={"JOB_ID": "j"})
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert "the module leaves, when it was imported, called sys.exit(0)" in outcome.stderr


ENDS = {
    "os._exit(0)": (0, None),
    "os.execv('/bin/true', ['true'])": (0, None),
    "os.kill(os.getpid(), 9)": (-9, None),
    "atexit.register(os._exit, 4)": (4, {"result": None}),
    "atexit.register(os._exit, 0); raise KeyError": (0, None),
    "threading.Thread(target=sys.exit, args=(3,)).start()": (0, {"result": None}),
    "threading.Thread(target=os._exit, args=(0,)).start(); time.sleep(600)": (0, None),
    "os.fork() and os._exit(0)": (0, None),  # the child returns
}


@pytest.mark.parametrize("end", ENDS)
def test_there_is_a_result_only_if_the_function_returned(end: str, make: Make, node: Node) -> None:
    """The job's script refuses an exit code of 0 without a result."""
    outcome = node.run(packed(make, f"import atexit\ndef f():\n    {end}\n"))
    assert (outcome.exit_code, outcome.result) == ENDS[end]


def test_a_signal_ends_the_function_as_any_other_process(make: Make, node: Node) -> None:
    outcome = node.run(packed(make, "def f():\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(9)\n"))
    assert (outcome.exit_code, outcome.result, outcome.error) == (-15, None, None)
    outcome = node.run(packed(make, "def f():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(9)\n"))
    assert (outcome.exit_code, outcome.result) == (-2, None)


def test_a_child_that_the_function_forks_leaves_no_result(make: Make, node: Node) -> None:
    fork = "def f():\n    child = os.fork()\n    if not child:\n        {0}\n"
    body = fork + "    os.waitpid(child, 0)\n    return 'parent'\n"
    for end in ("sys.exit(0)", "return 'child'", "raise KeyError"):
        outcome = node.run(packed(make, body.format(end)))
        assert (outcome.exit_code, outcome.result, outcome.error) == (0, {"result": "parent"}, None)


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
    ours = {name: RUN_FUNCTION.with_name(name).read_bytes() for name in ("run_function.py", "function_result.py")}
    node.unpack({**sent.files, "params.json": b"{}", **ours})
    node.job.mkdir(parents=True)
    command = [sys.executable, "-S", "-E", str(node.control / "run_function.py"), str(node.control)]
    subprocess.run(command, cwd=node.job, env={"PATH": os.environ["PATH"]}, check=True)
    assert node.read("result.json") == {"result": []}
    assert not (node.control / "__pycache__").exists()


def test_modules_of_the_user_may_have_the_names_of_ours(make: Make, node: Node) -> None:
    text = "import function_result, run_function\ndef f():\n    return function_result.N + run_function.N\n"
    files = {"named.py": text, "function_result.py": "N = 1\n", "run_function.py": "N = 2\n"}
    assert node.run(pack_function(make("named", files).f, {}, job_id="j")).result == {"result": 3}


LONG = {
    "raise ValueError('x' * 5_000_000)": "ValueError",
    "raise ValueError('x\\n' * 2_500_000)": "ValueError",
    "raise KeyError('x') from ValueError('y' * 5_000_000)": "KeyError",
    "raise Tall(*'x' * 2_000_000)": "Tall",
}


@pytest.mark.parametrize("error", LONG)
def test_the_type_of_an_error_with_a_huge_message_is_shown(error: str, make: Make, node: Node) -> None:
    outcome = node.run(packed(make, f"class Tall(Exception):\n    pass\ndef f():\n    {error}\n"))
    assert outcome.error is not None
    kind = LONG[error]
    assert outcome.error["type"] == kind
    assert f"{kind}: " in outcome.error["traceback"]
    assert f"characters of this {kind} are left out" in outcome.error["traceback"]
    assert len(outcome.error["traceback"]) < 100_000 > len(outcome.error["message"])
    assert f"error: {kind}: its traceback and message have " in outcome.stderr[-200:]


RAISED = {
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit('g')": "GeneratorExit: g",
    "raise Stop('s')": "Stop: s",
    "f()": "RecursionError: maximum recursion depth exceeded",
    "compile('1 +', 'given', 'exec')": "SyntaxError: invalid syntax",
    "json.loads('{')": "JSONDecodeError: Expecting property name",
    "raise ValueError(1) from KeyboardInterrupt()": "ValueError: 1",
    "raise Mute": "Mute",
}


@pytest.mark.parametrize("raised", RAISED)
def test_no_traceback_has_lines_of_ours(raised: str, make: Make, node: Node, each_python: str) -> None:
    classes = (
        "import json\nclass Stop(BaseException):\n    pass\n"
        "class Mute(Exception):\n    def __str__(self):\n        sys.exit(0)\n"
    )
    outcome = node.run(packed(make, f"{classes}def f():\n    {raised}\n"), python=each_python)
    assert outcome.exit_code not in (0, None)
    assert outcome.error is not None
    assert RAISED[raised] in outcome.stderr
    assert RAISED[raised] in outcome.error["traceback"]
    for line in ("run_function", "function_result", "in main", "in run"):
        assert line not in outcome.stderr


def test_a_group_of_errors_has_no_lines_of_ours(make: Make, node: Node, each_python: str) -> None:
    body = "def f():\n    import asyncio\n    raise ExceptionGroup('both', [ValueError(1), KeyError(2)])\n"
    outcome = node.run(packed(make, body), python=each_python)
    wanted = ("NameError", "ExceptionGroup: both (2 sub-exceptions)")
    assert any(text in outcome.stderr for text in wanted)
    assert "run_function" not in outcome.stderr


def test_an_error_is_reported_although_stderr_is_closed_or_replaced(make: Make, node: Node) -> None:
    for end in ("sys.stderr.close()", "sys.stderr = None", "sys.stderr = 3"):
        outcome = node.run(packed(make, f"def f():\n    {end}\n    raise ValueError('lost')\n"))
        assert outcome.exit_code in (1, 120)  # 120: Python could not flush it
        assert outcome.error is not None
        assert outcome.error["type"] == "ValueError"


def test_a_result_that_cannot_be_written_is_a_failure(make: Make, node: Node) -> None:
    body = f"def f():\n    os.mkdir({str(node.control / 'result.json.tmp')!r})\n    return 1\n"
    outcome = node.run(packed(make, body))
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert outcome.stderr.startswith("error: the function ran, but its result cannot be written: ")
