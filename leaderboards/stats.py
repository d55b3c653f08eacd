"""How sure a score, a difference or a rank is. Arrays in, arrays out; knows no result and no model.

Scores are fractions, one for each query, where more is better. A difference is one query's score under B minus that
under A, from -1 to 1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]
Bools: TypeAlias = NDArray[np.bool_]

RESAMPLES = 1000
FLIPS = 9999
LEVEL = 0.05
_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def generator(*names: object) -> np.random.Generator:
    """Random numbers that follow from names alone, so that no dataset's depend on which others are there."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def shared_draws(values: Singles, random: np.random.Generator) -> Singles:
    """Means of resampled queries, (RESAMPLES, models), from (queries, models): all models with the same queries.

    So differences of draws are draws of differences, and queries that are hard for all models cancel.
    """
    count = len(values)
    chosen = random.integers(0, count, (RESAMPLES, count)) + np.arange(RESAMPLES)[:, None] * count
    weights = np.bincount(chosen.ravel(), minlength=RESAMPLES * count).reshape(RESAMPLES, count)
    first = values[:1]  # taken off while resampling, so that equal scores give exactly that score
    draws = first + (weights.astype(np.float32) @ (values - first)) / np.float32(count)
    return draws.astype(np.float32, copy=False)


def percentiles(draws: Singles) -> tuple[Floats, Floats]:
    """The ends of the 95 % interval of each column of (RESAMPLES, models)."""
    low, high = np.quantile(draws, (0.025, 0.975), axis=0).astype(np.float64).round(6)  # draws are single precision
    return low, high


def count_interval(value: float, count: int) -> Interval:
    """Wilson's interval for a share of `count` queries, where no query is known.

    For a mean over datasets with `count` queries in all it is too wide rather than too narrow, since datasets differ.
    """
    centre = (value + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(value * (1 - value) / count + _Z**2 / (4 * count**2))
    return Interval(min(centre - half, value), max(centre + half, value))


def paired_interval(differences: Floats) -> Interval:
    """For the mean difference of one dataset.

    Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", 2012: one query more is taken to be won and one to be lost. Two models that agree on every query so get an
    interval that has a width. For other scores than hits the same two are added.
    """
    count = len(differences) + 2
    centre = float(differences.sum()) / count
    spread = (float(differences @ differences) + 2) / count - centre**2
    half = _Z * math.sqrt(spread / count)
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def unpaired_interval(a: float, a_count: int, b: float, b_count: int) -> Interval:
    """For b - a where only counts are known: Agresti and Caffo, "Simple and effective confidence intervals", 2000."""
    rates = [((value * count + 1) / (count + 2), count + 2) for value, count in ((a, a_count), (b, b_count))]
    centre = rates[1][0] - rates[0][0]
    half = _Z * math.sqrt(sum(rate * (1 - rate) / count for rate, count in rates))
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def share_variance(value: float, count: int) -> float:
    """Of a share of `count` queries, or of their mean score: never 0, since one more may be right and one wrong."""
    rate = (value * count + 1) / (count + 2)
    return rate * (1 - rate) / count


def resampled(differences: Floats, random: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Means of resampled differences, (resamples,). The order of the queries cannot change them.

    A against B gives the mirror image of B against A, unless they are level.
    """
    sign = -1.0 if differences.sum() < 0 else 1.0
    values, counts = np.unique(sign * differences, return_counts=True)
    drawn = random.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    means: Floats = sign * (values[0] + drawn @ (values - values[0]) / counts.sum())
    return means


def hierarchical_interval(means: Floats, draws: Floats, random: np.random.Generator) -> Interval | None:
    """For the mean over datasets like these, from each dataset's mean and its draws (datasets, resamples).

    Datasets are resampled, and within each its queries. That counts the noise of queries twice, and a handful of
    datasets for too sure (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). So the
    result is stretched about the mean to the spread that the datasets show, with Student's factor for their number.
    None for fewer than three datasets: two that differ alike by chance would be certain.
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
    """Mean differences were A and B to change places on each query at random, (FLIPS,).

    Queries whose differences are equally large are flipped together: their signed number is binomial.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    signed = 2 * random.binomial(counts, 0.5, size=(FLIPS, len(counts))) - counts
    means: Floats = signed @ sizes / len(differences)
    return means


def p_value(flips: Floats, observed: float) -> float:
    """Two-sided, with the plus-one rule: what was observed counts as one of the permutations, so that p is never 0."""
    slack = 1e-12  # sums of the same numbers in another order
    return float((1 + np.count_nonzero(np.abs(flips) >= abs(observed) - slack)) / (1 + len(flips)))


def normal_p(difference: float, error: float) -> float:
    """Two-sided, for a difference with a standard error."""
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Adjusted for their number (Holm 1979): those below 0.05 hold all together, whatever depends on what."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def pair_variances(values: Singles) -> Floats:
    """Of the mean difference of every two models on one dataset, (models, models), from (queries, models).

    One query more is taken to make no difference, so that a few equal differences do not look certain.
    """
    count = len(values)
    centred = values - values.mean(axis=1, keepdims=True)
    products = (centred.T @ centred).astype(np.float64)
    sums = centred.sum(axis=0, dtype=np.float64)
    squares = products.diagonal()[:, None] + products.diagonal() - 2 * products
    mean = (sums[:, None] - sums) / (count + 1)
    variances: Floats = np.maximum(squares / (count + 1) - mean**2, 0.0) / count
    return variances


def told_apart(scores: Floats, variances: Floats, freedom: int) -> Bools:
    """Which models differ, (models, models): t-tests of every pair, Holm over all pairs, at 5 %."""
    from scipy import stats

    first, second = np.triu_indices(len(scores), 1)
    difference = np.abs(scores[first] - scores[second])
    error = np.sqrt(variances[first, second])
    ratio = np.divide(difference, error, out=np.where(difference > 0, np.inf, 0.0), where=error > 0)
    apart = np.zeros(variances.shape, dtype=np.bool_)
    apart[first, second] = holm(2 * stats.t.sf(ratio, max(freedom, 1))) < LEVEL
    return apart | apart.T


def rank_ranges(scores: Floats, apart: Bools) -> list[tuple[int, int]]:
    """The ranks that each model may have: below those that are better for certain, above those that are worse.

    All of them hold together with 95 % confidence (Mogstad, Romano, Shaikh and Wilhelm, "Inference for ranks", 2024).
    """
    above = scores[None, :] > scores[:, None]
    better, worse = (apart & above).sum(axis=1), (apart & ~above).sum(axis=1)
    return [(1 + int(up), len(scores) - int(down)) for up, down in zip(better, worse, strict=True)]


def groups(scores: Floats, apart: Bools) -> list[int]:
    """Numbers from 1, best first. A group ends before the first model that differs from the group's best."""
    order = np.argsort(-scores, kind="stable")
    numbers, leader, number = [0] * len(scores), int(order[0]) if len(order) else 0, 1
    for model in order.tolist():
        if apart[leader, model]:
            leader, number = model, number + 1
        numbers[model] = number
    return numbers
