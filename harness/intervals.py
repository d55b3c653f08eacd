"""How sure a score is: bootstrap intervals over queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
_CELLS = 1 << 22


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
    count = values.shape[1]
    generator = np.random.default_rng(seed)
    draws: list[list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]] = [[] for _ in columns]
    step = max(1, _CELLS // max(1, count))
    for start in range(0, RESAMPLES, step):
        chosen = generator.integers(0, count, (min(step, RESAMPLES - start), count))
        for index, row in enumerate(values):
            resampled = row[chosen]
            draws[index].append(np.median(resampled, axis=1) if medians[index] else resampled.mean(axis=1))
    return [Interval(*map(float, np.quantile(np.concatenate(each), (0.025, 0.975)))) for each in draws]
