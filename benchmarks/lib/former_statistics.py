"""The intervals and tests of version 0.1, as the baseline of `error_rates.py`: bootstrap, sign flips, paired t-test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
_Z = float(stats.norm.ppf(0.975))
_FLIPS, _RESAMPLES = 9999, 1000


def bootstrap(values: Floats, random: np.random.Generator) -> tuple[float, float]:
    """The percentile interval of a mean, from resamples of scores (queries,)."""
    found, counts = np.unique(values, return_counts=True)
    drawn = random.multinomial(len(values), counts / len(values), size=_RESAMPLES)
    low, high = np.quantile(drawn @ found / len(values), (0.025, 0.975))
    return float(low), float(high)


def bootstrap_of_share(rate: Floats, queries: int) -> tuple[Floats, Floats]:
    """The percentile intervals of shares of hits after infinitely many resamples."""
    low, high = (stats.binom.ppf(end, queries, rate) / queries for end in (0.025, 0.975))
    return low, high


def flips_p(differences: Floats, random: np.random.Generator) -> float:
    """The two-sided p-value of sign flips of differences (queries,)."""
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    signed = 2 * random.binomial(counts, 0.5, size=(_FLIPS, len(counts))) - counts
    flips, observed = signed @ sizes / len(differences), abs(differences.mean())
    return float((1 + np.count_nonzero(np.abs(flips) >= observed - 1e-12)) / (1 + _FLIPS))


def paired_interval(differences: Floats) -> tuple[float, float]:
    """Bonett and Price's interval of a mean difference, for hits; the former code used it for all scores."""
    count = len(differences) + 2
    centre = float(differences.sum()) / count
    half = _Z * ((float(differences @ differences) + 2) / count - centre**2) ** 0.5 / count**0.5
    return centre - half, centre + half


def t_test_p(differences: Floats) -> float:
    """The two-sided p-value of the board's paired t-test, with one query without a difference added."""
    count = len(differences)
    shift = float(differences.sum()) / (count + 1)
    square = float(differences @ differences) / (count + 1)
    error = (max(square - shift**2, 0.0) / count) ** 0.5
    if error == 0:
        return 1.0 if differences.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(differences.mean()) / error, count - 1))


def over_datasets(differences: Floats, draws: Floats, random: np.random.Generator) -> tuple[float, float]:
    """The interval over datasets, from their mean differences (datasets,) and draws (datasets, resamples)."""
    count, resamples = draws.shape
    chosen = random.integers(0, count, (resamples, count))
    away = draws[chosen, random.integers(0, resamples, (resamples, count))].mean(axis=1) - differences.mean()
    spread = float(away.std())
    factor = float(differences.std(ddof=1)) / count**0.5 * float(stats.t.ppf(0.975, count - 1)) / _Z
    low, high = differences.mean() + np.quantile(away, (0.025, 0.975)) * (factor / spread if spread else 0.0)
    return float(low), float(high)
