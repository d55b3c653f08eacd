"""What an analysis found: tables and sentences for a terminal, and all figures for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, TypeGuard

from harness.errors import UserError
from harness.files.reading import read_json
from leaderboards.load import ANALYSIS
from leaderboards.tables import Table

FORMAT = 1
"""The version of the JSON."""


class PlotAxes(TypedDict):
    """What the axes of a plot of scores show."""

    across: str
    up: str
    doubles: bool
    """Whether equal distances across are equal ratios."""


BYTES: PlotAxes = {"across": "bytes of a vector", "up": "score in %, with the 95 % CI of its change", "doubles": True}


class PlotSeries(TypedDict):
    """A line of a plot. A point is its place across, the score, and both ends of its interval, in fractions."""

    name: str
    points: list[list[float]]


class TableView(TypedDict):
    """A table for programs. A cell is its text, what follows it in smaller type, and its style: `best` or nothing."""

    title: str
    columns: list[str]
    words: list[str]
    rows: list[list[list[str]]]
    notes: list[str]


class AnalysisView(TypedDict):
    """An analysis for programs."""

    analysis: str
    sentences: list[str]
    tables: list[TableView]
    plot: list[PlotSeries]
    axes: PlotAxes


@dataclass(frozen=True, slots=True)
class Report:
    """What an analysis found."""

    analysis: str
    """The name of its command."""
    tables: tuple[Table, ...]
    sentences: tuple[str, ...]
    """The answer in sentences."""
    figures: Mapping[str, object]
    """All figures, for programs. Scores are fractions."""
    plot: tuple[PlotSeries, ...] = field(default=())
    axes: PlotAxes = field(default_factory=BYTES.copy)


def report_json(report: Report) -> str:
    """The report as JSON: sentences, tables and all figures."""
    whole = {ANALYSIS: FORMAT, **report_view(report), "figures": report.figures}
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


def report_view(report: Report) -> AnalysisView:
    """The report without its figures."""
    return {
        "analysis": report.analysis,
        "sentences": list(report.sentences),
        "tables": [_table_view(each) for each in report.tables],
        "plot": list(report.plot),
        "axes": report.axes,
    }


def read_report(path: Path) -> AnalysisView:
    """The view of a report that was saved as JSON. Raises UserError if it cannot be read or is no such file."""
    value = read_json(path)
    again = "Save the analysis again with --save."
    if not isinstance(value, dict) or not isinstance(version := value.get(ANALYSIS), int):
        raise UserError(f"{path} is no analysis.", again)
    if version > FORMAT:
        raise UserError(f"{path} is of a newer version of llave-bench.", "Update llave-bench.")
    if not _is_view(value):
        raise UserError(f"{path} is no whole analysis: a part is missing or of another type.", again)
    return {key: value[key] for key in AnalysisView.__annotations__}  # type: ignore[return-value]


def _is_view(value: Mapping[str, object]) -> bool:
    match value:
        case {
            "analysis": str(),
            "sentences": sentences,
            "tables": list(tables),
            "plot": list(lines),
            "axes": {"across": str(), "up": str(), "doubles": bool()},
        }:
            return _are_texts(sentences) and all(map(_is_table, tables)) and all(map(_is_line, lines))
    return False


def _is_table(value: object) -> bool:
    match value:
        case {"title": str(), "columns": columns, "words": words, "rows": list(rows), "notes": notes}:
            whole = all(isinstance(row, list) and _are_texts(columns) and len(row) == len(columns) for row in rows)
            cells = (cell for row in rows if isinstance(row, list) for cell in row)
            texts = all(map(_are_texts, (columns, words, notes)))
            return texts and whole and all(_are_texts(cell) and len(cell) == 3 for cell in cells)
    return False


def _is_line(value: object) -> bool:
    match value:
        case {"name": str(), "points": list(points)}:
            return all(isinstance(each, list) and len(each) == 4 and all(map(_is_number, each)) for each in points)
    return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _table_view(table: Table) -> TableView:
    return {
        "title": "; ".join(table.title.split("\n")),
        "columns": list(table.columns),
        "words": sorted(table.words),
        "rows": [[[cell.text, cell.extra, cell.style] for cell in row] for row in (*table.rows, *table.foot)],
        "notes": list(table.notes),
    }
