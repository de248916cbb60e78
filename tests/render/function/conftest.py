"""Modules that tests write and import, and nodes that run them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from .node import Node, another_python, pythons

Make = Callable[..., ModuleType]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "each_python" in metafunc.fixturenames:
        named = [pytest.param(path, id=f"{major}.{minor}") for (major, minor), path in pythons().items()]
        metafunc.parametrize("each_python", named)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "there")


@pytest.fixture
def other_python() -> str:
    path = another_python()
    if path is None:
        pytest.skip("there is only one minor version of Python on this machine")
    return path


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """`make("pkg.mod", {"pkg/__init__.py": …, "pkg/mod.py": …})` writes the files and imports the module anew."""
    code, before, edited = tmp_path / "my code", set(sys.modules), set[str]()
    code.mkdir()
    monkeypatch.syspath_prepend(str(code))

    def made(module: str, files: dict[str, str]) -> ModuleType:
        for name, text in files.items():
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        if module in edited:
            del sys.modules[module]
        edited.add(module)
        return importlib.import_module(module)

    yield made
    for name in set(sys.modules) - before:
        if str(code) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
