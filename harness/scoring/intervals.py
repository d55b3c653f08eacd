"""95 % confidence intervals of scores, in closed form: of a mean over queries, over datasets, and of a median.

A score of a query is a fraction from 0 to 1. If a right candidate is tied, it is an expectation `e` over random orders
of the tied candidates. The outcome of one order then has the variance `e * (1 - e)`. Queries of one cluster, such as
the captions of one picture, are not independent. Both enter the design effect of a `SampleMean`, and with it the
interval. docs/statistics.md has the coverage of each interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Clusters: TypeAlias = NDArray[np.int32]
"""The number of each query's cluster, (queries,), from 0."""

_TAIL = 0.025
_PRIOR = 2.0
"""Clusters that are added with the largest design effect, so that equal scores give an interval with a width."""
_ZERO = 1e-12
_STEPS = 30


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SampleMean:
    """The mean of a score from 0 to 1 over queries, with what its interval needs."""

    mean: float
    queries: int
    clusters: int
    effect: float = 1.0
    """The design effect: the variance of the mean, as a multiple of `mean * (1 - mean) / queries`."""

    @staticmethod
    def of_count(mean: float, queries: int) -> SampleMean:
        """A sample of which only the mean and the number of queries are known."""
        return SampleMean(mean, queries, queries)

    @staticmethod
    def of(
        values: Floats,
        tied: NDArray[np.bool_] | None = None,
        clusters: Clusters | None = None,
        further: float = 0.0,
    ) -> SampleMean:
        """The sample of scores `(queries,)`.

        Args:
            values: the score of each query.
            tied: whether it is an expectation over tied candidates. None: no score is.
            clusters: the cluster of each query. None: each query is one of its own.
            further: variance of the mean from another source, such as the seeds of an algorithm.

        For hits of unrelated queries the design effect is 1, whatever is tied. For graded scores it is less. Source:
        Kish, Survey Sampling, 1965, section 8.2; the variance of clusters is that of Liang and Zeger, 1986.
        """
        count, mean = len(values), float(values.mean())
        groups = np.arange(count) if clusters is None else clusters
        sizes = np.bincount(groups)
        sums = np.bincount(groups, values - mean)
        most = float(sizes @ sizes) / count
        binomial = count * mean * (1 - mean)
        if binomial <= _ZERO * count:
            return SampleMean(mean, count, len(sizes), most)
        ties = 0.0 if tied is None else float((values * (1 - values))[tied].sum())
        ratio = (float(sums @ sums) + ties + further * count**2) / binomial
        return SampleMean(mean, count, len(sizes), (len(sizes) * ratio + _PRIOR * most) / (len(sizes) + _PRIOR))

    @property
    def effective(self) -> float:
        """The number of unrelated hits that would give the mean the same variance."""
        return self.queries / self.effect

    @property
    def interval(self) -> Interval:
        """The interval of the mean."""
        return intervals([self])[0]


def intervals(samples: Sequence[SampleMean]) -> list[Interval]:
    """The intervals of several means, which take little longer than one."""
    ends = share_intervals(np.array([each.mean for each in samples]), np.array([each.effective for each in samples]))
    return [Interval(float(low), float(high)) for low, high in zip(*ends, strict=True)]


def share_intervals(means: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """The ends of the intervals of shares of `counts` unrelated queries; all arrays are of one shape.

    The mid-P interval: Lancaster 1961; Berry and Armitage, "Mid-P confidence intervals: a brief review", 1995. Counts
    need not be whole. It has a width for a share of 0 and of 1 too: of 0 of 100 it is 0 to 3.0 %. A mean below 0, which
    some scores of clusters have, is the lower end itself.
    """
    low, high = np.split(_lower(np.concatenate([means, 1.0 - means]), np.concatenate([counts, counts])), 2)
    return np.minimum(low, means), 1.0 - high


def _lower(means: Floats, counts: Floats) -> Floats:
    """The lower ends, by bisection between the exact lower limit of Clopper and Pearson and the next one."""
    from scipy import special

    hits = means * counts
    inside = hits > _ZERO * counts
    hits, misses = np.where(inside, hits, 1.0), np.where(inside, counts - hits, 1.0).clip(0.0)
    some = misses > _ZERO * counts
    low = special.betaincinv(hits, misses + 1, _TAIL)
    high = np.where(some, special.betaincinv(hits + 1, np.where(some, misses, 1.0), _TAIL), 1.0)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = np.where(some, special.betainc(hits + 1, np.where(some, misses, 1.0), middle), 0.0)
        over = special.betainc(hits, misses + 1, middle) + above > 2 * _TAIL
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    ends: Floats = np.where(inside, low, 0.0)
    return ends


def pooled(samples: Sequence[SampleMean], weights: Sequence[float]) -> SampleMean:
    """A weighted mean of samples, such as the mean over datasets, as one sample. The weights add up to 1.

    Its design effect is that of the number of unrelated hits which would give the mean the same variance. One hit and
    one miss, spread by weight, enter each variance. So datasets that are solved or failed completely are not certain.
    """
    share = np.asarray(weights, dtype=np.float64)
    mean = np.array([each.mean for each in samples])
    count = np.array([each.effective for each in samples])
    near = ((mean * count + share) / (count + 2 * share)).clip(_ZERO)
    centre = float(share @ near)
    worth = centre * (1 - centre) / float(share**2 @ (near * (1 - near) / count))
    queries, clusters = (sum(getattr(each, name) for each in samples) for name in ("queries", "clusters"))
    return SampleMean(float(share @ mean), queries, clusters, queries / worth)


def median_interval(values: Floats, clusters: Clusters | None = None) -> Interval:
    """The interval of a median: the quantiles at the ends of the interval of a share of one half.

    Source: Woodruff, "Confidence intervals for medians and other position measures", 1952.
    """
    return quantiles(values, half_of(values, clusters).interval)


def half_of(values: Floats, clusters: Clusters | None = None) -> SampleMean:
    """A share of one half of the values, with the variance of the share that is not above their median."""
    sample = SampleMean.of((values <= np.median(values)).astype(np.float64), clusters=clusters)
    effect = 1.0 if clusters is None else max(sample.effect, 1.0)
    return SampleMean(0.5, len(values), sample.clusters, effect)


def quantiles(values: Floats, shares: Interval) -> Interval:
    """The values that these shares of them do not exceed, rounded outwards."""
    ordered = np.sort(values)
    first = max(int(np.floor(shares.low * len(values))), 0)
    last = min(int(np.ceil(shares.high * len(values))), len(values) - 1)
    return Interval(float(ordered[first]), float(ordered[last]))
