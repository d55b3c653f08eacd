"""One table type, and what is made of it: a terminal table, Markdown and HTML. Each form escapes its text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.errors import visible
from leaderboards.layout import Column, fold, folded, left_out, widths_within

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table as RichTable
    from rich.text import Text

Style = Literal["", "best", "pass", "fail", "note", "skipped"]

_BORDERS = 3
"""Characters between two columns of a terminal."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~#&$])")


class _Look(NamedTuple):
    """A style in each form: for rich, around Markdown text, an HTML element."""

    rich: str
    markdown: str = ""
    element: str = "span"


_LOOKS: dict[Style, _Look] = {
    "": _Look(""),
    "best": _Look("bold", "**", "strong"),
    "pass": _Look("green"),
    "fail": _Look("bold red", "**", "strong"),
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

    `console.print(table)` of rich prints it, and a notebook shows it. On a terminal that is too narrow, names fold, and
    models that head columns get keys (A, B). Then the table is `brief`, then columns are left out and named in a note.
    Where even that is too wide, each row is a list. Numbers are always whole.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[str] = frozenset()
    """The columns of names and text. All others hold numbers and are aligned to the right."""
    notes: tuple[str, ...] = ()
    foot: tuple[tuple[Cell, ...], ...] = ()
    """Rows below a rule, such as means."""
    keep: tuple[str, ...] | None = None
    """Columns that are never left out. None: all of them."""
    last: tuple[str, ...] = ()
    """Columns that are left out first, in this order; then the others follow, from the right."""
    more: str = "a wider terminal shows all"
    """Where the reader finds the columns that were left out."""
    longest: int | None = 60
    """Most characters on a line of a text column. None: no limit."""
    lines: bool = False
    """Whether a terminal shows a line between rows."""
    models: tuple[str, ...] = ()
    """Columns with the name of a model as their head."""
    brief: Table | None = None
    """The same table with less in its cells, for where this one is too wide."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        most = options.max_width
        shown, widths = fitted(self, most)
        for line in folded(clean(shown.title), most) if shown.title else ():
            yield Text(line, style="italic")
        if widths:
            yield _drawn(shown, widths)
        else:
            yield from (Text(line) for line in _listed(shown, most))
        yield from (Text(line) for note in shown.notes for line in folded(clean(note), most))

    def _repr_html_(self) -> str:
        return html_table(self)


def _drawn(table: Table, widths: Sequence[int]) -> RichTable:
    """The table of rich with columns of these widths."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(show_lines=table.lines)
    for column, width in zip(table.columns, widths, strict=True):
        head = Text("\n".join(folded(_on_one_line(column), width)))
        drawn.add_column(head, justify="left" if column in table.words else "right", width=width, no_wrap=True)
    for rows, style in ((table.rows, ""), (table.foot, "bold")):
        for row in rows:
            drawn.add_row(*map(_folded_cell, row, widths), style=style)
        drawn.add_section()
    return drawn


def _folded_cell(cell: Cell, width: int) -> Text:
    from rich.text import Text

    text, extra = clean(cell.text), clean(f" {cell.extra}".rstrip())
    whole = Text.assemble((text, _LOOKS[cell.style].rich), extra)
    lines = [line for part in whole.split("\n") for line in part.divide(fold(part.plain, width))]
    for line in lines[:-1]:
        line.rstrip()
    return Text("\n").join(lines)


def _listed(table: Table, most: int) -> Iterator[str]:
    """Each row as a list of its columns, for a table that has no room side by side."""
    for row in (*table.rows, *table.foot):
        yield "─" * most
        for column, cell in zip(table.columns, row, strict=True):
            if str(cell):
                yield from folded(clean(f"{column}: {cell}"), most)
    yield "─" * most


def fitted(table: Table, most: int) -> tuple[Table, list[int] | None]:
    """The table as `most` characters hold it, and the widths of its columns. None if they do not fit side by side."""
    short = keyed(table.brief or table)
    for each in (table, keyed(table), table.brief or table, short):
        if widths := _widths(measured(each), most):
            return each, widths
    keep = short.columns if table.keep is None else table.keep
    columns = dict(zip(short.columns, measured(short), strict=True))
    order = left_out(short.columns, keep, table.last)
    for count in range(1, len(order) + 1):
        kept = [column for name, column in columns.items() if name not in order[:count]]
        if widths := _widths(kept, most):
            return without(short, order[:count]), widths
    less = [column for name, column in columns.items() if name not in order]
    return without(short, order), _widths(less, most, tight=True)


def _widths(columns: Sequence[Column], most: int, *, tight: bool = False) -> list[int] | None:
    """The widths of the columns beside their borders."""
    return widths_within(columns, most - 1 - _BORDERS * len(columns), tight=tight)


def keyed(table: Table) -> Table:
    """The table with keys (A, B, ...) in place of the models that head columns. Lines below its title explain them."""
    keys = {name: chr(ord("A") + at % 26) + str(at // 26 or "") for at, name in enumerate(table.models)}
    if not keys:
        return table

    def cell(column: str, each: Cell) -> Cell:
        labels_row = column in table.words and column not in keys
        return replace(each, text=keys[each.text]) if labels_row and each.text in keys else each

    return replace(
        table,
        title="\n".join([table.title, *(f"{key}: {name}" for name, key in keys.items())]),
        columns=tuple(keys.get(name, name) for name in table.columns),
        rows=tuple(tuple(map(cell, table.columns, row)) for row in table.rows),
        words=frozenset(keys.get(name, name) for name in table.words),
        models=(),
    )


def picked(table: Table, names: Sequence[str]) -> Table:
    """The table with only these of its columns, in this order."""
    places = [table.columns.index(name) for name in names if name in table.columns]

    def some_of(rows: tuple[tuple[Cell, ...], ...]) -> tuple[tuple[Cell, ...], ...]:
        return tuple(tuple(row[at] for at in places) for row in rows)

    columns = tuple(table.columns[at] for at in places)
    return replace(table, columns=columns, rows=some_of(table.rows), foot=some_of(table.foot))


def without(table: Table, gone: Sequence[str]) -> Table:
    """The table without some columns, which a note names."""
    if not gone:
        return table
    named = ", ".join(name for name in table.columns if name in gone)
    less = picked(table, [name for name in table.columns if name not in gone])
    return replace(less, notes=(*table.notes, f"No room for {named}: {table.more}."))


def measured(table: Table) -> list[Column]:
    """What decides the width of each column."""
    rows = [*table.rows, *table.foot]
    return [
        Column(
            _on_one_line(name),
            tuple(line for row in rows for line in clean(str(row[at])).split("\n")),
            name in table.words,
            table.longest,
            name in table.models,
        )
        for at, name in enumerate(table.columns)
    ]


def clean(name: str) -> str:
    """Text without characters that steer a terminal or reverse the direction of the text beside it."""
    return visible(name.replace("\t", " "))


def _on_one_line(name: str) -> str:
    return clean(" ".join(name.split()))


def some(names: Sequence[str], most: int = 8) -> str:
    """The first `most` names, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def title_line(table: Table) -> str:
    """The title on one line."""
    return "; ".join(table.title.split("\n"))


def markdown(table: Table) -> str:
    """A GitHub table below its title, with notes as a list. Best is bold."""

    def cell(each: Cell) -> str:
        mark = _LOOKS[each.style].markdown if each.text else ""
        return f"{mark}{markdown_text(each.text)}{mark} {markdown_text(each.extra)}".strip()

    rule = [":---" if column in table.words else "---:" for column in table.columns]
    body = ([cell(each) for each in row] for row in (*table.rows, *table.foot))
    lines = "\n".join(f"| {' | '.join(line)} |" for line in [[*map(markdown_text, table.columns)], rule, *body])
    notes = "\n".join(f"- {markdown_text(note)}" for note in table.notes)
    return f"{markdown_text(title_line(table))}\n\n{lines}\n" + (f"\n{notes}\n" if notes else "")


def markdown_text(text: str) -> str:
    """Text on one line, with the characters escaped that Markdown would interpret."""
    return _MARKDOWN.sub(r"\\\1", _on_one_line(text))


def html_table(table: Table) -> str:
    """A `table` element with a caption, then its notes as a list. All text is escaped."""

    def kind(column: str) -> str:
        return "" if column in table.words else ' class="number"'

    def cell(column: str, each: Cell) -> str:
        element = _LOOKS[each.style].element
        extra = f" <small>{_html(each.extra)}</small>" if each.extra else ""
        images = "".join(f'<img src="{_html(src)}" alt="">' for src in each.pictures)
        pictures = f"<div>{images}</div>" if images else ""
        return f"<td{kind(column)}>{pictures}<{element}>{_html(each.text)}</{element}>{extra}</td>"

    def lines(rows: Sequence[Sequence[Cell]]) -> str:
        return "\n".join(f"<tr>{''.join(map(cell, table.columns, row))}</tr>" for row in rows)

    head = "".join(f'<th scope="col"{kind(column)}>{_html(column)}</th>' for column in table.columns)
    foot = f"<tfoot>\n{lines(table.foot)}\n</tfoot>" if table.foot else ""
    notes = "".join(f"<li>{_html(note)}</li>" for note in table.notes)
    return (
        f"<table><caption>{_html(title_line(table))}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{lines(table.rows)}\n</tbody>{foot}</table>\n" + (f"<ul>{notes}</ul>\n" if notes else "")
    )


def _html(text: str) -> str:
    return html.escape(visible(text))


def csv_text(value: object) -> object:
    """The value. A text is made safe to show, with a `'` before one that a spreadsheet would evaluate as a formula."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else visible(value)
