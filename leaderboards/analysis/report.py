"""What an analysis found: tables and sentences for a terminal, and all figures for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from leaderboards.tables import Table

FORMAT = 1
"""The version of the JSON."""


class PlotSeries(TypedDict):
    """A line of a plot. A point is its place, the score, and both ends of a range around the score, in fractions."""

    name: str
    points: list[list[float]]


class TableView(TypedDict):
    """A table for programs. A cell is its text and what follows it in smaller type."""

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


def report_json(report: Report) -> str:
    """The report as JSON: sentences, tables and all figures."""
    view: AnalysisView = {
        "analysis": report.analysis,
        "sentences": list(report.sentences),
        "tables": [_view(each) for each in report.tables],
        "plot": list(report.plot),
    }
    whole = {"llave_analysis": FORMAT, **view, "figures": report.figures}
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


def _view(table: Table) -> TableView:
    return {
        "title": "; ".join(table.title.split("\n")),
        "columns": list(table.columns),
        "words": sorted(table.words),
        "rows": [[[cell.text, cell.extra] for cell in row] for row in (*table.rows, *table.foot)],
        "notes": list(table.notes),
    }
