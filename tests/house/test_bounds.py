"""The lower bounds of dependencies exclude versions with holes of the kinds that this package relies on."""

from __future__ import annotations

import re
from importlib.metadata import version

from tests import ROOT

NEEDED = {
    "jinja2": (3, 1, 6),  # earlier: ways out of the sandbox (CVE-2024-56201, -56326, CVE-2025-27516)
    "paramiko": (3, 4),  # earlier: no strict key exchange (CVE-2023-48795)
    "cryptography": (44, 0, 1),  # earlier: an OpenSSL with CVE-2024-12797
    "pyyaml": (6, 0),  # earlier: loaders that construct objects
}


def bounds() -> dict[str, tuple[int, ...]]:
    """The lower bounds in pyproject.toml, by name in lower case."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)
    assert listed is not None
    found = re.findall(r'^\s*"([A-Za-z0-9_-]+)>=([0-9.]+)', listed[1], re.M)
    return {name.lower(): tuple(int(part) for part in number.split(".")) for name, number in found}


def test_lower_bounds_exclude_versions_with_known_holes() -> None:
    found = bounds()
    assert len(found) >= len(NEEDED)
    assert {name: found[name] for name, least in NEEDED.items() if found[name] < least} == {}


def test_the_installed_versions_are_within_the_bounds() -> None:
    for name, least in bounds().items():
        numbers = tuple(int(part) for part in re.findall(r"[0-9]+", version(name))[:3])
        assert numbers >= least, name
