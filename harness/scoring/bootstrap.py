"""Confidence intervals of scores: the bootstrap over queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
_CELLS = 1 << 22
"""Largest number of values that are resampled at once, to bound the memory."""


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def bootstrap(columns: Sequence[Sequence[float]], *, medians: Sequence[bool], seed: int) -> list[Interval]:
    """Returns 95 % percentile intervals for the means (or medians) of several scores of the same queries.

    `columns[i][q]` is score i of query q; `medians[i]` says whether score i is averaged by its median. All scores are
    resampled together. The resamples depend only on `seed` and the number of queries. Source: Efron and Tibshirani, An
    Introduction to the Bootstrap, section 13.3.
    """
    values = np.asarray(columns, dtype=np.float64)
    # Subtracted while resampling. If all scores are equal, the differences are 0 and the interval is exactly the score.
    first = values[:, :1]
    count = values.shape[1]
    generator = np.random.default_rng(seed)
    draws = np.empty((len(values), RESAMPLES))
    step = max(1, _CELLS // max(1, count))
    for start in range(0, RESAMPLES, step):
        chosen = generator.integers(0, count, (min(step, RESAMPLES - start), count))
        for row, median, out in zip(values - first, medians, draws, strict=True):
            out[start : start + step] = (np.median if median else np.mean)(row[chosen], axis=1)
    low, high = first.T + np.quantile(draws, (0.025, 0.975), axis=1)
    return list(map(Interval, low.tolist(), high.tolist()))
