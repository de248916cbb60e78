"""A request about every batch, for tests of readers whose question is not under test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

LARGEST = 10_000


class EveryBatch(Mapping[str, int]):
    """Every name is that of a batch with `LARGEST` indices."""

    def __getitem__(self, name: str) -> int:
        return LARGEST

    def __iter__(self) -> Iterator[str]:
        return iter(())  # the number of names is not bounded

    def __len__(self) -> int:
        return 0


EVERY = EveryBatch()
