"""Confidence intervals, tests and ranks, computed from arrays of scores.

A score is a fraction for one query; higher is better. A difference is a query's score under B minus its score under A,
from -1 to 1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.scoring.bootstrap import Interval

Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]
Bools: TypeAlias = NDArray[np.bool_]

RESAMPLES = 1000
FLIPS = 9999
LEVEL = 0.05
_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


def generator(*names: object) -> np.random.Generator:
    """A generator seeded by the names only, so that a dataset's numbers do not depend on the other datasets."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def shared_draws(values: Singles, random: np.random.Generator) -> Singles:
    """Means of resampled queries, (RESAMPLES, models), from scores (queries, models).

    All models share the resampled queries. So a difference of draws is a draw of the difference, and queries that are
    hard for all models cancel.
    """
    count = len(values)
    chosen = random.integers(0, count, (RESAMPLES, count)) + np.arange(RESAMPLES)[:, None] * count
    weights = np.bincount(chosen.ravel(), minlength=RESAMPLES * count).reshape(RESAMPLES, count)
    first = values[:1]  # subtracted while resampling, so that equal scores give exactly that score
    draws = first + (weights.astype(np.float32) @ (values - first)) / np.float32(count)
    return draws.astype(np.float32, copy=False)


def percentiles(draws: Singles) -> tuple[Floats, Floats]:
    """The lower and the upper ends of the 95 % intervals, each (models,), from draws (RESAMPLES, models)."""
    low, high = (
        np.quantile(draws, (0.025, 0.975), axis=0).astype(np.float64).round(6)
    )  # since draws are single precision
    return low, high


def count_interval(value: float, count: int) -> Interval:
    """Wilson's interval (1927) for a share of `count` queries, where single queries are not known.

    For a mean over datasets with `count` queries in total it is conservative: datasets differ, which narrows the true
    interval.
    """
    centre = (value + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(value * (1 - value) / count + _Z**2 / (4 * count**2))
    return Interval(min(centre - half, value), max(centre + half, value))


def paired_interval(differences: Floats) -> Interval:
    """The interval of the mean difference on one dataset, from differences (queries,).

    Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
    2012. One won and one lost query are added. So the interval of two models that agree on every query has a width.
    Scores other than hits get the same two queries.
    """
    count = len(differences) + 2
    centre = float(differences.sum()) / count
    spread = (float(differences @ differences) + 2) / count - centre**2
    half = _Z * math.sqrt(spread / count)
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def unpaired_interval(a: float, a_count: int, b: float, b_count: int) -> Interval:
    """The interval of b - a for two shares of which only the numbers of queries are known.

    Agresti and Caffo, "Simple and effective confidence intervals for proportions and differences", 2000.
    """
    rates = [((value * count + 1) / (count + 2), count + 2) for value, count in ((a, a_count), (b, b_count))]
    centre = rates[1][0] - rates[0][0]
    half = _Z * math.sqrt(sum(rate * (1 - rate) / count for rate, count in rates))
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def share_variance(value: float, count: int) -> float:
    """The variance of a share of `count` queries, or of their mean score.

    One right and one wrong query are added, so that it is never 0.
    """
    rate = (value * count + 1) / (count + 2)
    return rate * (1 - rate) / count


def resampled(differences: Floats, random: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Means of resampled differences, (resamples,), from differences (queries,).

    They do not depend on the order of the queries. Swapping A and B negates them, unless the mean difference is 0.
    """
    sign = -1.0 if differences.sum() < 0 else 1.0
    values, counts = np.unique(sign * differences, return_counts=True)
    drawn = random.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    means: Floats = sign * (values[0] + drawn @ (values - values[0]) / counts.sum())
    return means


def hierarchical_interval(means: Floats, draws: Floats, random: np.random.Generator) -> Interval | None:
    """The interval of the mean over datasets like these, from means (datasets,) and draws (datasets, resamples).

    Datasets are resampled, and queries within each of them. Plain resampling counts the noise of queries twice and is
    too narrow for a few datasets (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
    So the result is scaled about the mean to the standard error of the datasets' means, times Student's factor.

    Returns None for fewer than three datasets: two that are equal by chance would give an interval without width.
    """
    from scipy import stats

    count, resamples = draws.shape
    if count < 3:
        return None
    chosen = random.integers(0, count, (resamples, count))
    away = draws[chosen, random.integers(0, resamples, (resamples, count))].mean(axis=1) - means.mean()
    spread = float(away.std())
    factor = float(means.std(ddof=1)) / math.sqrt(count) * float(stats.t.ppf(0.975, count - 1)) / _Z
    low, high = (means.mean() + np.quantile(away, (0.025, 0.975)) * (factor / spread if spread else 0.0)).tolist()
    return Interval(max(-1.0, low), min(1.0, high))


def sign_flips(differences: Floats, random: np.random.Generator) -> Floats:
    """Mean differences when A and B swap places at random on each query, (FLIPS,), from differences (queries,).

    Queries with equally large differences are flipped together: the number of plus signs is binomial.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    signed = 2 * random.binomial(counts, 0.5, size=(FLIPS, len(counts))) - counts
    means: Floats = signed @ sizes / len(differences)
    return means


def p_value(flips: Floats, observed: float) -> float:
    """The two-sided p-value of an observed mean difference among sign flips, never 0.

    The observed difference counts as one of the permutations (Phipson and Smyth, 2010).
    """
    slack = 1e-12  # for sums of the same numbers in another order
    return float((1 + np.count_nonzero(np.abs(flips) >= abs(observed) - slack)) / (1 + len(flips)))


def normal_p(difference: float, error: float) -> float:
    """The two-sided p-value of a normally distributed difference with a standard error."""
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


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


def pair_variances(values: Singles) -> Floats:
    """Variances of the mean difference of every two models, (models, models), from scores (queries, models).

    One query without a difference is added, so that a few equal differences do not give a variance of 0.
    """
    count = len(values)
    centred = values - values.mean(axis=1, keepdims=True)
    products = (centred.T @ centred).astype(np.float64)
    sums = centred.sum(axis=0, dtype=np.float64)
    squares = products.diagonal()[:, None] + products.diagonal() - 2 * products
    mean = (sums[:, None] - sums) / (count + 1)
    variances: Floats = np.maximum(squares / (count + 1) - mean**2, 0.0) / count
    return variances


def significant_pairs(scores: Floats, variances: Floats, freedom: int) -> Bools:
    """Which pairs of models differ significantly, (models, models).

    A t-test of each pair with `freedom` degrees of freedom, at 5 % after Holm's correction over all pairs.
    """
    from scipy import stats

    first, second = np.triu_indices(len(scores), 1)
    difference = np.abs(scores[first] - scores[second])
    error = np.sqrt(variances[first, second])
    ratio = np.divide(difference, error, out=np.where(difference > 0, np.inf, 0.0), where=error > 0)
    significant = np.zeros(variances.shape, dtype=np.bool_)
    significant[first, second] = holm(2 * stats.t.sf(ratio, max(freedom, 1))) < LEVEL
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
