"""The one rank function: where a query's right candidates come out among its candidates.

A score is the exact dot product of two fp32 vectors, rounded once, to fp32's own resolution just below the largest
value it can take (2^-24 for unit vectors). So it depends on the vectors alone: not on the order of candidates, the size
of a block, the number of threads or the make of the processor. Equal scores are ties everywhere, and nothing else is.
It costs one fp64 matrix product, whose error bound settles the rounding of all but about one score in a hundred
thousand; those few are summed exactly.

Array names carry their axes: B queries of a block, T targets, U distinct target vectors, C candidates, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.types import FloatArray, IndexArray, Ranking, TopCandidate

_Bools = NDArray[np.bool_]
_Doubles = NDArray[np.float64]

_CELLS = 1 << 25
"""Most cells of a block that are held at once."""
_COLUMNS = 1024
"""Target vectors widened to fp64 for one matrix product."""
_ROWS = 64
"""Vectors widened to fp64 for anything else: few enough to stay in the processor's cache."""
_DENSE = 64
"""A matrix product may compute this many cells for each one needed before query by query is cheaper."""


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
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[start : start + _ROWS] = rows / _lengths(rows)[:, None]
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
    broken_Q = _not_finite(queries_QD)
    if not nan_wins and (broken_Q.any() or scorer.broken_U.any()):
        raise UserError("There are vectors that are not finite.", "Look for overflow, or for a broken checkpoint.")
    results: list[Ranking] = []
    while len(results) < len(queries):
        start = len(results)
        stop = _block_end(queries, start, block, len(targets_TD))
        block_BD = np.where(broken_Q[start:stop, None], np.float32(0), queries_QD[start:stop])
        results += _rank_block(scorer, block_BD, broken_Q[start:stop], queries[start:stop], top)
    return results


def _not_finite(vectors: FloatArray) -> _Bools:
    broken: _Bools = np.isfinite(vectors).all(axis=1) == np.False_
    return broken


def _block_end(queries: Sequence[RankQuery], start: int, block: int, num_targets: int) -> int:
    """A block holds queries of one kind: with a list of their own, or over the whole pool."""
    longest = min(start + max(1, min(block, _CELLS // max(1, num_targets))), len(queries))
    whole_pool = not len(queries[start].candidates)
    stop = start + 1
    while stop < longest and (not len(queries[stop].candidates)) == whole_pool:
        stop += 1
    return stop


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
        column_T = np.fromiter(
            (columns.setdefault(row.tobytes(), len(columns)) for row in targets_TD), np.int32, len(targets_TD)
        )
        vectors_UD = targets_TD
        if len(columns) < len(targets_TD):
            vectors_UD = targets_TD[np.unique(column_T, return_index=True)[1]]
        broken_U = _not_finite(vectors_UD)
        if broken_U.any():
            vectors_UD = np.where(broken_U[:, None], np.float32(0), vectors_UD)
        return _Scorer(vectors_UD, column_T, broken_U, float(_lengths(vectors_UD).max(initial=0)))

    def scores(self, queries_BD: FloatArray, pools_BC: IndexArray | None) -> FloatArray:
        """Scores of the targets asked for, (B, C), where -1 asks for none; of all, (B, T), where `pools_BC` is None."""
        if pools_BC is None:
            return self._of_columns(queries_BD, np.arange(len(self.vectors_UD)))[:, self.column_T]
        used_U = np.zeros(len(self.vectors_UD), dtype=bool)
        used_U[self.column_T[pools_BC]] = True
        used = np.flatnonzero(used_U)
        if len(used) > _DENSE * pools_BC.shape[1]:
            rows = [self._of_columns(queries_BD[i : i + 1], self.column_T[pool])[0] for i, pool in enumerate(pools_BC)]
            scores_BC = np.stack(rows)
        else:
            place_T = (np.cumsum(used_U) - 1)[self.column_T]
            scores_BC = np.take_along_axis(self._of_columns(queries_BD, used), place_T[pools_BC], axis=1)
        scores_BC[pools_BC < 0] = -np.inf
        return scores_BC

    def _of_columns(self, queries_BD: FloatArray, columns: NDArray[np.int64] | IndexArray) -> FloatArray:
        steps_B1 = _resolution(queries_BD, self.longest)
        steps_BD = queries_BD.astype(np.float64) / steps_B1
        out = np.empty((len(queries_BD), len(columns)), dtype=np.float32)
        for start in range(0, len(columns), _COLUMNS):
            chunk = columns[start : start + _COLUMNS]
            rows_CD = self.vectors_UD[chunk].astype(np.float64)
            out[:, start : start + _COLUMNS] = _rounded_products(steps_BD, rows_CD, self.longest) * steps_B1
        out[:, self.broken_U[columns]] = np.inf
        return out


def _resolution(queries_BD: FloatArray, longest: float) -> _Doubles:
    """What scores are rounded to, (B, 1): 2^-24 of the power of two that no score of the query exceeds."""
    largest = _lengths(queries_BD) * longest * (1 - 1e-6)  # a unit vector is a rounding error longer than 1
    exponents = np.ceil(np.log2(np.where(largest > 0, largest, 1.0)))
    steps_B1: _Doubles = np.exp2(exponents - 24)[:, None]
    return steps_B1


def _rounded_products(steps_BD: _Doubles, targets_CD: _Doubles, longest: float) -> _Doubles:
    """Dot products (B, C), exactly rounded to whole numbers.

    The fp64 product of width D errs by at most (D + 2) u |a| |b| (Higham, Accuracy and Stability, section 3.1).
    """
    products = steps_BD @ targets_CD.T
    width = steps_BD.shape[1]
    error = float(_lengths(steps_BD).max()) * longest * (width + 2) * float(np.finfo(np.float64).eps)
    rounded: _Doubles = np.rint(products)
    products -= rounded
    for row, column in zip(*np.nonzero(np.abs(products, out=products) >= 0.5 - error), strict=True):
        # A product of two fp32 numbers is exact in fp64, and fsum rounds their sum once.
        rounded[row, column] = round(math.fsum(steps_BD[row] * targets_CD[column]))
    return rounded


def _lengths(vectors: FloatArray | _Doubles) -> _Doubles:
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS].astype(np.float64)
        lengths[start : start + _ROWS] = np.sqrt(np.square(rows, out=rows).sum(axis=1))
    return lengths


def _rank_block(
    scorer: _Scorer, queries_BD: FloatArray, broken_B: _Bools, queries: Sequence[RankQuery], top: int
) -> list[Ranking]:
    whole_pool = not len(queries[0].candidates)
    everything = np.arange(len(scorer.column_T), dtype=np.int32)
    pools_BC = np.broadcast_to(everything, (len(queries), len(everything))) if whole_pool else _padded(queries)
    scores_BC = scorer.scores(queries_BD, None if whole_pool else pools_BC)
    scores_BC[broken_B] = np.where(pools_BC[broken_B] < 0, -np.inf, np.inf)
    repeats_BC = None if whole_pool else _repeats(pools_BC, len(everything))
    places = _places(scores_BC, pools_BC, repeats_BC, queries)
    official_sizes = np.count_nonzero(pools_BC >= 0, axis=1)
    sizes = official_sizes if repeats_BC is None else official_sizes - np.count_nonzero(repeats_BC, axis=1)
    if repeats_BC is not None:
        scores_BC[repeats_BC] = -np.inf
    tops = _tops(scores_BC, pools_BC, sizes, top)
    return [
        Ranking(
            query_id=query.id,
            best=tuple(place[0] for place in places[row]),
            worst=tuple(place[1] for place in places[row]),
            pool_size=int(sizes[row]),
            num_positives=query.num_positives,
            official=tuple(place[2] for place in places[row]),
            official_pool_size=int(official_sizes[row]),
            top=tops[row],
        )
        for row, query in enumerate(queries)
    ]


def _padded(queries: Sequence[RankQuery]) -> IndexArray:
    """Candidates of the queries as (B, C), short lists filled up with -1."""
    pools_BC = np.full((len(queries), max(len(query.candidates) for query in queries)), -1, dtype=np.int32)
    for row, query in enumerate(queries):
        pools_BC[row, : len(query.candidates)] = query.candidates
    return pools_BC


def _repeats(pools_BC: IndexArray, num_targets: int) -> _Bools | None:
    """Candidates that stand earlier in their list too, (B, C), which the strict rule counts once; None without any."""
    repeats_BC: _Bools | None = None
    seen = np.empty(num_targets + 1, dtype=bool)  # the last cell takes the padding
    for row, pool in enumerate(pools_BC):
        seen[:] = False
        seen[pool] = True
        size = int(np.count_nonzero(pool >= 0))
        if int(np.count_nonzero(seen[:-1])) < size:
            repeats_BC = np.zeros(pools_BC.shape, dtype=bool) if repeats_BC is None else repeats_BC
            repeats_BC[row, :size] = True
            repeats_BC[row, np.unique(pool[:size], return_index=True)[1]] = False
    return repeats_BC


def _places(
    scores_BC: FloatArray, pools_BC: IndexArray, repeats_BC: _Bools | None, queries: Sequence[RankQuery]
) -> list[list[tuple[int, int, int]]]:
    """Best, worst and official rank of every positive of every query."""
    positives = [list(dict.fromkeys(query.positives.tolist())) for query in queries]
    places: list[list[tuple[int, int, int]]] = [[] for _ in queries]
    for turn in range(max(map(len, positives), default=0)):
        rows = [row for row, own in enumerate(positives) if turn < len(own)]
        chosen = slice(None) if len(rows) == len(queries) else rows
        scores, pools = scores_BC[chosen], pools_BC[chosen]
        found = pools == np.array([positives[row][turn] for row in rows], dtype=np.int32)[:, None]
        place = found.argmax(axis=1)
        assert found[np.arange(len(rows)), place].all(), "a positive is not among its query's candidates"
        own = scores[np.arange(len(rows)), place][:, None]
        above, level = scores > own, scores == own
        official = np.count_nonzero(above, axis=1)
        if repeats_BC is not None:
            above &= ~repeats_BC[chosen]
            level &= ~repeats_BC[chosen]
        before, tied = np.count_nonzero(above, axis=1), np.count_nonzero(level, axis=1)
        for row, first, size, public in zip(rows, before.tolist(), tied.tolist(), official.tolist(), strict=True):
            places[row].append((1 + first, first + size, 1 + public))
    return places


def _tops(
    scores_BC: FloatArray, pools_BC: IndexArray, sizes_B: NDArray[np.int64], top: int
) -> list[tuple[TopCandidate, ...]]:
    """The best candidates of each row; equal scores in the order of the targets."""
    count = min(top, scores_BC.shape[1])
    if count == 0:
        return [()] * len(scores_BC)
    edges_B = np.partition(scores_BC, -count, axis=1)[:, -count]
    tops = []
    for scores, pool, edge, size in zip(scores_BC, pools_BC, edges_B, sizes_B, strict=True):
        near = np.flatnonzero(scores >= edge)
        best = near[np.lexsort((pool[near], -scores[near]))][: min(count, int(size))]
        tops.append(tuple(TopCandidate(int(pool[place]), float(scores[place])) for place in best))
    return tops
