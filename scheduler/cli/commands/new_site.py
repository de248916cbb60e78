"""``scheduler sites new``: asks for the settings of a site and writes its site file. Each answer is checked at once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from scheduler.batch.base import find
from scheduler.cli.commands.sites import yaml_lines
from scheduler.cli.screen import console
from scheduler.errors import ConfigError
from scheduler.site.catalog import find_site, own_folders
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site, batch_systems
from scheduler.transports.find import traits_of

Ask = Callable[[str, str], str]
"""Called with a question and the default answer; returns the answer."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}\Z")
_MINIMAL_SITE = {"transport": "local", "scheduler": batch_systems()[0], "work_dir": "/"}
"""The settings that a site needs, so that one key can be checked alone."""


@dataclass(frozen=True)
class Question:
    """The question for one key of a site file.

    Attributes:
        default: the value if the answer is empty. If this is empty too, the key is left out.
        required: the key cannot be left out.
    """

    key: str
    text: str
    default: str = ""
    required: bool = False


def new(name: str, given: Mapping[str, str], *, force: bool, yes: bool) -> int:
    """Ask for settings, print the site file, write it into the user's folder of site files. Returns the exit code.

    Args:
        name: the name of the new site; if a packaged site has it, the file holds what differs from that.
        given: the values of the options, by key.
        force: overwrite an existing file.
        yes: ask nothing.

    Raises:
        ConfigError: the name is not valid, the file exists, or a value is wrong or missing.
    """
    path = _path_of(name, force=force)
    interactive = sys.stdin.isatty() and not yes
    values = collect_values(name, given, _prompt if interactive else None)
    text = "".join(f"{line}\n" for line in [f"# {name}, written by scheduler sites new.", *yaml_lines(values)])
    for line in text.splitlines():
        console.print_line(line)
    if interactive and not typer.confirm(f"Write this to {path}?", default=True, err=True):
        console.print_message("Nothing was written.")
        return 1
    _write(path, text, force=force)
    console.print_message(f"Written: {path}\nTo check the site: scheduler check {name}")
    return 0


def collect_values(name: str, given: Mapping[str, str], ask: Ask | None) -> dict[str, Any]:
    """The keys and values of the site file: the given ones, and the answers to questions about the others.

    Args:
        ask: asks one question; None if nothing can be asked, so that only required keys with a default are added.

    Raises:
        ConfigError: a given value is wrong or does not apply, or a required one is missing.
    """
    base = _packaged(name)
    values: dict[str, Any] = {}
    for question in _questions_for_packaged(base) if base else _questions_for_new():
        if not _applies(question, values, base):
            continue
        answer = given.get(question.key)
        if answer is not None:
            _check(question.key, answer, values)
        elif ask is not None:
            answer = _valid_answer(question, values, ask)
        elif question.required and not question.default:
            raise ConfigError(f"site {name!r}: {question.key} is required: --{_option(question.key)}")
        else:
            answer = question.default if question.required else ""
        if answer:
            _put(values, question.key, answer)
    _refuse_unused(name, given, values)
    return values


def _questions_for_new() -> list[Question]:
    return [
        Question("transport", "Transport: ssh, or local (this machine or this login node)", "ssh", True),
        Question("host", "Login node: a host name, or a Host of ~/.ssh/config", required=True),
        Question("ssh.user", "User name on the remote host, if not the one in ~/.ssh/config"),
        Question("scheduler", f"Batch system: {', '.join(batch_systems())}", "slurm", True),
        Question("work_dir", "Remote directory for jobs, visible to compute nodes", "$HOME/scheduler", True),
        Question("account", "Account to charge, if the site requires one"),
        Question("queue", "Queue (PBS) or partition (Slurm), if not the default one"),
        Question("limits.walltime", "Longest walltime that a job may request, if known (48:00:00, 2 days)"),
    ]


def _questions_for_packaged(base: Site) -> list[Question]:
    """What differs between the users of a packaged site."""
    user = Question("ssh.user", "User name on the remote host, if not the one in ~/.ssh/config")
    return [
        *([user] if traits_of(base.transport).uses_ssh else []),
        Question("account", f"Account to charge (packaged file: {base.account or 'none'})"),
        Question("work_dir", f"Remote directory for jobs (packaged file: {base.work_dir})"),
        Question("queue", f"Queue or partition (packaged file: {base.queue or 'none'})"),
    ]


def _applies(question: Question, values: Mapping[str, Any], base: Site | None) -> bool:
    """Whether such a site has this key."""
    batch = base.scheduler if base else values.get("scheduler")
    if question.key in ("host", "ssh.user"):
        traits = traits_of(base.transport if base else values["transport"])
        return traits.needs_host if question.key == "host" else traits.uses_ssh
    return question.key not in ("account", "queue") or find(str(batch)).has_queues


def _valid_answer(question: Question, values: Mapping[str, Any], ask: Ask) -> str:
    while True:
        answer = ask(question.text, question.default).strip()
        if not answer and not question.required:
            return ""
        try:
            _check(question.key, answer, values)
            return answer
        except ConfigError as error:
            console.print_error(str(error))


def _check(key: str, answer: str, values: Mapping[str, Any]) -> None:
    """Check one value, together with the values so far."""
    settings: dict[str, Any] = {**_MINIMAL_SITE, **values}
    _put(settings, key, answer)
    settings.setdefault("host", "host")
    try:
        Site.from_mapping(settings, name="new")
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix("site 'new': ")) from None


def _put(values: dict[str, Any], key: str, answer: str) -> None:
    head, dot, rest = key.partition(".")
    if dot:
        values[head] = {**values.get(head, {}), rest: answer}
    else:
        values[head] = answer


def _refuse_unused(name: str, given: Mapping[str, str], values: Mapping[str, Any]) -> None:
    def is_used(key: str) -> bool:
        head, dot, rest = key.partition(".")
        return rest in values.get(head, {}) if dot else head in values

    unused = [key for key in given if not is_used(key)]
    if unused:
        raise ConfigError(f"site {name!r}: --{_option(unused[0])} does not apply to this site; leave it out")


def _option(key: str) -> str:
    return key.rpartition(".")[2].replace("_", "-")


def _packaged(name: str) -> Site | None:
    try:
        return find_site(name, folders=[packaged_folder("site_configs")])
    except ConfigError:
        return None


def _path_of(name: str, *, force: bool) -> Path:
    if not _NAME.match(name) or name.endswith((".yaml", ".yml")):
        raise ConfigError(
            f"{name[:60]!r} is not a valid site name: use letters, digits, '-', '_' and '.', and no .yaml at the end"
        )
    path = own_folders()[0] / f"{name}.yaml"
    if path.exists() and not force:
        raise ConfigError(f"{path} already exists; edit it, or overwrite it with --force")
    return path


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        if force:
            part.replace(path)
        else:
            os.link(part, path)  # fails if another process has written the file in the meantime
            part.unlink()
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _prompt(question: str, default: str) -> str:
    return str(typer.prompt(question, default=default, show_default=bool(default), err=True))
