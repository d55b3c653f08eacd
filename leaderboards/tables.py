"""One table type, and what is made of it: a terminal table, Markdown, LaTeX, HTML. Each form escapes its text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

Style = Literal["", "best", "second", "pass", "fail", "note", "skipped"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
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


class _Look(NamedTuple):
    """A style in each form: for rich, around Markdown text, a LaTeX pattern, an HTML element."""

    rich: str
    markdown: str = ""
    latex: str = "%s"
    element: str = "span"


_LOOKS: dict[Style, _Look] = {
    "": _Look(""),
    "best": _Look("bold", "**", r"\textbf{%s}", "strong"),
    "second": _Look("underline", "_", r"\underline{%s}", "u"),
    "pass": _Look("green"),
    "fail": _Look("bold red", "**", r"\textbf{%s}", "strong"),
    "note": _Look("yellow"),
    "skipped": _Look("dim"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure or a name. `extra` follows it in smaller type, for example an interval in brackets."""

    text: str
    extra: str = ""
    style: Style = ""
    pictures: tuple[str, ...] = ()
    """Addresses of pictures, which only HTML shows."""

    def __str__(self) -> str:
        return f"{self.text} {self.extra}".strip()


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title above it and notes below it.

    `console.print(table)` of rich prints it, and a notebook shows it. On a terminal that is too narrow, number columns
    from the right are left out and named in a note; the first `keep` columns always stay.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[str] = frozenset()
    """The columns of names and text. All others hold numbers and are aligned to the right."""
    notes: tuple[str, ...] = ()
    foot: tuple[tuple[Cell, ...], ...] = ()
    """Rows below a rule, such as means."""
    keep: int | None = None
    """Number of columns that are never left out. None: all of them, so that text is folded instead."""
    more: str = "a wider terminal shows all"
    """Where the reader finds the columns that were left out."""
    longest: int | None = 60
    """Most characters on a line of a text column. None: no limit."""
    lines: bool = False
    """Whether a terminal shows a line between rows."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.table import Table as RichTable
        from rich.text import Text

        shown = narrowed(self, options.max_width)
        folds = width(shown, headers=True) > options.max_width >= width(shown)
        table = RichTable(show_lines=self.lines)
        for column, most in zip(shown.columns, _column_widths(shown), strict=True):
            if column in self.words:
                table.add_column(Text(clean(column)), overflow="fold", max_width=self.longest)
            else:
                fixed = most - 3 if folds else None
                table.add_column(Text(clean(column)), justify="right", overflow="fold", width=fixed)
        for rows, style in ((shown.rows, ""), (shown.foot, "bold")):
            for row in rows:
                parts = (
                    ((clean(cell.text), _LOOKS[cell.style].rich), clean(f" {cell.extra}".rstrip())) for cell in row
                )
                table.add_row(*(Text.assemble(*each) for each in parts), style=style)
            table.add_section()
        yield from [Text(clean(self.title), style="italic")] if self.title else []
        yield table
        yield from (Text(clean(note)) for note in shown.notes)

    def _repr_html_(self) -> str:
        return html_table(self)


def clean(name: str) -> str:
    """Text without characters that steer a terminal or reverse the direction of the text beside it."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", name)


def some(names: Sequence[str], most: int = 8) -> str:
    """The first `most` names, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def fitted(draw: Callable[[bool], Table], most: int) -> Table:
    """The table with intervals, `draw(True)`, if `most` characters are enough for it, else `draw(False)`."""
    table = draw(True)
    return table if width(table) <= most else draw(False)


def width(table: Table, *, headers: bool = False) -> int:
    """Characters that the table takes if no cell is folded; with `headers` if no header is folded either."""
    return 1 + sum(_column_widths(table, headers=headers))


def narrowed(table: Table, most: int) -> Table:
    """The table with as many columns as `most` characters hold, and a note that names the others."""
    if table.keep is None:
        return table
    left = most - 1 - np.cumsum(_column_widths(table))
    keep = max(table.keep, int(np.count_nonzero(left >= 0)))
    gone = table.columns[keep:]
    note = (f"No room for {', '.join(gone)}: {table.more}.",) if gone else ()
    rows, foot = (tuple(row[:keep] for row in part) for part in (table.rows, table.foot))
    return replace(table, columns=table.columns[:keep], rows=rows, foot=foot, notes=(*table.notes, *note))


def _column_widths(table: Table, *, headers: bool = False) -> list[int]:
    """Characters of each column with its borders. Headers may be folded between words, unless `headers`."""
    from rich.cells import cell_len

    widths = []
    for index, column in enumerate(table.columns):
        head = [column] if headers else column.split()
        cells = [line for row in (*table.rows, *table.foot) for line in str(row[index]).split("\n")]
        natural = max(map(cell_len, (*head, *cells)), default=0)
        limit = table.longest if column in table.words else None
        widths.append(3 + (natural if limit is None else min(natural, limit)))
    return widths


def markdown(table: Table) -> str:
    """A GitHub table below its title, with notes as a list. Best is bold, second in italics."""

    def cell(each: Cell) -> str:
        mark = _LOOKS[each.style].markdown if each.text else ""
        return f"{mark}{markdown_text(each.text)}{mark} {markdown_text(each.extra)}".strip()

    rule = [":---" if column in table.words else "---:" for column in table.columns]
    body = ([cell(each) for each in row] for row in (*table.rows, *table.foot))
    lines = "\n".join(f"| {' | '.join(line)} |" for line in [[*map(markdown_text, table.columns)], rule, *body])
    notes = "\n".join(f"- {markdown_text(note)}" for note in table.notes)
    return f"{markdown_text(table.title)}\n\n{lines}\n" + (f"\n{notes}\n" if notes else "")


def markdown_text(text: str) -> str:
    """Text on one line, with the characters escaped that Markdown would interpret."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def latex(table: Table) -> str:
    """A `table` environment with booktabs. Best is bold, second underlined; notes are comments."""

    def lines(rows: Sequence[Sequence[Cell]]) -> list[str]:
        return [" & ".join(map(cell, row)) + r" \\" for row in rows]

    def cell(each: Cell) -> str:
        extra = rf" {{\scriptsize {latex_text(each.extra)}}}" if each.extra else ""
        return (_LOOKS[each.style].latex % latex_text(each.text)) + extra

    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            rf"\caption{{{latex_text(table.title)}}}",
            rf"\begin{{tabular}}{{{''.join('l' if column in table.words else 'r' for column in table.columns)}}}",
            r"\toprule",
            " & ".join(map(latex_text, table.columns)) + r" \\",
            r"\midrule",
            *lines(table.rows),
            *([r"\midrule", *lines(table.foot)] if table.foot else []),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            *(f"% {' '.join(note.split())}" for note in table.notes),
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Text on one line, with the characters escaped that LaTeX would interpret."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def html_table(table: Table) -> str:
    """A `table` element with a caption, then its notes as a list. All text is escaped."""

    def kind(column: str) -> str:
        return "" if column in table.words else ' class="number"'

    def cell(column: str, each: Cell) -> str:
        element = _LOOKS[each.style].element
        extra = f" <small>{html.escape(each.extra)}</small>" if each.extra else ""
        images = "".join(f'<img src="{html.escape(src)}" alt="">' for src in each.pictures)
        pictures = f"<div>{images}</div>" if images else ""
        return f"<td{kind(column)}>{pictures}<{element}>{html.escape(each.text)}</{element}>{extra}</td>"

    def lines(rows: Sequence[Sequence[Cell]]) -> str:
        return "\n".join(f"<tr>{''.join(map(cell, table.columns, row))}</tr>" for row in rows)

    head = "".join(f'<th scope="col"{kind(column)}>{html.escape(column)}</th>' for column in table.columns)
    foot = f"<tfoot>\n{lines(table.foot)}\n</tfoot>" if table.foot else ""
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return (
        f"<table><caption>{html.escape(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{lines(table.rows)}\n</tbody>{foot}</table>\n" + (f"<ul>{notes}</ul>\n" if notes else "")
    )


def csv_text(value: object) -> object:
    """The value, with a `'` before a text that a spreadsheet would evaluate as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def styles(values: Sequence[float | None]) -> list[Style]:
    """The style of each figure of a column: best, second or none. Figures that print alike get the same style."""
    shown = [None if value is None else round(value, 3) for value in values]
    order = sorted({value for value in shown if value is not None}, reverse=True)[:2]
    names: dict[float, Style] = dict(zip(order, ("best", "second"), strict=False))
    return ["" if value is None else names.get(value, "") for value in shown]
