"""The function that a job file names, as ``module:name`` or ``path.py:name``. Its module is imported locally."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from scheduler.errors import did_you_mean
from scheduler.schema.yaml import local_path

_MOST_SOURCE_BYTES = 16 << 20


class NotFound(Exception):
    """The function cannot be had. The message says why."""


def named_function(module_name: str, name: str, *, beside: Path) -> Callable[..., Any]:
    """Import the module and return its function.

    What the module prints goes to stderr, it finds no arguments in ``sys.argv``, and it changes no current folder.

    Args:
        module_name: of the module, or ``path.py``, relative to the job file.
        name: of the function.
        beside: the job file.

    Raises:
        NotFound: the module does not exist, ends in an error or exits when it is imported, or has no such function.
    """
    module = _module(module_name, beside)
    function = getattr(module, name, None)
    if not callable(function):
        if function is not None:
            raise NotFound(f"{name!r} in {module_name!r} is a {type(function).__name__}, which cannot be called")
        known = [known for known, value in vars(module).items() if callable(value) and known[0] != "_"]
        near = did_you_mean(name, known) if known else "it has none at all"
        raise NotFound(f"{module_name!r} has no function {name!r}; {near}")
    return function  # type: ignore[no-any-return]


def _module(name: str, beside: Path) -> Any:
    """A module by its name, or ``path.py`` by its file; the file's folder is then also searched for imports."""
    if not name.endswith(".py"):
        return _imported(name)
    file = local_path(name, beside=beside)
    if not file.is_file():
        raise NotFound(f"the file {file} does not exist")
    if file.stat().st_size > _MOST_SOURCE_BYTES:
        raise NotFound(f"the file {file} is larger than {_MOST_SOURCE_BYTES >> 20} MiB")
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that it hides no other module
    module = _imported(file.stem)
    if not file.samefile(getattr(module, "__file__", None) or folder):
        raise NotFound(f"another module with the name {file.stem!r} is already imported; rename {file}")
    return module


def _imported(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    try:
        with _quiet(name):
            return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except SystemExit as leaving:
        code = "" if leaving.code is None else repr(leaving.code)[:60]
        called = "os._exit" if isinstance(leaving, _Exit) else "sys.exit"
        raise NotFound(
            f"cannot import {name!r}: it called {called}({code}) when it was imported{_where(leaving, name)}; put "
            "what it does as a script under `if __name__ == '__main__':`"
        ) from leaving
    except ModuleNotFoundError as error:
        listed = os.environ.get("PYTHONPATH")
        searched = f"PYTHONPATH is {listed}" if listed else "PYTHONPATH is not set"
        raise NotFound(
            f"cannot import {name!r}: {error}{_where(error, name)}; {searched}: add the module's folder to it, or name "
            "the file (path.py:function)"
        ) from error
    except BaseException as error:  # whatever the user's module raises
        made = traceback.format_exception_only(type(error), error)[0].strip()  # also if its own __str__ fails
        shown = f"{error}" if isinstance(error, (ImportError, SyntaxError)) else made
        raise NotFound(f"cannot import {name!r}: {shown:.2000}{_where(error, name)}") from error


class _Exit(SystemExit):
    """`os._exit`, while a module is imported: it would end this process without a word."""


def _where(error: BaseException, name: str) -> str:
    """The line of the user's file that failed: the innermost one outside of Python's import system."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [one for one in frames if one.filename != __file__ and not one.filename.startswith("<frozen")]
    users = [one for one in users if Path(one.filename).parent.name != "importlib"]
    own = [one for one in users if Path(one.filename).stem in (name.rpartition(".")[2], "__init__")]
    found = (own or users)[-1:]
    return f" ({found[0].filename}, line {found[0].lineno})" if found else ""


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Output of the module and of its child processes goes to stderr meanwhile, and it has no arguments."""
    arguments, sys.argv = sys.argv, [name]
    saved, leave, process = _redirected(), os._exit, os.getpid()

    def end(status: int) -> NoReturn:
        if os.getpid() == process:
            raise _Exit(status)
        leave(status)  # a child process of the module

    os._exit = end
    try:
        with contextlib.redirect_stdout(sys.stderr), _same_folder():
            yield
    finally:
        sys.argv, os._exit = arguments, leave
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


@contextlib.contextmanager
def _same_folder() -> Iterator[None]:
    """Return to the current folder at the end: relative paths of the job file begin there."""
    try:
        folder = os.open(".", os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)


def _redirected() -> int | None:
    """Make descriptor 1 the same as stderr. Returns a copy of what it was, or None if one of them does not exist."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            sys.stdout.flush()
        saved = os.dup(1)
        try:
            os.dup2(2, 1)
        except OSError:
            os.close(saved)
            return None
        return saved
    return None
