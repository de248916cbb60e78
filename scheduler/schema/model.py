"""The base of values that are checked when they are made, and pydantic's errors as messages for users.

The module that catches an error decides whether it is a ConfigError or a JobError.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, StrictInt, StrictStr, ValidationError
from pydantic_core import ErrorDetails

from scheduler.errors import did_you_mean

SECRET_KEYS = frozenset(("params", "env_vars", "environment", "arguments", "matrix", "zip"))
"""Keys whose values are in no message and no `repr`: each may hold a password or a token."""


class Outline:
    """The `repr` of a value without its content: its type, and the keys of a mapping."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        if isinstance(self._value, Mapping):
            return "{" + ", ".join(f"{key!r}: {type(one).__name__}" for key, one in self._value.items()) + "}"
        count = f" of {len(self._value)}" if isinstance(self._value, (list, tuple)) else ""
        return f"<{type(self._value).__name__}{count}>"


class Checked(BaseModel):
    """A frozen value with known keys only."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """The fields for `repr`; of those that may hold a secret, the names and types of their values."""
        for name, value in super().__repr_args__():
            yield name, Outline(value) if name in SECRET_KEYS else value


def _plain_int(value: object) -> object:
    """An integer of numpy is also an integer; `True` is not."""
    index = getattr(value, "__index__", None)
    return index() if index is not None and not isinstance(value, bool) else value


def printable(text: str) -> str:
    """`text`, if it is one line without control characters.

    Raises:
        ValueError: it contains a line break or another control character.
    """
    if not text.isprintable():
        raise ValueError(f"must be one line without control characters, not {text[:60]!r}")
    return text


def listed(value: object) -> object:
    """A list as a tuple, which a frozen value can hold; any other value unchanged."""
    return tuple(value) if isinstance(value, list) else value


Whole = Annotated[StrictInt, BeforeValidator(_plain_int)]
Text = StrictStr
Flag = StrictBool

_KINDS = {dict: "a mapping", list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false",
          type(None): "empty"}  # fmt: skip
_MEANING: dict[str, Callable[[dict[str, Any]], str]] = {
    "int_type": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "string_type": lambda _: "must be text (in quotes, if YAML reads it as another type)",
    "bool_type": lambda _: "must be true or false",
    "list_type": lambda _: "must be a list",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a mapping of names to values",
    "model_type": lambda _: "must be a mapping of keys to values",
    "model_attributes_type": lambda _: "must be a mapping of keys to values",
    "missing": lambda _: "is missing",
    "greater_than": lambda ctx: f"must be above {ctx['gt']}",
    "greater_than_equal": lambda ctx: f"must be {ctx['ge']} or more",
    "less_than_equal": lambda ctx: f"must be {ctx['le']} or less",
    "finite_number": lambda _: "must be a finite number",
    "literal_error": lambda ctx: f"must be one of {ctx['expected']}",
    "too_short": lambda _: "must not be empty",
    "string_too_short": lambda _: "must not be empty",
    "value_error": lambda ctx: str(ctx["error"]),
}


def problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each error: ``dotted.key: what is allowed``; for an unknown key the nearest known one.

    Args:
        error: what pydantic raised.
        model: the class that was being made.
    """
    return [line for detail in error.errors(include_url=False) for line in _lines(detail, model)]


def _lines(detail: ErrorDetails, model: type[BaseModel]) -> list[str]:
    key, kind = _dotted(detail["loc"]), detail["type"]
    context = detail.get("ctx", {})
    cause = getattr(context.get("error"), "__cause__", None)
    if isinstance(cause, ValidationError):  # a value that checks itself, inside another
        inner = _model_at(model, detail["loc"])
        return [f"{key}.{line}" if key else line for line in problems(cause, inner)]
    if kind == "extra_forbidden":
        known = _model_at(model, detail["loc"][:-1]).model_fields
        return [f"{key}: no such key; {did_you_mean(str(detail['loc'][-1]), known)}"]
    say = _MEANING.get(kind)
    text = say(context) if say else detail["msg"][:1].lower() + detail["msg"][1:]
    return [f"{key}: {text}{_instead(kind, detail)}" if key else text]


def _instead(kind: str, detail: ErrorDetails) -> str:
    """The value that was found, or only its type: lists, mappings and values of some keys may hold a secret."""
    if kind in ("value_error", "missing"):
        return ""
    value = detail["input"]
    container = kind.startswith(("dict", "list", "tuple", "model"))
    if (
        isinstance(value, (str, int, float, type(None)))
        and not container
        and not SECRET_KEYS & {str(part) for part in detail["loc"]}
    ):
        return f", not {repr(value)[:60]}"
    return f", not {_KINDS.get(type(value), type(value).__name__)}"


def _dotted(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that contains the location `loc` of a value in `model`."""
    for part in loc:
        field = model.model_fields.get(str(part))
        model = next(_models_in(field.annotation if field else None), model)
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
