"""Finding sites: by the path of a file, or by name in the user's folder, ./site_configs and the package's folder."""

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
from scheduler.site.trust import Report, is_packaged, own_files, require_trust
from scheduler.transports.prompt import NoPrompter, Prompter

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

    They are ``sites`` in the user's configuration folder (``$SCHEDULER_CONFIG_DIR``, by default ``~/.config/scheduler``
    on Linux); ``./site_configs``, whose files need trust (`trust.py`); and the folder of the package.
    """
    user, packaged = own_folders()
    return [user, *_current_folder(), packaged]


def own_folders() -> list[Path]:
    """The user's folder of site files, and that of the package: files that need no trust."""
    user = os.environ.get("SCHEDULER_CONFIG_DIR") or platformdirs.user_config_dir("scheduler")
    return [local_path(user) / "sites", packaged_folder("site_configs")]


def own_file(name: str) -> Path | None:
    """The user's own site file of this name; None if there is none."""
    files = _files_of(name, own_folders()[:1])
    return files[0] if files else None


def _current_folder() -> list[Path]:
    """The folder in the current directory; none if that no longer exists."""
    try:
        return [Path.cwd() / "site_configs"]
    except FileNotFoundError:
        return []


def find_site(
    name_or_path: str | os.PathLike[str], *, folders: Sequence[Path] | None = None, prompter: Prompter | None = None,
    report: Report | None = None,
) -> Site:  # fmt: skip
    """Find a site by its name, or read it from a file.

    A text with a slash, or that ends in ``.yaml`` or ``.yml``, is the path of a complete site file. Any other text is a
    name. If several folders have a file of that name, their mappings are merged key by key, so that a user's file with
    the name of a packaged site needs only the keys that differ. Lists are replaced as a whole.

    Args:
        name_or_path: the name of a site, or the path of a site file.
        folders: where to search for a name; files in the first override the others. Default: `site_folders`, of which
            ``./site_configs`` needs the user's trust. A path, and folders that are given, need none.
        prompter: asks whether a file of ``./site_configs`` is trusted; default: at the terminal, if there is one.
        report: called with what the user should know about such a file.

    Returns:
        The site.

    Raises:
        ConfigError: there is no such site (with the nearest known name and the folders that were searched), or its file
            is wrong (with the file and the key), or the user does not trust it.
    """
    if is_path(name_or_path):
        path = local_path(name_or_path)
        return _site_of(path.stem, [path])
    looked_in = site_folders() if folders is None else list(folders)
    name = os.fspath(name_or_path)
    files = _files_of(name, looked_in)
    if not files:
        searched = ", ".join(str(folder) for folder in looked_in)
        near = did_you_mean(name, _names_in(looked_in))
        as_path = f"; for the file in this folder write ./{name}" if name and Path(name).is_file() else ""
        raise ConfigError(f"no site is called {name!r}; {near} (searched in {searched}){as_path}")
    if folders is not None:
        return _site_of(name, files)
    foreign = _foreign(files)
    digests = {path: require_trust(path, prompter=prompter, report=report) for path in foreign}
    return _site_of(name, files, digests)


def read_site(name: str, files: Sequence[Path]) -> Site:
    """The site that these files describe together, later ones over earlier ones. They need no trust.

    Raises:
        ConfigError: they are wrong.
    """
    return _site_of(name, files)


def _foreign(files: Sequence[Path]) -> list[Path]:
    """Those of the files that are in ``./site_configs``, and neither the user's own nor the packaged ones."""
    return [path for path in files if path not in set(own_files(files, own_folders()))]


def list_sites(*, folders: Sequence[Path] | None = None) -> list[Entry]:
    """Every site that can be found by name, sorted by name. A wrong or untrusted one is listed with its error."""
    looked_in = site_folders() if folders is None else list(folders)
    return [_entry(name, _files_of(name, looked_in), safe=folders is not None) for name in sorted(_names_in(looked_in))]


def _entry(name: str, files: list[Path], *, safe: bool) -> Entry:
    try:
        for path in () if safe else _foreign(files):
            require_trust(path, prompter=NoPrompter("the list of sites asks nothing"))
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
    own, current = set(own_files(found.values(), own_folders())), _current_folder()
    kept = [path for path in found.values() if path.parent not in current or path in own or not is_packaged(path)]
    return list(reversed(kept))


def _names_in(folders: Sequence[Path]) -> set[str]:
    return {
        path.stem
        for folder in folders
        for suffix in _SUFFIXES
        for path in folder.glob(f"[!.]*{suffix}")
        if path.is_file()
    }


def _site_of(name: str, files: Sequence[Path], digests: Mapping[Path, str] | None = None) -> Site:
    merged: Mapping[str, Any] = {}
    guarded = False
    for path in files:
        values = _read(path, (digests or {}).get(path))
        guarded = path in (digests or {}) if "template" in values else guarded
        merged = laid_over(merged, values)
    return Site.from_mapping(merged, name=name, sources=files, guarded=guarded)


def _read(path: Path, digest: str | None) -> dict[str, Any]:
    """The keys of the file. `template`, which is relative to the file, becomes absolute."""
    values = read_mapping(path, sha256=digest)
    template = values.get("template")
    if isinstance(template, str):
        found = local_path(template, beside=path)
        if not found.is_file():
            raise ConfigError(f"{path}: template: the file {found} does not exist")
        values["template"] = str(found)
    return values
