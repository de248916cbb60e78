"""Which modules are the user's own, and the files of those that a function needs. It imports none of them."""

from __future__ import annotations

import ast
import functools
import importlib.util
import pickletools
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path

_PACKAGE_LIMIT = 2_000_000  # bytes of source: a larger package is not sent whole, only what is imported of it
_COMPILED = (".so", ".pyd", ".dylib")


def is_there(module: str) -> bool:
    """Is it a module that a Python may have anyway: built in, of the standard library, or installed?"""
    return module in sys.builtin_module_names or _file(module) is not None


def is_ours(module: str) -> bool:
    """Is it the user's own Python source: not installed, not of the standard library, without compiled parts?"""
    top = module.partition(".")[0]
    file = _file(module)
    if file is None or file.suffix != ".py" or top == __name__.partition(".")[0]:
        return False
    return not _is_installed(top, file) and not _is_compiled(_root(module, file), top)


def sources_of(modules: Iterable[str]) -> dict[str, bytes]:
    """Relative path → content of these modules, and of all of ours that they import, however indirectly."""
    files: dict[str, bytes] = {}
    waiting, seen = list(modules), set[str]()
    while waiting:
        module = waiting.pop()
        if module in seen or not is_ours(module):
            continue
        seen.add(module)
        new = {path: content for path, content in _files_of(module).items() if path not in files}
        files |= new
        for path, content in new.items():
            waiting.extend(imported_by(content, path))
    return dict(sorted(files.items()))


def top_of(sources: Mapping[str, bytes]) -> list[str]:
    """The names by which these files are imported, without what is inside a package."""
    return sorted({path.partition("/")[0].removesuffix(".py") for path in sources})


def imported_by(source: bytes, path: str) -> Iterator[str]:
    """Every module that this source may import, anywhere in it; `path` tells what a relative import means."""
    package = path.removesuffix(".py").removesuffix("/__init__").split("/")
    package = package if path.endswith("/__init__.py") else package[:-1]
    for node in ast.walk(_parsed(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


def modules_in_pickle(pickled: bytes) -> list[str]:
    """The user's modules that a pickle names; it may name one too many, never one too few."""
    words = {word for _, word, _ in pickletools.genops(pickled) if isinstance(word, str)}
    return sorted(word for word in words if word.isprintable() and _could_be_module(word) and is_ours(word))


def _could_be_module(word: str) -> bool:
    return word in sys.modules or (
        len(word) < 100 and word.isidentifier() and word not in sys.stdlib_module_names
    )


def _parsed(source: bytes) -> ast.AST:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # of another Python, or none: it goes as it is
        return ast.Module([], [])


def _file(module: str) -> Path | None:
    """Where a module's source lies; a package's is its `__init__.py`."""
    loaded = sys.modules.get(module)
    name = getattr(loaded, "__file__", None)
    if isinstance(name, str):
        return Path(name).absolute()
    if loaded is not None:
        return None
    top, _, rest = module.partition(".")
    if rest:
        folder = _folder(top)
        base = folder.joinpath(*rest.split(".")) if folder else None
        candidates = [base.with_suffix(".py"), base / "__init__.py"] if base else []
        return next((file for file in candidates if file.is_file()), None)
    return _top_file(top)


def _folder(top: str) -> Path | None:
    file = _file(top)
    return file.parent if file and file.name == "__init__.py" else None


@functools.cache
def _top_file(top: str) -> Path | None:
    try:
        spec = PathFinder.find_spec(top) or importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin).absolute() if spec and spec.has_location and spec.origin else None


def _root(module: str, file: Path) -> Path:
    """The folder from which it is imported by its full name."""
    depth = module.count(".") + (file.name == "__init__.py")
    return file.parents[depth]


def _is_installed(top: str, file: Path) -> bool:
    if top in sys.stdlib_module_names or {"site-packages", "dist-packages"} & set(file.parts):
        return True
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    return any(file.is_relative_to(sysconfig.get_path(kind)) for kind in kinds)


@functools.cache
def _is_compiled(root: Path, top: str) -> bool:
    """ROOT and its like: Python files on PYTHONPATH beside libraries, useless over there without those."""
    beside = root.iterdir() if root.is_dir() else iter(())
    inside = (root / top).rglob("*") if (root / top).is_dir() else iter(())
    return any(file.suffix in _COMPILED for files in (beside, inside) for file in files)


def _files_of(module: str) -> dict[str, bytes]:
    file = _file(module)
    if file is None:
        return {}
    root, top = _root(module, file), module.partition(".")[0]
    whole = _package_files(root, top) if (root / top).is_dir() else ()
    return {_relative(path, root): path.read_bytes() for path in whole or _with_parents(file, root)}


@functools.cache
def _package_files(root: Path, top: str) -> tuple[Path, ...]:
    """All of a package's sources, or none if they are too large to go along for the asking."""
    files = tuple(path for path in sorted((root / top).rglob("*.py")) if path.is_file())
    return files if sum(path.stat().st_size for path in files) < _PACKAGE_LIMIT else ()


def _with_parents(file: Path, root: Path) -> list[Path]:
    folders = [folder for folder in file.parents if folder.is_relative_to(root) and folder != root]
    return [file, *(folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file())]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
