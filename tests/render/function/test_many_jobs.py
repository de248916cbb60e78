"""Many function jobs in one submission: the source of each function is found once, and each job gets its own files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from scheduler import Job, Site
from scheduler.render.bundle import Bundle, render
from scheduler.render.function import modules
from scheduler.render.function.pack import Packer

from .conftest import Make

SITE = Site.from_mapping({"transport": "local", "scheduler": "shell", "work_dir": "/w"}, name="here")
LIBRARY = {
    "analysis.py": (
        "import constants\n\ndef scale(x):\n    return x * constants.FACTOR\n\ndef shift(x):\n    return x + 1\n"
    ),
    "constants.py": "FACTOR = 10\n",
}


@contextmanager
def calls_of(*functions: Callable[..., Any]) -> Iterator[dict[str, int]]:
    """How often each of these functions is called within the block, by name."""
    codes: dict[CodeType, str] = {f.__code__: f.__name__ for f in functions if isinstance(f, FunctionType)}
    assert len(codes) == len(functions)
    counts = dict.fromkeys(codes.values(), 0)

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            counts[codes[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield counts
    finally:
        sys.setprofile(before)


def jobs(function: Callable[..., Any], count: int, *, name: str = "j") -> list[Job]:
    return [Job(f"{name}{n}", function=function, params={"x": n}, working_dir=f"/o/{name}{n}") for n in range(count)]


def sent(bundle: Bundle, element: int) -> dict[str, str]:
    """The source files of one job."""
    head = f"{element}/function/src/"
    found = {path.removeprefix(head): content for path, content in bundle.files.items() if path.startswith(head)}
    return {path: content.decode() for path, content in found.items() if isinstance(content, bytes)}


def test_the_source_of_a_function_is_found_once_for_all_jobs_that_call_it(make: Make) -> None:
    module = make("analysis", LIBRARY)
    with calls_of(Packer._find_source, modules.sources_of) as counts:
        bundle = render(jobs(module.scale, 100), SITE)
    assert counts == {"_find_source": 1, "sources_of": 1}
    assert [json.loads(_content(bundle, f"{n}/params.json")) for n in (0, 99)] == [{"x": 0}, {"x": 99}]
    assert all(sent(bundle, n) == LIBRARY for n in (0, 50, 99))


def test_each_function_of_a_submission_is_found_once(make: Make) -> None:
    module = make("analysis", LIBRARY)
    with calls_of(Packer._find_source) as counts:
        bundle = render([*jobs(module.scale, 20, name="a"), *jobs(module.shift, 20, name="b")], SITE)
    assert counts == {"_find_source": 2}
    names = {json.loads(_content(bundle, f"{n}/function/call.json"))["qualname"] for n in range(20)}
    assert names == {"scale"}
    assert json.loads(_content(bundle, "20/function/call.json"))["qualname"] == "shift"


def test_the_next_submission_sends_the_values_as_they_are_then(make: Make) -> None:
    module = make("analysis", LIBRARY)
    assert json.loads(_content(render(jobs(module.scale, 2), SITE), "1/function/call.json"))["values"] == {}
    module.constants.FACTOR = 2000
    call = json.loads(_content(render(jobs(module.scale, 2), SITE), "1/function/call.json"))
    assert call["values"] == {"constants": {"FACTOR": [0, "2000"]}}


def test_functions_with_the_same_code_and_different_globals_are_packed_separately(make: Make) -> None:
    """A copy of a function that has other globals is another function: it is found under no name, so it is pickled."""
    module = make("analysis", LIBRARY)
    other = FunctionType(module.scale.__code__, {"constants": type("C", (), {"FACTOR": 7}), "__name__": "analysis"})
    bundle = render([*jobs(module.scale, 2, name="a"), *jobs(other, 2, name="b")], SITE)
    ways = [json.loads(_content(bundle, f"{n}/function/call.json"))["how"] for n in range(4)]
    assert ways == ["source", "source", "pickle", "pickle"]


def test_a_function_is_not_confused_with_an_earlier_one_of_the_same_id(make: Make) -> None:
    """Python gives a new object the id of one that is gone; the packer keeps each function that it knows."""
    module = make(
        "factory", {"factory.py": "def closure(n):\n    return lambda x: x + n\n\ndef plain(x):\n    return x\n"}
    )
    packer = Packer()
    ways = [packer.pack(module.closure(n), {"x": 1}, job_id="j").how for n in range(5)]
    assert [*ways, packer.pack(module.plain, {"x": 1}, job_id="j").how] == ["pickle"] * 5 + ["source"]


def _content(bundle: Bundle, path: str) -> bytes:
    content = bundle.files[path]
    assert isinstance(content, bytes)
    return content


def test_the_folder_of_a_package_is_searched_once_however_many_modules_it_has(make: Make) -> None:
    package = {f"lib/m{n}.py": f"from lib import m{n + 1}\n" for n in range(12)}
    module = make("lib.m0", {"lib/__init__.py": "", **package, "lib/m12.py": "def shift(x):\n    return x + 1\n"})
    searches = modules._has_compiled.__wrapped__, modules._package_files.__wrapped__
    with calls_of(*searches) as counts:
        found = modules.sources_of([module.__name__])
    assert sorted(found) == sorted(["lib/__init__.py", "lib/m12.py", *package])
    assert counts == {"_has_compiled": 1, "_package_files": 1}
    Path(module.__file__ or "").with_name("added.py").write_text("")
    assert "lib/added.py" in modules.sources_of([module.__name__])
