"""The data of the page: rows, scores and comparisons. Scores are fractions; unknown values are null."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias, TypedDict

from harness.errors import UserError
from leaderboards.board.board import Board, facts, official_effect
from leaderboards.board.entries import Entry
from leaderboards.board.standings import MeanScore, Standing
from leaderboards.board.tables import notes, title
from leaderboards.compare.compare import Comparison, Difference, compare
from leaderboards.numbers import percent
from leaderboards.page.viewer import Viewer

COMPARED = 8
"""Number of rows that are compared pairwise with intervals. A pair of whole MMEB runs takes a tenth of a second."""
_DIGITS = 5

Figure: TypeAlias = list[float | None]
"""A score and the ends of its interval."""


class MeanCell(TypedDict):
    """A mean. `sort` is the value that decides ranks; `sign` and `note` mark and explain an unusual mean."""

    figure: Figure
    sort: float | None
    sign: str
    note: str


class PageRow(TypedDict):
    """A row of the table: one model."""

    label: str
    kind: str
    rank: list[int] | None
    """The rank, the best and the worst rank that the tests allow, and the group."""
    means: dict[str, MeanCell]
    scores: dict[str, Figure]
    mixed: list[str]
    """Tasks whose scores are not comparable with those of other rows."""
    missing: list[str]
    """Tasks that the mean which decides ranks lacks."""
    official: float | None
    facts: dict[str, object]
    where: str
    notes: list[str]
    run: str | None
    step: int | None


class PageDifference(TypedDict):
    """The difference b - a on a dataset or in a mean."""

    name: str
    dataset: bool
    a: float
    b: float
    interval: list[float | None] | None
    p: float | None
    counts: list[int] | None
    """Numbers of queries won, tied and lost; null if they are not known."""


class PagePair(TypedDict):
    """The comparison of two rows, given by their indexes."""

    a: int
    b: int
    changes: list[PageDifference]
    notes: list[str]


class PageData(TypedDict):
    """All data of the page."""

    title: str
    suite: str
    ranked_by: str
    means: list[str]
    tasks: list[str]
    groups: dict[str, list[str]]
    rows: list[PageRow]
    pairs: list[PagePair]
    compared: int
    notes: list[str]
    viewer: Viewer | None


def page_data(board: Board, viewer: Viewer | None = None) -> PageData:
    """The data of a board, with its rows in the order of the standings."""
    standings = board.standings()
    return {
        "title": title(board).removeprefix(f"{board.suite.summary}: "),
        "suite": board.suite.summary,
        "ranked_by": board.rank_by,
        "means": list(standings[0].cells) if standings else [],
        "tasks": list(board.tasks),
        "groups": {name: [task for task in tasks if task in board.tasks] for name, tasks in board.suite.groups},
        "rows": [_row(each, board) for each in standings],
        "pairs": _pairs(board, [each.entry for each in standings]),
        "compared": COMPARED,
        "notes": notes(board),
        "viewer": viewer,
    }


def _row(standing: Standing, board: Board) -> PageRow:
    entry, place, checkpoint = standing.entry, standing.place, standing.entry.checkpoint
    printed = entry.published
    mean = standing.cells[board.rank_by].mean
    return {
        "label": entry.label,
        "kind": entry.kind,
        "rank": [place.rank, place.best, place.worst, place.group] if place else None,
        "means": {name: _mean(cell, board.is_mixed(entry)) for name, cell in standing.cells.items()},
        "scores": {task: _score(entry, task) for task in board.tasks if task in entry.scores},
        "mixed": [task for task, record in entry.records.items() if record.result.identity in board.mixed],
        "missing": list(mean.missing) if mean.value is None else [],
        "official": _rounded(official_effect(entry, board.suite)),
        "facts": {name: _finite(value) for name, value in facts(entry).items()},
        "where": printed.source.where if printed else "",
        "notes": list(printed.notes) if printed else [],
        "run": checkpoint.run if checkpoint else None,
        "step": checkpoint.step if checkpoint else None,
    }


def _mean(cell: MeanScore, mixed: bool) -> MeanCell:
    mean, sign, note = cell.mean, "", ""
    if mixed:
        sign, note = "‡", "not comparable with the rest: another protocol or other data"
    elif cell.mark:
        sign, note = "*", f"as printed; its parts give {percent(cell.mark.recomputed)} ({cell.mark.why})"
    elif cell.summed:
        sign, note = "°", "not printed, but the mean of printed scores"
    elif mean.value is None and mean.present:
        note = f"{mean.present} of {mean.present + len(mean.missing)}"
    return {"figure": _figure(mean.value, *(cell.interval or ())), "sort": cell.comparable, "sign": sign, "note": note}


def _score(entry: Entry, task: str) -> Figure:
    if task not in entry.records:
        return _figure(entry.scores[task])
    score = entry.records[task].result.main
    return _figure(score.value, score.low, score.high)


def _figure(*numbers: float | None) -> Figure:
    return [_rounded(number) for number in numbers]


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, _DIGITS)


def _finite(value: object) -> object:
    """The value, or None for NaN and infinity, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _pairs(board: Board, entries: Sequence[Entry]) -> list[PagePair]:
    """The comparisons of all pairs of the first rows, measured rows first."""
    order = sorted(range(len(entries)), key=lambda at: (not entries[at].records, at))[:COMPARED]
    pairs = []
    for a, b in combinations(sorted(order), 2):
        try:
            found = compare(entries[a], entries[b], board.suite, board.sizes)
        except UserError:  # nothing in common
            continue
        pairs.append(_pair(a, b, found))
    return pairs


def _pair(a: int, b: int, found: Comparison) -> PagePair:
    changes = [_change(each) for each in (*found.means, *found.datasets)]
    return {"a": a, "b": b, "changes": changes, "notes": list(found.caveats)}


def _change(found: Difference) -> PageDifference:
    p = found.p if found.holm is None else found.holm
    counts = [found.wins, found.ties, found.losses]
    return {
        "name": found.name,
        "dataset": found.kind == "dataset",
        "a": round(found.a, _DIGITS),
        "b": round(found.b, _DIGITS),
        "interval": _figure(*found.interval) if found.interval else None,
        "p": _rounded(p),
        "counts": [count for count in counts if count is not None] if found.paired else None,
    }
