"""Source text in which every statement keeps its line, though others are left out."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from scheduler.render.function.names import first_line
from scheduler.render.function.values import Spelling


class Page:
    """As many lines as the script has. Statements are copied to the lines where they were."""

    def __init__(self, text: str) -> None:
        self.source = [line.encode() for line in text.split("\n")]  # columns are bytes in ast
        self.lines = [b""] * len(self.source)

    def copy(self, statement: ast.stmt, replaced: Mapping[ast.expr, Spelling]) -> None:
        first, last = first_line(statement) - 1, (statement.end_lineno or statement.lineno) - 1
        lines = self.source[first : last + 1]
        lines[-1] = lines[-1][: statement.end_col_offset]
        for default in sorted(_inside(statement, replaced), key=_position, reverse=True):
            _replace(lines, default, first, replaced[default].text.encode())
        if statement.lineno - 1 == first:
            lines[0] = lines[0][statement.col_offset :]
        self.lines[first] += (b"; " if self.lines[first] else b"") + lines[0]
        self.lines[first + 1 : last + 1] = lines[1:]

    def copy_import(self, statement: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> None:
        """Copy an import with some of its names only."""
        if len(names) == len(statement.names):
            self.copy(statement, {})
        elif isinstance(statement, ast.Import):
            self.put(first_line(statement), ast.unparse(ast.Import(names)))
        else:
            self.put(first_line(statement), ast.unparse(ast.ImportFrom(statement.module, names, statement.level)))

    def is_blank(self, statement: ast.stmt) -> bool:
        return not any(self.lines[first_line(statement) - 1 : statement.end_lineno])

    def put(self, number: int, line: str) -> None:
        self.lines[number - 1] += (b"; " if self.lines[number - 1] else b"") + line.encode()

    def text(self) -> str:
        return b"\n".join(self.lines).decode().rstrip() + "\n"


def _inside(statement: ast.stmt, replaced: Mapping[ast.expr, Spelling]) -> list[ast.expr]:
    return [node for node in ast.walk(statement) if isinstance(node, ast.expr) and node in replaced]


def _position(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _replace(lines: list[bytes], node: ast.expr, first: int, text: bytes) -> None:
    """Replace `node` by `text`, keeping the number of lines."""
    start, end = node.lineno - 1 - first, (node.end_lineno or node.lineno) - 1 - first
    tail = lines[end][node.end_col_offset :]
    lines[start] = lines[start][: node.col_offset] + (text + tail if start == end else b"(" + text)
    if end > start:
        lines[start + 1 : end + 1] = [b""] * (end - start - 1) + [b")" + tail]
