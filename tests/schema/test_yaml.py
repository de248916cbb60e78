"""YAML files: values are read as users mean them, and errors name the file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.errors import ConfigError
from scheduler.schema.yaml import read_mapping


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("transport: local\nscheduler: [", "line 2, column "),
        ("transport: local\ntransport: ssh\n", "line 2, column 1: the key 'transport' is given twice"),
        ("limits: {queued: 1, queued: 2}", "line 1, column 21: the key 'queued' is given twice"),
        ("- transport", "must be a mapping of keys to values, not a list"),
        ("!!python/object/apply:os.system [id]", "line 1, column 1: could not determine a constructor"),
        ("a: &a [*a]", "its aliases expand to more than 100000 values"),
        ("[" * 5000, "nested too deeply"),
        ("1: a", "a key must be text"),
        ("a: " + "9" * 5000, "x.yaml: "),
        ("a: \x07", "special characters are not allowed"),
    ],
)
def test_invalid_yaml_is_refused_with_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_mapping(written(tmp_path, "x.yaml", text))
    assert str(caught.value).startswith(str(tmp_path / "x.yaml"))
    assert message in str(caught.value)


def test_aliases_that_expand_to_billions_of_values_are_refused(tmp_path: Path) -> None:
    lines = ["l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="expand to more than 100000 values"):
        read_mapping(written(tmp_path, "x.yaml", "\n".join(lines)))


def test_a_file_that_is_not_text_or_does_not_exist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_mapping(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_mapping(tmp_path / "y.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_mapping(Path("/\0.yaml"))


def test_scalars_are_read_as_users_mean_them(tmp_path: Path) -> None:
    text = "time: 4:00:00\nmagnet: on\nc: no\nevents: 1e3\nday: 2026-01-31\nrun: 010\nmask: 0x10\nempty:\n"
    assert read_mapping(written(tmp_path, "x.yaml", text)) == {
        "time": "4:00:00", "magnet": "on", "c": "no", "events": 1000.0, "day": "2026-01-31",
        "run": 10, "mask": 16, "empty": None,
    }  # fmt: skip


def test_anchors_and_merge_keys_are_supported(tmp_path: Path) -> None:
    text = "outer:\n  inner: &i {<<: &w {q: 1, r: 3}, q: 2}\nagain: {<<: *i, s: 4}\n"
    values = read_mapping(written(tmp_path, "x.yaml", text))
    assert values == {"outer": {"inner": {"q": 2, "r": 3}}, "again": {"q": 2, "r": 3, "s": 4}}
