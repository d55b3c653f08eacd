"""Means with their intervals, ranks with their ranges, and groups of models without a significant difference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from harness.scoring.bootstrap import Interval
from leaderboards import stats
from leaderboards.board.entries import PRINTED, Entry
from leaderboards.published.rows import MeanMismatch
from leaderboards.stats import Floats
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
    """A rank, the best and worst rank that the tests allow, and the group; all from 1."""

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


def rank_entries(entries: Sequence[Entry], suite: Suite, sizes: Mapping[str, int], rank_by: str) -> list[Standing]:
    """Ranked entries, best first; then incomplete ones, those with more tasks first.

    Args:
        entries: the models.
        suite: defines the means.
        sizes: the number of queries by task, for entries without per-query scores.
        rank_by: a mean of the suite or a task.
    """
    weights = mean_weights(suite)
    if rank_by not in weights:
        weights[rank_by] = {rank_by: 1.0}
    standings = [
        Standing(entry, _cells(entry, suite, weights, drawn, sizes))
        for entry, drawn in zip(entries, _intervals(entries, weights), strict=True)
    ]
    ranked = [each for each in standings if each.cells[rank_by].comparable is not None]
    ranked.sort(key=lambda each: -(each.cells[rank_by].comparable or 0.0))
    places = _places([each.entry for each in ranked], _values(ranked, rank_by), weights[rank_by], sizes)
    rest = [each for each in standings if each.cells[rank_by].comparable is None]
    rest.sort(key=lambda each: -each.cells[rank_by].mean.present)
    return [replace(each, place=place) for each, place in zip(ranked, places, strict=True)] + rest


def _values(standings: Sequence[Standing], name: str) -> Floats:
    return np.array([each.cells[name].comparable for each in standings], dtype=np.float64)


def _cells(
    entry: Entry, suite: Suite, weights: Weights, drawn: Mapping[str, Interval], sizes: Mapping[str, int]
) -> dict[str, MeanScore]:
    known = {mean.name: mean for mean in aggregate(suite, entry.scores)}
    marks = {mark.cell: mark for mark in entry.published.marks} if entry.published else {}
    printed = entry.published.means if entry.published else {}
    cells = {}
    for name, tasks in weights.items():
        mean = known.get(name) or _single(name, entry.scores)
        summed = entry.kind in PRINTED and name in known and mean.value is not None and name not in printed
        mean = replace(mean, value=printed.get(name, mean.value))
        interval = drawn.get(name)
        counts = [entry.queries(task, sizes) for task in tasks]
        if interval is None and mean.value is not None and all(counts):
            interval = stats.count_interval(mean.value, sum(count or 0 for count in counts))
        if interval and mean.value is not None:  # since resampling is in single precision
            interval = Interval(min(interval.low, mean.value), max(interval.high, mean.value))
        cells[name] = MeanScore(mean, interval, marks.get(name), summed)
    return cells


def _single(task: str, scores: Mapping[str, float]) -> Mean:
    """A mean of one task."""
    return Mean(task, scores.get(task), int(task in scores), () if task in scores else (task,))


def _intervals(entries: Sequence[Entry], weights: Weights) -> list[dict[str, Interval]]:
    """Bootstrap intervals by entry and mean, for means of which an entry has the queries of all tasks."""
    drawn: dict[str, stats.Singles] = {}
    having: dict[str, list[int]] = {}
    for name, tasks in weights.items():
        having[name] = [index for index, entry in enumerate(entries) if all(_has(entry, task) for task in tasks)]
        drawn[name] = np.zeros((stats.RESAMPLES, len(having[name])), dtype=np.float32)
    column = {name: {index: place for place, index in enumerate(having[name])} for name in weights}
    for task in dict.fromkeys(task for tasks in weights.values() for task in tasks):
        for key, members in _same_queries(entries, task).items():
            draws = stats.shared_draws(_matrix(entries, members, task), stats.generator("board", task, key))
            for name, tasks in weights.items():
                inside = [place for place, index in enumerate(members) if index in column[name]]
                if task in tasks and inside:
                    to = [column[name][members[place]] for place in inside]
                    drawn[name][:, to] += np.float32(tasks[task]) * draws[:, inside]
    found: list[dict[str, Interval]] = [{} for _ in entries]
    for name, draws in drawn.items():
        if draws.size:
            for index, low, high in zip(having[name], *map(np.ndarray.tolist, stats.percentiles(draws)), strict=True):
                found[index][name] = Interval(low, high)
    return found


def _has(entry: Entry, task: str) -> bool:
    return task in entry.records and entry.records[task].scores is not None


def _same_queries(entries: Sequence[Entry], task: str) -> dict[str, list[int]]:
    """Indexes of the entries that have the same queries of a task in the same order, by data."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, entry in enumerate(entries):
        if _has(entry, task):
            result = entry.records[task].result
            found[f"{result.dataset['digest']} {result.main_metric} {result.num_queries}"].append(index)
    return found


def _matrix(entries: Sequence[Entry], members: Sequence[int], task: str) -> stats.Singles:
    columns = [entries[index].records[task].scores for index in members]
    return np.stack([column for column in columns if column is not None], axis=1)


def _places(
    entries: Sequence[Entry], values: Floats, weights: Mapping[str, float], sizes: Mapping[str, int]
) -> list[RankRange]:
    if not entries:
        return []
    variances = np.zeros((len(entries), len(entries)))
    for task, weight in weights.items():
        variances += weight**2 * _pair_variances(entries, values, task, sizes)
    freedom = sum(min(entry.queries(task, sizes) or 0 for entry in entries) - 1 for task in weights)
    significant = stats.significant_pairs(values, variances, freedom)
    ranges, numbers = stats.rank_ranges(values, significant), stats.groups(values, significant)
    ranks = [1 + int(np.count_nonzero(values > value)) for value in values]
    return [RankRange(rank, *span, group) for rank, span, group in zip(ranks, ranges, numbers, strict=True)]


def _pair_variances(entries: Sequence[Entry], values: Floats, task: str, sizes: Mapping[str, int]) -> Floats:
    """Variances of all pairwise differences on one task, (entries, entries).

    They follow from the queries if both entries have the same ones, else from their numbers. For an entry that only has
    the mean, the mean stands for the task, which can only enlarge the variance. If the number of queries is unknown,
    the variance is infinite, so that no difference is significant.
    """
    single = np.full(len(entries), np.inf)
    for place, (entry, value) in enumerate(zip(entries, values, strict=True)):
        if count := entry.queries(task, sizes):
            single[place] = stats.share_variance(entry.scores.get(task, value), count)
    variances: Floats = single[:, None] + single
    for members in _same_queries(entries, task).values():
        variances[np.ix_(members, members)] = stats.pair_variances(_matrix(entries, members, task))
    return variances
