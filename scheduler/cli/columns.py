"""Text in columns on stdout: aligned, never folded. What is no terminal gets all of it, a terminal what fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

from scheduler.cli import screen

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
    cells: Sequence[Text]
    right: bool = False
    may_be_cut: bool = False
    spare: bool = False

    @property
    def width(self) -> int:
        """Of its widest line."""
        return max(map(cell_len, [self.head, *(cell.plain for cell in self.cells)]))


def column(head: str, texts: Iterable[str], *, right: bool = False, may_be_cut: bool = False, spare: bool = False,
           style: str = "") -> Column:  # fmt: skip
    """A column of texts of jobs or clusters."""
    return Column(screen.visible(head), [screen.cell(text, style) for text in texts], right, may_be_cut, spare)


def print_columns(columns: Sequence[Column]) -> None:
    """The lines, below their heads. Columns without any text are left out."""
    shown = [one for one in columns if any(cell.plain for cell in one.cells)]
    if screen.results().is_terminal:
        shown = _fitting(shown, screen.results().width)
    widths = [one.width for one in shown]
    _print_line([Text(one.head, "bold") for one in shown], shown, widths)
    for cells in zip_longest(*(one.cells for one in shown), fillvalue=Text()):
        _print_line(cells, shown, widths)


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


def _cut(cell: Text, width: int) -> Text:
    cut = cell.copy()
    cut.truncate(width, overflow="ellipsis")
    return cut


def _print_line(cells: Iterable[Text], columns: Sequence[Column], widths: Sequence[int]) -> None:
    line = Text()
    for number, (cell, one, width) in enumerate(zip(cells, columns, widths, strict=True)):
        blanks = " " * (width - cell_len(cell.plain))
        last = number == len(columns) - 1
        line.append(_GAP if number else "")
        line.append(blanks if one.right else "")
        line.append_text(cell)
        line.append("" if one.right or last else blanks)
    line.rstrip()
    screen.results().print(line, soft_wrap=True)
