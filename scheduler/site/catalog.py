"""Finding sites: by a file's path, or by name in ./site_configs, the person's folder and the packaged one."""

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
    """A site that can be found by name, whether its file is good or not.

    Attributes:
        name: what `find_site` takes.
        path: the file that has the last word.
        description: the file's own, or empty.
        error: what is wrong with it, or empty.
    """

    name: str
    path: Path
    description: str = ""
    error: str = ""


def site_folders() -> list[Path]:
    """Where sites are looked for by name; the first has the last word.

    ``./site_configs``; ``sites`` in the person's configuration folder (``~/.config/scheduler`` on Linux, or
    what ``SCHEDULER_CONFIG_DIR`` says); the packaged ones.
    """
    person = os.environ.get("SCHEDULER_CONFIG_DIR") or platformdirs.user_config_dir("scheduler")
    return [Path.cwd() / "site_configs", local_path(person) / "sites", packaged_folder("site_configs")]


def find_site(name_or_path: str | os.PathLike[str], *, folders: Sequence[Path] | None = None) -> Site:
    """The site of that name, or in that file.

    What has a slash or ends in ``.yaml`` or ``.yml`` is a file, complete in itself. Anything else is a name;
    where several folders have a file of that name, the mappings in them are laid over one another key by key,
    so that a person's file of a packaged name needs only the keys that differ. Lists are replaced as a whole.

    Args:
        name_or_path: a site's name, or the path of a site file.
        folders: where to look for a name, the first having the last word (default: `site_folders`).

    Raises:
        ConfigError: there is none (with the nearest known name and where it was looked for), or it is wrong.
    """
    path = local_path(name_or_path)
    if _is_path(name_or_path):
        return _site_of(path.stem, [path])
    looked_in = site_folders() if folders is None else list(folders)
    name = os.fspath(name_or_path)
    files = _files_of(name, looked_in)
    if not files and path.is_file():  # after the names: a stray file called `local` is not the site `local`
        return _site_of(path.stem, [path])
    if not files:
        places = ", ".join(str(folder) for folder in looked_in)
        near = did_you_mean(name, _names_in(looked_in))
        raise ConfigError(f"no site is called {name!r}; {near} (looked in {places})")
    return _site_of(name, files)


def list_sites(*, folders: Sequence[Path] | None = None) -> list[Entry]:
    """Every site that can be found by name, sorted; one that is wrong is listed with what is wrong."""
    looked_in = site_folders() if folders is None else list(folders)
    return [_entry(name, _files_of(name, looked_in)) for name in sorted(_names_in(looked_in))]


def _entry(name: str, files: list[Path]) -> Entry:
    try:
        return Entry(name, files[-1], description=_site_of(name, files).description)
    except ConfigError as error:
        return Entry(name, files[-1], error=str(error))


def _is_path(name_or_path: str | os.PathLike[str]) -> bool:
    text = os.fspath(name_or_path)
    return "/" in text or text.startswith("~") or text.endswith(_SUFFIXES)


def _files_of(name: str, folders: Sequence[Path]) -> list[Path]:
    """The files of that name, the one that has the last word last; a folder given twice counts once."""
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
    """The file's keys; `template` becomes absolute, for it is relative to the file that names it."""
    values = read_mapping(path)
    template = values.get("template")
    if isinstance(template, str):
        found = local_path(template, beside=path)
        if not found.is_file():
            raise ConfigError(f"{path}: template: there is no file {found}")
        values["template"] = str(found)
    return values
