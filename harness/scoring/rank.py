"""The rank function: the ranks of a query's right candidates among all its candidates.

Ranks follow from exact scores, as defined in `harness.scoring.exact`. Most scores are only estimated, because a rank
does not need them all. Some estimates are close to the score of a right candidate, or to the edge of the top. These are
replaced by exact scores before anything is ranked.

Array names end in their axes: Q queries, B queries of a block or of a slice of it, T targets, C candidates. P are
positives, K top candidates, and D is the width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.encoding.matrices import Vectors
from harness.errors import UserError
from harness.scoring.exact import (
    NOT_A_NUMBER,
    NOT_THERE,
    Block,
    Bools,
    Doubles,
    Steps,
    Targets,
    lengths,
    slices,
    without,
)
from harness.scoring.groups import BestOfGroup, Groups
from harness.scoring.maxsim import TokenTargets
from harness.scoring.pool import Pool, rank_pool
from harness.scoring.ranking import Ranking, RankQuery, TopCandidate
from harness.scoring.scorer import Scorer, block_of
from harness.types import FloatArray, IndexArray

_CELLS = 1 << 25
"""Largest number of scores in memory."""
_FEW = 1 << 15
"""Approximate number of scores that are ranked at once. They fit in the processor's cache."""
_RARE = 64
"""Estimates save time if fewer than one in this many must be made exact."""


def normalise(vectors: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Returns the rows of `(n, d)` scaled to unit length, computed in fp64 and rounded once to fp32.

    A row of zeros becomes NaN. With `out`, which may be `vectors` itself, the result is written there.
    """
    out = np.empty_like(vectors, dtype=np.float32) if out is None else out
    for part in slices(len(vectors)):
        rows = vectors[part].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[part] = rows / np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return out


def rank(
    vectors_Q: Vectors,
    vectors_T: FloatArray | TokenTargets,
    queries: Sequence[RankQuery],
    *,
    groups: Groups | None = None,
    top: int = 10,
    block: int = 1024,
    nan_wins: bool = False,
) -> list[Ranking]:
    """Ranks the candidates of every query by dot product, or by MaxSim if items have many vectors.

    Returns one Ranking for each query, in their order. Row i of `vectors_Q` belongs to `queries[i]`, whose positives
    must be among its candidates. `top` is the number of candidates in `Ranking.top`. `block` is the number of queries
    at a time; it does not change a result.

    With `groups`, candidates and positives are numbers of groups, and the top names the best target of each group.
    `nan_wins` puts scores that are not numbers above all others, as `argmax` does. It serves to reproduce the public
    rule on broken models.

    Raises: UserError for vectors that are not finite, unless `nan_wins`.
    """
    assert len(vectors_Q) == len(queries)
    listed = groups is not None or nan_wins or any(len(query.candidates) for query in queries)
    if isinstance(vectors_T, np.ndarray) and not listed:
        return rank_pool(vectors_Q, queries, Pool.of(vectors_T), top=top)
    assert not any(len(query.excluded) for query in queries), "a query with a list leaves targets out of it"
    targets, asked, broken_Q = _scaled(vectors_Q, vectors_T, nan_wins=nan_wins)
    results: list[Ranking] = []
    for part in slices(len(queries), max(1, min(block, _CELLS // max(1, len(targets))))):
        lists = _Lists.of(queries[part], len(targets if groups is None else groups))
        vectors = asked[part]
        if groups is None:
            found = BestOfGroup(_scores(targets, vectors, lists, broken_Q[part], top), lists.pools_BC)
        else:
            found = _best_of_groups(targets, vectors, groups, lists, broken_Q[part])
        for few in lists.in_cache():
            results += _rankings(queries[part][few], found.part(few), lists[few], vectors.steps_B[few], top)
    return results


def _scaled(vectors_Q: Vectors, vectors_T: FloatArray | TokenTargets, *, nan_wins: bool) -> tuple[Scorer, Block, Bools]:
    """Returns the targets, the queries with their steps, and which of these are not finite.

    Raises: UserError for vectors that are not finite, unless `nan_wins`.
    """
    if isinstance(vectors_T, TokenTargets):
        return vectors_T, block_of(vectors_Q, vectors_T.longest), np.zeros(len(vectors_Q), dtype=bool)
    assert isinstance(vectors_Q, np.ndarray), "queries and targets are of one kind"
    assert vectors_Q.dtype == vectors_T.dtype == np.float32
    targets, broken_Q = Targets.of(vectors_T), ~np.isfinite(lengths(vectors_Q))
    if not nan_wins and (broken_Q.any() or targets.broken_U.any()):
        raise UserError("There are vectors that are not finite.", "Look for overflow, or for a broken checkpoint.")
    return targets, block_of(without(vectors_Q, broken_Q), targets.longest), broken_Q


@dataclass(frozen=True, slots=True, eq=False)
class _Lists:
    """Candidates and positives of a block of queries. Short lists are padded with -1."""

    pools_BC: IndexArray
    repeats_BC: Bools | None
    """Candidates that occur earlier in the same list; None if there are none."""
    positives_BP: IndexArray

    @staticmethod
    def of(queries: Sequence[RankQuery], num_targets: int) -> _Lists:
        everything = np.arange(num_targets, dtype=np.int32)
        pools_BC = _padded([query.candidates if len(query.candidates) else everything for query in queries])
        positives = [np.array(list(dict.fromkeys(query.positives.tolist())), dtype=np.int32) for query in queries]
        return _Lists(pools_BC, _repeats(pools_BC), _padded(positives))

    def __getitem__(self, rows: slice[int, int, None]) -> _Lists:
        repeats_BC = None if self.repeats_BC is None else self.repeats_BC[rows]
        return _Lists(self.pools_BC[rows], repeats_BC, self.positives_BP[rows])

    def in_cache(self) -> Iterator[slice[int, int, None]]:
        """Returns slices of the block that are small enough for the cache."""
        return slices(len(self.pools_BC), max(1, _FEW // max(1, self.pools_BC.shape[1])))

    def strict(self, scores_BC: Steps) -> Steps:
        """Returns the scores under the strict rule, which counts each candidate once."""
        return scores_BC if self.repeats_BC is None else np.where(self.repeats_BC, np.int32(NOT_THERE), scores_BC)

    def own(self, scores_BC: Steps, turn: int) -> Steps:
        """Returns the score `(B, 1)` of each query's positive number `turn`. It has no meaning if there are fewer."""
        wanted_B1 = self.positives_BP[:, turn, None]
        found_BC = self.pools_BC == wanted_B1
        assert (found_BC.any(axis=1, keepdims=True) | (wanted_B1 < 0)).all(), "a positive is not among the candidates"
        own_B1: Steps = np.take_along_axis(scores_BC, found_BC.argmax(axis=1)[:, None], axis=1)
        return own_B1


def _padded(lists: Sequence[IndexArray]) -> IndexArray:
    padded = np.full((len(lists), max(map(len, lists), default=0)), -1, dtype=np.int32)
    for row, each in enumerate(lists):
        padded[row, : len(each)] = each
    return padded


def _repeats(pools_BC: IndexArray) -> Bools | None:
    # Most data has no repeats, and `sort` is much quicker than `argsort`.
    ordered_BC = np.sort(pools_BC, axis=1)
    if not ((ordered_BC[:, 1:] == ordered_BC[:, :-1]) & (ordered_BC[:, 1:] >= 0)).any():
        return None
    order_BC = np.argsort(pools_BC, axis=1)
    ordered_BC = np.take_along_axis(pools_BC, order_BC, axis=1)
    repeats_BC = np.zeros(pools_BC.shape, dtype=bool)
    np.put_along_axis(repeats_BC, order_BC[:, 1:], ordered_BC[:, 1:] == ordered_BC[:, :-1], axis=1)
    return repeats_BC


def _scores(targets: Scorer, queries: Block, lists: _Lists, broken_B: Bools, top: int) -> Steps:
    """Returns scores `(B, C)` that give the same ranks and the same top as exact scores."""
    rare = lists.pools_BC.size // _RARE
    # All of the top must be exact, so for short lists estimates do not save time.
    error = targets.error(queries) if top * len(lists.pools_BC) < rare else None
    scores_BC = None if error is None else _masked(targets.estimates(queries, lists.pools_BC), lists, broken_B)
    if error is not None and scores_BC is not None:
        # Both scores of a pair can be off by `error`, in opposite directions. Farther apart, their order is right.
        near = [_near(scores_BC[few], lists[few], 2 * error, top) for few in lists.in_cache()]
        if sum(map(np.count_nonzero, near)) <= rare:
            for few, near_BC in zip(lists.in_cache(), near, strict=True):
                targets.refine(scores_BC[few], queries[few], lists.pools_BC[few], near_BC)
            return scores_BC
    return _masked(targets.exact(queries, lists.pools_BC), lists, broken_B)


def _best_of_groups(targets: Scorer, queries: Block, groups: Groups, lists: _Lists, broken_B: Bools) -> BestOfGroup:
    # All scores are exact, because the best target of every group must be certain.
    everything_BT = np.tile(np.arange(len(targets), dtype=np.int32), (len(broken_B), 1))
    best = groups.best(targets.exact(queries, everything_BT))
    scores_BC, targets_BC = (np.take_along_axis(each, lists.pools_BC, axis=1) for each in best)
    return BestOfGroup(_masked(scores_BC, lists, broken_B), targets_BC)


def _masked(scores_BC: Steps, lists: _Lists, broken_B: Bools) -> Steps:
    """Writes the scores of broken queries and of padding, in place."""
    scores_BC[broken_B] = NOT_A_NUMBER
    scores_BC[lists.pools_BC < 0] = NOT_THERE
    return scores_BC


def _near(scores_BC: Steps, lists: _Lists, slack: int, top: int) -> Bools:
    """Marks the estimates that must be made exact, because their order is not certain or their value is shown.

    These are the estimates within `slack` of that of a positive, its own too, and those that may belong to the top.
    """
    near_BC = np.zeros(scores_BC.shape, dtype=bool)
    for turn in range(lists.positives_BP.shape[1]):
        own_B1 = lists.own(scores_BC, turn)
        near_BC |= (scores_BC >= own_B1 - slack) & (scores_BC <= own_B1 + slack)
    if top:
        near_BC |= scores_BC >= _edges(lists.strict(scores_BC), top) - slack
    return near_BC & (np.abs(scores_BC) < NOT_A_NUMBER)


def _edges(scores_BC: Steps, top: int) -> Steps:
    """Returns the score `(B, 1)` of the last of the best `top` candidates."""
    edges_B1: Steps = np.partition(scores_BC, -top, axis=1)[:, -top, None]
    return edges_B1


def _rankings(
    queries: Sequence[RankQuery], found: BestOfGroup, lists: _Lists, steps_B: Doubles, top: int
) -> list[Ranking]:
    scores_BC, strict_BC = found.scores_BC, lists.strict(found.scores_BC)
    places = _places(scores_BC, strict_BC, lists).tolist()
    counts = np.count_nonzero(lists.positives_BP >= 0, axis=1).tolist()
    sizes = np.count_nonzero(strict_BC > NOT_THERE, axis=1).tolist()
    official_sizes = np.count_nonzero(scores_BC > NOT_THERE, axis=1).tolist()
    tops = _tops(strict_BC, found.targets_BC, steps_B, min(top, scores_BC.shape[1]))
    right = _right_scores(scores_BC, lists, steps_B)
    return [
        Ranking(
            query_id=query.id,
            best=tuple(places[row][0][: counts[row]]),
            worst=tuple(places[row][1][: counts[row]]),
            pool_size=sizes[row],
            num_positives=query.num_positives,
            official=tuple(places[row][2][: counts[row]]),
            official_pool_size=official_sizes[row],
            top=tops[row][: sizes[row]],
            right_score=right[row],
            grades=query.grades,
        )
        for row, query in enumerate(queries)
    ]


def _places(scores_BC: Steps, strict_BC: Steps, lists: _Lists) -> NDArray[np.int64]:
    """Returns the best, worst and official rank `(B, 3, P)` of every positive.

    The values have no meaning where a query has fewer than P positives.
    """
    places_B3P = np.empty((len(scores_BC), 3, lists.positives_BP.shape[1]), dtype=np.int64)
    for turn in range(lists.positives_BP.shape[1]):
        own_B1 = lists.own(scores_BC, turn)
        before_B = np.count_nonzero(strict_BC > own_B1, axis=1)
        places_B3P[:, 0, turn] = 1 + before_B
        places_B3P[:, 1, turn] = before_B + np.count_nonzero(strict_BC == own_B1, axis=1)
        places_B3P[:, 2, turn] = 1 + np.count_nonzero(scores_BC > own_B1, axis=1)
    return places_B3P


def _right_scores(scores_BC: Steps, lists: _Lists, steps_B: Doubles) -> list[float | None]:
    """Returns the score of each query's best positive; None where it has none."""
    best_B = np.full(len(scores_BC), NOT_THERE, dtype=np.int32)
    for turn in range(lists.positives_BP.shape[1]):
        own_B = lists.own(scores_BC, turn)[:, 0]
        best_B = np.where(lists.positives_BP[:, turn] >= 0, np.maximum(best_B, own_B), best_B)
    scores = np.where(best_B == NOT_A_NUMBER, np.inf, best_B * steps_B).tolist()
    return [score if there else None for score, there in zip(scores, best_B > NOT_THERE, strict=True)]


def _tops(scores_BC: Steps, targets_BC: IndexArray, steps_B: Doubles, count: int) -> list[tuple[TopCandidate, ...]]:
    """Returns the best `count` candidates of each row; equal scores in the order of the targets."""
    if count == 0:
        return [()] * len(scores_BC)
    # At least `count` candidates of each row: those tied with the last one are included, and cut off after the sort.
    rows, places = np.nonzero(scores_BC >= _edges(scores_BC, count))
    targets, scores = targets_BC[rows, places], scores_BC[rows, places]
    order = np.lexsort((targets, -scores, rows))
    best_BK = order[np.searchsorted(rows, np.arange(len(scores_BC)))[:, None] + np.arange(count)]
    scores_BK = np.where(scores == NOT_A_NUMBER, np.inf, scores * steps_B[rows])[best_BK]
    pairs = zip(targets[best_BK].tolist(), scores_BK.tolist(), strict=True)
    return [tuple(map(TopCandidate, *pair)) for pair in pairs]
