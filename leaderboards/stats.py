"""Differences between models: intervals, tests and ranks, in closed form.

A difference is a query's score under B minus its score under A, from -1 to 1. A `Contrast` is an estimate of a mean
difference with its variance. Its interval and its p-value are two views of one test, so they never contradict each
other. The board, `llave compare` and the page use these functions and no others. docs/statistics.md has their error
rates, coverage and power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.scoring.intervals import Clusters, Floats, Interval, SampleMean

Bools: TypeAlias = NDArray[np.bool_]

LEVEL = 0.05
_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""
_ZERO = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Estimated mean differences and their variances. Both arrays have one shape: of one pair, `()`, or of many."""

    centre: Floats
    variance: Floats
    """Infinite if the number of queries is not known."""

    def weighted(self, weight: float | Floats) -> Contrast:
        """The contrast as a part of a weighted mean."""
        return Contrast(self.centre * weight, self.variance * np.square(weight))

    def __add__(self, other: Contrast) -> Contrast:
        """The sum of two independent contrasts."""
        return Contrast(self.centre + other.centre, self.variance + other.variance)

    @property
    def z(self) -> Floats:
        """The differences in units of their standard errors; 0 where the variance is infinite."""
        ratios: Floats = np.asarray(self.centre / np.sqrt(np.maximum(self.variance, _ZERO**2)))
        return ratios

    @property
    def p(self) -> Floats:
        """The two-sided p-values. They are below 0.05 where the interval excludes 0."""
        from scipy import special

        return np.asarray(special.erfc(np.abs(self.z) / math.sqrt(2)))

    @property
    def interval(self) -> Interval:
        """The 95 % interval of a contrast of one pair."""
        centre, half = float(self.centre), _Z * math.sqrt(float(self.variance))
        return Interval(max(-1.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over the differences on one dataset: of one pair, arrays `()`, or of all pairs of many models."""

    total: Floats
    """The sum of the differences of queries."""
    second: Floats
    """The sum of the expected squares of the differences of clusters."""
    fourth: Floats
    """The sum of their expected fourth powers, where a tied query counts at most 1."""
    queries: int
    clusters: int

    @staticmethod
    def of_pair(differences: Floats, ties: Floats, clusters: Clusters | None) -> Moments:
        """The moments of one pair.

        Args:
            differences: of each query, `(queries,)`.
            ties: variances of the outcomes of both models that ties leave open, `(queries,)`.
            clusters: the cluster of each query. None: each query is one of its own.
        """
        sums = differences if clusters is None else np.bincount(clusters, differences)
        squares, open_ = np.square(sums), ties.sum()
        second, fourth = (np.asarray(each.sum() + open_) for each in (squares, np.square(squares)))
        return Moments(np.asarray(differences.sum()), second, fourth, len(differences), len(sums))

    @staticmethod
    def of_all(values: Floats, ties: Floats, clusters: Clusters | None) -> Moments:
        """The moments of all pairs, column minus row, `(models, models)`.

        Args:
            values: scores, `(queries, models)`.
            ties: the sum over queries of the variances of open outcomes, `(models,)`.
            clusters: the cluster of each query. None: each query is one of its own.
        """
        sums = values if clusters is None else _cluster_sums(values, clusters)
        totals = sums.sum(axis=0)
        sums = sums - sums.mean(axis=1, keepdims=True)  # for the precision of small differences
        second, third = np.square(sums), sums**3
        open_ = ties[:, None] + ties
        squares, fourths = second.sum(axis=0), np.square(second).sum(axis=0)
        apart = squares[:, None] + squares - 2 * _even(sums.T @ sums)
        mixed = third.T @ sums
        further = fourths[:, None] + fourths + 6 * _even(second.T @ second) - 4 * (mixed + mixed.T)
        return Moments(
            totals[None, :] - totals[:, None],
            apart.clip(0.0) + open_,
            further.clip(0.0) + open_,
            len(values),
            len(sums),
        )

    def contrast(self, share: float = 1.0) -> Contrast:
        """The mean difference, with one won and one lost cluster added, each with the weight `share`.

        In a mean over datasets `share` is the weight of the dataset, so that one of each is added to the whole mean.
        Source: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
        paired data", 2012. For graded scores the added clusters are as large as the differences that occur.
        """
        size = self.queries / self.clusters
        known = self.second > _ZERO * self.queries
        added = np.where(known, self.fourth / np.where(known, self.second, 1.0), size**2)
        count = self.queries + 2 * share * size
        centre = self.total / count
        variance = (self.second + 2 * share * added) / count**2 - centre**2 / (self.clusters + 2 * share)
        return Contrast(np.asarray(centre), np.asarray(variance))


def _cluster_sums(values: Floats, clusters: Clusters) -> Floats:
    sums = np.zeros((int(clusters.max()) + 1, values.shape[1]))
    np.add.at(sums, clusters, values)
    return sums


def _even(products: Floats) -> Floats:
    """A symmetric matrix whose halves may differ in their last bits, made exactly symmetric."""
    return (products + products.T) / 2


def unpaired(means: Floats, counts: Floats, share: float = 1.0) -> tuple[Floats, Floats]:
    """The estimates and variances of single means, for models whose queries are not paired; arrays of one shape.

    `counts` are effective numbers of queries; infinite variances where they are 0, that is not known. One hit and one
    miss are added to each mean with the weight `share`. Source: Agresti and Caffo, "Simple and effective confidence
    intervals for proportions and differences", 2000.
    """
    total = counts + 2 * share
    centre = (means * counts + share) / total
    variance = np.where(counts > 0, centre.clip(0.0) * (1 - centre) / total, np.inf)
    return centre, variance


def unpaired_contrast(a: SampleMean, b: SampleMean, share: float = 1.0) -> Contrast:
    """The difference b - a of two means whose queries are not paired."""
    means, counts = (np.array(each) for each in ((a.mean, b.mean), (a.effective, b.effective)))
    centre, variance = unpaired(means, counts, share)
    return Contrast(np.asarray(centre[1] - centre[0]), np.asarray(variance.sum()))


def over_datasets(differences: Sequence[float], within: Interval) -> Interval | None:
    """The interval of the mean over other datasets like these, from the mean differences of the datasets.

    Student's interval over the datasets, but at least as wide as the interval `within` these datasets. None for fewer
    than three. It covers less than 95 % if a few datasets have a large effect and the others none.
    """
    if len(differences) < 3:
        return None
    return _around(differences, max(_half_of_student(differences), (within.high - within.low) / 2))


def over_seeds(differences: Sequence[float]) -> Interval | None:
    """Student's interval of the mean difference over other seeds. None for fewer than two, and where all are equal."""
    if len(set(differences)) < 2:
        return None
    return _around(differences, _half_of_student(differences))


def _around(differences: Sequence[float], half: float) -> Interval:
    """The mean of differences of fractions, give or take a half width."""
    mean = float(np.mean(differences))
    return Interval(max(-1.0, mean - half), min(1.0, mean + half))


def _half_of_student(values: Sequence[float]) -> float:
    """Half the width of Student's 95 % interval of a mean."""
    from scipy import stats

    return float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)) / math.sqrt(len(values))


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """P-values adjusted for their number (Holm, 1979), in the same order.

    The family-wise error rate is controlled, whatever the dependence between the tests.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def significant_pairs(pairs: Contrast) -> Bools:
    """Which pairs of models differ significantly, (models, models): at 5 % after Holm's correction over all pairs."""
    p = pairs.p
    first, second = np.triu_indices(len(p), 1)
    significant = np.zeros(p.shape, dtype=np.bool_)
    significant[first, second] = holm(p[first, second]) < LEVEL
    return significant | significant.T


def rank_ranges(scores: Floats, significant: Bools) -> list[tuple[int, int]]:
    """The best and the worst rank of each model that the tests allow, from 1.

    A model ranks below all that are significantly better and above all that are significantly worse. All ranges hold
    together with 95 % confidence (Mogstad, Romano, Shaikh and Wilhelm, "Inference for ranks", 2024).
    """
    above = scores[None, :] > scores[:, None]
    better, worse = (significant & above).sum(axis=1), (significant & ~above).sum(axis=1)
    return [(1 + int(up), len(scores) - int(down)) for up, down in zip(better, worse, strict=True)]


def groups(scores: Floats, significant: Bools) -> list[int]:
    """The group of each model, from 1 for the best.

    A group ends before the first model that differs significantly from the group's best.
    """
    order = np.argsort(-scores, kind="stable")
    numbers, leader, number = [0] * len(scores), int(order[0]) if len(order) else 0, 1
    for model in order.tolist():
        if significant[leader, model]:
            leader, number = model, number + 1
        numbers[model] = number
    return numbers
