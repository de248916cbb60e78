"""What went wrong in a template, as a message that contains no value: what it quotes occurs in the template."""

from __future__ import annotations

import re

import jinja2

from scheduler.schema.budget import Refused

FAULTS = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AssertionError,
    AttributeError,
    NameError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    OSError,
)
"""What compiling or rendering a template may raise."""
_TYPES = {
    *("int", "float", "str", "list", "dict", "tuple", "bool", "NoneType", "Undefined", "StrictUndefined", "range"),
    *("builtin_function_or_method", "method", "function", "type", "Macro", "Namespace", "LoopContext", "Cycler"),
    *("TemplateReference", "BlockReference", "dict_items", "dict_keys", "dict_values", "set"),
}
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|([0-9]+)")


def explained(error: BaseException, *, source: str | None) -> str:
    """The message of an error in a template.

    Args:
        error: one of `FAULTS`.
        source: the text of the template. What the message quotes must occur in it, or be the name of a type.
            None: the text itself is a value that must not be printed.
    """
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, RecursionError):
        return "its blocks, macros, includes or brackets are nested too deeply; does one contain itself?"
    if isinstance(error, jinja2.TemplateSyntaxError):
        return str(error.message) if source is not None else "the syntax of its {{ }} or {% %} is wrong"
    if isinstance(error, SyntaxError):
        return "its loops and blocks are nested too deeply; use fewer levels"
    if isinstance(error, OSError):
        return f"a file that it includes cannot be read: {error.strerror}"
    text = str(error.args[0]) if error.args and isinstance(error.args[0], str) else str(error)
    rest = _QUOTED.sub(lambda found: "" if _is_known(found, source or "") else "'", text)
    if isinstance(error, KeyError) or not text or "'" in rest or '"' in rest:
        return f"a value cannot be used in this way ({type(error).__name__}; the message may contain the value)"
    return text


def _is_known(found: re.Match[str], source: str) -> bool:
    quoted = next(part for part in found.groups() if part is not None)
    kind = quoted.removesuffix(" object")
    return kind in _TYPES or kind.rpartition(".")[2] in _TYPES or (quoted in source and bool(quoted))


def line_of(error: BaseException, file: str | None) -> int | None:
    """The line of a template's file in which an error was raised, the innermost one; None if it is not known."""
    line, step = getattr(error, "lineno", None) if isinstance(error, jinja2.TemplateSyntaxError) else None, None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            line = step.tb_lineno
        step = step.tb_next
    return line if isinstance(line, int) else None
