"""A table in LaTeX, within the text width of an article, with its notes below it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

from leaderboards.layout import COMFORT, Column, folded, left_out, parts, widths_within
from leaderboards.tables import Cell, Style, Table, clean, keyed, measured, title_line, without

_TEXT_WIDTH = 345
"""Points of a line in LaTeX's class `article` at its usual size. Other classes have more."""
_MOST_ROWS = 30
"""Rows that fit on a page. A longer table is a `longtable`, which breaks over pages."""
_PIECE = 8
"""Characters between the places at which a very long word may break."""
_BOLD = 1.15
"""How much wider than usual text bold text is."""
_LOOKS: dict[Style, str] = {"best": r"\textbf{%s}", "fail": r"\textbf{%s}"}
_GREEK = r"""
α\alpha β\beta γ\gamma δ\delta ε\epsilon ζ\zeta η\eta θ\theta ι\iota κ\kappa λ\lambda μ\mu ν\nu ξ\xi οo π\pi
ρ\rho ς\varsigma σ\sigma τ\tau υ\upsilon φ\phi χ\chi ψ\psi ω\omega
Γ\Gamma Δ\Delta Θ\Theta Λ\Lambda Ξ\Xi Π\Pi Σ\Sigma Υ\Upsilon Φ\Phi Ψ\Psi Ω\Omega
"""
_SIGNS = r"−- ≤\leq ≥\geq ≈\approx ≠\neq ∞\infty"
_MATH = {each[0]: each[1:] for each in f"{_GREEK} {_SIGNS}".split()}
"""Characters that LaTeX has in formulas only."""
_ESCAPES = {
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
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "\N{REPLACEMENT CHARACTER}": "?",
    **{letter: rf"\ensuremath{{{command}}}" for letter, command in _MATH.items()},
}
_JOINED = re.compile(r"([-',])(?=\1)")
"""Characters that LaTeX would join: `--` would be a dash."""
_MINUS = re.compile(r"(?<![\w)])-(?=\d)")
_PLAIN = {chr(code) for code in (*range(0x20, 0x7F), *range(0xA1, 0x180))} - set("ĦħĸĿŀŉŦŧſ\xad")
_KNOWN = _PLAIN | set("‐‑–—‘’‚“”„†‡•…‰‹›€™←→") | set(_MATH)
"""The characters that pdflatex has with T1 fonts."""


Heads: TypeAlias = Literal["stacked", "rotated"]
"""How heads that are longer than their cells are set."""


class _Size(NamedTuple):
    """A size of letters: its command, how wide a letter is beside the usual size, and the points between columns."""

    command: str
    scale: float
    gap: int


_SIZES = (_Size("normalsize", 1, 10), _Size("small", 0.925, 8), _Size("footnotesize", 0.85, 6))
_SMALLEST = _Size("scriptsize", 0.8, 4)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a table fits into the text width."""

    table: Table
    size: _Size
    heads: Heads
    columns: tuple[Column, ...]
    widths: tuple[int, ...]


def latex(table: Table) -> str:
    """A `table` or, if it is long, a `longtable`. Best is bold, second underlined; notes are below it.

    The table fits into the text width of an article. First its letters get smaller, then heads are rotated, then
    columns are left out and named in a note. The first comment has the packages, and the engine if it is not pdflatex.
    """
    layout = _fitted(table)
    shown, long = layout.table, len(table.rows) + len(table.foot) > _MOST_ROWS
    head = [r"\toprule", " & ".join(_head(layout, at) for at in range(len(shown.columns))) + r" \\", r"\midrule"]
    foot = [r"\midrule", *_lines(shown.foot)] if shown.foot else []
    body = [*_lines(shown.rows), *foot]
    caption = latex_text(title_line(shown))
    columns = f"{{@{{}}{''.join(_column(layout, at) for at in range(len(shown.columns)))}@{{}}}}"
    size = [rf"\{layout.size.command}", rf"\setlength{{\tabcolsep}}{{{layout.size.gap // 2}pt}}", r"\sloppy"]
    lines = [
        *(_longtable(columns, caption, head, body, size) if long else _float(columns, caption, head, body, size)),
        *(rf"\par\noindent\footnotesize {latex_text(note)}\par" for note in shown.notes),
        r"\endgroup" if long else r"\end{table}",
    ]
    text = "\n".join(lines)
    return f"{_needs(text)}\n{text}\n"


def _float(columns: str, caption: str, head: Sequence[str], body: Sequence[str], size: Sequence[str]) -> list[str]:
    top = [r"\begin{table}", *size, rf"\caption{{{caption}}}", r"\centering", rf"\begin{{tabular}}{columns}", *head]
    return [*top, *body, r"\bottomrule", r"\end{tabular}", r"\par\raggedright\smallskip"]


def _longtable(columns: str, caption: str, head: Sequence[str], body: Sequence[str], size: Sequence[str]) -> list[str]:
    return [
        r"\begingroup",
        *size,
        r"\setlength{\LTcapwidth}{\textwidth}",
        rf"\begin{{longtable}}{columns}",
        rf"\caption{{{caption}}}\\",
        *head,
        r"\endfirsthead",
        *head,
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *body,
        r"\end{longtable}",
        r"\raggedright",
    ]


def _needs(text: str) -> str:
    """Comments on what the preamble needs, and on the engine."""
    needed = {"array": r"\arraybackslash", "booktabs": "toprule", "graphicx": "rotatebox"}
    packages = [name for name, command in {**needed, "longtable": "begin{longtable}"}.items() if command in text]
    lines = [rf"% needs \usepackage[T1]{{fontenc}} and \usepackage{{{','.join(packages)}}}"]
    strange = sorted(set(text) - _KNOWN - {"\n"})
    if strange:
        lines.insert(0, f"% compile with xelatex or lualatex, and a font that has {' '.join(strange)}")
        lines[1] = rf"% needs \usepackage{{fontspec,{','.join(packages)}}}"
    return "\n".join(lines)


def _fitted(table: Table) -> _Layout:
    """The largest letters at which the table fits. If none do, columns are left out."""
    ways: list[tuple[Heads, _Size]] = [("stacked", size) for size in _SIZES]
    ways += [("rotated", size) for size in (*_SIZES, _SMALLEST)]
    forms = (table, keyed(table), keyed(table.brief or table)) if table.models or table.brief else (table,)
    for each, (heads, size) in product(forms, ways):
        if layout := _laid_out(each, size, heads):
            return layout
    short = forms[-1]
    columns = dict(zip(short.columns, _columns(short, _SMALLEST, "rotated"), strict=True))
    order = left_out(short.columns, short.keep or short.columns[:1], short.last)
    for count in range(1, len(order) + 1):
        kept = tuple(column for name, column in columns.items() if name not in order[:count])
        if widths := _widths(kept, _SMALLEST):
            return _Layout(without(short, order[:count]), _SMALLEST, "rotated", kept, widths)
    kept = tuple(column for name, column in columns.items() if name not in order)
    widths = tuple(column.comfortable for column in kept)
    return _Layout(without(short, order), _SMALLEST, "rotated", kept, widths)


def _laid_out(table: Table, size: _Size, heads: Heads) -> _Layout | None:
    columns = _columns(table, size, heads)
    widths = _widths(columns, size)
    return _Layout(table, size, heads, columns, widths) if widths else None


def _widths(columns: Sequence[Column], size: _Size) -> tuple[int, ...] | None:
    """The widths of the columns in points, beside the space between them."""
    widths = widths_within(columns, _TEXT_WIDTH - size.gap * (len(columns) - 1))
    return tuple(widths) if widths else None


def _columns(table: Table, size: _Size, heads: Heads) -> tuple[Column, ...]:
    """What decides the width of each column in points. A rotated head takes no room beside its cells."""

    def points(text: str) -> int:
        return math.ceil(sum(map(_points, text)) * size.scale)

    def bold(text: str) -> int:
        return math.ceil(points(text) * _BOLD)

    columns = []
    for at, each in enumerate(measured(table)):
        column = replace(each, measure=points if each.words else bold)
        if not each.words:
            small = _SMALLEST.scale / size.scale
            cells = (row[at] for row in (*table.rows, *table.foot))
            lines = (f"{cell.text} {cell.extra[: round(len(cell.extra) * small)]}".strip() for cell in cells)
            column = replace(column, lines=tuple(lines))
            if heads == "rotated" and column.least > max(map(bold, column.lines), default=0):
                column = replace(column, head="", lines=(*column.lines, "00"), name=False)
        columns.append(column)
    return tuple(columns)


def _points(character: str) -> float:
    """The width of a letter of Computer Modern at ten points, rather too much than too little."""
    for letters, width in (("ijl.,:;'|!()[]", 2.9), (' tfrsI/-`"', 3.95), ("mw", 8.4), ("MW%@", 10.3), ("†‡°*", 5.0)):
        if character in letters:
            return width
    if character.isascii():
        return 5.0 if character.isdigit() else 5.56 if character.islower() or not character.isalpha() else 7.8
    return 5.56 if character in _PLAIN and character.islower() else 10.0


def _head(layout: _Layout, at: int) -> str:
    name, column = " ".join(layout.table.columns[at].split()), layout.columns[at]
    if name and not column.head:
        return rf"\rotatebox{{90}}{{{latex_text(name)}}}"
    lines = folded(name, layout.widths[at], column.measure)
    if len(lines) == 1 or column.words:
        return latex_text(name)
    stacked = r" \\ ".join(map(latex_text, lines))
    return rf"\shortstack[r]{{{stacked}}}"


def _column(layout: _Layout, at: int) -> str:
    column, width = layout.columns[at], layout.widths[at]
    if not column.words:
        return "r"
    whole = width >= max(map(column.measure, (column.head, *column.lines)))
    return "l" if whole else rf">{{\raggedright\arraybackslash\hangindent=1em}}p{{{width}pt}}"


def _lines(rows: Sequence[Sequence[Cell]]) -> list[str]:
    return [" & ".join(map(_cell, row)) + r" \\" for row in rows]


def _cell(cell: Cell) -> str:
    text = _LOOKS.get(cell.style, "%s") % latex_text(cell.text)
    return text + (rf" {{\scriptsize {latex_text(cell.extra)}}}" if cell.extra else "")


def _pieces(part: str) -> list[str]:
    """The part of a name, or pieces of it where it is too long for a line."""
    long = len(part) > len(COMFORT)
    return [part[at : at + _PIECE] for at in range(0, len(part), _PIECE)] if long else [part]


def latex_text(text: str) -> str:
    """Text on one line, with the characters escaped that LaTeX would interpret. Long names may break inside."""
    plain = clean(" ".join(text.split()))
    pieces = [piece for part in parts(plain) for piece in _pieces(part)]
    escaped = (_MINUS.sub("$-$", "".join(_ESCAPES.get(each, each) for each in piece)) for piece in pieces)
    joined = [part if part.endswith((" ", "-")) else part + r"\allowbreak{}" for part in escaped]
    whole = _JOINED.sub(r"\1{}", "".join(joined).removesuffix(r"\allowbreak{}"))
    return f"{{{whole[0]}}}{whole[1:]}" if whole.startswith(("[", "*")) else whole
