"""Finding sites: by the path of a file, or by name in ./site_configs, the user's folder and the package's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from scheduler.errors import ConfigError, did_you_mean
from scheduler.schema.yaml import laid_over, local_path, read_mapping
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Entry:
    """A site that can be found by name, valid or not.

    Attributes:
        name: its name, for `find_site`.
        path: its file; of several files the one whose keys override the others.
        description: the description in the file; empty if the file is wrong.
        error: what is wrong with the file; empty if it is valid.
    """

    name: str
    path: Path
    description: str = ""
    error: str = ""


def site_folders() -> list[Path]:
    """The folders that are searched for a site's name; files in the first override those in the others.

    They are ``./site_configs``; ``sites`` in the user's configuration folder (``$SCHEDULER_CONFIG_DIR``, by default
    ``~/.config/scheduler`` on Linux); and the folder of the package.
    """
    user = os.environ.get("SCHEDULER_CONFIG_DIR") or platformdirs.user_config_dir("scheduler")
    return [*_own_folder(), local_path(user) / "sites", packaged_folder("site_configs")]


def _own_folder() -> list[Path]:
    """The folder in the current directory; none if that no longer exists."""
    try:
        return [Path.cwd() / "site_configs"]
    except FileNotFoundError:
        return []


def find_site(name_or_path: str | os.PathLike[str], *, folders: Sequence[Path] | None = None) -> Site:
    """Find a site by its name, or read it from a file.

    A text with a slash, or that ends in ``.yaml`` or ``.yml``, is the path of a complete site file. Any other text is a
    name. If several folders have a file of that name, their mappings are merged key by key, so that a user's file with
    the name of a packaged site needs only the keys that differ. Lists are replaced as a whole.

    Args:
        name_or_path: the name of a site, or the path of a site file.
        folders: where to search for a name; files in the first override the others. Default: `site_folders`.

    Returns:
        The site.

    Raises:
        ConfigError: there is no such site (with the nearest known name and the folders that were searched), or its file
            is wrong (with the file and the key).
    """
    if is_path(name_or_path):
        path = local_path(name_or_path)
        return _site_of(path.stem, [path])
    looked_in = site_folders() if folders is None else list(folders)
    name = os.fspath(name_or_path)
    files = _files_of(name, looked_in)
    if not files and (path := local_path(name_or_path)).is_file():  # names come first: a file `local` hides no site
        return _site_of(path.stem, [path])
    if not files:
        searched = ", ".join(str(folder) for folder in looked_in)
        near = did_you_mean(name, _names_in(looked_in))
        raise ConfigError(f"no site is called {name!r}; {near} (searched in {searched})")
    return _site_of(name, files)


def list_sites(*, folders: Sequence[Path] | None = None) -> list[Entry]:
    """Every site that can be found by name, sorted by name. A wrong one is listed with its error."""
    looked_in = site_folders() if folders is None else list(folders)
    return [_entry(name, _files_of(name, looked_in)) for name in sorted(_names_in(looked_in))]


def _entry(name: str, files: list[Path]) -> Entry:
    try:
        return Entry(name, files[-1], description=_site_of(name, files).description)
    except ConfigError as error:
        return Entry(name, files[-1], error=str(error))


def is_path(name_or_path: str | os.PathLike[str]) -> bool:
    """Whether this is the path of a site file, not the name of a site."""
    text = os.fspath(name_or_path)
    return "/" in text or text.startswith("~") or text.endswith(_SUFFIXES)


def _files_of(name: str, folders: Sequence[Path]) -> list[Path]:
    """The files of that name; later ones override earlier ones. A folder that is given twice counts once."""
    found: dict[Path, Path] = {}
    for folder in folders:
        for path in (folder / (name + suffix) for suffix in _SUFFIXES):
            if path.is_file():
                found.setdefault(path.resolve(), path.absolute())
    return list(reversed(found.values()))


def _names_in(folders: Sequence[Path]) -> set[str]:
    return {
        path.stem
        for folder in folders
        for suffix in _SUFFIXES
        for path in folder.glob(f"[!.]*{suffix}")
        if path.is_file()
    }


def _site_of(name: str, files: Sequence[Path]) -> Site:
    merged: Mapping[str, Any] = {}
    for path in files:
        merged = laid_over(merged, _read(path))
    return Site.from_mapping(merged, name=name, sources=files)


def _read(path: Path) -> dict[str, Any]:
    """The keys of the file. `template`, which is relative to the file, becomes absolute."""
    values = read_mapping(path)
    template = values.get("template")
    if isinstance(template, str):
        found = local_path(template, beside=path)
        if not found.is_file():
            raise ConfigError(f"{path}: template: the file {found} does not exist")
        values["template"] = str(found)
    return values
