"""Ranks whole pools of any size in bounded memory. The targets pass by once, in blocks that are read when needed.

The exact scores of the right targets come first. Then each block of targets is scored against all queries. A rank is
one more than the number of targets above, added up over the blocks. The top is merged block by block. As in
`harness.scoring.rank`, most scores are only estimates. Those near a right target or the edge of the top are made exact.

Array names end in their axes: Q queries, B queries of a part, T targets of a block, P positives, K top targets. D is
the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from harness.encoding.matrices import Vectors
from harness.scoring.exact import NOT_A_NUMBER, NOT_THERE, Block, Bools, Doubles, Steps, slices
from harness.scoring.ranking import Ranking, RankQuery, TopCandidate
from harness.scoring.scorer import Scorer, block_of, finite_lengths, scorer_of
from harness.types import FloatArray, IndexArray

_TARGETS = 1 << 13
"""Number of targets of a block."""
_CELLS = 1 << 25
"""Largest number of scores in memory."""
_FEW = 1 << 17
"""Approximate number of scores that are counted at once. They fit in the processor's cache."""
_RARE = 64
"""Estimates save time if fewer than one in this many must be made exact."""
_FEW_RIGHT = 4
"""With more right targets than this, sorting the scores is faster than comparing them with each."""
_ABSENT = NOT_A_NUMBER
"""The score of a right target that a query does not have. No score is above it, or near it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The vectors of all targets, which are read in blocks."""

    size: int
    read: Callable[[IndexArray], Vectors]
    """Returns the vectors of targets in fp32, in the order given."""
    lengths: tuple[float, float] | None = None
    """The largest and the smallest length of a vector. If it is None, all are read once more to find it."""
    block: int | None = None
    """Number of targets of a block."""

    @staticmethod
    def of(targets_TD: FloatArray) -> Pool:
        """Returns the pool of an array."""
        return Pool(len(targets_TD), lambda indexes: targets_TD[indexes])

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """Yields the number of the first target of each block, and the block's vectors."""
        for part in slices(self.size, self.block or _TARGETS):
            yield part.start, self.read(np.arange(self.size, dtype=np.int32)[part])

    def bounds(self) -> tuple[float, float]:
        """Returns the largest and the smallest length. Raises: UserError for vectors that are not finite."""
        if self.lengths is not None:
            return self.lengths
        longest, shortest = 0.0, np.inf
        for _, vectors in self.blocks():
            found = finite_lengths(vectors)
            longest, shortest = max(longest, found.max(initial=0)), min(shortest, found.min(initial=np.inf))
        return float(longest), float(shortest)


def rank_pool(vectors_Q: Vectors, queries: Sequence[RankQuery], pool: Pool, *, top: int = 10) -> list[Ranking]:
    """Ranks all targets of the pool for every query. Returns one Ranking for each query, in their order.

    Besides the queries, it holds one block of targets, and at most 2^25 scores.

    Raises: UserError for vectors that are not finite.
    """
    bounds = pool.bounds()
    scale = block_of(vectors_Q, bounds[0])
    own_QP = _own_scores(scale, queries, pool, bounds)
    counts = _Counts(own_QP, np.zeros(own_QP.shape, np.int64), np.zeros(own_QP.shape, np.int64))
    shape = len(queries), min(top, pool.size)
    best = _Top(np.full(shape, NOT_THERE, np.int32), np.full(shape, -1, np.int32))
    hidden = _Hidden.of(queries)
    for first, vectors in pool.blocks() if len(queries) else ():
        finite_lengths(vectors)
        targets, here = scorer_of(vectors, bounds), hidden.of_block(first, len(vectors))
        for part in slices(len(queries), max(1, _CELLS // len(vectors))):
            scores_BT = _scores(targets, scale[part], own_QP[part], best.scores_QK[part], here.of_part(part))
            for few in _in_cache(scores_BT):
                rows = slice(part.start + few.start, part.start + few.start + len(scores_BT[few]))
                counts.add(rows, scores_BT[few])
                best.merge(rows, scores_BT[few], first)
    return _rankings(queries, counts, best, scale.steps_B, pool.size)


def _own_scores(scale: Block, queries: Sequence[RankQuery], pool: Pool, bounds: tuple[float, float]) -> Steps:
    """Returns the exact scores `(Q, P)` of each query's right targets; `_ABSENT` where it has fewer."""
    positives = [list(dict.fromkeys(query.positives.tolist())) for query in queries]
    own_QP = np.full((len(queries), max(map(len, positives), default=0)), _ABSENT, dtype=np.int32)
    for part in slices(len(queries), max(1, (pool.block or _TARGETS) // max(1, own_QP.shape[1]))):
        needed = np.unique(np.concatenate([np.asarray(each, np.int32) for each in positives[part]]))
        if not len(needed):
            continue
        targets = scorer_of(pool.read(needed), bounds)
        places_BP = np.full((len(positives[part]), own_QP.shape[1]), -1, dtype=np.int32)
        for row, each in enumerate(positives[part]):
            places_BP[row, : len(each)] = np.searchsorted(needed, each)
        own_QP[part] = np.where(places_BP < 0, np.int32(_ABSENT), targets.exact(scale[part], places_BP))
    return own_QP


@dataclass(frozen=True, slots=True, eq=False)
class _Hidden:
    """The pairs of a query and a target that it does not rank, in the order of the targets."""

    rows_E: NDArray[np.int64]
    targets_E: NDArray[np.int64]

    @staticmethod
    def of(queries: Sequence[RankQuery]) -> _Hidden:
        rows_E = np.repeat(np.arange(len(queries)), [len(query.excluded) for query in queries])
        targets_E = np.concatenate([np.empty(0, np.int64), *(query.excluded for query in queries)]).astype(np.int64)
        order_E = np.argsort(targets_E, kind="stable")
        return _Hidden(rows_E[order_E], targets_E[order_E])

    def of_block(self, first: int, size: int) -> _Hidden:
        """Returns the pairs of a block of targets, which are numbered within the block."""
        start, end = np.searchsorted(self.targets_E, (first, first + size))
        return _Hidden(self.rows_E[start:end], self.targets_E[start:end] - first)

    def of_part(self, part: slice[int, int, None]) -> _Hidden:
        """Returns the pairs of some of the queries, which are numbered within the part."""
        inside_E = (self.rows_E >= part.start) & (self.rows_E < part.stop)
        return _Hidden(self.rows_E[inside_E] - part.start, self.targets_E[inside_E])

    def write(self, scores_BT: Steps) -> Steps:
        """Writes `NOT_THERE` for the pairs, in place, and returns the scores."""
        scores_BT[self.rows_E, self.targets_E] = NOT_THERE
        return scores_BT


def _scores(targets: Scorer, queries: Block, own_BP: Steps, top_BK: Steps, hidden: _Hidden) -> Steps:
    """Returns scores `(B, T)` of a block that give the same counts and the same top as exact scores.

    `top_BK` are the scores of the best targets of the blocks before, in descending order.
    """
    error = targets.error(queries)
    if error is not None:
        scores_BT = hidden.write(targets.every(queries, exact=False))
        near = [_near(scores_BT[few], own_BP[few], top_BK[few], error) for few in _in_cache(scores_BT)]
        if sum(map(np.count_nonzero, near)) * _RARE <= scores_BT.size:
            everything_BT = np.broadcast_to(np.arange(len(targets), dtype=np.int32), scores_BT.shape)
            targets.refine(scores_BT, queries, everything_BT, np.concatenate(near))
            return scores_BT
    return hidden.write(targets.every(queries, exact=True))


def _in_cache(scores_BT: Steps) -> Iterator[slice[int, int, None]]:
    return slices(len(scores_BT), max(1, _FEW // scores_BT.shape[1]))


def _near(scores_BT: Steps, own_BP: Steps, top_BK: Steps, error: int) -> Bools:
    """Marks the estimates that must be made exact: near a right target, or perhaps in the top."""
    if own_BP.shape[1] <= _FEW_RIGHT:
        near_BT = np.zeros(scores_BT.shape, dtype=bool)
        for own_B in own_BP.T:
            near_BT |= (scores_BT >= own_B[:, None] - error) & (scores_BT <= own_B[:, None] + error)
    else:
        near_BT = np.stack([_near_any(*pair, error) for pair in zip(scores_BT, np.sort(own_BP, axis=1), strict=True)])
    return near_BT | (scores_BT >= _needed(scores_BT, top_BK, error)) if top_BK.size else near_BT


def _near_any(scores_T: Steps, own_P: Steps, error: int) -> Bools:
    """Marks the scores near one of `own_P`, which are in ascending order."""
    above = np.searchsorted(own_P, scores_T).clip(max=len(own_P) - 1)
    nearest = np.minimum(np.abs(own_P[above] - scores_T), np.abs(own_P[(above - 1).clip(min=0)] - scores_T))
    near: Bools = nearest <= error
    return near


def _needed(scores_BT: Steps, top_BK: Steps, error: int) -> Steps:
    """Returns the estimate `(B, 1)` from which a target may belong to the top."""
    edge_B1: Steps = top_BK[:, -1:]
    if (edge_B1 == NOT_THERE).any():  # at least as many targets of this block have a score of `_edges` less an error
        edge_B1 = np.maximum(edge_B1, _edges(scores_BT, top_BK.shape[1]) - np.int32(error))
    return edge_B1 - np.int32(error)


def _edges(scores_BT: Steps, count: int) -> Steps:
    """Returns the score `(B, 1)` of the last of the best `count` targets; `NOT_THERE` if there are fewer."""
    if count > scores_BT.shape[1]:
        return np.full((len(scores_BT), 1), NOT_THERE, dtype=np.int32)
    edges_B1: Steps = np.partition(scores_BT, -count, axis=1)[:, -count, None]
    return edges_B1


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """For each right target, how many targets were above it and how many had its score. The arrays are changed."""

    own_QP: Steps
    above_QP: NDArray[np.int64]
    equal_QP: NDArray[np.int64]

    def add(self, rows: slice[int, int, None], scores_BT: Steps) -> None:
        """Counts the scores of a block of targets for some of the queries."""
        own_BP = self.own_QP[rows]
        if own_BP.shape[1] <= _FEW_RIGHT:
            for turn, own_B in enumerate(own_BP.T):
                self.above_QP[rows, turn] += np.count_nonzero(scores_BT > own_B[:, None], axis=1)
                self.equal_QP[rows, turn] += np.count_nonzero(scores_BT == own_B[:, None], axis=1)
            return
        for row, (sorted_T, own_P) in enumerate(zip(np.sort(scores_BT, axis=1), own_BP, strict=True), rows.start):
            up_to = np.searchsorted(sorted_T, own_P, "right")
            self.above_QP[row] += len(sorted_T) - up_to
            self.equal_QP[row] += up_to - np.searchsorted(sorted_T, own_P, "left")


@dataclass(frozen=True, slots=True, eq=False)
class _Top:
    """The best targets of each query so far, best first; equal scores in their order. The arrays are changed."""

    scores_QK: Steps
    targets_QK: IndexArray

    def merge(self, rows: slice[int, int, None], scores_BT: Steps, first: int) -> None:
        """Takes the better targets of a block, whose first target has the number `first`."""
        scores_BK, targets_BK = self.scores_QK[rows], self.targets_QK[rows]
        if not scores_BK.size:
            return
        edge_B1 = scores_BK[:, -1:]
        if (edge_B1 == NOT_THERE).any():
            edge_B1 = np.maximum(edge_B1, _edges(scores_BT, scores_BK.shape[1]) - np.int32(1))
        found, places = np.nonzero(scores_BT > edge_B1)
        if not len(found):
            return
        row = np.concatenate([np.repeat(np.arange(len(scores_BK)), scores_BK.shape[1]), found])
        score = np.concatenate([scores_BK.ravel(), scores_BT[found, places]])
        target = np.concatenate([targets_BK.ravel(), (places + first).astype(np.int32)])
        order = np.lexsort((target, -score, row))
        starts = np.searchsorted(row[order], np.arange(len(scores_BK)))
        best_BK = order[starts[:, None] + np.arange(scores_BK.shape[1])]
        self.scores_QK[rows], self.targets_QK[rows] = score[best_BK], target[best_BK]


def _rankings(queries: Sequence[RankQuery], counts: _Counts, best: _Top, steps_Q: Doubles, size: int) -> list[Ranking]:
    """Builds the rankings. No target is twice in the pool, so the official rank is the best rank."""
    scores_QK = (best.scores_QK * steps_Q[:, None]).tolist()
    there = np.count_nonzero(best.scores_QK > NOT_THERE, axis=1).tolist()
    rankings = []
    for row, query in enumerate(queries):
        own_P = counts.own_QP[row][counts.own_QP[row] != _ABSENT]
        above_P = counts.above_QP[row][: len(own_P)]
        first = tuple((1 + above_P).tolist())
        top = zip(best.targets_QK[row].tolist()[: there[row]], scores_QK[row], strict=False)
        rankings.append(
            Ranking(
                query_id=query.id,
                best=first,
                worst=tuple((above_P + counts.equal_QP[row][: len(own_P)]).tolist()),
                pool_size=size - len(query.excluded),
                num_positives=query.num_positives,
                official=first,
                official_pool_size=size - len(query.excluded),
                top=tuple(starmap(TopCandidate, top)),
                right_score=float(own_P.max() * steps_Q[row]) if len(own_P) else None,
                grades=query.grades,
            )
        )
    return rankings
