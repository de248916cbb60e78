"""qsub: reads options and directives, and refuses wrong ones before it sends a request."""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import usage
from .command import Refusal, Settings, send

_LETTERS = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:Xz"
_NAME = re.compile(r"[A-Za-z0-9_.+-]+\Z")
_RANGE = re.compile(r"(\d+)-(\d+)(?::(\d+))?(?:%(\d+))?\Z")
_DEPEND = re.compile(r"(after|afterok|afternotok|afterany|before|beforeok|beforenotok|beforeany|on):\S+\Z")
_KNOWN_W = {"depend", "group_list", "block", "sandbox", "stagein", "stageout", "umask", "run_count", "force"}
_RIGHT: dict[str, Callable[[str], object]] = {
    "a": lambda value: re.fullmatch(r"(\d{2}){4,6}(\.\d\d)?", value),
    "j": lambda value: value in ("oe", "eo", "n"),
    "k": lambda value: re.fullmatch(r"[eodn]+", value),
    "m": lambda value: re.fullmatch(r"n|[abej]+", value),
    "o": lambda value: value and not value.startswith("nosuchhost:"),
    "e": lambda value: value and not value.startswith("nosuchhost:"),
    "p": lambda value: re.fullmatch(r"[+-]?\d+", value) and -1024 <= int(value) <= 1023,
    "r": lambda value: value in ("y", "n"),
    "S": lambda value: value.startswith("/"),
    "J": lambda value: _array(value),
    "N": lambda value: _NAME.match(value),
    "W": lambda value: all(_wanted(item) for item in re.split(r",(?=[a-z_]+=)", value)),
}  # fmt: skip


class Wrong(Exception):
    """An argument that qsub itself refuses: the message for stderr, and the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.text, self.code = text, code


def run(settings: Settings, arguments: list[str]) -> int:
    """Submit a job and print its id."""
    try:
        given, operands = usage.options(_LETTERS, arguments, "qsub")
        _check(given, usage.QSUB)
        name, script = _script(operands, settings)
        directives, last = _directives(script, given)
        request = _request(settings, [*given, *directives], name=name, array_of=last)
    except Wrong as wrong:
        sys.stderr.write(wrong.text)
        return wrong.code
    except FileNotFoundError:  # its current directory is gone
        sys.stderr.write("Failed to recv data from background qsub\n")
        return 255
    request |= {"script": script, "arguments": " ".join(arguments[: len(arguments) - len(operands)] or [])}
    job_id = send(settings, do="submit", **request)
    if not any(letter == "z" for letter, _ in given):
        print(job_id)
    return 0


def _check(given: list[tuple[str, str]], usage: str) -> None:
    text = "".join(value for letter, value in given if letter == "?")
    code = 2
    for letter, value in given:
        if letter == "N" and len(value) > 230:
            raise Wrong("qsub: Job name is too long \n", 2)
        if letter in _RIGHT and not _RIGHT[letter](value):
            text += f"qsub: illegal -{letter} value\n"
    letters = [letter for letter, _ in given]
    if "J" in letters and ("r", "n") in given:
        text += "qsub:  cannot submit non-rerunable Array Job\n"
    if text:
        raise Wrong(text + usage, code)
    if "I" in letters:
        raise Wrong("qsub:\tstandard input and output must be a terminal for\n\tinteractive job submission\n", 1)


def _array(value: str) -> bool:
    found = _RANGE.match(value)
    return bool(found) and int(found[1]) < int(found[2]) and found[3] != "0" if found else False


def _wanted(item: str) -> bool:
    key, sign, value = item.partition("=")
    if key == "depend":
        return all(_dependency(one) for one in value.split(","))
    return bool(sign)


def _dependency(text: str) -> bool:
    ids = text.split(":")[1:]
    if not _DEPEND.match(text) or not all(ids):
        return False
    return text.startswith("on:") or all(re.fullmatch(r"\d+(\[\])?(\.pbslogin)?", one) for one in ids)


def _script(operands: list[str], settings: Settings) -> tuple[str, str]:
    if operands[:1] == ["--"]:
        return Path(operands[1]).name, "\n".join(["#!/bin/sh", " ".join(map(_quoted, operands[1:])), ""])
    if len(operands) > 1:
        raise Wrong(usage.QSUB, 2)
    if not operands or operands[0] == "-":
        script = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        return "STDIN", _without_cr(script, settings)
    path = Path(operands[0])
    if path.is_dir():
        raise Wrong("qsub: script not a file\n", 1)
    if not path.exists():
        raise Wrong("qsub: script file:: No such file or directory\n", 1)
    try:
        script = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        raise Wrong("qsub: opening script file:: Permission denied\n", 8) from None
    return path.name, _without_cr(script, settings)


def _without_cr(script: str, settings: Settings) -> str:
    if settings.master and "\r\n" in script:
        raise Wrong("qsub: script contains cr, lf\n", 1)
    return script


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _directives(script: str, given: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], bool]:
    """The options of the #PBS lines above the first line that is not a comment. Options of the command line win."""
    found: list[tuple[str, str]] = []
    on_line = {letter for letter, _ in given if letter not in "lW"}
    for line in script.split("\n"):
        if line.startswith("#PBS "):
            text = line[5:].rstrip("\r")
            read, operands = usage.options(_LETTERS, text.split(), "qsub")
            try:
                _check(read, "")
            except Wrong as wrong:
                raise Wrong(f"{wrong.text}qsub: directive error: {text} \n", 1) from None
            if operands:
                raise Wrong(f"qsub: directive error: {text} \n", 1)
            found += [pair for pair in read if pair[0] not in on_line]
        elif line.strip() and not line.startswith("#"):
            break
    return found, ("r", "n") in [*given, *found]


def _request(settings: Settings, pairs: list[tuple[str, str]], *, name: str, array_of: bool) -> dict[str, Any]:
    last: dict[str, str] = {}
    for letter, value in pairs:
        last.setdefault(letter, value)
    if "J" in last and array_of:
        _check([("J", last["J"]), ("r", "n")], usage.QSUB)
    chosen = last.get("N", name)
    _check([("N", chosen)], usage.QSUB)
    for item in (item for letter, value in pairs if letter == "W" for item in re.split(r",(?=[a-z_]+=)", value)):
        if item.partition("=")[0] not in _KNOWN_W:
            raise Refusal("qsub: Error (15002) submitting job\n", 154)
    return {
        "name": chosen, "array": last.get("J"), "queue": last.get("q"), "account": last.get("A"),
        "hold": "h" in last, "rerun": last.get("r", "y") == "y", "join": last.get("j", "n"), "keep": last.get("k", "n"),
        "out": _path(last.get("o"), settings), "err": _path(last.get("e"), settings), "project": last.get("P"),
        "priority": last.get("p", "0"), "mail": last.get("m", "a"), "as_user": last.get("u"),
        "begin": _epoch(last.get("a")), "home": str(Path.home()),
        "wanted": [value for letter, value in pairs if letter == "W"], "shell": last.get("S"),
        "resources": [value for letter, value in pairs if letter == "l"],
        "variables": _variables(settings, last.get("v"), everything="V" in last and settings.master),
    }  # fmt: skip


def _path(path: str | None, settings: Settings) -> str | None:
    if path is None:
        return None
    host, colon, rest = path.partition(":")
    if not colon or "/" in host:
        host, rest = settings.server, path
    return f"{host}:{Path.cwd() / rest}" + ("/" if rest.endswith("/") else "")


def _variables(settings: Settings, given: str | None, *, everything: bool) -> list[tuple[str, str]]:
    """The variables of -v, separated by commas, and those of PBS. A value with an odd number of quotes fails."""
    environment = os.environ
    where = str(Path.cwd())
    own = {"HOME": environment.get("HOME", ""), "LANG": environment.get("LANG", "C.UTF-8"),
           "LOGNAME": pwd.getpwuid(os.getuid()).pw_name, "PATH": environment.get("PATH", ""),
           "SHELL": environment.get("SHELL", "/bin/bash")}  # fmt: skip
    found = [(f"PBS_O_{name}", value) for name, value in own.items()]
    if settings.master:
        found += [("PBS_O_INTERACTIVE_AUTH_METHOD", "resvport"), ("PBS_O_INTERACTIVE_ENCRYPT_METHOD", "")]
    found += [("PBS_O_WORKDIR", where), ("PBS_O_SYSTEM", "Linux")]
    for item in re.findall(r"(?:[^,\\'\"]|\\.|\"[^\"]*\"|'[^']*'|['\"])+", given, re.S) if given else []:
        name, sign, value = item.partition("=")
        if not sign and name not in environment:
            raise Wrong("qsub: cannot send environment with the job\n", 1)
        found.append((name, _unquoted(value if sign else environment[name])))
    refused = any(value.count("'") % 2 for _, value in found)
    if everything:
        found += [(name, value) for name, value in environment.items() if name.startswith("T_")]
    if refused or '"' in where or "\\" in where:
        raise Wrong("qsub: cannot send environment with the job\n", 1)
    return found


def _unquoted(value: str) -> str:
    if re.fullmatch(r"\"[^\"]*'[^\"]*\"", value):
        return "'"
    return re.sub(r"^(['\"])(.*)\1$", r"\2", value, flags=re.S).replace("\\,", ",")


def _epoch(text: str | None) -> float | None:
    if text is None:
        return None
    digits, _, seconds = text.partition(".")
    full = time.strftime("%Y%m%d%H%M")[: 12 - len(digits)] + digits
    return time.mktime(time.strptime(full + (seconds or "00"), "%Y%m%d%H%M%S"))
