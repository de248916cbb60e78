"""How a Python function travels: as source wherever it can, else by cloudpickle. Nothing is sent or run here.

As source it runs on any Python that understands it; by cloudpickle only on the minor version that pickled it.
`remote/run_function.py` is the other end.
"""

from __future__ import annotations

import functools
import importlib.resources
import inspect
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import cloudpickle

from scheduler.errors import JobError
from scheduler.render.function import Unfit
from scheduler.render.function.modules import is_ours, is_there, modules_in_pickle, sources_of, top_of
from scheduler.render.function.script import from_script, is_script

_WAYS_OUT = (
    "make it a module-level function with parameters that JSON can hold, set the site's `python:` to a "
    "Python {version}, or run it in a container that has one"
)

_NOT_PICKLED = (  # what pickling has been seen to raise: an object's own methods run in it
    *(pickle.PickleError, TypeError, ValueError, AttributeError, LookupError),
    *(RuntimeError, ImportError, OSError, AssertionError),
)


@dataclass(frozen=True)
class PackedFunction:
    """All that a function needs over there but its `params.json`.

    Attributes:
        files: path in the job's control folder → content; all of them are in `function/`.
        how: "source" or "pickle".
        python: the minor version that it needs over there; None if any will do.
        why: why it could not travel as source, in a few words; empty if it does.
    """

    files: Mapping[str, bytes]
    how: str
    python: tuple[int, int] | None
    why: str = ""


class Packer:
    """Packs the functions of one submission: the source of each is looked for once, however many jobs call it."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[object, _Source | Unfit]] = {}  # with the function, so that its id stays its own

    def pack(self, function: Callable[..., Any], params: Mapping[str, Any], *, job_id: str) -> PackedFunction:
        """`function`, ready to be called with `params` over there.

        Raises:
            JobError: it is `async` or a generator, does not take these `params`, or can travel neither way.
        """
        _refuse_what_returns_no_result(function, job_id)
        _refuse_wrong_params(function, params, job_id)
        try:
            return _as_source(self._source(function), params)
        except Unfit as unfit:
            return _as_pickle(function, params, why=str(unfit), job_id=job_id)

    def _source(self, function: Callable[..., Any]) -> _Source:
        if id(function) not in self._found:
            self._found[id(function)] = (function, _look_for_source(function))
        source = self._found[id(function)][1]
        if isinstance(source, Unfit):
            raise source
        return source


@dataclass(frozen=True)
class _Source:
    module: str
    files: Mapping[str, bytes]
    qualname: str


def pack_function(function: Callable[..., Any], params: Mapping[str, Any], *, job_id: str) -> PackedFunction:
    """One function, as `Packer.pack` does it for many."""
    return Packer().pack(function, params, job_id=job_id)


def refuse_other_python(packed: PackedFunction, theirs: tuple[int, int], *, job_id: str) -> None:
    """Say before anything is sent that the Python over there cannot read the pickle.

    Raises:
        JobError: `packed` needs another minor version than `theirs`.
    """
    if packed.python is None or packed.python == tuple(theirs):
        return
    version = f"{packed.python[0]}.{packed.python[1]}"
    raise JobError(
        f"job {job_id!r}: its function goes by cloudpickle ({packed.why}), which needs Python {version} "
        f"over there as here, and the site has {theirs[0]}.{theirs[1]}: {_WAYS_OUT.format(version=version)}"
    )


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` as JSON holds them and the function gets them: numpy scalars become numbers, tuples lists.

    Raises:
        Unfit: a value that JSON would lose or change, and where it is.
    """
    try:
        return {name: _plain(value, f"params[{name!r}]") for name, value in params.items()}
    except RecursionError:
        raise Unfit("params hold themselves, or go too deep") from None


def _refuse_what_returns_no_result(function: Callable[..., Any], job_id: str) -> None:
    if not callable(function):
        raise JobError(f"job {job_id!r}: function is {type(function).__name__} {function!r}, which cannot be called")
    for called in (function, getattr(function, "__call__", None)):  # noqa: B004 - a callable object's method
        if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
            raise JobError(
                f"job {job_id!r}: {_name(function)} is async: give a plain function that calls asyncio.run()"
            )
        if inspect.isgeneratorfunction(called):
            raise JobError(
                f"job {job_id!r}: {_name(function)} is a generator: give a function that returns its results"
            )


def _refuse_wrong_params(function: Callable[..., Any], params: Mapping[str, Any], job_id: str) -> None:
    """A call that cannot succeed is better refused here than failed over there."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (ValueError, TypeError):  # written in C, or something that says nothing of itself
        return
    try:
        signature.bind(**params)
    except TypeError as error:
        raise JobError(f"job {job_id!r}: params do not fit {_name(function)}{signature}: {error}") from None


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _look_for_source(function: Callable[..., Any]) -> _Source | Unfit:
    try:
        module, qualname = _address(function)
        if is_script(module):
            return _Source(*from_script(module, qualname), qualname)
        if is_ours(module):
            return _Source(module, sources_of([module]), qualname)
        if is_there(module):
            return _Source(module, {}, qualname)
        return Unfit(f"the module {module} has no source file")
    except Unfit as unfit:
        return unfit


def _as_source(source: _Source, params: Mapping[str, Any]) -> PackedFunction:
    plain = plain_params(params)
    files = {f"function/src/{path}": content for path, content in source.files.items()}
    if not _is_json(params):  # numpy's numbers: `params.json` may have them in another form
        files["function/params.json"] = json.dumps(plain).encode("ascii")
    call = {"how": "source", "module": source.module, "qualname": source.qualname, "python": None}
    files["function/call.json"] = json.dumps({**call, "modules": top_of(source.files)}).encode("ascii")
    return PackedFunction(files, "source", None)


def _is_json(params: Mapping[str, Any]) -> bool:
    try:
        json.dumps(params)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _address(function: Callable[..., Any]) -> tuple[str, str]:
    """Module and qualified name under which the very same object is found."""
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise Unfit(f"a {type(function).__name__} is no module-level function")
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    if found is not function and not (inspect.ismethod(function) and found == function):
        kind = "a lambda" if qualname.endswith("<lambda>") else "no module-level function"
        raise Unfit(f"{qualname} is {kind}")
    return module, qualname


def _plain(value: Any, where: str) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        return [_plain(item, f"{where}[{at}]") for at, item in enumerate(value)]
    if type(value) is dict:
        if odd := [key for key in value if type(key) is not str]:
            raise Unfit(f"{where} has the key {odd[0]!r}, which is no text")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        item = value.item()
        return item if type(item) in (bool, int, float, str) else _plain_not(value, where)
    return _plain_not(value, where)


def _plain_not(value: object, where: str) -> NoReturn:
    raise Unfit(f"{where} is a {type(value).__name__}, which JSON cannot hold")


def _as_pickle(function: Callable[..., Any], params: Mapping[str, Any], *, why: str, job_id: str) -> PackedFunction:
    python = sys.version_info[:2]
    try:
        content = cloudpickle.dumps((function, dict(params)))
    except _NOT_PICKLED as error:
        raise JobError(_cannot_travel(function, why, error, job_id)) from error
    sources = sources_of(modules_in_pickle(content))
    call = {"how": "pickle", "module": "", "qualname": _name(function), "python": list(python), "why": why}
    files = {f"function/src/{path}": content for path, content in sources.items()}
    files |= {"function/call.json": json.dumps(call | {"modules": top_of(sources)}).encode("ascii")}
    files |= {"function/call.pkl": content, **_cloudpickle_itself()}
    return PackedFunction(files, "pickle", python, why)


def _cannot_travel(function: Callable[..., Any], why: str, error: Exception, job_id: str) -> str:
    return (
        f"job {job_id!r}: {_name(function)} cannot be sent: not as source, because {why}; "
        f"nor by cloudpickle: {error}. Make it a module-level function, and give it what it needs as params "
        "that JSON can hold"
    )


@functools.cache
def _cloudpickle_itself() -> dict[str, bytes]:
    folder = importlib.resources.files("cloudpickle")
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".py")]
    return {f"function/cloudpickle/cloudpickle/{name}": (folder / name).read_bytes() for name in names}
