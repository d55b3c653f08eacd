"""The differences of all pairs of rows of a board, on each task, in each mean, and over shared tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.results.verified import Outcomes
from harness.scoring.intervals import Floats
from leaderboards import stats
from leaderboards.board.entries import Entry
from leaderboards.stats import Bools, Contrast, Moments


class TaskPairs:
    """The pairs of rows on one task. Rows with the same queries are paired; others have their numbers of queries."""

    def __init__(self, entries: Sequence[Entry], task: str, sizes: Mapping[str, int]) -> None:
        samples = [entry.sample(task, sizes) for entry in entries]
        self.has: Bools = np.array([task in entry.scores for entry in entries])
        self.means: Floats = np.array([entry.scores.get(task, np.nan) for entry in entries])
        self._counts = np.array(
            [
                sample.effective if sample else float(entry.queries(task, sizes) or 0)
                for entry, sample in zip(entries, samples, strict=True)
            ]
        )
        self._blocks = [
            (members, _moments([outcomes for _, outcomes in rows]))
            for rows in _same_queries(entries, task).values()
            for members in [np.array([index for index, _ in rows])]
        ]

    def contrast(self, share: float, instead: Floats | None = None) -> Contrast:
        """The differences, column minus row, (rows, rows).

        Args:
            share: the weight of the task in the mean that the contrast is a part of.
            instead: scores (rows,) for rows that lack the task but print the mean. The mean stands for the task, which
                can only enlarge the variance.

        Where a score or the number of queries is unknown, the variance is infinite and the difference 0.
        """
        means = self.means if instead is None else np.where(self.has, self.means, instead)
        known = np.isfinite(means)
        centre, variance = stats.unpaired(np.where(known, means, 0.0), np.where(known, self._counts, 0.0), share)
        centres, variances = centre[None, :] - centre[:, None], variance[:, None] + variance
        for members, moments in self._blocks:
            found = moments.contrast(share)
            at = np.ix_(members, members)
            centres[at], variances[at] = found.centre, found.variance
        return Contrast(np.where(np.isfinite(variances), centres, 0.0), variances)


def _same_queries(entries: Sequence[Entry], task: str) -> dict[str, list[tuple[int, Outcomes]]]:
    """The rows that have the same queries of a task in the same order, with their outcomes, by data."""
    found: dict[str, list[tuple[int, Outcomes]]] = defaultdict(list)
    for index, entry in enumerate(entries):
        record = entry.records.get(task)
        if record and record.outcomes is not None and task in entry.scores:
            result = record.result
            found[f"{result.dataset['digest']} {result.main_metric} {result.num_queries}"].append(
                (index, record.outcomes)
            )
    return found


def _moments(outcomes: Sequence[Outcomes]) -> Moments:
    values = np.stack([each.scores for each in outcomes], axis=1)
    ties = np.array([each.open.sum() for each in outcomes])
    return Moments.of_all(values, ties, next((each.clusters for each in outcomes if each.clusters is not None), None))


def mean_contrast(tasks: Mapping[str, TaskPairs], weights: Mapping[str, float], printed: Floats) -> Contrast:
    """The differences in a mean over tasks, (rows, rows). `printed` are the rows' means, (rows,), NaN where unknown."""
    parts = [tasks[task].contrast(weight, printed).weighted(weight) for task, weight in weights.items()]
    return Contrast(np.sum([part.centre for part in parts], axis=0), np.sum([part.variance for part in parts], axis=0))


def not_worse(values: Floats, pairs: Contrast) -> list[int]:
    """The rows that are not significantly worse than the best one, tested against it with Holm's correction at 5 %.

    Args:
        values: the score of each row, (rows,), NaN for rows that take no part.
        pairs: the differences, column minus row, (rows, rows).
    """
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return []
    leader = int(there[np.argmax(values[there])])
    rest = there[there != leader]
    adjusted = stats.holm(pairs.p[leader, rest])
    return [leader, *rest[(adjusted >= stats.LEVEL) | (values[rest] == values[leader])].tolist()]


class SharedPairs(NamedTuple):
    """The differences of all pairs over the tasks that both have, column minus row, each (rows, rows)."""

    differences: Floats
    tests: Contrast
    there: Bools
    """Whether the two share a task."""


def shared_pairs(tasks: Mapping[str, TaskPairs], weights: Mapping[str, float]) -> SharedPairs:
    """The differences over shared tasks, in the proportions of the weights of a mean."""
    total: Floats = np.zeros(())
    raw: Floats = np.zeros(())
    centre: Floats = np.zeros(())
    variance: Floats = np.zeros(())
    for task, weight in weights.items():
        pairs = tasks[task]
        both = (pairs.has[:, None] & pairs.has) * weight
        means = np.where(pairs.has, pairs.means, 0.0)
        found = pairs.contrast(1.0)
        raw = raw + both * (means[None, :] - means[:, None])
        centre = centre + both * found.centre
        variance = variance + np.where(both > 0, np.square(weight) * found.variance, 0.0)
        total = total + both
    there = total > 0
    each = np.where(there, total, 1.0)
    variances = np.where(there, variance / np.square(each), np.inf)
    tests = Contrast(np.where(np.isfinite(variances), centre / each, 0.0), variances)
    return SharedPairs(raw / each, tests, there)
