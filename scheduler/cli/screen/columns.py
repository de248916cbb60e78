"""Text in columns on stdout: aligned, never folded. What is no terminal gets all of it, a terminal what fits."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from scheduler.cli.screen import console
from scheduler.cli.screen.console import Cell

_GAP = "  "
_SHORTEST = 12
"""A column that may be cut keeps so many characters."""


@dataclass
class Column:
    """One column.

    Attributes:
        head: its title.
        cells: its lines; what comes from a job or a cluster must be `screen.cell`.
        right: flush right, for numbers.
        may_be_cut: its text may end in ``…`` where a terminal is too narrow.
        spare: it may be left out altogether where a terminal is too narrow.
    """

    head: str
    cells: Sequence[Cell]
    right: bool = False
    may_be_cut: bool = False
    spare: bool = False

    @property
    def width(self) -> int:
        """Of its widest line."""
        return max(map(_width, [self.head, *(cell.plain for cell in self.cells)]))


def column(head: str, texts: Iterable[str], *, right: bool = False, may_be_cut: bool = False, spare: bool = False,
           style: str = "") -> Column:  # fmt: skip
    """A column of texts of jobs or clusters."""
    return Column(console.visible(head), [console.cell(text, style) for text in texts], right, may_be_cut, spare)


def print_columns(columns: Sequence[Column]) -> None:
    """The lines, below their heads. Columns without any text are left out."""
    shown = [one for one in columns if any(cell.plain for cell in one.cells)]
    if console.is_plain(sys.stdout):
        lines = ("".join(cell.plain for cell in line).rstrip() + "\n" for line in _lines(shown))
        sys.stdout.writelines(lines)
        sys.stdout.flush()
        return
    from rich.text import Text

    if console.results().is_terminal:
        shown = _fitting(shown, console.results().width)
    for line in _lines(shown):
        text = Text.assemble(*line)
        text.rstrip()
        console.results().print(text, soft_wrap=True)


def _lines(columns: Sequence[Column]) -> Iterator[list[Cell]]:
    """What stands beside each other, with the blanks between."""
    widths = [one.width for one in columns]
    heads = [Cell(one.head, "bold") for one in columns]
    for cells in (heads, *zip_longest(*(one.cells for one in columns), fillvalue=Cell(""))):
        line: list[Cell] = []
        for number, (cell, one, width) in enumerate(zip(cells, columns, widths, strict=True)):
            blanks, gap = " " * (width - _width(cell.plain)), _GAP if number else ""
            line += [Cell(gap + blanks), cell] if one.right else [Cell(gap), cell, Cell(blanks)]
        yield line


def _width(text: str) -> int:
    """So many columns of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fitting(columns: list[Column], width: int) -> list[Column]:
    """Cut what may be cut, leave out what is spare, then what was cut; what is too wide even so, the terminal folds."""
    shown = list(columns)
    while (excess := sum(one.width + len(_GAP) for one in shown) - len(_GAP) - width) > 0:
        longest = max((one for one in shown if one.may_be_cut), key=lambda one: one.width, default=None)
        spare = [one for one in shown if one.spare]
        if longest is not None and longest.width > _SHORTEST:
            most = max(_SHORTEST, longest.width - excess)
            shown[shown.index(longest)] = Column(longest.head, [_cut(c, most) for c in longest.cells], may_be_cut=True)
        elif spare or longest is not None:
            shown = [one for one in shown if one is not (spare[-1] if spare else longest)]
        else:
            break
    return shown


def _cut(cell: Cell, width: int) -> Cell:
    from rich.text import Text

    cut = Text(cell.plain)
    cut.truncate(width, overflow="ellipsis")
    return Cell(cut.plain, cell.style)
