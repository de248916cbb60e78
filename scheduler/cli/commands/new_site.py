"""``scheduler sites new``: a person's site file is written by asking. Each answer is checked at once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from scheduler.cli.commands.sites import yaml_lines
from scheduler.cli.screen import console
from scheduler.errors import ConfigError
from scheduler.site.catalog import find_site, site_folders
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site, batch_systems
from scheduler.transports.find import traits_of

Ask = Callable[[str, str], str]
"""Called with a question and the answer to take if none is given."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}\Z")
_TRIAL = {"transport": "local", "scheduler": "shell", "work_dir": "/"}
"""Enough of a site to have one key checked."""


@dataclass(frozen=True)
class Question:
    """One key of a site file.

    Attributes:
        default: what is taken if nothing is answered; empty: the key is left out.
        needed: it cannot be left out.
    """

    key: str
    words: str
    default: str = ""
    needed: bool = False


def new(name: str, given: Mapping[str, str], *, force: bool, sure: bool) -> int:
    """Ask, show the file, write it into the person's folder.

    Raises:
        ConfigError: the name cannot be one, the file is there already, or what was given is wrong.
    """
    path = _path_of(name, force=force)
    interactive = sys.stdin.isatty() and not sure
    values = collected(name, given, _prompt if interactive else None)
    text = "".join(f"{line}\n" for line in [f"# {name}, written by scheduler sites new.", *yaml_lines(values)])
    for line in text.splitlines():
        console.print_line(line)
    if interactive and not typer.confirm(f"Write this to {path}?", default=True, err=True):
        console.say("Nothing was written.")
        return 1
    _write(path, text, force=force)
    console.say(f"Written: {path}\nIs all well there? scheduler check {name}")
    return 0


def collected(name: str, given: Mapping[str, str], ask: Ask | None) -> dict[str, Any]:
    """The keys and values of the file: what is given, and what `ask` brings for the rest.

    Raises:
        ConfigError: a given value is wrong, or one that is needed is missing and nobody can be asked.
    """
    base = _packaged(name)
    values: dict[str, Any] = {}
    for question in _of_ours(base) if base else _of_a_new_one():
        if not _asked_here(question, values, base):
            continue
        answer = given.get(question.key)
        if answer is not None:
            _check(question.key, answer, values)
        elif ask is not None:
            answer = _good_answer(question, values, ask)
        elif question.needed and not question.default:
            raise ConfigError(f"site {name!r}: {question.key} is needed: --{_option(question.key)}")
        else:
            answer = question.default if question.needed else ""
        if answer:
            _put(values, question.key, answer)
    _refuse_unused(name, given, values)
    return values


def _of_a_new_one() -> list[Question]:
    return [
        Question(
            "transport", "How is it reached: ssh, or local (this machine, or the login node you are on)", "ssh", True
        ),
        Question("host", "Which host (a Host of ~/.ssh/config, or its name)", needed=True),
        Question("ssh.user", "Your name over there, if it is another than ~/.ssh/config says"),
        Question("scheduler", f"Which batch system: {', '.join(batch_systems())}", "slurm", True),
        Question(
            "work_dir", "A folder over there for scripts and jobs, which compute nodes see", "$HOME/scheduler", True
        ),
        Question("account", "Which account counts for it, if one must be given"),
        Question("queue", "Which queue (Slurm: partition), if not the default one"),
        Question("limits.walltime", "How long may a job run there at most (48:00:00, 2 days), if you know"),
    ]


def _of_ours(base: Site) -> list[Question]:
    """Of a packaged site: its facts stand; what is the person's own is asked."""
    found = (
        [Question("ssh.user", "Your name over there, if ~/.ssh/config has another")]
        if traits_of(base.transport).uses_ssh
        else []
    )
    return [
        *found,
        Question("account", f"Which account counts for it (the packaged file: {base.account or 'none'})"),
        Question("work_dir", f"A folder over there for scripts and jobs (the packaged file: {base.work_dir})"),
        Question("queue", f"Which queue, if another than {base.queue or 'the default'}"),
    ]


def _asked_here(question: Question, values: Mapping[str, Any], base: Site | None) -> bool:
    batch = base.scheduler if base else values.get("scheduler")
    if question.key in ("host", "ssh.user"):
        transport = base.transport if base else values["transport"]
        traits = traits_of(transport)
        return traits.needs_host if question.key == "host" else traits.uses_ssh
    return question.key not in ("account", "queue") or batch != "shell"


def _good_answer(question: Question, values: Mapping[str, Any], ask: Ask) -> str:
    while True:
        answer = ask(question.words, question.default).strip()
        if not answer and not question.needed:
            return ""
        try:
            _check(question.key, answer, values)
            return answer
        except ConfigError as error:
            console.complain(str(error))


def _check(key: str, answer: str, values: Mapping[str, Any]) -> None:
    trial: dict[str, Any] = {**_TRIAL, **values}
    _put(trial, key, answer)
    trial.setdefault("host", "host")
    try:
        Site.from_mapping(trial, name="new")
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix("site 'new': ")) from None


def _put(values: dict[str, Any], key: str, answer: str) -> None:
    head, dot, rest = key.partition(".")
    if dot:
        values[head] = {**values.get(head, {}), rest: answer}
    else:
        values[head] = answer


def _refuse_unused(name: str, given: Mapping[str, str], values: Mapping[str, Any]) -> None:
    def there(key: str) -> bool:
        head, dot, rest = key.partition(".")
        return rest in values.get(head, {}) if dot else head in values

    unused = [key for key in given if not there(key)]
    if unused:
        raise ConfigError(f"site {name!r}: --{_option(unused[0])} is no matter of such a site; leave it out")


def _option(key: str) -> str:
    return key.rpartition(".")[2].replace("_", "-")


def _packaged(name: str) -> Site | None:
    try:
        return find_site(name, folders=[packaged_folder("site_configs")])
    except ConfigError:
        return None


def _path_of(name: str, *, force: bool) -> Path:
    if not _NAME.match(name) or name.endswith((".yaml", ".yml")):
        raise ConfigError(f"{name[:60]!r} cannot be a site's name: letters, digits, '-', '_' and '.', and no .yaml")
    path = site_folders()[1] / f"{name}.yaml"
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; edit it, or write over it with --force")
    return path


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        if force:
            part.replace(path)
        else:
            os.link(part, path)  # fails if somebody was faster
            part.unlink()
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _prompt(words: str, default: str) -> str:
    return str(typer.prompt(words, default=default, show_default=bool(default), err=True))
