"""Loads templates from one folder: regular files of a limited size. What they may do is in `sandbox.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2

from scheduler.schema.budget import Refused
from scheduler.schema.sandbox import MAX_TEMPLATE_CHARACTERS


class TemplateFolder(jinja2.FileSystemLoader):
    """The templates in a folder.

    Args:
        folder: its path.
        links: whether a symbolic link may lead out of the folder. A person who names a template may name a link; a
            template that includes another one may not.
    """

    def __init__(self, folder: str | Path, *, links: bool = False) -> None:
        super().__init__(folder)
        self._links = links

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """The text of a template, its path, and a function that tells whether the file is unchanged."""
        for folder in map(Path, self.searchpath):
            path = folder / template
            if ".." in path.parts[len(folder.parts) :] or not path.is_file():
                continue
            if not self._links and not path.resolve().is_relative_to(folder.resolve()):
                raise Refused(f"{path} is a link to a file outside its folder; copy that file into the folder")
            if path.stat().st_size > MAX_TEMPLATE_CHARACTERS:
                raise Refused(f"{path} is larger than {MAX_TEMPLATE_CHARACTERS >> 10} KiB; is it the right file?")
        return super().get_source(environment, template)
