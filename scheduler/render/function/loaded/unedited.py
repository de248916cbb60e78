"""Whether the functions and methods of a loaded module are those in its file, or the file was edited since."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from scheduler.render.function.loaded.plain import Differs


def check_unedited(module: ModuleType) -> None:
    """Check that the functions and methods of a loaded module are those in its file."""
    file = Path(str(module.__file__))
    if not file.is_file():
        raise Differs(f"{file}, which has been loaded, does not exist any more: start Python again")
    codes = _codes_in(str(file), file.stat().st_mtime_ns)
    for name, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__ and value.__qualname__ == name:
            inner = [(f"{name}.{part}", _function(item)) for part, item in vars(value).items()]
        else:
            inner = [(name, inspect.unwrap(value) if callable(value) and hasattr(value, "__wrapped__") else value)]
        for path, function in inner:
            if isinstance(function, FunctionType) and function.__code__.co_filename == str(file):
                is_lambda = function.__code__.co_name == "<lambda>"
                anywhere = codes.get(f"*.{function.__code__.co_name}", [])
                found = codes.get("<lambda>" if is_lambda else path, anywhere)
                if (is_lambda or function.__code__.co_name == path.rpartition(".")[2]) and not any(
                    _same(function.__code__, one) for one in found
                ):
                    raise Differs(
                        f"{file} has been edited since it was loaded: {path}() there is not the one that this process "
                        "has: start Python again, or reload the module"
                    )


def _function(item: object) -> object:
    inner = item.fget if isinstance(item, property) else item
    return getattr(inner, "__func__", inner)


@functools.lru_cache(maxsize=1000)
def _codes_in(file: str, _modified: int) -> dict[str, list[CodeType]]:
    """Name, Class.name, or *.name for any place → the code objects of the functions in a file that have it."""
    try:
        whole = compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, list[CodeType]] = {}
    for code in _inside(whole):
        found.setdefault(code.co_name, []).append(code)
        for inner in _inside(code):
            found.setdefault(f"{code.co_name}.{inner.co_name}", []).append(inner)
    for code in _all_inside(whole):
        found.setdefault(f"*.{code.co_name}", []).append(code)
    return found


def _all_inside(code: CodeType) -> Iterator[CodeType]:
    for inner in _inside(code):
        yield inner
        yield from _all_inside(inner)


def _inside(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_wrapper = constant.co_name.startswith("<generic parameters")  # of `def f[T]`
            yield from _inside(constant) if is_wrapper else (constant,)


_ATTRIBUTES = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_kwonlyargcount")


def _same(code: object, other: object) -> bool:
    """Whether two code objects or constants of them do the same; their line numbers may differ."""
    if isinstance(code, CodeType) and isinstance(other, CodeType):
        if any(getattr(code, name) != getattr(other, name) for name in _ATTRIBUTES):
            return False
        return len(code.co_consts) == len(other.co_consts) and all(map(_same, code.co_consts, other.co_consts))
    return type(code) is type(other) and (code == other if isinstance(code, frozenset) else repr(code) == repr(other))
