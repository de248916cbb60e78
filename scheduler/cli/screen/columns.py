"""Prints aligned columns on stdout. Files and pipes get all text; on a terminal, columns are cut to its width."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from scheduler.cli.screen import console
from scheduler.cli.screen.console import Cell

_GAP = "  "
_SHORTEST = 12
"""A column is not cut to fewer characters than this."""


@dataclass
class Column:
    """One column.

    Attributes:
        head: the title above it.
        cells: one for each line; text of jobs and clusters must be made safe by `console.cell`.
        right: aligned to the right, for numbers.
        may_be_cut: if the terminal is too narrow, its text is cut and ends in ``…``.
        optional: if the terminal is too narrow, the column is omitted.
    """

    head: str
    cells: Sequence[Cell]
    right: bool = False
    may_be_cut: bool = False
    optional: bool = False

    @property
    def width(self) -> int:
        """The width of its widest cell or of its title, in columns of a terminal."""
        return max(map(_width, [self.head, *(cell.plain for cell in self.cells)]))


def column(head: str, texts: Iterable[str], *, right: bool = False, may_be_cut: bool = False, optional: bool = False,
           style: str = "") -> Column:  # fmt: skip
    """A `Column` of text of jobs or clusters, which is made safe for a terminal."""
    return Column(console.printable(head), [console.cell(text, style) for text in texts], right, may_be_cut, optional)


def print_columns(columns: Sequence[Column]) -> None:
    """Print the titles and the lines. Columns without any text are omitted."""
    shown = [one for one in columns if any(cell.plain for cell in one.cells)]
    if console.is_plain(sys.stdout):
        lines = ("".join(cell.plain for cell in line).rstrip() + "\n" for line in _lines(shown))
        sys.stdout.writelines(lines)
        sys.stdout.flush()
        return
    from rich.text import Text

    if console.stdout_console().is_terminal:
        shown = _fitting(shown, console.stdout_console().width)
    for line in _lines(shown):
        text = Text.assemble(*line)
        text.rstrip()
        console.stdout_console().print(text, soft_wrap=True)


def _lines(columns: Sequence[Column]) -> Iterator[list[Cell]]:
    """The cells of each line, with the blanks between them."""
    widths = [one.width for one in columns]
    heads = [Cell(one.head, "bold") for one in columns]
    for cells in (heads, *zip_longest(*(one.cells for one in columns), fillvalue=Cell(""))):
        line: list[Cell] = []
        for number, (cell, one, width) in enumerate(zip(cells, columns, widths, strict=True)):
            blanks, gap = " " * (width - _width(cell.plain)), _GAP if number else ""
            line += [Cell(gap + blanks), cell] if one.right else [Cell(gap), cell, Cell(blanks)]
        yield line


def _width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fitting(columns: list[Column], width: int) -> list[Column]:
    """The columns that fit a terminal of this width.

    The longest columns that may be cut are cut first, then the optional ones are omitted, then those that were cut. If
    the rest is still too wide, the terminal folds its lines.
    """
    shown = list(columns)
    while (excess := sum(one.width + len(_GAP) for one in shown) - len(_GAP) - width) > 0:
        longest = max((one for one in shown if one.may_be_cut), key=lambda one: one.width, default=None)
        optional = [one for one in shown if one.optional]
        if longest is not None and longest.width > _SHORTEST:
            most = max(_SHORTEST, longest.width - excess)
            shown[shown.index(longest)] = Column(longest.head, [_cut(c, most) for c in longest.cells], may_be_cut=True)
        elif optional or longest is not None:
            shown = [one for one in shown if one is not (optional[-1] if optional else longest)]
        else:
            break
    return shown


def _cut(cell: Cell, width: int) -> Cell:
    from rich.text import Text

    cut = Text(cell.plain)
    cut.truncate(width, overflow="ellipsis")
    return Cell(cut.plain, cell.style)
