"""The part of the running script that one function needs, as a module in which every line keeps its number."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tokenize
from pathlib import Path

from scheduler.render.function import Unfit
from scheduler.render.function.definitions import simplify
from scheduler.render.function.modules import foreign_names, imported_by, is_ours, packages_of, sources_of
from scheduler.render.function.names import bound_by, first_line
from scheduler.render.function.needs import Needs, Script, is_future, needs_of
from scheduler.render.function.page import Page
from scheduler.render.function.values import Spelling


def is_script(module: str) -> bool:
    """Whether this is the name of the running script as a module."""
    return module in ("__main__", "__mp_main__")  # the second: in a process that multiprocessing has spawned


def from_script(module: str, qualname: str) -> tuple[str, dict[str, bytes]]:
    """The part of the running script that a function needs.

    Args:
        module: the name of the script as a module.
        qualname: of the function.

    Returns:
        The module to import on the node, and the files to send: the module and those that it imports.

    Raises:
        Unfit: the script has no source file, or not everything that the function needs can be taken from it.
    """
    main = sys.modules[module]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__" and not is_ours(spec.name):
        return spec.name, {}  # python -m of something installed
    script = _read(module)
    needs = needs_of(script, qualname.partition(".")[0])
    name = "main_of_" + (re.sub(r"\W", "_", Path(script.name).stem).strip("_") or "script")
    name = f"{script.package}.{name}" if script.package else name
    path = name.replace(".", "/") + ".py"
    content = _written(script, needs).encode()
    spellings = [*needs.spelled.values(), *needs.replaced.values()]
    modules = {used for spelling in spellings for used in spelling.modules} | set(imported_by(content, path))
    return name, sources_of(modules | ({script.package} - {""})) | {path: content}


@functools.lru_cache(maxsize=1000)
def without_unused_packages(content: bytes) -> bytes:
    """The source of a module without the imports of installed packages that only annotations and defaults need, so that
    it also runs where they are missing. Other modules are returned as they are; lines keep their numbers."""
    try:
        text, statements = content.decode(), ast.parse(content).body
        changed = ast.parse(content).body
    except (SyntaxError, ValueError, RecursionError):
        return content
    foreign = foreign_names(statements)
    if not foreign or "\r" in text:
        return content
    new = {
        node: Spelling(as_text, frozenset(), frozenset())
        for tree in changed
        for node, as_text in simplify(tree, foreign).items()
    }
    unused = (_loaded(statements) - _loaded(changed)) & foreign
    if not unused:
        return content
    page = Page(text)
    for statement in changed:
        if not (isinstance(statement, (ast.Import, ast.ImportFrom)) and bound_by(statement) <= unused):
            page.copy(statement, new)
    return page.text().encode()


def _loaded(statements: list[ast.stmt]) -> set[str]:
    """The names that statements use; words of text count, as `__all__` and annotations that are text may use them."""
    found: set[str] = set()
    for node in (inner for statement in statements for inner in ast.walk(statement)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def _read(module: str) -> Script:
    main = sys.modules[module]
    file = getattr(main, "__file__", None)
    if not file or not Path(file).is_file():
        raise Unfit("it was typed into a notebook or an interactive session")
    try:
        with tokenize.open(file) as stream:  # as Python reads it: the first lines may give the encoding
            text = stream.read()
        statements = ast.parse(text).body
    except (SyntaxError, UnicodeDecodeError, ValueError):
        raise Unfit(f"{file} is not Python source that can be read") from None
    return Script(Path(file).name, main.__package__ or "", text, statements, vars(main))


def _bound(name: ast.alias) -> str:
    return (name.asname or name.name).partition(".")[0]


def _written(script: Script, needs: Needs) -> str:
    page = Page(script.text)
    for at, statement in enumerate(script.statements):
        if at in needs.kept and isinstance(statement, (ast.Import, ast.ImportFrom)):
            unused = packages_of(statement).keys() - needs.names - {"*"}
            page.copy_import(statement, [one for one in statement.names if _bound(one) not in unused])
        elif at in needs.kept or is_future(statement):
            page.copy(needs.kept.get(at, statement), needs.replaced)
    bindings, end = script.bindings(), []
    for name, spelling in needs.spelled.items():
        bound = bindings.get(name, [])
        ready = bool(bound) and all(bindings.get(used, bound)[0] < bound[0] for used in spelling.names)
        if ready and page.is_blank(script.statements[bound[0]]) and not (name in needs.early and len(bound) > 1):
            page.put(first_line(script.statements[bound[0]]), f"{name} = {spelling.text}")
        elif name in needs.early:
            raise Unfit(f"{name} is used while the script is read, and its value has changed since")
        else:
            end.append(f"{name} = {spelling.text}")
    return page.text() + "".join(f"{line}\n" for line in end)
