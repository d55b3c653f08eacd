"""Exact scores, most of them at the cost of an fp32 matrix product.

A score is the exact dot product of two fp32 vectors. It is rounded once, half to even, to a whole number of steps.
The step of a query is the resolution of fp32 just below the largest score that any target can have. For unit vectors
it is 2^-24. So a score depends only on the vectors. The order of candidates, the block size, the number of threads and
the processor do not change it. Scores are tied if and only if they are equal, on every machine.

`exact` costs one fp64 matrix product. Its error bound decides the rounding of all but about one score in 100,000, and
those few are summed exactly. `estimates` costs one fp32 product, and its error is at most a known number of steps. So
only scores that lie that close to each other must be made exact by `refine`.

Array names end in their axes: B queries, T targets, U distinct target vectors, C candidates, D width.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.types import FloatArray, IndexArray

Bools: TypeAlias = NDArray[np.bool_]
Doubles: TypeAlias = NDArray[np.float64]
Steps: TypeAlias = NDArray[np.int32]
_Columns: TypeAlias = IndexArray | NDArray[np.int64]

NOT_A_NUMBER = 1 << 30
"""The score of a vector that is not finite, above all other scores."""
NOT_THERE = -NOT_A_NUMBER
"""The score at places where a list has no candidate, below all other scores."""
_COLUMNS = 512
"""Number of target vectors in one matrix product."""
_ROWS = 32
"""Number of vectors that are converted to fp64, or of products that are rounded, at a time. They fit in the cache."""
_DENSE = 32
"""One matrix product is used while it computes at most this many scores for each score that is needed."""
_TERMS = 256
"""Number of terms of an estimate that one product sums. Fewer terms make it more exact, and slower."""
_TAME = 2.0**40
"""Vectors longer than this, or shorter than its inverse, are not estimated, because fp32 could overflow."""


Product: TypeAlias = Callable[[Doubles | FloatArray, FloatArray, Steps], None]
"""A function of queries `(B, D)` in steps and targets `(C, D)` that writes their dot products in steps to `(B, C)`."""


class Block(Protocol):
    """Queries with their steps, as scores need them."""

    @property
    def rows(self) -> FloatArray:
        """Their vectors: one for each query, or one for each of its tokens."""

    @property
    def steps_B(self) -> Doubles:  # noqa: N802 - a field of both
        """The step of the scores of each query."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice[int, int, None]) -> Block: ...

    def in_steps(self) -> Doubles:
        """Returns the vectors divided by the steps of their dot products."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryBlock:
    """Queries `(B, D)` in fp32, with zeros for those that are not finite, and the step `(B,)` of each."""

    vectors_BD: FloatArray
    steps_B: Doubles

    def __getitem__(self, rows: slice[int, int, None]) -> QueryBlock:
        return QueryBlock(self.vectors_BD[rows], self.steps_B[rows])

    def __len__(self) -> int:
        return len(self.vectors_BD)

    @property
    def rows(self) -> FloatArray:
        """The vectors."""
        return self.vectors_BD

    def in_steps(self) -> Doubles:
        """Returns the vectors divided by their steps. Steps are powers of two, so this is exact."""
        doubles_BD: Doubles = self.vectors_BD / self.steps_B[:, None]
        return doubles_BD


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Distinct target vectors, and in `column_T` the number of the vector of each target.

    Repeats are kept once, so that a collapsed model, with few distinct vectors, costs no more than a healthy one.
    """

    vectors_UD: FloatArray
    """The vectors, with zeros for those that are not finite."""
    column_T: IndexArray
    broken_U: Bools
    """Whether a vector is not finite."""
    longest: float
    shortest: float

    @staticmethod
    def of(targets_TD: FloatArray) -> Targets:
        """Builds it from the vectors of all targets."""
        columns: dict[bytes, int] = {}
        digests = (hashlib.sha256(row).digest() for row in np.ascontiguousarray(targets_TD))
        column_T = np.array([columns.setdefault(each, len(columns)) for each in digests], dtype=np.int32)
        vectors_UD = targets_TD
        if len(columns) < len(targets_TD):
            vectors_UD = targets_TD[np.unique(column_T, return_index=True)[1]]
        lengths_U = lengths(vectors_UD)
        broken_U = ~np.isfinite(lengths_U)
        whole_U = lengths_U[~broken_U]
        longest, shortest = float(whole_U.max(initial=0)), float(whole_U.min(initial=np.inf))
        return Targets(without(vectors_UD, broken_U), column_T, broken_U, longest, shortest)

    def __len__(self) -> int:
        return len(self.column_T)

    def exact(self, queries: Block, pools_BC: IndexArray) -> Steps:
        """Returns the scores `(B, C)` of the targets in `pools_BC`. Where that is -1, the value has no meaning."""
        return self._scores(queries.in_steps(), pools_BC, exact_products)

    def every(self, queries: Block, *, exact: bool) -> Steps:
        """Returns the scores `(B, U)` of all vectors, exact or as `estimates` does. Repeats cost nothing if exact."""
        targets, doubles_BD = (Targets.of(self.vectors_UD) if exact else self), queries.in_steps()
        columns = np.arange(len(targets.vectors_UD))
        if exact:
            scores_BU = targets._products(doubles_BD, columns, exact_products)
        else:
            scores_BU = targets._products(doubles_BD.astype(np.float32), columns, estimated_products)
        return scores_BU if len(columns) == len(self.vectors_UD) else scores_BU[:, targets.column_T]

    def error(self, queries: Block) -> int | None:
        """Returns the largest error of an estimate, in steps; None if these vectors cannot be estimated.

        See `dot_error`.
        """
        return dot_error(queries.rows, self.vectors_UD.shape[1], (self.longest, self.shortest))

    def estimates(self, queries: Block, pools_BC: IndexArray) -> Steps:
        """Returns the scores as `exact` does, but with an error of up to `error` steps."""
        return self._scores(queries.in_steps().astype(np.float32), pools_BC, estimated_products)

    def refine(self, scores_BC: Steps, queries: Block, pools_BC: IndexArray, near_BC: Bools) -> None:
        """Replaces the estimates marked in `near_BC` by exact scores, in place."""
        for row in np.flatnonzero(near_BC.any(axis=1)).tolist():
            near_C = near_BC[row]
            columns = self.column_T[pools_BC[row, near_C]]
            exact_1C = self._products(queries[row : row + 1].in_steps(), columns, exact_products)
            scores_BC[row, near_C] = exact_1C[0]

    def _scores(self, queries_BD: Doubles | FloatArray, pools_BC: IndexArray, product: Product) -> Steps:
        # -1 marks the last target as used. That costs a column at most, and its scores are replaced later.
        used_T = np.zeros(len(self.column_T), dtype=bool)
        used_T[pools_BC] = True
        used_U = np.zeros(len(self.vectors_UD), dtype=bool)
        used_U[self.column_T[used_T]] = True
        used = np.flatnonzero(used_U)
        # Where lists differ from query to query, one product for the whole block computes many scores in vain.
        if len(used) > _DENSE * pools_BC.shape[1]:
            pairs = zip(queries_BD, self.column_T[pools_BC], strict=True)
            return np.concatenate([self._products(query_D[None], columns_C, product) for query_D, columns_C in pairs])
        place_T = (np.cumsum(used_U) - 1)[self.column_T]
        scores_BU = self._products(queries_BD, used, product)
        scores_BC = np.empty(pools_BC.shape, dtype=np.int32)
        for scores_C, scores_U, pool_C in zip(scores_BC, scores_BU, pools_BC, strict=True):
            scores_C[:] = scores_U.take(place_T.take(pool_C))
        return scores_BC

    def _products(self, queries_BD: Doubles | FloatArray, columns: _Columns, product: Product) -> Steps:
        out = np.empty((len(queries_BD), len(columns)), dtype=np.int32)
        for start in range(0, len(columns), _COLUMNS):
            chunk = columns[start : start + _COLUMNS]
            product(queries_BD, self.vectors_UD[chunk], out[:, start : start + _COLUMNS])
        out[:, self.broken_U[columns]] = NOT_A_NUMBER
        return out


def estimated_products(queries_BD: Doubles | FloatArray, vectors_CD: FloatArray, out_BC: Steps) -> None:
    """Rounds the fp32 product, summed in parts. Its error is at most `dot_error`."""
    sums_BC = np.zeros(out_BC.shape, dtype=np.float32)
    for terms in slices(queries_BD.shape[1], _TERMS):
        sums_BC += queries_BD[:, terms] @ vectors_CD[:, terms].T
    np.rint(sums_BC, out=sums_BC)
    out_BC[:] = sums_BC


def dot_error(queries: FloatArray, width: int, bounds: tuple[float, float]) -> int | None:
    """Returns the largest error of an estimated dot product, in steps; None if these vectors cannot be estimated.

    `bounds` are the largest and the smallest length of a target's vectors.

    An fp32 sum of n products, in any order, has an error below n u / (1 - n u) |a| |b|, with u = 2^-24 (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1). |a| |b| is at most 2^24 steps, apart from a
    rounding error. One more step covers underflow, and another one the rounding to whole steps.
    """
    found = np.concatenate([lengths(queries), bounds])
    tame = ((found < _TAME) & (found * _TAME > 1)).all()
    # A term passes through the sum of its own product, and through the sum of the products.
    terms = min(width, _TERMS) + width // _TERMS + 1
    # The factor 1.01 covers 1 / (1 - n u) and the rounding error of |a| |b|, since n u < 2^-8.
    return math.ceil(terms * 1.01) + 2 if tame and terms < 2**16 else None


def exact_products(queries_BD: Doubles | FloatArray, vectors_CD: FloatArray, out_BC: Steps) -> None:
    """Rounds the fp64 product where its error cannot change the rounding, and the exact sum elsewhere.

    The fp64 product has an error below D u |a| |b|, as in `Targets.error` but with u = 2^-53. |a| |b| is at most 2^24
    steps, apart from a rounding error.
    """
    # Farther than this from a whole number, a product is so close to the middle that its rounding is in doubt.
    doubtful = 0.5 - (queries_BD.shape[1] + 3) * 2.0 ** (24 - 53)
    targets_CD = vectors_CD.astype(np.float64)
    products_BC = queries_BD @ targets_CD.T
    for part in slices(len(products_BC)):
        products = products_BC[part]
        out_BC[part] = nearest = np.rint(products)
        for row, column in zip(*np.nonzero(np.abs(products - nearest) >= doubtful), strict=True):
            terms_D = queries_BD[part][row] * targets_CD[column]
            out_BC[part][row, column] = _rounded_sum(terms_D, math.floor(products[row, column]))


def _rounded_sum(terms_D: Doubles | FloatArray, below: int) -> int:
    """Returns the exact sum of the terms, rounded half to even. It must lie near the middle of `below` and `below` + 1.

    Each term is a product of two fp32 numbers, which is exact in fp64. `fsum` returns the sign of the exact sum.
    """
    excess = math.fsum([*terms_D.tolist(), -below, -0.5])
    return below + 1 if excess > 0 or (excess == 0 and below % 2) else below


def steps(lengths_Q: Doubles, longest: float) -> Doubles:
    """Returns the step of each query: 2^-24 of the power of two that no score of it exceeds."""
    # A unit vector can be longer than 1 by a rounding error, which without the factor would double the step.
    largest_Q = lengths_Q * longest * (1 - 1e-6)
    steps_Q: Doubles = np.exp2(np.ceil(np.log2(np.where(largest_Q > 0, largest_Q, 1.0))) - 24)
    return steps_Q


def lengths(vectors: FloatArray) -> Doubles:
    """Returns the lengths of the rows in fp64. The length of a row that is not finite is not finite either."""
    found = np.empty(len(vectors))
    for part in slices(len(vectors)):
        rows = vectors[part].astype(np.float64)
        found[part] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return found


def without(vectors: FloatArray, broken: Bools) -> FloatArray:
    """Returns the vectors, with zeros in place of the broken ones."""
    return np.where(broken[:, None], np.float32(0), vectors) if broken.any() else vectors


def slices(count: int, size: int | None = None) -> Iterator[slice[int, int, None]]:
    """Returns consecutive slices of the range 0 to `count`. By default they are small enough for the cache."""
    size = size or _ROWS
    return (slice(start, start + size) for start in range(0, count, size))
