"""Which values of a template may become text: plain ones, also inside lists and mappings. Not the text of an object."""

from __future__ import annotations

from typing import Any

from jinja2.runtime import Undefined

from scheduler.schema.budget import VIEWS, Refused, budget


def allowed(value: Any) -> Any:
    """`value`, if it is a plain value whose text is not too large.

    Raises:
        Refused: it is not.
    """
    if not isinstance(value, (str, int, float, list, tuple, dict, type(None))):
        raise Refused("only text, numbers, lists and mappings can be written")
    budget().require(budget().size(value))
    require_plain(value)
    return value


def require_plain(value: Any) -> None:
    """Check that a value, which `size` has accepted, consists of plain values: the text of an object is not written.

    Raises:
        Refused: it does not.
        UndefinedError: one of its values is not defined.
    """
    inner = [value]
    while inner:
        one = inner.pop()
        if isinstance(one, dict):
            inner += (part for pair in one.items() for part in pair)
        elif isinstance(one, (list, tuple, *VIEWS)):
            inner += one
        elif isinstance(one, Undefined) and one is not value:
            one._fail_with_undefined_error()
        elif not isinstance(one, (str, int, float, range, type(None), Undefined)):
            raise Refused("only text, numbers, lists and mappings can be written; call it, or use one of its values")
