"""How similar right and wrong pairs are to an embedder: the observation behind hardness weighting, in numbers.

Similarities are counted in fine bins, so memory does not grow with the square of the pairs.
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
"""Odd, so that no round cosine lies on an edge, where the last digit of a float would choose the bin."""
_EDGES: Reals = np.linspace(-1, 1, _BINS + 1)
_CENTRES: Reals = (_EDGES[1:] + _EDGES[:-1]) / 2
_MOST_SHARES = 100
_ROWS = 1024
MOST_SUSPECTED = 20


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of cosines."""

    count: int
    mean: float
    deviation: float
    low: float
    """5 % are lower."""
    median: float
    high: float
    """5 % are higher."""
    lowest: float
    highest: float
    shares: tuple[float, ...]
    """Of equal bins from the lowest to the highest, in order; they sum to 1. By Rice's rule there are twice the cube
    root of the count, 100 at most."""


class Suspect(NamedTuple):
    """A negative that may be right as well."""

    query: int
    negative: int
    """Which target, or which of the pool."""
    excess: float
    """By how much its cosine is above the positive's."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Of n queries, each with its target as its positive and the targets of the other pairs as its negatives."""

    positive: Distribution
    negative: Distribution
    overlap: float
    """The area under both densities: 0 if a threshold on the cosine parts them, 1 if they are the same."""
    auc: float
    """The chance that a positive is more similar than a negative of any query; half of a tie."""
    margin: float
    """The mean over queries of the positive's cosine less that of the hardest negative."""
    hard: float
    """The share of negatives that come within `within` of their query's positive, or above it."""
    entropy: float
    """Of the weights exp(alpha * cosine) over a query's negatives: the mean over queries, divided by its highest
    possible value. 1: all count alike; 0: one counts."""
    effective: float
    """How many equally weighted negatives have that entropy: the mean over queries."""
    suspects: float
    """The share of negatives more similar than their query's positive by more than `beyond`: false ones, perhaps."""
    suspected: tuple[Suspect, ...]
    """The first of them, by excess."""
    queries: int
    """Those with at least one negative."""

    def numbers(self) -> dict[str, float]:
        """For a log."""
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
    """What is above, for vectors (n, d) of any length but zero, paired row by row.

    Targets with equal `target_ids` (n,) are not each other's negatives. Or `wrong` (n, m) says which vectors of a
    `pool` (m, d) are a query's negatives, in place of the targets of the other pairs. For figures by dataset, call it
    with each one's pairs. Raises UserError where there is no negative at all, or a vector has no direction.
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
        raise UserError("There is no negative: no two pairs have different targets.", "Diagnose more pairs together.")
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
    """The area under both densities of two samples, counted in the same equal bins: from 0 to 1, and symmetric.

    It is 1 less the total variation distance: how much more of the one sample than of the other lies where the one is
    denser. Smoothing tells where that is, and only that: near a crossing a wrong choice costs next to nothing, so the
    width of the kernel hardly matters.
    """
    one, other = first / first.sum(), second / second.sum()
    count = 1 / (1 / first.sum() + 1 / second.sum())
    # The rule of Silverman, for the narrower sample: a kernel fit for the wider would blur it.
    width = 1.06 * min(_deviation(one), _deviation(other)) * count**-0.2
    apart = one - other
    distance = float(np.sign(_smooth(apart, width)) @ apart) / 2
    return min(max(1 - distance, 0.0), 1.0)


@dataclass(slots=True, eq=False)
class _Tally:
    """Sums over queries and negatives."""

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
        """Counts queries from `start` on."""
        asked = np.flatnonzero(wrong.any(1))
        positives, cosines, wrong = positives[asked], cosines[asked], wrong[asked]
        self.counts += _count(cosines[wrong])
        self.queries += len(positives)
        hardest = np.where(wrong, cosines, -np.inf).max(1, initial=-np.inf)
        self.margin += float((positives - hardest).sum())
        excess = np.where(wrong, cosines - positives[:, None], -np.inf)
        self.hard += int((excess > -self.within).sum())
        self._suspect(excess, start + asked)
        self._weigh(cosines - hardest[:, None], wrong)

    def _suspect(self, excess: Reals, queries: NDArray[np.int64]) -> None:
        rows, columns = np.nonzero(excess > self.beyond)
        self.suspects += len(rows)
        first = np.argsort(-excess[rows, columns], kind="stable")[:MOST_SUSPECTED]
        found = zip(rows[first], columns[first], strict=True)
        self.suspected += [Suspect(int(queries[row]), int(column), float(excess[row, column])) for row, column in found]
        self.suspected = sorted(self.suspected, key=lambda each: -each.excess)[:MOST_SUSPECTED]

    def _weigh(self, behind: Reals, wrong: NDArray[np.bool_]) -> None:
        """Counts the entropy of the weights; `behind` is each cosine less its query's highest."""
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
        raise UserError(f"The {side} of pair {bad[0]} has a zero or non-finite vector.", "Look at what embeds it.")
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
    """With a Gaussian kernel of this standard deviation, by its Fourier transform."""
    size = 1 << (2 * _BINS).bit_length()  # twice the bins at least, or one end would run into the other
    frequencies = np.fft.rfftfreq(size, 2 / _BINS)
    kernel = np.exp(-2 * (np.pi * frequencies * width) ** 2)
    return np.fft.irfft(np.fft.rfft(values, size) * kernel, size)[:_BINS]


def _auc(right: NDArray[np.int64], wrong: NDArray[np.int64]) -> float:
    below = np.cumsum(wrong) - wrong / 2
    return float(right @ below / (right.sum() * wrong.sum()))
