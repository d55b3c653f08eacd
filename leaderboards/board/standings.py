"""Means with their intervals, ranks with their ranges, and groups of models without a significant difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from harness.scoring.intervals import Floats, Interval, SampleMean, pooled, share_intervals
from leaderboards import stats
from leaderboards.board.entries import PRINTED, Entry
from leaderboards.board.pairs import SharedPairs, TaskPairs, mean_contrast, not_worse, shared_pairs
from leaderboards.published.rows import MeanMismatch
from leaderboards.stats import Contrast
from tasks.mmeb.datasets import META_TASKS
from tasks.suites import MEAN_OF_META_TASKS, Mean, Suite, aggregate

RULE = (
    "A group ends before the first model that differs significantly from the group's best "
    "(paired tests over queries, Holm over all pairs, 5 %). Brackets beside a rank: all ranks that these tests allow."
)

Weights: TypeAlias = Mapping[str, Mapping[str, float]]
"""The weight of each task, by mean."""


@dataclass(frozen=True, slots=True)
class MeanScore:
    """A mean of one entry. It is incomplete if `mean.value` is None."""

    mean: Mean
    interval: Interval | None = None
    mark: MeanMismatch | None = None
    """The audit's finding, for a printed mean that its parts contradict."""
    summed: bool = False
    """Whether a published row does not print this mean but all of its parts."""

    @property
    def comparable(self) -> float | None:
        """The value that decides ranks. For a printed mean that its parts contradict, it follows from the parts."""
        return self.mark.recomputed if self.mark else self.mean.value


@dataclass(frozen=True, slots=True)
class RankRange:
    """A rank, the best and worst rank that the tests allow, and the group; all from 1. Group 0: none."""

    rank: int
    best: int
    worst: int
    group: int


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """A row of the board."""

    entry: Entry
    cells: Mapping[str, MeanScore]
    place: RankRange | None = None
    """None if the mean that decides ranks is incomplete."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """The 95 % CI of the main score of each task; none where the number of queries is not known."""
    shared: RankRange | None = None
    """For an incomplete row: its place among all rows, each pair compared over the datasets that both have."""
    best: frozenset[str] = frozenset()
    """The means and tasks in which no row is significantly better than this one."""


def mean_weights(suite: Suite) -> dict[str, dict[str, float]]:
    """The weights of tasks in each mean of the suite, in the order of `tasks.suites.aggregate`."""
    means = {"overall": suite.tasks, **dict(suite.groups)}
    weights = {name: {task: 1 / len(tasks) for task in tasks} for name, tasks in means.items()}
    meta = [name for name, _ in suite.groups if name in META_TASKS]
    if meta:
        weights[MEAN_OF_META_TASKS] = {
            task: weight / len(meta) for name in meta for task, weight in weights[name].items()
        }
    return weights


def rank_entries(
    entries: Sequence[Entry],
    suite: Suite,
    sizes: Mapping[str, int],
    rank_by: str,
    mixed: frozenset[str] = frozenset(),
) -> list[Standing]:
    """Ranked entries, best first; then incomplete ones, by their rank over shared datasets.

    Args:
        entries: the models.
        suite: defines the means.
        sizes: the number of queries by task, for entries without per-query scores.
        rank_by: a mean of the suite or a task.
        mixed: identities of results that are not comparable with the rest, so that they are never the best.
    """
    weights = mean_weights(suite)
    if rank_by not in weights:
        weights[rank_by] = {rank_by: 1.0}
    tasks = list(
        dict.fromkeys([*(t for mean in weights.values() for t in mean), *(t for e in entries for t in e.scores)])
    )
    rows = [Standing(entry, _cells(entry, suite, weights)) for entry in entries]
    rows = _with_intervals(rows, weights, tasks, sizes)
    pairs = {task: TaskPairs(entries, task, sizes) for task in tasks}
    rows = _with_best(rows, weights, pairs, mixed)
    rows = _with_places(rows, weights[rank_by], pairs, rank_by)
    return sorted(rows, key=lambda row: _order(row, rank_by))


def _order(row: Standing, rank_by: str) -> tuple[float, ...]:
    if row.place is not None:
        return 0.0, -(row.cells[rank_by].comparable or 0.0)
    shared = row.shared.rank if row.shared else math.inf
    return 1.0, shared, -row.cells[rank_by].mean.present


def _values(rows: Sequence[Standing], name: str) -> Floats:
    return np.array([row.cells[name].comparable for row in rows], dtype=np.float64)


def _cells(entry: Entry, suite: Suite, weights: Weights) -> dict[str, MeanScore]:
    known = {mean.name: mean for mean in aggregate(suite, entry.scores)}
    marks = {mark.cell: mark for mark in entry.published.marks} if entry.published else {}
    printed = entry.published.means if entry.published else {}
    cells = {}
    for name in weights:
        mean = known.get(name) or _single(name, entry.scores)
        summed = entry.kind in PRINTED and name in known and mean.value is not None and name not in printed
        mean = replace(mean, value=printed.get(name, mean.value))
        cells[name] = MeanScore(mean, None, marks.get(name), summed)
    return cells


def _single(task: str, scores: Mapping[str, float]) -> Mean:
    """A mean of one task."""
    return Mean(task, scores.get(task), int(task in scores), () if task in scores else (task,))


def _with_intervals(
    rows: Sequence[Standing], weights: Weights, tasks: Sequence[str], sizes: Mapping[str, int]
) -> list[Standing]:
    """The rows with the intervals of their means and tasks, which are all worked out at once."""
    found: list[dict[str, SampleMean]] = []
    for row in rows:
        samples = {task: sample for task in tasks if (sample := row.entry.sample(task, sizes))}
        means = {
            name: sample
            for name, parts in weights.items()
            if (sample := _mean_sample(row, name, parts, samples, sizes)) is not None
        }
        found.append({**samples, **means})
    flat = [sample for each in found for sample in each.values()]
    ends = share_intervals(np.array([each.mean for each in flat]), np.array([each.effective for each in flat]))
    intervals = map(Interval, *(end.tolist() for end in ends))
    done = []
    for row, each in zip(rows, found, strict=True):
        own = {name: next(intervals) for name in each}
        cells = {name: replace(cell, interval=own.get(name)) for name, cell in row.cells.items()}
        done.append(replace(row, cells=cells, intervals={task: own[task] for task in tasks if task in own}))
    return done


def _mean_sample(
    row: Standing, name: str, parts: Mapping[str, float], samples: Mapping[str, SampleMean], sizes: Mapping[str, int]
) -> SampleMean | None:
    """A mean with its variance. If only the mean is printed, its queries are one sample, which is conservative."""
    value = row.cells[name].mean.value
    if value is None:
        return None
    if all(task in samples for task in parts):
        return replace(pooled([samples[task] for task in parts], list(parts.values())), mean=value)
    counts = [row.entry.queries(task, sizes) or 0 for task in parts]
    return SampleMean.of_count(value, sum(counts)) if all(counts) else None


def _with_best(
    rows: Sequence[Standing], weights: Weights, pairs: Mapping[str, TaskPairs], mixed: frozenset[str]
) -> list[Standing]:
    best: list[set[str]] = [set() for _ in rows]
    odd = [{task for task, record in row.entry.records.items() if record.result.identity in mixed} for row in rows]
    for task, each in pairs.items():
        values = np.where([task in tasks for tasks in odd], np.nan, each.means)
        for row in not_worse(values, each.contrast(1.0)):
            best[row].add(task)
    for name, parts in weights.items():
        printed = _values(rows, name)
        values = np.where([bool(tasks) for tasks in odd], np.nan, printed)
        for row in not_worse(values, mean_contrast(pairs, parts, printed)):
            best[row].add(name)
    return [replace(row, best=frozenset(names)) for row, names in zip(rows, best, strict=True)]


def _with_places(
    rows: Sequence[Standing], parts: Mapping[str, float], pairs: Mapping[str, TaskPairs], rank_by: str
) -> list[Standing]:
    values = _values(rows, rank_by)
    ranked = np.flatnonzero(np.isfinite(values))
    tests = mean_contrast(pairs, parts, values)
    inside = np.ix_(ranked, ranked)
    places = _places(values[ranked], Contrast(tests.centre[inside], tests.variance[inside]))
    done = list(rows)
    for row, place in zip(ranked.tolist(), places, strict=True):
        done[row] = replace(rows[row], place=place)
    if len(ranked) < len(rows):
        shared = shared_pairs(pairs, parts)
        for row in np.flatnonzero(~np.isfinite(values)).tolist():
            done[row] = replace(rows[row], shared=_shared_place(row, shared))
    return done


def _places(values: Floats, tests: Contrast) -> list[RankRange]:
    if not len(values):
        return []
    significant = stats.significant_pairs(tests)
    ranges, numbers = stats.rank_ranges(values, significant), stats.groups(values, significant)
    ranks = [1 + int(np.count_nonzero(values > value)) for value in values]
    return [RankRange(rank, *span, group) for rank, span, group in zip(ranks, ranges, numbers, strict=True)]


def _shared_place(row: int, shared: SharedPairs) -> RankRange | None:
    """The place of a row among all that share a dataset with it. Only shared datasets decide between two rows."""
    others = np.flatnonzero(shared.there[row])
    others = others[others != row]
    if not len(others):
        return None
    differences = shared.differences[row, others]
    significant = stats.holm(shared.tests.p[row, others]) < stats.LEVEL
    better, worse = (int((significant & side).sum()) for side in (differences > 0, differences < 0))
    return RankRange(1 + int((differences > 0).sum()), 1 + better, 1 + len(others) - worse, 0)
