"""The one rank function: where a query's right candidates come out among its candidates.

A score is the exact dot product of two fp32 vectors, rounded once, half to even, to a whole number of steps. A query's
step is fp32's own resolution just below the largest score it can have with any target: 2^-24 for unit vectors. So a
score depends on vectors alone: not on the order of candidates, the size of a block, the number of threads or the make
of the processor. Equal scores are ties everywhere, and nothing else is. It costs one fp64 matrix product, whose error
bound settles the rounding of all but about one score in a hundred thousand; those few are summed exactly.

Array names carry their axes: Q queries, B of a block or a slice of it, T targets, U distinct target vectors, C
candidates, P positives, K top candidates, D width. Vectors of queries are in steps where they are fp64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.types import FloatArray, IndexArray, Ranking, TopCandidate

_Bools = NDArray[np.bool_]
_Doubles = NDArray[np.float64]
_Steps = NDArray[np.int32]

_CELLS = 1 << 25
"""Scores that are held at once, at most."""
_FEW = 1 << 15
"""Scores that are ranked at once, roughly: few enough to stay in the processor's cache."""
_COLUMNS = 512
"""Target vectors widened to fp64 for one matrix product."""
_ROWS = 32
"""Vectors widened to fp64, or products rounded, at a time: few enough to stay in the processor's cache."""
_DENSE = 32
"""A matrix product may compute this many scores for each one needed before query by query is cheaper."""
_NOT_A_NUMBER = 1 << 30
"""The score of a vector that is not finite: above all others."""
_NOT_THERE = -_NOT_A_NUMBER
"""What stands for a score where a list has no candidate."""


@dataclass(frozen=True, slots=True, eq=False)
class RankQuery:
    """What the ranker needs of a query. `candidates` are indexes into the targets, repeats allowed; empty: all."""

    id: str
    candidates: IndexArray
    positives: IndexArray
    num_positives: int
    """Right candidates there should be; those that could not be embedded are not among `positives`."""


def normalise(vectors: FloatArray) -> FloatArray:
    """Rows `(n, d)` scaled to unit length, in fp64 and rounded once. A row of zeros gives NaN."""
    out = np.empty_like(vectors, dtype=np.float32)
    for part in _slices(len(vectors)):
        rows = vectors[part].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[part] = rows / _lengths(rows)[:, None]
    return out


def rank(
    queries_QD: FloatArray,
    targets_TD: FloatArray,
    queries: Sequence[RankQuery],
    *,
    top: int = 10,
    block: int = 1024,
    nan_wins: bool = False,
) -> list[Ranking]:
    """Ranks every query's candidates by dot product; one Ranking for each of `queries`, in their order.

    Row i of `queries_QD` belongs to `queries[i]`, whose positives must be among its candidates. Vectors must be
    finite, else UserError, unless `nan_wins` puts scores that are not numbers above all others, as `argmax` does:
    that serves only to reproduce the public rule on broken models. `block` never changes a result.
    """
    assert queries_QD.dtype == targets_TD.dtype == np.float32
    assert len(queries_QD) == len(queries)
    scorer = _Scorer.over(targets_TD)
    lengths_Q = _lengths(queries_QD)
    broken_Q = ~np.isfinite(lengths_Q)
    if not nan_wins and (broken_Q.any() or scorer.broken_U.any()):
        raise UserError("There are vectors that are not finite.", "Look for overflow, or for a broken checkpoint.")
    steps_Q = _steps(np.where(broken_Q, 0, lengths_Q), scorer.longest)
    results: list[Ranking] = []
    for part in _slices(len(queries), max(1, min(block, _CELLS // max(1, len(targets_TD))))):
        vectors_BD = _without(queries_QD[part], broken_Q[part]) / steps_Q[part, None]
        pools_BC = _padded(queries[part], len(targets_TD))
        scores_BC = scorer.scores(vectors_BD, pools_BC)
        scores_BC[broken_Q[part]] = _NOT_A_NUMBER
        scores_BC[pools_BC < 0] = _NOT_THERE
        for few in _slices(len(pools_BC), max(1, _FEW // max(1, pools_BC.shape[1]))):
            results += _rankings(queries[part][few], scores_BC[few], pools_BC[few], steps_Q[part][few], top)
    return results


def _slices(count: int, size: int = _ROWS) -> Iterator[slice[int, int, None]]:
    return (slice(start, start + size) for start in range(0, count, size))


def _padded(queries: Sequence[RankQuery], num_targets: int) -> IndexArray:
    """Candidates of the queries as (B, C), short lists filled up with -1."""
    everything = np.arange(num_targets, dtype=np.int32)
    pools = [query.candidates if len(query.candidates) else everything for query in queries]
    pools_BC = np.full((len(pools), max(map(len, pools))), -1, dtype=np.int32)
    for row, pool in enumerate(pools):
        pools_BC[row, : len(pool)] = pool
    return pools_BC


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    """Target vectors, each kept once, so that a collapsed model costs no more than a healthy one."""

    vectors_UD: FloatArray
    column_T: IndexArray
    broken_U: _Bools
    longest: float

    @staticmethod
    def over(targets_TD: FloatArray) -> _Scorer:
        columns: dict[bytes, int] = {}
        column_T = np.array([columns.setdefault(row.tobytes(), len(columns)) for row in targets_TD], dtype=np.int32)
        vectors_UD = targets_TD
        if len(columns) < len(targets_TD):
            vectors_UD = targets_TD[np.unique(column_T, return_index=True)[1]]
        lengths_U = _lengths(vectors_UD)
        broken_U = ~np.isfinite(lengths_U)
        return _Scorer(_without(vectors_UD, broken_U), column_T, broken_U, float(lengths_U[~broken_U].max(initial=0)))

    def scores(self, queries_BD: _Doubles, pools_BC: IndexArray) -> _Steps:
        """Scores of the targets asked for, (B, C); anything where -1 asks for none."""
        used_T = np.zeros(len(self.column_T), dtype=bool)
        used_T[pools_BC] = True
        used_U = np.zeros(len(self.vectors_UD), dtype=bool)
        used_U[self.column_T[used_T]] = True
        used = np.flatnonzero(used_U)
        if len(used) > _DENSE * pools_BC.shape[1]:
            pairs = zip(queries_BD, self.column_T[pools_BC], strict=True)
            return np.concatenate([self._of_columns(query_D[None], columns_C) for query_D, columns_C in pairs])
        place_T = (np.cumsum(used_U) - 1)[self.column_T]
        scores_BU = self._of_columns(queries_BD, used)
        scores_BC = np.empty(pools_BC.shape, dtype=np.int32)
        for scores_C, scores_U, pool_C in zip(scores_BC, scores_BU, pools_BC, strict=True):
            scores_C[:] = scores_U.take(place_T.take(pool_C))
        return scores_BC

    def _of_columns(self, queries_BD: _Doubles, columns: IndexArray | NDArray[np.int64]) -> _Steps:
        out = np.empty((len(queries_BD), len(columns)), dtype=np.int32)
        for start in range(0, len(columns), _COLUMNS):
            chunk = columns[start : start + _COLUMNS]
            _round_products(queries_BD, self.vectors_UD[chunk].astype(np.float64), out[:, start : start + _COLUMNS])
        out[:, self.broken_U[columns]] = _NOT_A_NUMBER
        return out


def _round_products(queries_BD: _Doubles, targets_CD: _Doubles, out_BC: _Steps) -> None:
    """Dot products, exactly rounded.

    No score is above 2^24 steps by more than a rounding error, and the fp64 product errs by less than D u |a| |b|
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; u = 2^-53).
    """
    doubtful = 0.5 - (queries_BD.shape[1] + 3) * 2.0 ** (24 - 53)
    products_BC = queries_BD @ targets_CD.T
    for part in _slices(len(products_BC)):
        products = products_BC[part]
        out_BC[part] = nearest = np.rint(products)
        for row, column in zip(*np.nonzero(np.abs(products - nearest) >= doubtful), strict=True):
            terms_D = queries_BD[part][row] * targets_CD[column]
            out_BC[part][row, column] = _rounded_sum(terms_D, math.floor(products[row, column]))


def _rounded_sum(terms_D: _Doubles, below: int) -> int:
    """The terms' exact sum, rounded half to even, where it lies near the middle of `below` and the number after it.

    A product of two fp32 numbers is exact in fp64, and fsum's sign is that of the exact sum.
    """
    excess = math.fsum([*terms_D.tolist(), -below, -0.5])
    return below + 1 if excess > 0 or (excess == 0 and below % 2) else below


def _steps(lengths_Q: _Doubles, longest: float) -> _Doubles:
    """What a query's scores are rounded to: 2^-24 of the power of two that none of them exceeds."""
    largest_Q = lengths_Q * longest * (1 - 1e-6)  # a unit vector is a rounding error longer than 1
    steps_Q: _Doubles = np.exp2(np.ceil(np.log2(np.where(largest_Q > 0, largest_Q, 1.0))) - 24)
    return steps_Q


def _lengths(vectors: FloatArray | _Doubles) -> _Doubles:
    """Lengths of the rows; not finite where a row is not."""
    lengths = np.empty(len(vectors))
    for part in _slices(len(vectors)):
        rows = vectors[part].astype(np.float64)
        lengths[part] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths


def _without(vectors: FloatArray, broken: _Bools) -> FloatArray:
    """The vectors, with zeros for those that are broken."""
    return np.where(broken[:, None], np.float32(0), vectors) if broken.any() else vectors


def _rankings(
    queries: Sequence[RankQuery], scores_BC: _Steps, pools_BC: IndexArray, steps_B: _Doubles, top: int
) -> list[Ranking]:
    strict_BC = _without_repeats(scores_BC, pools_BC)
    positives = [list(dict.fromkeys(query.positives.tolist())) for query in queries]
    places = _places(scores_BC, strict_BC, pools_BC, positives).tolist()
    sizes = np.count_nonzero(strict_BC > _NOT_THERE, axis=1).tolist()
    official_sizes = np.count_nonzero(scores_BC > _NOT_THERE, axis=1).tolist()
    tops = _tops(strict_BC, pools_BC, steps_B, min(top, scores_BC.shape[1]))
    return [
        Ranking(
            query_id=query.id,
            best=tuple(places[row][0][: len(own)]),
            worst=tuple(places[row][1][: len(own)]),
            pool_size=sizes[row],
            num_positives=query.num_positives,
            official=tuple(places[row][2][: len(own)]),
            official_pool_size=official_sizes[row],
            top=tops[row][: sizes[row]],
        )
        for row, (query, own) in enumerate(zip(queries, positives, strict=True))
    ]


def _without_repeats(scores_BC: _Steps, pools_BC: IndexArray) -> _Steps:
    """The scores under the strict rule, which counts a candidate once; the array itself where nothing is repeated."""
    ordered_BC = np.sort(pools_BC, axis=1)
    if not ((ordered_BC[:, 1:] == ordered_BC[:, :-1]) & (ordered_BC[:, 1:] >= 0)).any():
        return scores_BC
    order_BC = np.argsort(pools_BC, axis=1)
    ordered_BC = np.take_along_axis(pools_BC, order_BC, axis=1)
    repeats_BC = np.zeros(pools_BC.shape, dtype=bool)
    np.put_along_axis(repeats_BC, order_BC[:, 1:], ordered_BC[:, 1:] == ordered_BC[:, :-1], axis=1)
    return np.where(repeats_BC, np.int32(_NOT_THERE), scores_BC)


def _places(
    scores_BC: _Steps, strict_BC: _Steps, pools_BC: IndexArray, positives: Sequence[Sequence[int]]
) -> NDArray[np.int64]:
    """Best, worst and official rank of every positive, (B, 3, P); anything where a query has fewer than P."""
    most = max(map(len, positives))
    positives_BP = np.array([[*own, *[-1] * (most - len(own))] for own in positives], dtype=np.int32)
    places_B3P = np.empty((len(positives), 3, most), dtype=np.int64)
    for turn in range(most):
        wanted_B1 = positives_BP[:, turn, None]
        found_BC = pools_BC == wanted_B1
        assert (found_BC.any(axis=1, keepdims=True) | (wanted_B1 < 0)).all(), "a positive is not among the candidates"
        own_B1 = np.take_along_axis(scores_BC, found_BC.argmax(axis=1)[:, None], axis=1)
        before_B = np.count_nonzero(strict_BC > own_B1, axis=1)
        places_B3P[:, 0, turn] = 1 + before_B
        places_B3P[:, 1, turn] = before_B + np.count_nonzero(strict_BC == own_B1, axis=1)
        places_B3P[:, 2, turn] = 1 + np.count_nonzero(scores_BC > own_B1, axis=1)
    return places_B3P


def _tops(scores_BC: _Steps, pools_BC: IndexArray, steps_B: _Doubles, count: int) -> list[tuple[TopCandidate, ...]]:
    """The best candidates of each row; equal scores in the order of the targets."""
    if count == 0:
        return [()] * len(scores_BC)
    edges_B1 = np.partition(scores_BC, -count, axis=1)[:, -count, None]
    rows, places = np.nonzero(scores_BC >= edges_B1)  # of each row at least `count`, and what is tied with the last
    targets, scores = pools_BC[rows, places], scores_BC[rows, places]
    order = np.lexsort((targets, -scores, rows))
    best_BK = order[np.searchsorted(rows, np.arange(len(scores_BC)))[:, None] + np.arange(count)]
    scores_BK = np.where(scores == _NOT_A_NUMBER, np.inf, scores * steps_B[rows])[best_BK]
    pairs = zip(targets[best_BK].tolist(), scores_BK.tolist(), strict=True)
    return [tuple(map(TopCandidate, *pair)) for pair in pairs]
