"""Compares two models: where they differ, by how much, and whether the difference is significant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from harness.errors import UserError
from harness.scoring.intervals import Floats, Interval, SampleMean
from leaderboards import stats
from leaderboards.board.entries import Entry
from leaderboards.board.standings import mean_weights
from leaderboards.stats import Contrast, Moments
from leaderboards.tables import some
from tasks.suites import Suite

COMMON = "common datasets"
"""The mean over the datasets that both models have, if these are not the whole suite."""


@dataclass(frozen=True, slots=True)
class Difference:
    """B minus A on a dataset, or in a mean over datasets. All values are fractions."""

    name: str
    kind: Literal["dataset", "mean"]
    a: float
    b: float
    interval: Interval | None
    """The 95 % CI for other queries of these datasets. None if the number of queries is not known."""
    over_datasets: Interval | None
    """The 95 % CI for other datasets too. None for fewer than three, for other means, or if only means are known."""
    p: float | None
    """The two-sided p-value of the test that gives `interval`; None if the number of queries is not known."""
    holm: float | None = None
    """The p-value of a dataset after Holm's correction over all datasets."""
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    """Numbers of queries on which B is certainly better, neither, and certainly worse. None if they are not known."""
    queries: int | None = None
    clusters: int | None = None
    """Numbers of queries, and of clusters of queries that belong together. None if single queries are not known."""

    @property
    def value(self) -> float:
        """B minus A."""
        return self.b - self.a

    @property
    def paired(self) -> bool:
        """Whether the test pairs the two models' queries."""
        return self.wins is not None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The differences between two models, B minus A."""

    a: Entry
    b: Entry
    datasets: tuple[Difference, ...]
    means: tuple[Difference, ...]
    """Means, beginning with the headline: `overall`, or else the common datasets."""
    caveats: tuple[str, ...]
    """Notes on datasets that one model lacks, different metrics or protocols, and different data."""

    @property
    def headline(self) -> Difference:
        """The main difference: of `overall`, or else of the common datasets."""
        return self.means[0]

    def regressions(self, points: float) -> list[Difference]:
        """The differences whose whole 95 % CI is below minus `points` percent: the headline, then datasets.

        A dataset must also be significant after Holm's correction, since there are many.
        """
        significant = [each for each in self.datasets if each.holm is not None and each.holm < stats.LEVEL]
        return [each for each in (self.headline, *significant) if each.interval and each.interval.high < -points / 100]


class _Queries(NamedTuple):
    """What two models have to the same queries of a dataset, each (queries,)."""

    differences: Floats
    """B minus A."""
    open: Floats
    """The variances of the outcomes that ties leave open."""
    moments: Moments

    @property
    def certain(self) -> Floats:
        """The differences, 0 where a tie leaves one of the outcomes open."""
        certain: Floats = np.where(self.open > 0, 0.0, self.differences)
        return certain


class _Pair(NamedTuple):
    """One dataset: both scores, and the queries if both models have the same ones."""

    name: str
    a: SampleMean
    b: SampleMean
    queries: _Queries | None

    def contrast(self, share: float = 1.0) -> Contrast:
        if self.queries is not None:
            return self.queries.moments.contrast(share)
        return stats.unpaired_contrast(self.a, self.b, share)

    @property
    def counts(self) -> dict[str, int]:
        if self.queries is None:
            return {}
        certain, moments = self.queries.certain, self.queries.moments
        won, lost = int(np.count_nonzero(certain > 0)), int(np.count_nonzero(certain < 0))
        ties = len(certain) - won - lost
        return {"wins": won, "ties": ties, "losses": lost, "queries": moments.queries, "clusters": moments.clusters}

    def difference(self) -> Difference:
        found = self.contrast()
        return Difference(
            self.name, "dataset", self.a.mean, self.b.mean, found.interval, None, float(found.p), **self.counts
        )


def compare(a: Entry, b: Entry, suite: Suite, sizes: Mapping[str, int]) -> Comparison:
    """Compares every dataset and mean that both models have.

    `sizes` are the numbers of queries by task, for entries without per-query scores.

    Raises: UserError if the models have no dataset and no mean in common.
    """
    shared = [task for task in (*suite.tasks, *a.scores) if task in a.scores and task in b.scores]
    tasks = [task for task in dict.fromkeys(shared) if a.metric(task) == b.metric(task)]
    pairs = {task: _pair(a, b, task, sizes) for task in tasks}
    known = {task: pair for task, pair in pairs.items() if pair is not None}
    datasets = [pair.difference() for pair in known.values()]
    adjusted = stats.holm([each.p if each.p is not None else 1.0 for each in datasets])
    means = _means(a, b, suite, known, sizes)
    if not means:
        raise UserError(f"{a.label} and {b.label} share no dataset and no mean.", "Evaluate both on one suite.")
    return Comparison(
        a,
        b,
        tuple(replace(each, holm=float(p)) for each, p in zip(datasets, adjusted, strict=True)),
        tuple(means),
        tuple(_caveats(a, b, known, sizes)),
    )


def _same_queries(a: Entry, b: Entry, task: str) -> _Queries | None:
    """The queries of a task, in the order of the data. None unless both models have the same ones."""
    if task not in a.records or task not in b.records:
        return None
    first, second = a.records[task], b.records[task]
    one, two = first.outcomes, second.outcomes
    same = first.result.dataset["digest"] == second.result.dataset["digest"]
    if not same or one is None or two is None or len(one.scores) != len(two.scores):
        return None
    differences, variances = two.scores - one.scores, one.open + two.open
    clusters = one.clusters if one.clusters is not None else two.clusters
    return _Queries(differences, variances, Moments.of_pair(differences, variances, clusters))


def certain_differences(a: Entry, b: Entry, task: str) -> Floats | None:
    """B minus A for each query, (queries,), in the order of the data; 0 where a tie leaves an outcome open.

    None unless both models have the same queries.
    """
    found = _same_queries(a, b, task)
    return None if found is None else found.certain


def _pair(a: Entry, b: Entry, task: str, sizes: Mapping[str, int]) -> _Pair | None:
    first, second = a.sample(task, sizes), b.sample(task, sizes)
    if first is None or second is None:
        return None
    return _Pair(task, first, second, _same_queries(a, b, task))


def _means(a: Entry, b: Entry, suite: Suite, pairs: Mapping[str, _Pair], sizes: Mapping[str, int]) -> list[Difference]:
    weights = mean_weights(suite)
    means = []
    if not set(suite.tasks) <= pairs.keys() and pairs:
        means.append(_mean(COMMON, dict.fromkeys(pairs, 1 / len(pairs)), pairs))
    for name, tasks in weights.items():
        if tasks.keys() <= pairs.keys():
            means.append(_mean(name, tasks, pairs))
            continue
        first, second = (mean_of(entry, name, tasks) for entry in (a, b))
        if first is not None and second is not None:
            means.append(_from_counts(name, first, second, [sizes.get(task, 0) for task in tasks]))
    return sorted(means, key=lambda each: each.name != "overall")


def _mean(name: str, weights: Mapping[str, float], pairs: Mapping[str, _Pair]) -> Difference:
    parts = [(pairs[task], weight) for task, weight in weights.items()]
    found = [pair.contrast(weight).weighted(weight) for pair, weight in parts]
    whole = sum(found[1:], found[0])
    a, b = (math.fsum(weight * getattr(pair, side).mean for pair, weight in parts) for side in "ab")
    alike = len(set(weights.values())) == 1
    wide = stats.over_datasets([pair.b.mean - pair.a.mean for pair, _ in parts], whole.interval) if alike else None
    counts = [pair.counts for pair, _ in parts]
    summed = {key: sum(each[key] for each in counts) for key in counts[0]} if all(counts) else {}
    return Difference(name, "mean", a, b, whole.interval, wide, float(whole.p), **summed)


def mean_of(entry: Entry, name: str, tasks: Mapping[str, float]) -> float | None:
    """A mean of one model: of its scores if all are known, else the printed mean."""
    if tasks.keys() <= entry.scores.keys():
        return math.fsum(weight * entry.scores[task] for task, weight in tasks.items())
    return entry.published.means.get(name) if entry.published else None


def _from_counts(name: str, a: float, b: float, sizes: Sequence[int]) -> Difference:
    """The difference of two means of which only the numbers of queries are known. Its interval is conservative."""
    if not all(sizes):
        return Difference(name, "mean", a, b, None, None, None)
    found = stats.unpaired_contrast(SampleMean.of_count(a, sum(sizes)), SampleMean.of_count(b, sum(sizes)))
    return Difference(name, "mean", a, b, found.interval, None, float(found.p))


def _caveats(a: Entry, b: Entry, pairs: Mapping[str, _Pair], sizes: Mapping[str, int]) -> list[str]:
    lines = []
    for entry, other in ((a, b), (b, a)):
        only = [task for task in entry.scores if task not in other.scores]
        if only and other.scores:
            lines.append(f"Only {entry.label} has {some(only)}.")
    both = [task for task in a.scores if task in b.scores and task not in pairs]
    lines += [f"Not compared, for different metrics or unknown numbers of queries: {some(both)}."] if both else []
    rules = [" and ".join(sorted(entry.protocols)) for entry in (a, b)]
    lines += [f"The protocols differ: {rules[0]}; {rules[1]}."] if rules[0] != rules[1] else []
    unlike = [task for task in pairs if _sizes_differ(a, b, task, sizes)]
    lines += [f"The numbers of queries differ, so these are hardly comparable: {some(unlike)}."] if unlike else []
    return lines


def _sizes_differ(a: Entry, b: Entry, task: str, sizes: Mapping[str, int]) -> bool:
    """Whether the numbers of queries differ. A printed score counts as one of the whole benchmark."""
    first, second = a.sample(task, sizes), b.sample(task, sizes)
    return first is not None and second is not None and first.queries != second.queries
