"""The cells of a table as each of its forms shows them, and as the numbers in a CSV file say them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

from rich.console import Console

from harness.results.numbers import percent
from leaderboards.board.board import Board
from leaderboards.board.files import board_csv
from leaderboards.board.tables import leaderboard_table
from leaderboards.latex import _ESCAPES, latex
from leaderboards.tables import Table, html_table, markdown

Grid = list[list[str]]
"""Texts by row and column. The first row has the names of columns."""
WIDE = 10_000


def plain(table: Table) -> Grid:
    """The texts that every form must show."""
    rows = [[str(cell) for cell in row] for row in (*table.rows, *table.foot)]
    return [[" ".join(text.split()) for text in row] for row in ([*table.columns], *rows)]


def on_terminal(table: Table, width: int = WIDE) -> str:
    """What a terminal of this width shows."""
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def terminal_cells(table: Table) -> Grid:
    """The cells on a terminal that folds nothing."""
    shown = on_terminal(replace(table, longest=None)).splitlines()
    lines = [re.split("[│┃]", line)[1:-1] for line in shown if line[:1] in "│┃"]
    return [[text.strip() for text in line] for line in lines]


def markdown_cells(table: Table) -> Grid:
    """The cells of the Markdown."""
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    lines = [line for line in lines if not re.fullmatch(r"[|:\- ]+", line)]
    cells = [[text.strip() for text in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)(\*\*|_)", "", text)) for text in line] for line in cells]


def latex_cells(table: Table) -> Grid:
    """The cells of the LaTeX, without its commands. Columns may be left out."""
    lines = [line.removesuffix(r" \\") for line in latex(table).splitlines() if line.endswith(r" \\")]
    lines = lines[1:] if lines[0] in lines[1:] else lines  # a longtable has its head twice
    return [[_without_commands(text) for text in re.split(r"(?<!\\)&", line)] for line in lines]


def _without_commands(text: str) -> str:
    for character, command in _ESCAPES.items():
        text = text.replace(command, character) if command.endswith("}") and len(command) > 2 else text
    text = re.sub(r"\\rotatebox\{90\}|\\shortstack\[r\]|\\textbf|\\underline|\\scriptsize |\\allowbreak", "", text)
    text = text.replace(r" \\ ", " ").replace("$-$", "-")
    return " ".join(re.sub(r"\\(.)", r"\1", text).replace("{", "").replace("}", "").split())


def html_cells(table: Table) -> Grid:
    """The cells of the HTML."""
    reader = _Cells()
    reader.feed(html_table(table))
    return [[" ".join(text.split()) for text in row] for row in reader.rows]


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: Grid = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def board_cells(board: Board) -> dict[tuple[str, str], str]:
    """The score of every row and column of a board as its table shows it, without marks: by model and column."""
    table = leaderboard_table(board, datasets=True, intervals=False)
    names = [name for name in table.columns if name in (*board.suite.columns, *board.tasks)]
    labels = [standing.entry.label for standing in board.standings()]
    return {
        (label, name): row[table.columns.index(name)].text.rstrip("*°‡")
        for label, row in zip(labels, table.rows, strict=True)
        for name in names
    }


def csv_cells(board: Board) -> dict[tuple[str, str], str]:
    """The same, from the full values of the CSV."""
    found = {}
    for row in csv.DictReader(io.StringIO(board_csv(board))):
        for name in (*board.suite.columns, *board.tasks):
            if row.get(name):
                found[row["model"], name] = percent(float(row[name]))
    return found
