"""Quoting, tested with real shells: a value is one word; in a path only variables and a leading tilde are expanded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.errors import ConfigError, JobError
from scheduler.quoting import quote, quote_path
from tests.end_to_end.hostile import CANARY, VALUES
from tests.unpacked import SHELLS, installed

SH = [shell for shell in SHELLS if installed(shell)]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
PATHS = st.text(st.sampled_from("ab1 '\"\\`(){}[]<>|&;#~!*?=,:/-_%@é"), max_size=20)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/home/it's me", "A": "a  b", "B_2": f"$(touch {CANARY})*"}


def words(text: str, shell: str, folder: Path) -> list[str]:
    """The words that the shell parses `text` into."""
    command = [*SHELLS[shell], "-c", f"printf '%s\\0' {text}"]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, b""), done
    assert not (folder / CANARY).exists()
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", SH)
def test_every_hostile_value_is_one_word(shell: str, tmp_path: Path) -> None:
    assert words(" ".join(map(quote, VALUES)), shell, tmp_path) == VALUES


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(TEXT, min_size=1, max_size=30), shell=st.sampled_from(SH))
def test_any_text_is_one_word(values: list[str], shell: str, tmp_path: Path) -> None:
    assert words(" ".join(map(quote, values)), shell, tmp_path) == values


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(paths=st.lists(PATHS, min_size=1, max_size=20), shell=st.sampled_from(SH))
def test_a_path_without_variables_is_unchanged(paths: list[str], shell: str, tmp_path: Path) -> None:
    paths = [path for path in paths if path != "~" and not path.startswith("~/")] or ["/"]
    assert words(" ".join(quote_path(path, what="work_dir") for path in paths), shell, tmp_path) == paths


@pytest.mark.parametrize("shell", SH)
@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("$HOME/x", "/home/it's me/x"),
        ("${HOME}x", "/home/it's mex"),
        ("~", "/home/it's me"),
        ("~/a b", "/home/it's me/a b"),
        ("/a/~/b", "/a/~/b"),
        ("~root/x", "~root/x"),
        ("$A/$A", "a  b/a  b"),
        ("$B_2", f"$(touch {CANARY})*"),
        ("/x/`touch canary`", "/x/`touch canary`"),
        ("*", "*"),
    ],
)
def test_variables_and_a_leading_tilde_are_expanded_by_the_remote_shell(
    path: str, expanded: str, shell: str, tmp_path: Path
) -> None:
    assert words(quote_path(path, what="work_dir"), shell, tmp_path) == [expanded]


@pytest.mark.parametrize("path", ["$(id)", "a$", "$1", "$$", "${A:-b}", "${A", "$((1))", "a\nb", "a\0", "\x7f", "$'a'"])
def test_any_other_expansion_in_a_path_is_an_error_that_names_the_key(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^work_dir: "):
        quote_path(path, what="work_dir")


@pytest.mark.parametrize("shell", SH)
def test_an_unset_variable_ends_the_program_with_its_name_in_the_error(shell: str) -> None:
    text = f"printf %s {quote_path('$NOT_SET/x', what='work_dir')}; echo on"
    done = subprocess.run([*SHELLS[shell], "-c", text], env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "NOT_SET: is not set on the cluster, but work_dir uses it" in done.stderr


@pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800"])
def test_a_nul_or_invalid_unicode_is_refused(value: str) -> None:
    with pytest.raises(JobError):
        quote(value)
