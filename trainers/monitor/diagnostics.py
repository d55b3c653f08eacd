"""Figures about the similarities of positive and negative pairs, which motivate hardness weighting.

Similarities are counted in fine bins, so memory does not grow with the square of the number of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.types import FloatArray

Reals = NDArray[np.float64]

_BINS = 10_001
"""An odd number, so that no round cosine lies on an edge. There the last digit of a float would choose the bin."""
_EDGES: Reals = np.linspace(-1, 1, _BINS + 1)
_CENTRES: Reals = (_EDGES[1:] + _EDGES[:-1]) / 2
_MOST_SHARES = 100
_ROWS = 1024
MOST_SUSPECTED = 20


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution of cosines."""

    count: int
    mean: float
    deviation: float
    low: float
    """The 5 % quantile."""
    median: float
    high: float
    """The 95 % quantile."""
    lowest: float
    highest: float
    shares: tuple[float, ...]
    """The shares of equal bins from the lowest to the highest cosine, which sum to 1.

    By Rice's rule their number is twice the cube root of the count. It is at most 100.
    """


class Suspect(NamedTuple):
    """A negative that may in fact be right."""

    query: int
    negative: int
    """Its index in the targets, or in the pool."""
    excess: float
    """Its cosine minus that of the positive."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Figures of n queries. The target of a query is its positive, and the targets of other pairs are its negatives."""

    positive: Distribution
    negative: Distribution
    overlap: float
    """The area under both densities: 0 if a threshold on the cosine separates them, 1 if they are equal."""
    auc: float
    """The probability that a positive has a higher cosine than a negative of any query. A tie counts half."""
    margin: float
    """The mean over queries of the positive's cosine minus that of the hardest negative."""
    hard: float
    """The share of negatives whose cosine is above that of their query's positive minus `within`."""
    entropy: float
    """The entropy of the weights exp(alpha * cosine) of a query's negatives, divided by its highest possible value.

    It is the mean over queries. 1: all negatives count equally. 0: one negative counts.
    """
    effective: float
    """The number of equally weighted negatives that would have that entropy: the mean over queries."""
    suspects: float
    """The share of negatives whose cosine exceeds their query's positive by more than `beyond`. They may be false."""
    suspected: tuple[Suspect, ...]
    """Up to `MOST_SUSPECTED` of them with the largest excess, in descending order."""
    queries: int
    """The number of queries with at least one negative."""

    def numbers(self) -> dict[str, float]:
        """The figures that a log has, by name."""
        names = ("overlap", "auc", "margin", "hard", "entropy", "effective", "suspects")
        means = {"positive": self.positive.mean, "negative": self.negative.mean}
        return means | {name: float(getattr(self, name)) for name in names}


def diagnose(
    query: FloatArray,
    target: FloatArray,
    *,
    alpha: float = 9.0,
    target_ids: NDArray[np.int64] | None = None,
    pool: FloatArray | None = None,
    wrong: NDArray[np.bool_] | None = None,
    within: float = 0.1,
    beyond: float = 0.1,
) -> Diagnosis:
    """The figures of pairs. For figures by dataset, call it with the pairs of each dataset.

    Args:
        query: (n, d) vectors, which need not have unit length.
        target: (n, d) vectors. Row i is the positive of query i.
        alpha: the hardness weight that `entropy` and `effective` use.
        target_ids: (n,) integers. Targets with equal ids are not each other's negatives.
        pool: (m, d) vectors to take negatives from, instead of the targets of other pairs.
        wrong: (n, m) which vectors of the pool are negatives of each query.
        within: the distance to the positive that makes a negative `hard`.
        beyond: the excess over the positive that makes a negative a suspect.

    Raises:
        UserError: if there is no negative, or a vector is zero or not finite.
    """
    query, target = _unit(query, "query"), _unit(target, "target")
    if query.shape != target.shape:
        raise UserError(
            f"{len(query)} queries and {len(target)} targets are not paired.", "Give each query one target."
        )
    positives = np.einsum("nd,nd->n", query, target).astype(np.float64)
    tally = _Tally(alpha, within, beyond)
    keys = np.arange(len(target)) if target_ids is None else target_ids
    others = target if pool is None else _unit(pool, "pool")
    for rows in _blocks(len(query)):
        negative = keys[rows, None] != keys if wrong is None else wrong[rows]
        tally.add(rows.start, positives[rows], (query[rows] @ others.T).astype(np.float64), negative)
    total = int(tally.counts.sum())
    if not total:
        raise UserError("There is no negative: all pairs have the same target.", "Diagnose more pairs together.")
    right = _count(positives)
    return Diagnosis(
        positive=_distribution(right),
        negative=_distribution(tally.counts),
        overlap=overlap(right, tally.counts),
        auc=_auc(right, tally.counts),
        margin=tally.margin / tally.queries,
        hard=tally.hard / total,
        entropy=tally.entropy / tally.queries,
        effective=tally.effective / tally.queries,
        suspects=tally.suspects / total,
        suspected=tuple(tally.suspected),
        queries=tally.queries,
    )


def overlap(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """The area under both densities of two samples, from 0 to 1. It is symmetric.

    `first` and `second` are counts (bins,) in the same equal bins. The overlap is 1 minus the total variation distance.
    That distance is the excess of one sample's share over the other's, where the one is denser. Smoothing is only used
    to tell where that is. Near a crossing of the densities a wrong choice changes little, so the width of the kernel
    hardly matters.
    """
    one, other = first / first.sum(), second / second.sum()
    count = 1 / (1 / first.sum() + 1 / second.sum())
    # Silverman's rule for the narrower sample; the width for the wider one would blur it
    width = 1.06 * min(_deviation(one), _deviation(other)) * count**-0.2
    apart = one - other
    distance = float(np.sign(_smooth(apart, width)) @ apart) / 2
    return min(max(1 - distance, 0.0), 1.0)


@dataclass(slots=True, eq=False)
class _Tally:
    """Running sums over queries and negatives."""

    alpha: float
    within: float
    beyond: float
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    queries: int = 0
    margin: float = 0.0
    hard: int = 0
    suspects: int = 0
    suspected: list[Suspect] = field(default_factory=list)
    entropy: float = 0.0
    effective: float = 0.0

    def add(self, start: int, positives: Reals, cosines: Reals, wrong: NDArray[np.bool_]) -> None:
        """Adds a block of queries.

        Args:
            start: the index of the first of them.
            positives: (b,) cosines of their positives.
            cosines: (b, m) cosines of all candidates.
            wrong: (b, m) which candidates are negatives.
        """
        chosen = np.flatnonzero(wrong.any(1))
        positives, cosines, wrong = positives[chosen], cosines[chosen], wrong[chosen]
        self.counts += _count(cosines[wrong])
        self.queries += len(positives)
        hardest = np.where(wrong, cosines, -np.inf).max(1, initial=-np.inf)
        self.margin += float((positives - hardest).sum())
        excess = np.where(wrong, cosines - positives[:, None], -np.inf)
        self.hard += int((excess > -self.within).sum())
        self._suspect(excess, start + chosen)
        self._weigh(cosines - hardest[:, None], wrong)

    def _suspect(self, excess: Reals, queries: NDArray[np.int64]) -> None:
        rows, columns = np.nonzero(excess > self.beyond)
        self.suspects += len(rows)
        first = np.argsort(-excess[rows, columns], kind="stable")[:MOST_SUSPECTED]
        found = zip(rows[first], columns[first], strict=True)
        self.suspected += [Suspect(int(queries[row]), int(column), float(excess[row, column])) for row, column in found]
        self.suspected = sorted(self.suspected, key=lambda each: -each.excess)[:MOST_SUSPECTED]

    def _weigh(self, behind: Reals, wrong: NDArray[np.bool_]) -> None:
        """Adds the entropies of the weights. `behind` (b, m) is each cosine minus that of the hardest negative."""
        weights = wrong * np.exp(self.alpha * np.minimum(behind, 0))
        shares = weights / weights.sum(1, keepdims=True)
        entropies = -(shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0)).sum(1)
        negatives = wrong.sum(1)
        highest = np.log(np.maximum(negatives, 2))
        self.entropy += float(np.where(negatives > 1, entropies / highest, 1.0).sum())
        self.effective += float(np.exp(entropies).sum())


def _blocks(count: int) -> Iterator[slice[int, int, None]]:
    for start in range(0, count, _ROWS):
        yield slice(start, min(start + _ROWS, count))


def _unit(vectors: FloatArray, side: str) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        raise UserError(f"The {side} of pair {bad[0]} has a zero or non-finite vector.", "Check the model.")
    return np.asarray(vectors / lengths, np.float32)


def _count(cosines: Reals) -> NDArray[np.int64]:
    places = np.clip(((cosines + 1) * (_BINS / 2)).astype(np.int64), 0, _BINS - 1)
    return np.bincount(places, minlength=_BINS)


def _distribution(counts: NDArray[np.int64]) -> Distribution:
    count, shares = int(counts.sum()), counts / counts.sum()
    below = np.concatenate([[0], shares.cumsum()])
    low, median, high = (float(_CENTRES[np.searchsorted(below[1:], q)]) for q in (0.05, 0.5, 0.95))
    some = np.flatnonzero(counts)
    lowest, highest = float(_EDGES[some[0]]), float(_EDGES[some[-1] + 1])
    edges = np.linspace(lowest, highest, min(math.ceil(2 * count ** (1 / 3)), _MOST_SHARES) + 1)
    coarse = tuple(float(each) for each in np.diff(np.interp(edges, _EDGES, below)))
    return Distribution(count, float(shares @ _CENTRES), _deviation(shares), low, median, high, lowest, highest, coarse)


def _deviation(shares: Reals) -> float:
    return float(np.sqrt(shares @ (_CENTRES - shares @ _CENTRES) ** 2))


def _smooth(values: Reals, width: float) -> Reals:
    """Values (bins,) smoothed by a Gaussian kernel with this standard deviation, by Fourier transform."""
    size = 1 << (2 * _BINS).bit_length()  # at least twice the bins, or one end would leak into the other
    frequencies = np.fft.rfftfreq(size, 2 / _BINS)
    kernel = np.exp(-2 * (np.pi * frequencies * width) ** 2)
    return np.fft.irfft(np.fft.rfft(values, size) * kernel, size)[:_BINS]


def _auc(right: NDArray[np.int64], wrong: NDArray[np.int64]) -> float:
    below = np.cumsum(wrong) - wrong / 2
    return float(right @ below / (right.sum() * wrong.sum()))
