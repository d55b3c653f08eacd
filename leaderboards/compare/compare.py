"""Compares two models: where they differ, by how much, and whether the difference is significant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from harness.errors import UserError
from harness.scoring.bootstrap import Interval
from leaderboards import stats
from leaderboards.board.entries import Entry
from leaderboards.board.standings import mean_weights
from leaderboards.stats import Floats
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
    """The 95 % CI over queries of these datasets. None if the number of queries is not known."""
    hierarchical: Interval | None
    """The 95 % CI of a mean over datasets too. None for fewer than three, or if only means are known."""
    p: float | None
    """The two-sided p-value; None if the number of queries is not known."""
    holm: float | None = None
    """The p-value of a dataset after Holm's correction over all datasets."""
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    """Numbers of queries on which B is better, equal and worse. None if single queries are not known."""

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


class _Share(NamedTuple):
    """A score with its number of queries, for a model whose single queries are not known."""

    rate: float
    queries: int


class _Pair(NamedTuple):
    """The statistics of one dataset: the difference, its variance, its resampled means and its sign flips."""

    difference: Difference
    variance: float
    draws: Floats
    flips: Floats | None
    """None if the queries are not paired."""


def compare(a: Entry, b: Entry, suite: Suite, sizes: Mapping[str, int]) -> Comparison:
    """Compares every dataset and mean that both models have.

    `sizes` are the numbers of queries by task, for entries without per-query scores.

    Raises: UserError if the models have no dataset and no mean in common.
    """
    shared = [task for task in (*suite.tasks, *a.scores) if task in a.scores and task in b.scores]
    tasks = [task for task in dict.fromkeys(shared) if a.metric(task) == b.metric(task)]
    pairs = {task: _pair(a, b, task, sizes) for task in tasks}
    known = {task: pair for task, pair in pairs.items() if pair is not None}
    datasets = [pair.difference for pair in known.values()]
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


def differences(a: Entry, b: Entry, task: str) -> Floats | None:
    """B minus A for each query, (queries,), in the order of the data. None unless both have the same queries."""
    if task not in a.records or task not in b.records:
        return None
    first, second = a.records[task], b.records[task]
    same = first.result.dataset["digest"] == second.result.dataset["digest"]
    if not same or first.scores is None or second.scores is None or len(first.scores) != len(second.scores):
        return None
    return second.scores.astype(np.float64) - first.scores


def _pair(a: Entry, b: Entry, task: str, sizes: Mapping[str, int]) -> _Pair | None:
    found = differences(a, b, task)
    return _unpaired(a, b, task, sizes) if found is None else _paired(a, b, task, found)


def _paired(a: Entry, b: Entry, task: str, found: Floats) -> _Pair:
    flips = stats.sign_flips(found, stats.generator("flips", task))
    difference = Difference(
        task,
        "dataset",
        a.scores[task],
        b.scores[task],
        stats.paired_interval(found),
        None,
        stats.p_value(flips, float(found.mean())),
        wins=int(np.count_nonzero(found > 0)),
        ties=int(np.count_nonzero(found == 0)),
        losses=int(np.count_nonzero(found < 0)),
    )
    draws = stats.resampled(found, stats.generator("draws", task))
    return _Pair(difference, float(found.var()) / len(found), draws, flips)


def _unpaired(a: Entry, b: Entry, task: str, sizes: Mapping[str, int]) -> _Pair | None:
    first, second = _share(a, task, sizes), _share(b, task, sizes)
    if first is None or second is None:
        return None
    interval = stats.unpaired_interval(*first, *second)
    variance = stats.share_variance(*first) + stats.share_variance(*second)
    p = stats.normal_p(second.rate - first.rate, math.sqrt(variance))
    difference = Difference(task, "dataset", first.rate, second.rate, interval, None, p)
    return _Pair(difference, variance, _drawn(first, second, task), None)


def _drawn(first: _Share, second: _Share, task: str) -> Floats:
    """Differences of resampled shares, (RESAMPLES,). Swapping the two negates them."""
    random = stats.generator("draws", task)
    low, high = (
        random.binomial(each.queries, each.rate, stats.RESAMPLES) / each.queries for each in sorted((first, second))
    )
    return high - low if first <= second else low - high


def _share(entry: Entry, task: str, sizes: Mapping[str, int]) -> _Share | None:
    count = entry.queries(task, sizes)
    return _Share(entry.scores[task], count) if count else None


def _means(a: Entry, b: Entry, suite: Suite, pairs: Mapping[str, _Pair], sizes: Mapping[str, int]) -> list[Difference]:
    weights = mean_weights(suite)
    means = []
    if not set(suite.tasks) <= pairs.keys() and pairs:
        means.append(_mean(COMMON, dict.fromkeys(pairs, 1 / len(pairs)), pairs))
    for name, tasks in weights.items():
        if tasks.keys() <= pairs.keys():
            means.append(_mean(name, tasks, pairs))
            continue
        first, second = (_mean_of(entry, name, tasks) for entry in (a, b))
        if first is not None and second is not None:
            means.append(_from_counts(name, first, second, [sizes.get(task, 0) for task in tasks]))
    return sorted(means, key=lambda each: each.name != "overall")


def _mean(name: str, weights: Mapping[str, float], pairs: Mapping[str, _Pair]) -> Difference:
    parts, share = [pairs[task] for task in weights], np.array(list(weights.values()))
    differences = [each.difference for each in parts]
    draws = np.array([each.draws for each in parts])
    a, b = float(share @ [each.a for each in differences]), float(share @ [each.b for each in differences])
    low, high = np.quantile(share @ draws, (0.025, 0.975)).tolist()
    alike = len(set(weights.values())) == 1
    means = np.array([each.value for each in differences])
    wide = stats.hierarchical_interval(means, draws, stats.generator("datasets", name)) if alike else None
    flips = [each.flips for each in parts if each.flips is not None]
    if len(flips) < len(parts):
        error = math.sqrt(share**2 @ [each.variance for each in parts])
        return Difference(name, "mean", a, b, Interval(low, high), wide, stats.normal_p(b - a, error))
    return Difference(
        name,
        "mean",
        a,
        b,
        Interval(low, high),
        wide,
        stats.p_value(share @ np.array(flips), b - a),
        wins=sum(each.wins or 0 for each in differences),
        ties=sum(each.ties or 0 for each in differences),
        losses=sum(each.losses or 0 for each in differences),
    )


def _mean_of(entry: Entry, name: str, tasks: Mapping[str, float]) -> float | None:
    """The mean of the scores if all are known, else the printed mean."""
    if tasks.keys() <= entry.scores.keys():
        return math.fsum(weight * entry.scores[task] for task, weight in tasks.items())
    return entry.published.means.get(name) if entry.published else None


def _from_counts(name: str, a: float, b: float, sizes: Sequence[int]) -> Difference:
    """The difference of two means of which only the numbers of queries are known. Its interval is conservative."""
    if not all(sizes):
        return Difference(name, "mean", a, b, None, None, None)
    count = sum(sizes)
    error = math.sqrt(stats.share_variance(a, count) + stats.share_variance(b, count))
    interval = stats.unpaired_interval(a, count, b, count)
    return Difference(name, "mean", a, b, interval, None, stats.normal_p(b - a, error))


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
    first, second = _share(a, task, sizes), _share(b, task, sizes)
    return first is not None and second is not None and first.queries != second.queries
