"""The params of a function as JSON holds them, and whether the function accepts them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from scheduler.errors import JobError
from scheduler.render.function import Unfit


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` as the function receives them: numpy scalars become numbers, tuples become lists.

    Raises:
        Unfit: JSON would lose or change a value; the message names it.
    """
    try:
        return {name: _plain(value, f"params[{name!r}]") for name, value in params.items()}
    except RecursionError:
        raise Unfit("params contain themselves, or are nested too deeply") from None


def is_json(params: Mapping[str, Any]) -> bool:
    """Whether `params` can be written as JSON without any conversion."""
    try:
        json.dumps(params)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def refuse_wrong_params(function: Callable[..., Any], params: Mapping[str, Any], job_id: str) -> None:
    """Check that `function` accepts `params`, so that a call that cannot succeed is refused before it is submitted.

    Raises:
        JobError: a parameter is missing or unknown.
    """
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (ValueError, TypeError):  # written in C, or without a signature
        return
    try:
        signature.bind(**params)
    except TypeError as error:
        raise JobError(f"job {job_id!r}: params do not fit {name_of(function)}{signature}: {error}") from None


def name_of(function: Callable[..., Any]) -> str:
    """The qualified name of a function, or of the class of a callable object."""
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _plain(value: Any, where: str) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        return [_plain(item, f"{where}[{at}]") for at, item in enumerate(value)]
    if type(value) is dict:
        if odd := [key for key in value if type(key) is not str]:
            raise Unfit(f"{where} has a {type(odd[0]).__name__} as a key, which is not text")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        item = value.item()
        return item if type(item) in (bool, int, float, str) else _not_plain(value, where)
    return _not_plain(value, where)


def _not_plain(value: object, where: str) -> NoReturn:
    raise Unfit(f"{where} is a {type(value).__name__}, which JSON cannot hold")
