"""How a Python function travels: as source if possible, else pickled with cloudpickle. Nothing is sent or run here.

    if the function is found under its name in a module:
        of the running script:         its source := the part of the script that it needs       (script.py)
        of the user's own modules:     its source := these modules and those they import        (modules.py)
        of an installed module:        nothing is sent but the name
        params := as JSON holds them                                                            (params.py)
    if one of these steps is impossible (Unfit): cloudpickle of the function and its params

As source it runs on any Python that understands it, pickled only on the minor version that pickled it. The other end is
``render/runtime/run_function.py``.
"""

from __future__ import annotations

import functools
import importlib.resources
import inspect
import io
import json
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scheduler.errors import JobError
from scheduler.render.function import Unfit
from scheduler.render.function.loaded.changes import Values, values_to_send
from scheduler.render.function.loaded.expected import statements_of
from scheduler.render.function.loaded.plain import Differs
from scheduler.render.function.modules import exists, is_ours, modules_in_pickle, sources_of, top_of
from scheduler.render.function.needed.packages import roots_in_pickle, without_unreached_packages
from scheduler.render.function.needed.statements import WHOLE
from scheduler.render.function.params import is_json, name_of, plain_params, refuse_wrong_params
from scheduler.render.function.reach import first_of_type, place_of, reach_of
from scheduler.render.function.script import from_script, is_script, without_unused_packages
from scheduler.render.function.state import GENERATOR, REMEDY, Pickler, kind_of_state, seed_of
from scheduler.render.function.values import SCRIPT

_NOT_PICKLED = (  # observed when pickling fails: it calls methods of the user's objects
    *(pickle.PickleError, TypeError, ValueError, AttributeError, LookupError),
    *(RuntimeError, ImportError, OSError, AssertionError),
)


@dataclass(frozen=True)
class PackedFunction:
    """Everything that a function needs on the node, except `params.json`.

    Attributes:
        files: path in the job's control folder → content; all paths begin with ``function/``.
        how: ``"source"`` or ``"pickle"``.
        python: the minor version of Python that it needs on the node; None if any will do.
        why: why it cannot travel as source, in a few words; empty if it does.
        whole: relative path → content of the user's modules before anything that the function does not reach was left
            out: what a function is identified by does not depend on that.
    """

    files: Mapping[str, bytes] = field(repr=False)
    how: str
    python: tuple[int, int] | None
    why: str = ""
    whole: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Packer:
    """Packs the functions of one submission. It finds the source of each function once, however many jobs call it.

    Make a new one for each submission: it keeps the source, and the values that the source needs, as they were when a
    function was packed first.
    """

    def __init__(self) -> None:
        # By the id of the function, with the function itself: so no other object can get its id.
        self._sources: dict[int, tuple[object, _Source | Unfit]] = {}
        self._users: dict[int, tuple[object, str]] = {}  # by id: an object of which jobs would share the state, its job
        self._ours: dict[str, bool] = {}  # whether a module is the user's own

    def pack(self, function: Callable[..., Any], params: Mapping[str, Any], *, job_id: str) -> PackedFunction:
        """Pack `function` so that the node can call it with `params`.

        Args:
            function: of the job.
            params: keyword arguments of the call.
            job_id: for messages.

        Raises:
            JobError: the function is `async` or a generator, does not accept these `params`, cannot travel at all,
                would find other values in its modules than here, or would share a random state with other jobs.
        """
        _refuse_without_result(function, job_id)
        refuse_wrong_params(function, params, job_id)
        try:
            return self._packed(function, params, job_id)
        except Differs as differs:
            raise JobError(f"job {job_id!r}: {differs}") from None

    def _packed(self, function: Callable[..., Any], params: Mapping[str, Any], job_id: str) -> PackedFunction:
        try:
            source = self._source(function)
            if source.seed and self._is_used_by_another(function, job_id):
                raise JobError(
                    f"job {job_id!r}: {source.seed}, so it would draw the same random numbers as job "
                    f"{self._users[id(function)][1]!r}: {REMEDY}"
                )
            return _as_source(source, params)
        except Unfit as unfit:
            return self._as_pickle(function, params, why=str(unfit), job_id=job_id)

    def _is_used_by_another(self, value: object, job_id: str) -> bool:
        """Whether another job of this submission has used this object. If none has, this job has now."""
        return self._users.setdefault(id(value), (value, job_id))[1] != job_id

    def _source(self, function: Callable[..., Any]) -> _Source:
        if id(function) not in self._sources:
            self._sources[id(function)] = (function, self._find_source(function))
        source = self._sources[id(function)][1]
        if isinstance(source, Unfit):
            raise source
        return source

    def _find_source(self, function: Callable[..., Any]) -> _Source | Unfit:
        try:
            module, qualname = _address(function)
            if not is_script(module) and not is_ours(module):
                has_source = exists(module)
                return (
                    _Source(module, {}, {}, qualname)
                    if has_source
                    else Unfit(f"the module {module} has no source file")
                )
            reach = reach_of(function, self._ours)
            values = values_to_send(reach)
            name = qualname.partition(".")[0]
            if is_script(module):
                own = values.pop(module, None)
                module, files = from_script(module, qualname)
                name, values = WHOLE, values | ({module: own} if own else {})
            else:
                files = sources_of([module])
        except Unfit as unfit:
            return unfit
        whole = {path: without_unused_packages(content) for path, content in files.items()}
        sent = without_unreached_packages(whole, [(module, name), *_changed(values)])
        return _Source(module, sent, whole, qualname, values, seed_of(reach, statements_of))

    def _as_pickle(
        self, function: Callable[..., Any], params: Mapping[str, Any], *, why: str, job_id: str
    ) -> PackedFunction:
        python = sys.version_info[:2]
        stream = io.BytesIO()
        pickler = Pickler(stream)
        try:
            pickler.dump((function, dict(params)))
        except _NOT_PICKLED as error:
            _refuse_params(params, job_id)
            raise JobError(
                _cannot_travel(function, params, why=f"{why}; nor by cloudpickle: {error}", job_id=job_id)
            ) from error
        for state in pickler.states:
            self._refuse_shared(state, function, params, job_id)
        content = stream.getvalue()
        sources = sources_of(modules_in_pickle(content))
        call: dict[str, object] = {
            "how": "pickle",
            "module": "",
            "qualname": name_of(function),
            "python": list(python),
            "why": why,
        }
        values = values_to_send(reach_of(function, self._ours))
        values = {name: values[name] for name in values.keys() - {*SCRIPT}}
        call |= {"modules": top_of(sources), "values": values}
        whole = {path: without_unused_packages(text) for path, text in sources.items()}
        sent = without_unreached_packages(whole, [*roots_in_pickle(content), *_changed(values)])
        files = {f"function/src/{path}": text for path, text in sent.items()}
        files["function/call.json"] = json.dumps(call).encode("ascii")
        files |= {"function/call.pkl": content, **_cloudpickle_itself()}
        return PackedFunction(files, "pickle", python, why)

    def _refuse_shared(
        self, state: object, function: Callable[..., Any], params: Mapping[str, Any], job_id: str
    ) -> None:
        """Refuse an object with a state that another job would get a copy of. A job may have one of its own, in its
        params or in the object whose method it calls."""
        place, kind = place_of(state, function, params), kind_of_state(state)
        if place is not None and place.is_given and not self._is_used_by_another(state, job_id):
            return
        name = place.name if place is not None else type(state).__name__
        all_same = "all would draw the same numbers" if kind == GENERATOR else "all would begin with the same state"
        remedy = REMEDY if kind == GENERATOR else "make or open it in the function"
        raise JobError(
            f"job {job_id!r}: {name_of(function)} uses {name}, {kind}: every job would get a copy of it, and "
            f"{all_same}; {remedy}"
        )


@dataclass(frozen=True)
class _Source:
    """The source of a function.

    Attributes:
        module: to import on the node.
        files: to send.
        whole: these files with what the function does not reach.
        qualname: of the function in the module.
        values: of variables that were changed since their modules were imported.
        seed: what gives every job the same random numbers; empty if nothing does.
    """

    module: str
    files: Mapping[str, bytes] = field(repr=False)
    whole: Mapping[str, bytes] = field(repr=False)
    qualname: str
    values: Values = field(default_factory=dict, repr=False)
    seed: str = ""


def _refuse_without_result(function: Callable[..., Any], job_id: str) -> None:
    if not callable(function):
        raise JobError(f"job {job_id!r}: function is a {type(function).__name__}, which cannot be called")
    for called in (function, getattr(function, "__call__", None)):  # noqa: B004 - a callable object's method
        if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
            raise JobError(
                f"job {job_id!r}: {name_of(function)} is async: give a plain function that calls asyncio.run()"
            )
        if inspect.isgeneratorfunction(called):
            raise JobError(
                f"job {job_id!r}: {name_of(function)} is a generator: give a function that returns its results"
            )


def _address(function: Callable[..., Any]) -> tuple[str, str]:
    """The module and the qualified name under which the very same object is found."""
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise Unfit(f"a {type(function).__name__} is not a module-level function")
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    if found is not function and not (inspect.ismethod(function) and found == function):
        kind = "a lambda" if qualname.endswith("<lambda>") else "not a module-level function"
        raise Unfit(f"{qualname} is {kind}")
    return module, qualname


def _changed(values: Values) -> Iterator[tuple[str, str]]:
    """The module and the name there of every variable with a value that is sent."""
    yield from ((module, name.partition(".")[0]) for module, changed in values.items() for name in changed)


def _as_source(source: _Source, params: Mapping[str, Any]) -> PackedFunction:
    plain = plain_params(params)
    files = {f"function/src/{path}": content for path, content in source.files.items()}
    if not is_json(params):  # numpy scalars: the job's params.json may write them in another form
        files["function/params.json"] = json.dumps(plain).encode("ascii")
    call = {"how": "source", "module": source.module, "qualname": source.qualname, "python": None}
    more = {"modules": top_of(source.files), "values": source.values}
    files["function/call.json"] = json.dumps({**call, **more}).encode("ascii")
    return PackedFunction(files, "source", None, whole=source.whole)


def _refuse_params(params: Mapping[str, Any], job_id: str) -> None:
    """If a param is what cannot be pickled, name it and its type: the pickler's message may contain the value."""
    for name, value in params.items():
        try:
            Pickler(io.BytesIO()).dump(value)
        except _NOT_PICKLED:
            raise JobError(
                f"job {job_id!r}: params: {name!r} is a {type(value).__name__}, which neither JSON nor cloudpickle can"
                " hold; give it as text, numbers, lists and mappings"
            ) from None


def _cannot_travel(function: Callable[..., Any], params: Mapping[str, Any], *, why: str, job_id: str) -> str:
    kind = re.search(r"'(?:\w+\.)*(\w+)' object", why)
    place = first_of_type(kind[1], function, params) if kind else None
    held = f" (in {place.name})" if place is not None else ""
    return (
        f"job {job_id!r}: {name_of(function)} cannot be sent: not as source, because {why}{held}. Make it a "
        "module-level function, and give it what it needs as params that JSON can hold"
    )


@functools.cache
def _cloudpickle_itself() -> dict[str, bytes]:
    folder = importlib.resources.files("cloudpickle")
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".py")]
    return {f"function/cloudpickle/cloudpickle/{name}": (folder / name).read_bytes() for name in names}
