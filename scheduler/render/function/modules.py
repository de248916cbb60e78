"""Which modules are the user's own, and the source files that a function needs. It imports none of them."""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import pickletools
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_PACKAGE_LIMIT = 2_000_000  # bytes of source: of a larger package only the imported modules are sent
_NEVER = ("__main__", "__mp_main__", __name__.partition(".")[0])  # the running script, and this package
_COMPILED = (".so", ".pyd", ".dylib")


def exists(module: str) -> bool:
    """Whether a module exists here: built in, in the standard library, installed, or the user's own."""
    return module in sys.builtin_module_names or _file(module) is not None


def is_ours(module: str) -> bool:
    """Whether a module is the user's own Python source: not installed, not part of Python, without compiled parts."""
    _forget_folders()
    return _is_ours(module)


def _is_ours(module: str) -> bool:
    top = module.partition(".")[0]
    file = _file(module)
    if file is None or file.suffix != ".py" or top in _NEVER or _is_installed(file):
        return False
    root = _root(module, file)
    return not (_has_compiled(root / top) or _is_installation(root))


def sources_of(modules: Iterable[str]) -> dict[str, bytes]:
    """The source of these modules and of all the user's modules that they import, directly or not.

    Returns:
        Relative path → content.
    """
    _forget_folders()
    files: dict[str, bytes] = {}
    waiting, seen, foreign = list(modules), set[str](), set[str]()
    while waiting:
        module = waiting.pop()
        top = module.partition(".")[0]
        if module in seen or top in foreign:
            continue
        seen.add(module)
        if _is_foreign(top):
            foreign.add(top)
        for path, file in _files_of(module).items():
            if path not in files:
                files[path], imported = _read(file, path, file.stat().st_mtime_ns)
                waiting.extend(imported)
    return dict(sorted(files.items()))


def top_of(sources: Mapping[str, bytes]) -> list[str]:
    """The top-level names under which these files are imported."""
    return sorted({path.partition("/")[0].removesuffix(".py") for path in sources})


def imported_by(source: bytes, path: str) -> Iterator[str]:
    """Every module that this source may import, anywhere in it. `path` resolves relative imports."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(_parsed(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


def foreign_names(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that statements bind, anywhere in them, by importing installed packages."""
    return {name for statement in statements for node in ast.walk(statement) for name in packages_of(node)}


def packages_of(node: ast.AST) -> dict[str, str]:
    """Name that an import binds → the installed package that it needs; empty for other statements."""
    if isinstance(node, ast.Import):
        named = {(one.asname or one.name).partition(".")[0]: one.name for one in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
        named = {one.asname or one.name: node.module or "" for one in node.names}
    else:
        named = {}
    return {name: module.partition(".")[0] for name, module in named.items() if _is_package(module)}


def _is_package(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and not _is_ours(top)


def modules_in_pickle(pickled: bytes) -> list[str]:
    """The user's modules that a pickle names, in its code too. Perhaps one too many, never one too few."""
    _forget_folders()
    return sorted(word for word in words_in_pickle(pickled) if _could_be_module(word) and _is_ours(word))


def words_in_pickle(pickled: bytes) -> set[str]:
    """Every text in a pickle: names of modules, functions and attributes among them."""
    return {word for _, word, _ in pickletools.genops(pickled) if isinstance(word, str)}


def _forget_folders() -> None:
    """A folder is searched once for each public call here, not once for each module, and never remembered for longer:
    the user may add files between two submissions."""
    _has_compiled.cache_clear()
    _package_files.cache_clear()


def _is_foreign(top: str) -> bool:
    """Whether a module is installed or part of Python. A folder without `__init__.py` is neither."""
    return not _is_ours(top) and (top in sys.builtin_module_names or _file(top) is not None)


def _could_be_module(word: str) -> bool:
    return len(word) < 200 and all(part.isidentifier() for part in word.split("."))


@functools.lru_cache(maxsize=1000)
def _read(file: Path, path: str, _modified: int) -> tuple[bytes, tuple[str, ...]]:
    content = file.read_bytes()
    return content, tuple(imported_by(content, path))


def _parsed(source: bytes) -> ast.AST:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # for another version of Python, or invalid: it is sent unchanged
        return ast.Module([], [])


def _file(module: str) -> Path | None:
    """The source file of a module; of a package its `__init__.py`."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        name = getattr(loaded, "__file__", None)
        return Path(name).absolute() if isinstance(name, str) else None
    spec = _spec(module)
    return Path(spec.origin).absolute() if spec and spec.has_location and spec.origin else None


def _spec(module: str) -> ModuleSpec | None:
    """The spec of a module, found without importing its package (importlib.util would import it)."""
    package = module.rpartition(".")[0]
    try:
        if not package:
            return PathFinder.find_spec(module) or importlib.util.find_spec(module)
        above = _spec(package)
        inside = above.submodule_search_locations if above else None
        return PathFinder.find_spec(module, inside) if inside else None
    except (ImportError, ValueError, AttributeError):
        return None


def _inner_path(module: str, file: Path) -> str:
    """The path under which a module is imported, whatever its file is called."""
    return module.replace(".", "/") + ("/__init__.py" if file.name == "__init__.py" else ".py")


def _root(module: str, file: Path) -> Path:
    """The folder from which a module is imported by its full name."""
    return file.parents[_inner_path(module, file).count("/")]


def _is_installed(file: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(file.parts):
        return True
    return any(file.is_relative_to(folder) for folder in _folders_of_python())


@functools.cache
def _folders_of_python() -> tuple[str, ...]:
    return tuple(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


def _is_installation(root: Path) -> bool:
    """Whether a folder is an installation such as ROOT or podio: on PYTHONPATH, next to compiled libraries that its
    modules need."""
    listed = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(root) not in listed or root in _folders_at_work():
        return False
    folders = (root, root.parent / "lib", root.parent / "lib64")
    return any(file.suffix in _COMPILED for folder in folders if folder.is_dir() for file in folder.iterdir())


def _folders_at_work() -> list[Path]:
    """The folders where the user works. A compiled library in them does not make them an installation."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return [Path.cwd(), *([Path(script).absolute().parent] if script else [])]


@functools.cache
def _has_compiled(package: Path) -> bool:
    return package.is_dir() and any(file.suffix in _COMPILED for file in package.rglob("*"))


def _files_of(module: str) -> dict[str, Path]:
    file = _file(module)
    if file is None or not _is_ours(module):
        return {}
    root, path, top = _root(module, file), _inner_path(module, file), module.partition(".")[0]
    if file != root / path:  # loaded explicitly, under another name
        return {path: file}
    whole = _package_files(root / top) if "/" in path else ()
    return {inner.relative_to(root).as_posix(): inner for inner in whole or _with_parents(file, root)}


@functools.cache
def _package_files(package: Path) -> Sequence[Path]:
    """All source files of a package, or none if they are too large to be sent as a whole."""
    found = [path for path in sorted(package.rglob("*.py")) if path.is_file() and not _is_hidden(path, package)]
    return found if sum(path.stat().st_size for path in found) < _PACKAGE_LIMIT else []


def _is_hidden(path: Path, package: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(package).parts)


def _with_parents(file: Path, root: Path) -> list[Path]:
    folders = [folder for folder in file.parents if folder.is_relative_to(root) and folder != root]
    return [file, *(folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file())]
