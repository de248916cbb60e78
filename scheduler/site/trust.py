"""Trust in the site files and templates of a folder: each is used only after the user has agreed to its exact content.

    a file in ./site_configs, with the template that it names and what that includes:
        the same bytes as the packaged file of its name?             → it is the packaged file: nothing to ask
        writable by every user, or of another owner than me or root? → refused
        recorded with its path and SHA-256?                          → used
        a terminal, and prompts are allowed?                         → asked once, and recorded
        else                                                         → refused, with the command that records it

A record is a line of JSON in the state folder; the last one of a path counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from platformdirs import user_state_path

from scheduler.errors import ConfigError
from scheduler.schema.regular_file import NotRegular, read_regular
from scheduler.schema.yaml import local_path, read_mapping
from scheduler.site.packaged import packaged_folder
from scheduler.transports.prompt import Prompter, TerminalPrompter

RECORD = "trusted-files.jsonl"
"""The file in the state folder."""
MAX_FILES = 50
_MAX_BYTES = 1 << 22
Report = Callable[[str], None]
"""Called with a message for the user."""


def require_trust(path: Path, *, prompter: Prompter | None = None, report: Report | None = None) -> str:
    """Make sure that the user trusts a site file of a folder, with its templates. Gives the file's SHA-256.

    Args:
        path: the site file.
        prompter: asks the user; None: at the terminal, unless prompts are turned off.
        report: called with what the user should know about a file that is accepted.

    Raises:
        ConfigError: it is not trusted, or must not be; the message has the command with which the user can trust it.
    """
    digests = {file: _digest(file) for file in files_of(path)}
    for file in digests:
        _refuse_unsafe(file, report)
    recorded = _recorded()
    unknown = [file for file, digest in digests.items() if recorded.get(str(file)) != digest]
    if unknown:
        changed = any(str(file) in recorded for file in unknown)
        _ask(path, list(digests), changed=changed, prompter=prompter or TerminalPrompter())
        record(digests)
    return digests[_full(path)]


def require_recorded(template: Path) -> None:
    """Check that a template of a folder, with what it includes, is as it was when the user agreed to it.

    Raises:
        ConfigError: it is not.
    """
    recorded = _recorded()
    for file in _with_includes(_full(template), {}):
        if recorded.get(str(file)) != _digest(file):
            raise ConfigError(f"{file}: has changed since you trusted it; read it, then: {command_for(template)}")


def is_trusted(path: Path) -> bool:
    """Whether the user has agreed to this file and its templates as they are now."""
    try:
        recorded = _recorded()
        return all(recorded.get(str(file)) == _digest(file) for file in files_of(path))
    except ConfigError:
        return False


def trust(path: Path, *, report: Report | None = None) -> dict[Path, str]:
    """Record that the user trusts a site file or a template as it is now. Gives the files and their SHA-256.

    Raises:
        ConfigError: a file cannot be read, or could be changed by others.
    """
    digests = {file: _digest(file) for file in files_of(path)}
    for file in digests:
        _refuse_unsafe(file, report)
    record(digests)
    return digests


def command_for(path: Path) -> str:
    """The command with which a user trusts a file."""
    return f"scheduler sites trust {shlex.quote(str(path))}"


def is_packaged(path: Path) -> bool:
    """Whether a file has the name and the bytes of a packaged site file, as in a clone of this project."""
    packaged = packaged_folder("site_configs") / path.name
    try:
        return packaged.is_file() and packaged.read_bytes() == _bytes_of(path)
    except OSError:
        return False


def files_of(path: Path) -> list[Path]:
    """A site file, the template that it names, and the templates which that includes. Or a template with these.

    Raises:
        ConfigError: one of them cannot be read, or a template computes the name of another one.
    """
    path = _full(path)
    if path.suffix not in (".yaml", ".yml"):
        return list(_with_includes(path, {}))
    template = read_mapping(path).get("template")
    if not isinstance(template, str):
        return [path]
    return list(_with_includes(_full(local_path(template, beside=path)), {path: None}))


def record(digests: dict[Path, str]) -> None:
    """Append to the record that the user trusts these files.

    Raises:
        ConfigError: the state folder cannot be written.
    """
    lines = "".join(json.dumps({"path": str(path), "sha256": digest}) + "\n" for path, digest in digests.items())
    file = _record_file()
    _lines_of(file)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as record_file:
            record_file.write(lines)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error


def _with_includes(template: Path, found: dict[Path, None]) -> dict[Path, None]:
    from scheduler.schema.template_names import names_in

    if template in found:
        return found
    if len(found) >= MAX_FILES:
        raise ConfigError(f"{template}: its templates include more than {MAX_FILES} files; use fewer")
    found[template] = None
    for name in names_in(_bytes_of(template), template):
        beside = template.parent / name
        if beside.is_file() and not (packaged_folder("templates") / name).is_file():
            _with_includes(_full(beside), found)
    return found


def _ask(path: Path, files: list[Path], *, changed: bool, prompter: Prompter) -> None:
    what = "has changed since you trusted it" if changed else "is a site file of this folder that you have not trusted"
    do = f"read it, then: {command_for(path)}"
    why_not = prompter.unavailable()
    if why_not:
        raise ConfigError(f"{path}: {what}; {do} ({why_not})")
    listed = "".join(f"\n  {file}" for file in files)
    prompter.show(
        f"{path}: {what}. Site files decide to which host your jobs go and what runs there under your name.{listed}"
    )
    answer = prompter.ask("Trust these files as they are now? [y/N]", shown=True)
    if (answer or "").strip().lower() not in ("y", "yes"):
        raise ConfigError(f"{path}: {what}, and is not used; {do}")


def _refuse_unsafe(file: Path, report: Report | None) -> None:
    """Refuse a file that others could have written; report one that the group could change or replace."""
    of_group: list[Path] = []
    for place, kind in ((file, "file"), (file.parent, "folder")):
        status = place.stat()
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"{file}: the {kind} {place} belongs to another user (uid {status.st_uid}), and is not"
                              " used; copy the file into a folder of yours")  # fmt: skip
        if status.st_mode & stat.S_IWOTH and not (kind == "folder" and status.st_mode & stat.S_ISVTX):
            raise ConfigError(f"{file}: the {kind} {place} is writable by every user, and is not used;"
                              f" chmod o-w {shlex.quote(str(place))}")  # fmt: skip
        if status.st_mode & stat.S_IWGRP:
            of_group.append(place)
    if report is not None and of_group:
        what = " and ".join("it" if place is file else f"the folder {place}" for place in of_group)
        do = f"chmod g-w {shlex.join(map(str, of_group))}, unless that is meant"
        report(f"{file}: members of its group can change {what}; {do}")


def _recorded() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _lines_of(_record_file()):
        try:
            entry = json.loads(line)
            found[str(entry["path"])] = str(entry["sha256"])
        except (ValueError, TypeError, KeyError):  # a line that was not written to its end
            continue
    return found


def _lines_of(file: Path) -> Iterable[str]:
    try:
        status = file.stat()
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & stat.S_IWOTH:
            raise ConfigError(f"{file}: other users may write it, so it is not used; delete it")
        content = read_regular(file, most=_MAX_BYTES)
    except NotRegular as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; delete it") from error
    except OSError:
        return []
    if content is None:
        raise ConfigError(f"{file}: is larger than {_MAX_BYTES >> 20} MiB, so it is not used; delete it")
    return content.decode("utf-8", "replace").splitlines()


def _record_file() -> Path:
    own = os.environ.get("SCHEDULER_STATE_DIR")  # as the ledger's folder
    return (Path(own) if own else user_state_path("scheduler")) / RECORD


def _digest(file: Path) -> str:
    return hashlib.sha256(_bytes_of(file)).hexdigest()


def _bytes_of(file: Path) -> bytes:
    try:
        content = read_regular(file, most=_MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    if content is None:
        raise ConfigError(f"{file}: is larger than {_MAX_BYTES >> 20} MiB")
    return content


def _full(path: Path) -> Path:
    """The path as it is recorded. Links are not resolved: a template is beside the file that names it."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.resolve follows links)


def own_files(paths: Iterable[Path], folders: Iterable[Path]) -> Iterator[Path]:
    """Those of `paths` that are directly in one of these folders of the user or the package."""
    places = {folder.resolve() for folder in folders}
    return (path for path in paths if path.parent.resolve() in places)
