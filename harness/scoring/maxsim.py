"""Exact scores of items that have a vector for every token, by MaxSim.

Each token of the query has a largest dot product with a token of the target. The score is the sum of these: ColBERT,
Khattab and Zaharia 2020, arXiv 2004.12832, section 3.3. Each dot product is exact, and is rounded to whole steps as in
`harness.scoring.exact`. The step is that of the query's longest vector. Largest numbers and sums of whole numbers are
exact too. So a score depends only on the vectors, and equal items have equal scores.

The sum of a query of more than 32 tokens has a larger step, so that it stays below 2^30. It is rounded once more, half
to even. `meanmaxsim` divides by the number of tokens, which orders nothing anew. So that is done to shown scores.

Targets are read in chunks of 256 items. At most 2^21 dot products of 4 bytes are in memory. Where one query and one
target have more, it is theirs. Besides them, there are the vectors of a chunk and of the queries, and the scores.

Array names end in their axes: B queries, T targets, C candidates, N tokens of queries, M tokens of targets, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.encoding.matrices import Tokens
from harness.scoring.exact import (
    Block,
    Bools,
    Doubles,
    Steps,
    dot_error,
    estimated_products,
    exact_products,
    lengths,
    slices,
    steps,
)
from harness.types import FloatArray, IndexArray

CHUNK = 256
"""Number of targets that are read at once."""
_PRODUCTS = 1 << 21
"""Number of dot products in memory, as far as items are not larger."""
_ROWS = 512
"""Number of tokens of queries in one matrix product, as far as a query does not have more."""
_COLUMNS = 512
"""Number of tokens of targets in one matrix product."""
_FREE_BITS = 5
"""A sum of 2^5 dot products, each of at most 2^24 steps, stays below 2^30."""
_DENSE = 2
"""One product for all queries may compute this many scores for each score that is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenQueries:
    """Queries with a vector for every token, and the steps of their dot products and of their scores."""

    tokens: Tokens
    steps_B: Doubles
    """The step of the scores of each query."""
    halvings_B: NDArray[np.int64]
    """How often that step is halved for the dot products."""

    @staticmethod
    def of(tokens: Tokens, longest: float) -> TokenQueries:
        """Builds it from the queries and the length of the longest vector of a target. All must be finite."""
        longest_B = np.maximum.reduceat(lengths(tokens.vectors), tokens.starts[:-1]) if len(tokens) else np.empty(0)
        halvings_B = np.maximum(np.ceil(np.log2(tokens.counts)).astype(np.int64) - _FREE_BITS, 0)
        return TokenQueries(tokens, steps(longest_B, longest) * 2.0**halvings_B, halvings_B)

    def __getitem__(self, rows: slice[int, int, None]) -> TokenQueries:
        return TokenQueries(self.tokens[rows], self.steps_B[rows], self.halvings_B[rows])

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def rows(self) -> FloatArray:
        """The vectors of all tokens."""
        return self.tokens.vectors

    def in_steps(self) -> Doubles:
        """Returns the vectors of all tokens divided by the steps of their dot products, which is exact."""
        dot_steps_B = self.steps_B / 2.0**self.halvings_B
        doubles_ND: Doubles = self.tokens.vectors / np.repeat(dot_steps_B, self.tokens.counts)[:, None]
        return doubles_ND


@dataclass(frozen=True, slots=True, eq=False)
class TokenTargets:
    """Targets with a vector for every token, which are read when they are needed."""

    size: int
    read: Callable[[IndexArray], Tokens]
    """Returns the items of the numbers given, in their order. All their vectors must be finite."""
    longest: float
    shortest: float
    """Largest and smallest length of a vector."""

    def __len__(self) -> int:
        return self.size

    def every(self, queries: Block, *, exact: bool) -> Steps:
        """Returns the scores `(B, T)` of all targets, exact or as `estimates` does."""
        scores_BT = np.empty((len(queries), self.size), dtype=np.int32)
        for first, targets, place in self._chunks(np.arange(self.size, dtype=np.int32), distinct=exact):
            scores_BT[:, first : first + len(place)] = maxsim(queries, targets, exact=exact)[:, place]
        return scores_BT

    def exact(self, queries: Block, pools_BC: IndexArray) -> Steps:
        """Returns the scores `(B, C)` of the targets in `pools_BC`. Where that is -1, the value has no meaning."""
        return self._scores(queries, pools_BC, exact=True)

    def estimates(self, queries: Block, pools_BC: IndexArray) -> Steps:
        """Returns the scores as `exact` does, but with an error of up to `error` steps."""
        return self._scores(queries, pools_BC, exact=False)

    def error(self, queries: Block) -> int | None:
        """Returns the largest error of an estimate, in steps; None if these vectors cannot be estimated.

        A largest dot product is off by no more than one dot product is, and a sum by no more than all together.
        """
        assert isinstance(queries, TokenQueries), "targets of tokens have such queries"
        of_dots = dot_error(queries.rows, queries.rows.shape[1], (self.longest, self.shortest))
        if of_dots is None:
            return None
        return int(np.ceil(queries.tokens.counts * of_dots / 2.0**queries.halvings_B).max(initial=0)) + 1

    def refine(self, scores_BC: Steps, queries: Block, pools_BC: IndexArray, near_BC: Bools) -> None:
        """Replaces the estimates marked in `near_BC` by exact scores, in place."""
        for row in np.flatnonzero(near_BC.any(axis=1)).tolist():
            near_C = near_BC[row]
            scores_BC[row, near_C] = self.exact(queries[row : row + 1], pools_BC[row : row + 1, near_C])[0]

    def _scores(self, queries: Block, pools_BC: IndexArray, *, exact: bool) -> Steps:
        scores_BC = np.zeros(pools_BC.shape, dtype=np.int32)
        used = np.unique(pools_BC[pools_BC >= 0])
        for first, targets, place in self._chunks(used, distinct=exact):
            column_BC = np.searchsorted(used, pools_BC) - first  # outside of `place` for other chunks
            here_BC = (pools_BC >= 0) & (column_BC >= 0) & (column_BC < len(place))
            if len(queries) * len(place) <= _DENSE * np.count_nonzero(here_BC):
                found_BU = maxsim(queries, targets, exact=exact)
                rows, places = np.nonzero(here_BC)
                scores_BC[rows, places] = found_BU[rows, place[column_BC[rows, places]]]
                continue
            for row in np.flatnonzero(here_BC.any(axis=1)).tolist():
                needed, turn = np.unique(place[column_BC[row, here_BC[row]]], return_inverse=True)
                few = targets.take(needed.astype(np.int32))
                scores_BC[row, here_BC[row]] = maxsim(queries[row : row + 1], few, exact=exact)[0, turn]
        return scores_BC

    def _chunks(self, numbers: IndexArray, *, distinct: bool) -> Iterator[tuple[int, Tokens, NDArray[np.int64]]]:
        """Yields where a chunk begins, its items, and for each of its targets which of them it is.

        If they are to be `distinct`, a collapsed model, of few different items, costs no more than a healthy one.
        """
        for part in slices(len(numbers), CHUNK):
            items = self.read(numbers[part])
            place = np.arange(len(items))
            if distinct:
                seen: dict[bytes, int] = {}
                digests = (hashlib.sha256(items[at : at + 1].vectors.tobytes()).digest() for at in range(len(items)))
                place = np.array([seen.setdefault(digest, len(seen)) for digest in digests], dtype=np.int64)
                if len(seen) < len(items):
                    items = items.take(np.unique(place, return_index=True)[1].astype(np.int32))
            yield part.start, items, place


def maxsim(queries: Block, targets: Tokens, *, exact: bool) -> Steps:
    """Returns the score `(B, T)` of every query with every target, in steps of the query."""
    assert isinstance(queries, TokenQueries), "targets of tokens have such queries"
    scores_BT = np.empty((len(queries), len(targets)), dtype=np.int32)
    for rows in _pieces(queries.tokens, _ROWS):
        some = queries[rows]
        doubles_ND = some.in_steps()
        asked = doubles_ND if exact else doubles_ND.astype(np.float32)
        for columns in _pieces(targets, max(1, _PRODUCTS // len(asked))):
            few = targets[columns]
            dots_NM = np.empty((len(asked), len(few.vectors)), dtype=np.int32)
            for part in slices(len(few.vectors), _COLUMNS):
                (exact_products if exact else estimated_products)(asked, few.vectors[part], dots_NM[:, part])
            best_NT = np.maximum.reduceat(dots_NM, few.starts[:-1], axis=1)
            sums_BT = np.add.reduceat(best_NT, some.tokens.starts[:-1], axis=0, dtype=np.int64)
            scores_BT[rows, columns] = np.rint(sums_BT / 2.0 ** some.halvings_B[:, None])
    return scores_BT


def _pieces(tokens: Tokens, most: int) -> Iterator[slice[int, int, None]]:
    """Yields slices of items that have at most so many tokens together, or one item each."""
    first = 0
    while first < len(tokens):
        last = int(np.searchsorted(tokens.starts, tokens.starts[first] + most, "right")) - 1
        yield slice(first, max(first + 1, last))
        first = max(first + 1, last)
