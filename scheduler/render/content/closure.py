"""The source that a function needs, in normal form: its identity is made of it."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.render.content.normal_form import normal_form
from scheduler.render.function.needed.closure import Closure
from scheduler.render.function.needed.statements import uses_docstrings


def needed_source(files: Mapping[str, bytes], module: str, name: str) -> list[tuple[str, str]]:
    """The part of the source that a function needs, in normal form.

    Args:
        files: relative path → content, of all modules that may be needed.
        module: of the function.
        name: of the function, or of the class that it is in.

    Returns:
        The path (empty for the module of the function, so that its file may have another name) and the statements of
        each file with a needed statement.
    """
    closure = Closure(files)
    start = closure.path_of(module)
    if start:
        closure.need(start, name)
    written = []
    for path in sorted(files):
        shown = "" if path == start else path
        if path in closure.unreadable:
            written.append((shown, ascii(files[path])))
        elif closure.taken.get(path):
            docstrings = uses_docstrings(files[path])
            nodes = (closure.statements[path][at].node for at in sorted(closure.taken[path]))
            written.append((shown, "\n".join(normal_form(node, docstrings=docstrings) for node in nodes)))
    return written
