"""Files of ssh that ssh would wait for, or read without end: refused by name before ssh starts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import ConfigError
from scheduler.transports.openssh.options import config_text
from scheduler.transports.settings import SshSettings


def settings(key: str, path: Path) -> SshSettings:
    return replace(SshSettings(host="far"), **{key: str(path)})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["a named pipe", "a device", "a directory", "larger than"])
@pytest.mark.parametrize("key", ["known_hosts", "identity_file", "config_file"])
def test_a_file_that_does_not_end_is_refused_by_name(key: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    match kind:
        case "a named pipe":
            os.mkfifo(path)
        case "a device":
            path.symlink_to("/dev/zero")
        case "a directory":
            path.mkdir()
        case _:
            path.touch()
            os.truncate(path, 5 << 30)
    with pytest.raises(ConfigError, match=f"{path}: it is {kind}"):
        config_text(settings(key, path), batch=True)


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere/file"])
def test_no_file_and_a_missing_one_are_left_to_ssh(path: str) -> None:
    assert path in config_text(settings("known_hosts", Path(path)), batch=True)
    config_text(settings("identity_file", Path(path)), batch=True)
