"""Of the answers that both builds of PBS print equally, `make test` compares those of one build with the fake PBS."""

from __future__ import annotations

import pytest

from tests.amount import ALL

from .replay import BUILDS, case, names


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the second build's equal answers to `make soak`."""
    if not ALL:
        items[:] = [item for item in items if not _is_repeated(item)]


def _is_repeated(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    params = {} if call is None else call.params
    name = params.get("name")
    return params.get("server") == BUILDS[1] and name in names(BUILDS[1]) and _answer(name, 0) == _answer(name, 1)


def _answer(name: str, build: int) -> tuple[str, int, str, str]:
    from .test_fake import plain

    recorded = case(name, BUILDS[build])
    return recorded.command, recorded.exit_code, plain(recorded.text), plain(recorded.err.decode())
