"""No sequence of edits and calls ever returns a result that does not belong to the content that is here now."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import types
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler import Job, JobError, JobType

from .accepting import COMPLETED, FAILED, World

FIELDS = ("params", "arguments", "env_vars", "script", "input", "module", "command")
KIND = {"command": "container", "module": "function"}


class Model:
    """What the user has now: values, files, a module. `question` is all of it, for one kind of job."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.values = dict.fromkeys(FIELDS, 0)
        for name in ("script", "input", "module"):
            self.edit(name, 0)

    def edit(self, name: str, value: int) -> None:
        self.values[name] = value
        if name == "script":
            self.world.script.write_text(f"echo {value}\n")
        elif name == "input":
            (self.world.folder / "in.txt").write_text(f"{value}")
        elif name == "module":
            self.load(value)

    def load(self, value: int) -> None:
        """As a new process does: a module and one that it imports, in which the value is."""
        from importlib import import_module, invalidate_caches

        for name, text in {"asked": "import told\ndef f(x): return told.V\n", "told": f"V = {value}\n"}.items():
            (self.world.folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        invalidate_caches()
        sys.dont_write_bytecode = True
        self.function: types.FunctionType = import_module("asked").f

    def job(self, kind: str) -> Job:
        given: dict[str, Any] = {
            "params": {"x": self.values["params"]},
            "env_vars": {"E": f"{self.values['env_vars']}"},
        }
        given |= {"input_files": [self.world.folder / "in.txt"], "working_dir": self.world.folder / "out" / kind}
        own: dict[str, dict[str, Any]] = {
            "script": {"script_path": self.world.script, "arguments": [self.values["arguments"]]},
            "function": {"function": self.function},
            "container": {"container_image": "a.sif", "container_command": f"run {self.values['command']}"},
        }
        return Job(kind, JobType(kind), **given, **own[kind])

    def question(self, kind: str) -> str:
        """What a job of this kind would be asked now."""
        only = {"script": ("script", "arguments"), "function": ("module",), "container": ("command",)}[kind]
        return json.dumps({name: self.values[name] for name in ("params", "env_vars", "input", *only)})


EDITS = st.tuples(st.just("edit"), st.sampled_from(FIELDS), st.integers(0, 2))
CALLS = st.tuples(
    st.sampled_from(["submit", "resubmit"]), st.sampled_from(["script", "function", "container"]),
    st.sampled_from(["error", "rerun"]),
)  # fmt: skip
ENDS = st.tuples(st.just("end"), st.sampled_from([True, False]), st.just(0))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.one_of(EDITS, CALLS, ENDS, CALLS, ENDS), max_size=14))
def test_no_sequence_of_edits_and_calls_returns_a_result_of_other_content(
    steps: list[tuple[Any, Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    logging.disable(logging.CRITICAL)
    world = World(tmp_path_factory.mktemp("world"))
    sys.path.insert(0, str(world.folder))
    model, asked = Model(world), dict[int, str]()  # key of a job → what its last attempt was asked
    try:
        for step, what, how in steps:
            if step == "edit":
                model.edit(what, how)
            elif step == "end":
                for row in world.ledger.chosen():
                    if not row.status.final:
                        status = dataclasses.replace(COMPLETED if what else FAILED, retries=row.retries)
                        world.ledger.observe({row.key: status}, {})
                        world.ledger.record_results({row.key: {"answer": asked[row.key]}}, {row.key: row.retries})
            else:
                check_call(world, model, asked, call=step, kind=what, changed=how)
    finally:
        logging.disable(logging.NOTSET)
        sys.path.remove(str(world.folder))
        world.ledger.close()


def check_call(world: World, model: Model, asked: dict[int, str], *, call: str, kind: str, changed: str) -> None:
    job, runner, before = model.job(kind), world.runner(changed=changed), world.transport.commands
    try:
        (runner.submit if call == "submit" else runner.resubmit)([job])
    except JobError:
        assert world.transport.commands == before
        return
    [key] = runner.keys([job])
    if world.transport.commands > before:
        asked[key] = model.question(kind)
    assert asked[key] == model.question(kind)
    if job.final:
        assert job.get_results()["answer"] == model.question(kind)
