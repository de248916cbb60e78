"""Output patterns find remotely what Python's glob finds, under every shell; no link to a folder is followed."""

from __future__ import annotations

import glob
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import Job, JobType, Site
from scheduler.engine.collect.manifest import Manifest, manifest
from scheduler.render.outputs import outputs_script
from tests.engine.collect.test_fetch import a_row
from tests.engine.collect.test_small_outputs import Shell
from tests.unpacked import SHELLS, installed

NAMES = [
    "a",
    "b",
    "ab",
    "run[1].root",
    "run1.root",
    "q?.txt",
    "q1.txt",
    ".a",
    ".hidden",
    "]",
    "^",
    "-",
    "!",
    "[",
    "é",
    "aé",
    "q\xff",
    "a b",
    "5",
    "x\ny",
    "*",
    "~",
    "a'b",
    "B",
    "_",
    "\\",
    "[b]",
    "{",
    "#1",
    "**",
]
PIECES = [
    "a",
    "b",
    "*",
    "*",
    "?",
    "q",
    ".",
    "1",
    "[[]",
    "[!a]",
    "[]]",
    "[!]]",
    "[^a]",
    "[0-9 ]",
    "[[:digit:]]",
    "[a-c]",
    "[z-a]",
    "[!z-a]",
    "[A-z]",
    "[a-]",
    "[-a]",
    "[--9]",
    "[é]",
    "[!é]",
    "[a-é]",
    "[?]",
    "[*]",
    "[!-~]",
    "[ -~]",
    "[^]",
    "[!^]",
    "[&&a]",
    "[.a]",
    "[[.a.]]",
    "[=a=]",
    "[\\a]",
    "]",
    "^",
    "!",
    "-",
    "[",
    "é",
    "root",
    "run",
    "txt",
    "[!!]",
    "[]-a]",
    "[a-c-e]",
]
FEW = [
    "*.root",
    "run[[]1].root",
    "q[?].txt",
    "[!a]",
    "[]]",
    "[[:digit:]]",
    "[0-9 ]",
    "[^]",
    "**/*",
    "**",
    "**/a",
    "*/**/b",
    "a/**",
    ".*",
    "*/.*",
    "[.]*",
    "?",
    "??",
    "[!a-z]*",
    ".*/*",
    "a*/*/**/b*",
]


def grow(folder: Path, rng: random.Random, depth: int = 0) -> None:
    """Make files and folders with random names."""
    folder.mkdir()
    for name in rng.sample(NAMES, rng.randint(1, 9 if depth == 0 else 4)):
        encoded = name.encode("latin-1") if "\xff" in name else name.encode()
        path = folder / os.fsdecode(encoded)
        if depth < 3 and rng.random() < 0.35:
            grow(path, rng, depth + 1)
        else:
            path.touch()


def a_pattern(rng: random.Random) -> str:
    """A pattern that Python's glob would accept; backslashes only in classes."""
    parts = ["".join(rng.choices(PIECES, k=rng.choice([1, 1, 1, 2, 2, 3]))) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    if rng.random() < 0.25:
        parts.insert(rng.randint(0, len(parts)), "**")
    return "/".join(part for part in parts if part not in (".", "..")) or "*"


def files_of_glob(folder: Path, pattern: str) -> set[str]:
    """All files that Python's glob finds for a pattern; a folder stands for all files in it."""
    found: set[str] = set()
    for match in glob.glob(pattern, root_dir=folder, recursive=True):  # noqa: PTH207
        if (folder / match).is_dir():
            walk = os.walk(folder / match)
            found |= {os.path.relpath(f"{at}/{name}", folder) for at, _, names in walk for name in names}
        elif not match.endswith("/"):  # Python finds "file/" for "file/**"
            found.add(os.path.normpath(match))
    return found


def rooms(folder: Path, patterns: Sequence[str]) -> tuple[Path, list[Path]]:
    """A bundle with one element for each pattern. The folders where the jobs ran are not made."""
    script = folder / "x.sh"
    script.touch()
    bundle, inside = folder / "bundle", []
    for element, pattern in enumerate(patterns):
        (bundle / str(element)).mkdir(parents=True)
        job = Job("x", JobType.SCRIPT, script_path=script, working_dir="/nowhere")
        job.output_files = [pattern]
        site = Site.from_mapping(
            {"transport": "ssh", "scheduler": "slurm", "host": "x", "work_dir": "/tmp"}, name="far"
        )
        (bundle / f"{element}/outputs.sh").write_text(outputs_script(job, site))
        inside.append(bundle / f"{element}/dir")
    return bundle, inside


def listed(bundle: Path, patterns: Sequence[str], shell: str) -> Manifest:
    """What the remote side lists for these jobs, under a shell."""
    rows = [
        replace(a_row(Path(f"/local/{n}"), patterns=[pattern], folder=str(bundle)), key=n, element=n)
        for n, pattern in enumerate(patterns)
    ]
    return manifest(rows, Shell(SHELLS[shell]), bundle)


def names(found: Manifest, key: int) -> set[str]:
    """The paths of a job's outputs in its folder."""
    return {os.path.relpath(output.local_path, f"/local/{key}") for output in found.of(key)}


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_patterns_find_what_pythons_glob_finds(shell: str, tmp_path: Path) -> None:
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    rng = random.Random(shell)
    patterns = [*FEW, *(a_pattern(rng) for _ in range(400))]
    bundle, inside = rooms(tmp_path, patterns)
    for folder in inside:
        grow(folder, rng)
    found = listed(bundle, patterns, shell)
    assert not found.bad, found.bad
    assert not found.gone
    expected = [files_of_glob(folder, pattern) for folder, pattern in zip(inside, patterns, strict=True)]
    wrong = [(p, names(found, n) ^ expected[n]) for n, p in enumerate(patterns) if names(found, n) != expected[n]]
    assert wrong == [], wrong[:10]
    assert sum(map(bool, expected)) > 40


LINKS = {
    "*": {"real/a.root", "real/.z", "b.root", "to b.root"},
    "*/a.root": {"real/a.root"},
    "**/a.root": {"real/a.root"},
    "**": {"real/a.root", "real/.z", "b.root", "to b.root"},
    "[t]o outside": set(),
    "to outside": {"to outside/a.root", "to outside/deep/c.root"},
    "to outside/*.root": {"to outside/a.root"},
    "to outside/**/*.root": {"to outside/a.root", "to outside/deep/c.root"},
    "to real/*": {"to real/a.root"},
    ".*": {".hidden"},
    "?*": {"real/a.root", "real/.z", "b.root", "to b.root"},
    "real": {"real/a.root", "real/.z"},
    "real/**": {"real/a.root", "real/.z"},
}


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_a_wildcard_follows_no_link_to_a_folder_and_finds_no_hidden_name(shell: str, tmp_path: Path) -> None:
    if not installed(shell):
        pytest.skip(f"{shell} is not installed")
    bundle, inside = rooms(tmp_path, list(LINKS))
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "a.root").touch()
    (outside / "deep" / "c.root").touch()
    (outside / "deep" / "back").symlink_to("..")
    for folder in inside:
        (folder / "real").mkdir(parents=True)
        for name in ("real/a.root", "real/.z", "b.root", ".hidden"):
            (folder / name).touch()
        links = {
            "to real": "real",
            "to b.root": "b.root",
            "up": "..",
            "loop": ".",
            "dangling": "no",
            "real/up": "../..",
        }
        for name, target in [*links.items(), (".to real", "real"), ("to outside", str(outside))]:
            (folder / name).symlink_to(target)
    found = listed(bundle, list(LINKS), shell)
    assert not found.bad
    assert [names(found, n) for n in range(len(LINKS))] == list(LINKS.values())
