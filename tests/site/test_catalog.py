"""Finding sites: which files are read, and which of them overrides the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.errors import ConfigError
from scheduler.site.catalog import find_site, list_sites, site_folders
from scheduler.site.packaged import packaged_folder

BELOW = """\
transport: ssh
host: far
scheduler: slurm
work_dir: /w
limits: {queued: 5, array_size: 7}
modules: [a, b]
"""


def written(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_file_needs_only_the_keys_that_differ(tmp_path: Path) -> None:
    packaged = written(tmp_path / "packaged", "far.yaml", BELOW)
    user = written(tmp_path / "user", "far.yaml", "account: eic\nlimits: {queued: 9}\nmodules: [c]\nssh: {user: me}\n")
    found = find_site("far", folders=[tmp_path / "current", tmp_path / "user", tmp_path / "packaged"])
    assert (found.account, found.host, found.ssh.user, found.modules) == ("eic", "far", "me", ("c",))
    assert (found.limits.queued, found.limits.array_size) == (9, 7)
    assert found.sources == (packaged, user)
    assert found.path == user


def test_null_in_a_users_file_removes_a_value_of_the_packaged_file(tmp_path: Path) -> None:
    written(tmp_path / "packaged", "far.yaml", BELOW)
    written(tmp_path / "user", "far.yaml", "limits:\nmodules: null\n")
    found = find_site("far", folders=[tmp_path / "user", tmp_path / "packaged"])
    assert (found.limits.queued, found.modules) == (None, ())


def test_an_error_in_merged_files_names_both(tmp_path: Path) -> None:
    packaged = written(tmp_path / "packaged", "far.yaml", BELOW)
    user = written(tmp_path / "user", "far.yaml", "acount: eic")
    with pytest.raises(ConfigError) as caught:
        find_site("far", folders=[tmp_path / "user", tmp_path / "packaged"])
    assert str(caught.value) == f"{user} over {packaged}: acount: no such key; did you mean 'account'?"


def test_a_site_file_given_by_path_is_not_merged(tmp_path: Path) -> None:
    path = written(tmp_path, "jlab.yaml", "account: eic")
    with pytest.raises(ConfigError, match="work_dir: is missing"):
        find_site(path)
    whole = written(tmp_path, "mine.yml", BELOW)
    assert find_site(str(whole)).name == "mine"
    assert find_site(whole).path == whole


def test_a_file_in_the_current_directory_does_not_hide_the_site_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "local", "not a site")
    written(tmp_path, "lonely", BELOW)
    assert find_site("local").transport == "local"
    with pytest.raises(ConfigError, match=r"no site is called 'lonely'.* write \./lonely"):
        find_site("lonely")
    assert find_site("./lonely").host == "far"


def test_an_unknown_site_is_refused_with_the_nearest_name_and_the_folders(tmp_path: Path) -> None:
    written(tmp_path / "a", "perlmutter.yaml", BELOW)
    with pytest.raises(ConfigError, match=r"did you mean 'perlmutter'\? \(searched in .*/a, .*/b\)"):
        find_site("perlmuter", folders=[tmp_path / "a", tmp_path / "b"])
    for nonsense in ("", ".", ".."):
        with pytest.raises(ConfigError, match="no site is called"):
            find_site(nonsense, folders=[tmp_path / "a"])


def test_sites_are_searched_in_the_users_folder_the_current_directory_and_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEDULER_CONFIG_DIR", str(tmp_path / "mine"))
    assert site_folders() == [
        tmp_path / "mine/sites",
        tmp_path / "site_configs",
        packaged_folder("site_configs"),
    ]
    written(tmp_path / "mine/sites", "local.yaml", "limits: {running: 3}")
    assert find_site("local").limits.running == 3
    monkeypatch.delenv("SCHEDULER_CONFIG_DIR")
    assert site_folders()[0].parts[-2:] == ("scheduler", "sites")


def test_a_list_of_sites_includes_invalid_ones_with_their_errors(tmp_path: Path) -> None:
    written(tmp_path, "good.yaml", "description: fine\n" + BELOW)
    bad = written(tmp_path, "bad.yaml", "a: 1\na: 2\n")
    written(tmp_path, "notes.txt", "")
    entries = list_sites(folders=[tmp_path, tmp_path / "absent"])
    assert [(entry.name, entry.description) for entry in entries] == [("bad", ""), ("good", "fine")]
    assert entries[0].path == bad
    assert "twice" in entries[0].error
    assert not entries[1].error


def test_a_template_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    template = written(tmp_path / "packaged", "own.sh.j2", "")
    written(tmp_path / "packaged", "far.yaml", BELOW + "template: own.sh.j2\n")
    written(tmp_path / "user", "far.yaml", "account: eic")
    assert find_site("far", folders=[tmp_path / "user", tmp_path / "packaged"]).template == str(template)
    bad = written(tmp_path, "bad.yaml", BELOW + "template: none.j2\n")
    with pytest.raises(ConfigError, match=r"bad.yaml: template: the file .*none.j2 does not exist"):
        find_site(bad)
