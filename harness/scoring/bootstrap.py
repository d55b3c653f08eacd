"""How sure a score is: bootstrap intervals over queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
_CELLS = 1 << 22
"""Most values that are resampled at once."""


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def bootstrap(columns: Sequence[Sequence[float]], *, medians: Sequence[bool], seed: int) -> list[Interval]:
    """Percentile intervals for the means (or medians) of several scores of the same queries, resampled together.

    `columns[i][q]` is score i of query q. Efron and Tibshirani, An Introduction to the Bootstrap, section 13.3. The
    resamples follow from `seed` and the number of queries alone.
    """
    values = np.asarray(columns, dtype=np.float64)
    first = values[:, :1]  # taken off while resampling, so that equal scores give exactly that score
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
