"""A table as text, and its forms: terminal, Markdown, LaTeX, HTML. Each escapes whatever names bring along."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from rich.cells import cell_len
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from leaderboards.board.entries import clean

Style = Literal["", "best", "second"]

_LONGEST = 60
"""Characters of a name or text that stand on one line of a terminal."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~#&$])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "]": "{]}",
    "°": r"\textdegree{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "−": r"$-$",
    "–": "--",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure or a name, and what stands behind it in brackets."""

    text: str
    extra: str = ""
    style: Style = ""

    def __str__(self) -> str:
        return f"{self.text} {self.extra}".strip()


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `words` are the columns that are not numbers; notes stand below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def terminal(grid: Table) -> Group:
    """For rich: title, table and notes. Best is bold, second underlined."""
    table = RichTable()
    for column in grid.columns:
        words = column in grid.words
        most = _LONGEST if words else None
        table.add_column(Text(clean(column)), justify="left" if words else "right", overflow="fold", max_width=most)
    styles = {"best": "bold", "second": "underline", "": ""}
    for row in grid.rows:
        table.add_row(
            *(Text.assemble((clean(cell.text), styles[cell.style]), f" {cell.extra}".rstrip()) for cell in row)
        )
    notes = [Text(clean(note)) for note in grid.notes]
    return Group(Text(clean(grid.title), style="italic"), table, *notes)


def width(grid: Table) -> int:
    """Characters that the table takes on a terminal if nothing is folded."""
    return 1 + sum(_column_widths(grid))


def narrowed(grid: Table, most: int, first: int) -> Table:
    """As many columns as there is room for, but at least `first`; the others are named below."""
    left = most - 1 - np.cumsum(_column_widths(grid))
    keep = max(first, int(np.count_nonzero(left >= 0)))
    gone = grid.columns[keep:]
    note = (f"No room for {', '.join(gone)}. --columns chooses; --format csv has all.",) if gone else ()
    rows = tuple(row[:keep] for row in grid.rows)
    return replace(grid, columns=grid.columns[:keep], rows=rows, notes=(*grid.notes, *note))


def _column_widths(grid: Table) -> list[int]:
    texts = [[column, *(str(row[index]) for row in grid.rows)] for index, column in enumerate(grid.columns)]
    longest = [max(cell_len(line) for text in column for line in text.split("\n")) for column in texts]
    return [
        3 + min(most, _LONGEST if name in grid.words else most)
        for name, most in zip(grid.columns, longest, strict=True)
    ]


def markdown(grid: Table) -> str:
    """A GitHub table, with title and notes around it. Best is bold, second in italics."""
    marks = {"best": "**", "second": "_", "": ""}

    def cell(each: Cell) -> str:
        mark = marks[each.style] if each.text else ""
        return f"{mark}{markdown_text(each.text)}{mark} {markdown_text(each.extra)}".strip()

    rule = [":---" if column in grid.words else "---:" for column in grid.columns]
    lines = [[*map(markdown_text, grid.columns)], rule, *([cell(each) for each in row] for row in grid.rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"- {markdown_text(note)}" for note in grid.notes)
    return f"{markdown_text(grid.title)}\n\n{table}\n" + (f"\n{notes}\n" if notes else "")


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def latex(grid: Table) -> str:
    """A `table` with booktabs. Best is bold, second underlined."""
    marks = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}

    def cell(each: Cell) -> str:
        extra = rf" {{\scriptsize {latex_text(each.extra)}}}" if each.extra else ""
        return (marks[each.style] % latex_text(each.text)) + extra

    rows = [" & ".join(map(cell, row)) + r" \\" for row in grid.rows]
    notes = "\n".join(f"% {' '.join(note.split())}" for note in grid.notes)
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            rf"\caption{{{latex_text(grid.title)}}}",
            rf"\begin{{tabular}}{{{''.join('l' if column in grid.words else 'r' for column in grid.columns)}}}",
            r"\toprule",
            " & ".join(map(latex_text, grid.columns)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            *([notes] if notes else []),
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def html_table(grid: Table) -> str:
    """A `table` with its notes, to stand in a page."""

    def kind(column: str) -> str:
        return "" if column in grid.words else ' class="number"'

    def cell(column: str, each: Cell) -> str:
        tag = {"best": "strong", "second": "u", "": "span"}[each.style]
        extra = f" <small>{html.escape(each.extra)}</small>" if each.extra else ""
        return f"<td{kind(column)}><{tag}>{html.escape(each.text)}</{tag}>{extra}</td>"

    head = "".join(f'<th scope="col"{kind(column)}>{html.escape(column)}</th>' for column in grid.columns)
    body = "\n".join(
        "<tr>" + "".join(cell(column, each) for column, each in zip(grid.columns, row, strict=True)) + "</tr>"
        for row in grid.rows
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in grid.notes)
    return (
        f"<table><caption>{html.escape(grid.title)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>\n" + (f"<ul>{notes}</ul>\n" if notes else "")
    )


def csv_text(value: object) -> object:
    """Text that a spreadsheet does not take for a formula; other values as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def styles(values: Sequence[float | None]) -> list[Style]:
    """Which of a column's figures are best and second, those that look equal alike."""
    shown = [None if value is None else round(value, 3) for value in values]
    order = sorted({value for value in shown if value is not None}, reverse=True)[:2]
    names: dict[float, Style] = dict(zip(order, ("best", "second"), strict=False))
    return ["" if value is None else names.get(value, "") for value in shown]
