"""``scheduler sites``: prints the sites that are found by name, or all settings of one."""

from __future__ import annotations

import contextlib
import json as json_text
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scheduler.cli.screen import console
from scheduler.cli.screen.columns import column, print_columns
from scheduler.errors import ConfigError
from scheduler.site import trust as trusted
from scheduler.site.catalog import Entry, find_site, list_sites
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site

_INVALID = "invalid site file, see below"
_PLAIN = re.compile(r"[A-Za-z/$][A-Za-z0-9_/$.+-]*(?: [A-Za-z0-9_/$.+-]+)*\Z")
_NOT_TEXT = re.compile(r"(?:true|false|null)\Z", re.IGNORECASE)


def table(*, json: bool) -> int:
    """Print a table or JSON of all sites, with the errors of invalid site files. Returns the exit code."""
    entries = [(entry, _site(entry)) for entry in list_sites()]
    if json:
        console.print_json([_as_json(entry, site) for entry, site in entries])
        return 0
    print_columns([
        column("SITE", [entry.name for entry, _ in entries]),
        column("TRANSPORT", [site.transport if site else "" for _, site in entries]),
        column("BATCH SYSTEM", [site.scheduler if site else "" for _, site in entries]),
        column("FILE", [_short(entry.path) for entry, _ in entries]),
        column("DESCRIPTION", [entry.description if site else _INVALID for entry, site in entries], may_be_cut=True),
    ])  # fmt: skip
    for entry, _ in entries:
        if entry.error:
            first, *more = entry.error.splitlines()
            rest = f" (and {len(more)} more lines: scheduler sites show {entry.name})" if more else ""
            console.print_error(f"{first}{rest}")
    return 0


def show(name: str, *, json: bool) -> int:
    """Print all settings of a site, including the defaults that its file leaves out. Returns the exit code.

    Raises:
        ConfigError: there is no such site, or its file is wrong.
    """
    site = find_site(name)
    settings = site.to_json()["settings"]
    if json:
        console.print_json({"name": site.name, "sources": [str(path) for path in site.sources], "settings": settings})
        return 0
    for path in reversed(site.sources):
        console.print_line(f"# {path}", "dim")
    for line in yaml_lines(settings):
        console.print_line(line)
    return 0


def trust(files: Sequence[Path]) -> int:
    """Record that the user trusts site files or templates as they are now, and print what is recorded.

    Raises:
        ConfigError: a file cannot be read, or could be changed by other users.
    """
    for path in files:
        for file, digest in trusted.trust(path, report=console.print_message).items():
            console.print_line(f"trusted: {file} (SHA-256 {digest})")
    return 0


def _site(entry: Entry) -> Site | None:
    try:
        return None if entry.error else find_site(entry.name)
    except ConfigError:  # the file has changed since it was listed
        return None


def _as_json(entry: Entry, site: Site | None) -> dict[str, Any]:
    return {
        "name": entry.name,
        "description": entry.description or None,
        "transport": site.transport if site else None,
        "scheduler": site.scheduler if site else None,
        "path": str(entry.path),
        "error": entry.error or None,
    }


def _short(path: Path) -> str:
    """A path for the table. The full path is in the JSON and in the first lines of `show`."""
    if path.parent == packaged_folder("site_configs"):
        return "packaged"
    for find, short in ((Path.cwd, "."), (Path.home, "~")):
        with contextlib.suppress(FileNotFoundError):  # the current directory was removed
            folder = find()
            if path.is_relative_to(folder):
                return f"{short}/{path.relative_to(folder)}"
    return str(path)


def yaml_lines(settings: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Settings as the lines of a site file, without empty values."""
    for key, value in settings.items():
        if value is None or value in ([], {}, ""):
            continue
        if isinstance(value, Mapping):
            inner = list(yaml_lines(value, indent + "  "))
            yield from [f"{indent}{_scalar(key)}:", *inner] if inner else []
        elif isinstance(value, str) and "\n" in value:
            yield f"{indent}{_scalar(key)}: |"
            yield from (f"{indent}  {line}" for line in value.rstrip("\n").split("\n"))
        else:
            yield f"{indent}{_scalar(key)}: {_flow(value)}"


def _flow(value: Any) -> str:
    return (
        f"[{', '.join(map(_scalar, value))}]"
        if isinstance(value, Sequence) and not isinstance(value, str)
        else _scalar(value)
    )


def _scalar(value: Any) -> str:
    """A value that YAML reads back unchanged; text that YAML may read as another type is quoted as in JSON."""
    if isinstance(value, str) and _PLAIN.match(value) and not _NOT_TEXT.match(value):
        return value
    return json_text.dumps(value, ensure_ascii=False)
