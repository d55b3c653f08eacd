"""Comparisons of two rows: those that need single queries are made here, all others by the page from these numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypedDict

from harness.errors import UserError
from leaderboards.board.board import Board
from leaderboards.board.entries import Entry
from leaderboards.board.standings import mean_weights
from leaderboards.board.tables import clusters_note
from leaderboards.compare.compare import COMMON, Comparison, Difference, compare, mean_of

COMPARED = 30
"""Most measured rows of which each pair is compared by its queries."""
_DIGITS = 14


class PageDifference(TypedDict):
    """The difference b - a on a dataset or in a mean."""

    name: str
    dataset: bool
    a: float
    b: float
    interval: list[float] | None
    p: float | None
    counts: list[int] | None
    """Numbers of queries won, tied and lost; null if they are not known."""


class PagePair(TypedDict):
    """The comparison of two rows, query by query. Rows are given by their indexes."""

    a: int
    b: int
    changes: list[PageDifference]
    notes: list[str]


class TaskCounts(TypedDict):
    """A dataset: its column, and the number of queries and the metric of each row."""

    name: str
    column: str
    counts: list[int | None]
    worth: list[float | None]
    """The number of unrelated queries that the score of each row is worth."""
    metrics: list[int]


class MeanParts(TypedDict):
    """A mean: its datasets with their weights, its value in each row, and the number of queries of all datasets."""

    name: str
    parts: list[tuple[int, float]]
    """Indexes of datasets, with weights."""
    whole: bool
    """Whether these are all of its datasets."""
    values: list[float | None]
    count: int | None


class PagePairs(TypedDict):
    """All that comparisons need."""

    paired: list[PagePair]
    tasks: list[TaskCounts]
    suite: int
    """The number of datasets of the suite, which come first in `tasks`; -1 if no row has one of them."""
    means: list[MeanParts]
    common: str
    """The name of the mean over the datasets that two rows share."""
    protocols: list[str]


def pairs_of(board: Board, entries: Sequence[Entry]) -> PagePairs:
    """The comparisons of measured rows, and what those of all other rows follow from."""
    tasks = {task: index for index, task in enumerate(board.tasks)}
    return {
        "paired": _paired(board, entries),
        "tasks": [_task(task, board, entries) for task in tasks],
        "suite": len(board.suite.tasks) if set(board.suite.tasks) <= tasks.keys() else -1,
        "means": [_mean(name, parts, tasks, board, entries) for name, parts in mean_weights(board.suite).items()],
        "common": COMMON,
        "protocols": [" and ".join(sorted(entry.protocols)) for entry in entries],
    }


def _paired(board: Board, entries: Sequence[Entry]) -> list[PagePair]:
    measured = [index for index, entry in enumerate(entries) if entry.records][:COMPARED]
    pairs = []
    for a, b in combinations(measured, 2):
        try:
            found = compare(entries[a], entries[b], board.suite, board.sizes)
        except UserError:  # nothing in common
            continue
        pairs.append(_pair(a, b, found))
    return pairs


def _pair(a: int, b: int, found: Comparison) -> PagePair:
    changes = [_change(each) for each in (*found.means, *found.datasets)]
    clusters = clusters_note([record.result for record in found.a.records.values()])
    return {"a": a, "b": b, "changes": changes, "notes": [*clusters, *found.caveats]}


def _change(found: Difference) -> PageDifference:
    counts = [found.wins, found.ties, found.losses]
    p = found.p if found.holm is None else found.holm
    return {
        "name": found.name,
        "dataset": found.kind == "dataset",
        "a": _exact(found.a),
        "b": _exact(found.b),
        "interval": [_exact(end) for end in found.interval] if found.interval else None,
        "p": None if p is None else _exact(p),
        "counts": [count for count in counts if count is not None] if found.paired else None,
    }


def _exact(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _task(task: str, board: Board, entries: Sequence[Entry]) -> TaskCounts:
    metrics = [entry.metric(task) if task in entry.scores else "" for entry in entries]
    known = {metric: index for index, metric in enumerate(dict.fromkeys(metrics))}
    counts = [entry.queries(task, board.sizes) if task in entry.scores else None for entry in entries]
    return {
        "name": task,
        "column": next(iter(board.suite.recall_columns(task)), task),
        "counts": counts,
        "worth": [sample.effective if (sample := entry.sample(task, board.sizes)) else None for entry in entries],
        "metrics": [known[metric] for metric in metrics],
    }


def _mean(
    name: str, weights: Mapping[str, float], tasks: Mapping[str, int], board: Board, entries: Sequence[Entry]
) -> MeanParts:
    counts = [board.sizes.get(task, 0) for task in weights]
    values = [mean_of(entry, name, weights) for entry in entries]
    return {
        "name": name,
        "parts": [(tasks[task], weight) for task, weight in weights.items() if task in tasks],
        "whole": weights.keys() <= tasks.keys(),
        "values": [None if value is None else _exact(value) for value in values],
        "count": sum(counts) if all(counts) else None,
    }
