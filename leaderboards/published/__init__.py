"""Published rows: scores of others as they are printed, with their sources and the marks of the audit.

`data/` has one JSON file per table or report, in percent. docs/published.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

from harness.files.reading import read_object
from leaderboards.published.rows import TEXT_TO_VIDEO, Citation, Kind, MeanMismatch, PublishedRow
from tasks.mmeb_v2.parts import task_name

__all__ = ["Citation", "Kind", "MeanMismatch", "PublishedRow", "printed_rows", "published_rows"]


class _Source(TypedDict, total=False):
    name: str
    work: str
    where: str
    date: str


class _Row(TypedDict, total=False):
    model: str
    kind: Kind
    source: int
    means_source: int
    group: str
    size: int
    means: dict[str, float]
    scores: dict[str, float]
    more: dict[str, dict[str, float]]
    notes: list[str]


class _Table(TypedDict):
    suite: str
    metric: str
    evaluator: str
    sources: list[_Source]
    rows: list[_Row]


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All published rows with their marks, sorted by file, then in the order of the table."""
    from leaderboards.published.audit import audit

    rows = printed_rows()
    findings = [finding for finding in audit(rows) if not finding.rounding]
    return tuple(replace(row, marks=tuple(each.mark for each in findings if each.row is row)) for row in rows)


@cache
def printed_rows() -> tuple[PublishedRow, ...]:
    """All published rows without the marks of the audit."""
    files = sorted((Path(__file__).parent / "data").glob("*.json"))
    return tuple(row for file in files for row in _read(cast("_Table", read_object(file))))


def _read(table: _Table) -> list[PublishedRow]:
    sources = [Citation(**each) for each in table["sources"]]
    named = _fractions if table["suite"] == TEXT_TO_VIDEO else _fractions_by_task
    return [
        PublishedRow(
            model=row["model"],
            kind=row["kind"],
            source=sources[row["source"]],
            suite=table["suite"],
            metric=table["metric"],
            evaluator=table["evaluator"],
            group=row.get("group", ""),
            size=row.get("size"),
            scores=named(row.get("scores", {})),
            means=_fractions(row.get("means", {})),
            means_source=sources[row["means_source"]] if "means_source" in row else None,
            more={metric: named(scores) for metric, scores in row.get("more", {}).items()},
            notes=tuple(row.get("notes", ())),
        )
        for row in table["rows"]
    ]


def _fractions_by_task(percents: Mapping[str, float]) -> dict[str, float]:
    """The fractions by the names of the tasks, which are not always those of the public board."""
    return {task_name(name): value for name, value in _fractions(percents).items()}


def _fractions(percents: Mapping[str, float]) -> dict[str, float]:
    """Percents as fractions, rounded so that 42.8 becomes exactly 0.428."""
    return {name: round(value / 100, 10) for name, value in percents.items()}
