"""Exact scores, most of them at the price of fp32.

A score is the exact dot product of two fp32 vectors, rounded once, half to even, to a whole number of steps. A query's
step is fp32's own resolution just below the largest score it can have with any target: 2^-24 for unit vectors. So a
score depends on vectors alone: not on the order of candidates, the size of a block, the number of threads or the make
of the processor. Equal scores are ties everywhere, and nothing else is.

`exact` costs one fp64 matrix product, whose error bound settles the rounding of all but about one score in a hundred
thousand; those few are summed exactly. `estimates` costs one fp32 product and is off by a known number of steps at
most, so that only scores which lie that close to each other have to be told apart by `sharpen`.

Array names carry their axes: B queries, T targets, U distinct target vectors, C candidates, D width.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.types import FloatArray, IndexArray

Bools: TypeAlias = NDArray[np.bool_]
Doubles: TypeAlias = NDArray[np.float64]
Steps: TypeAlias = NDArray[np.int32]
_Columns: TypeAlias = IndexArray | NDArray[np.int64]

NOT_A_NUMBER = 1 << 30
"""The score of a vector that is not finite: above all others."""
NOT_THERE = -NOT_A_NUMBER
"""What stands for a score where a list has no candidate."""
_COLUMNS = 512
"""Target vectors in one matrix product."""
_ROWS = 32
"""Vectors widened to fp64, or products rounded, at a time: few enough to stay in the processor's cache."""
_DENSE = 32
"""A matrix product may compute this many scores for each one needed before query by query is cheaper."""
_TERMS = 256
"""Of an estimate, summed in one product: fewer make it closer, and slower."""
_TAME = 2.0**40
"""Vectors longer than this, or shorter than its inverse, are not estimated: fp32 could overflow."""


_Product: TypeAlias = Callable[[Doubles | FloatArray, FloatArray, Steps], None]
"""Writes the dot products of queries `(B, D)` in steps and targets `(C, D)` to `(B, C)`, as whole numbers of steps."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryBlock:
    """Queries `(B, D)` in fp32 without what is not finite, and the step `(B,)` of each."""

    vectors_BD: FloatArray
    steps_B: Doubles

    def __getitem__(self, rows: slice[int, int, None]) -> QueryBlock:
        return QueryBlock(self.vectors_BD[rows], self.steps_B[rows])

    def in_steps(self) -> Doubles:
        """The vectors divided by their steps, which are powers of two."""
        doubles_BD: Doubles = self.vectors_BD / self.steps_B[:, None]
        return doubles_BD


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Target vectors, each kept once, so that a collapsed model costs no more than a healthy one."""

    vectors_UD: FloatArray
    column_T: IndexArray
    broken_U: Bools
    longest: float
    shortest: float

    @staticmethod
    def of(targets_TD: FloatArray) -> Targets:
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

    def exact(self, asked: QueryBlock, pools_BC: IndexArray) -> Steps:
        """Scores of the targets asked for, (B, C); anything where -1 asks for none."""
        return self._scores(asked.in_steps(), pools_BC, _exact_products)

    def error(self, asked: QueryBlock) -> int | None:
        """By how many steps an estimate can be off; None if these vectors cannot be estimated.

        An fp32 sum of n products, in any order, errs by less than n u / (1 - n u) |a| |b|, u = 2^-24 (Higham, Accuracy
        and Stability of Numerical Algorithms, section 3.1); |a| |b| is at most 2^24 steps and a rounding error. One
        more step covers underflow, and one the rounding to whole steps.
        """
        found = np.concatenate([lengths(asked.vectors_BD), [self.longest, self.shortest]])
        tame = ((found < _TAME) & (found > 1 / _TAME)).all()
        width = self.vectors_UD.shape[1]
        terms = min(width, _TERMS) + width // _TERMS + 1
        return math.ceil(terms * 1.01) + 2 if tame and terms < 2**16 else None

    def estimates(self, asked: QueryBlock, pools_BC: IndexArray) -> Steps:
        """As `exact`, but for an `error`."""
        return self._scores(asked.in_steps().astype(np.float32), pools_BC, _estimated_products)

    def sharpen(self, scores_BC: Steps, asked: QueryBlock, pools_BC: IndexArray, near_BC: Bools) -> None:
        """Puts exact scores in the place of the estimates that are marked."""
        for row in np.flatnonzero(near_BC.any(axis=1)).tolist():
            near_C = near_BC[row]
            columns = self.column_T[pools_BC[row, near_C]]
            sharp_1C = self._products(asked[row : row + 1].in_steps(), columns, _exact_products)
            scores_BC[row, near_C] = sharp_1C[0]

    def _scores(self, queries_BD: Doubles | FloatArray, pools_BC: IndexArray, product: _Product) -> Steps:
        used_T = np.zeros(len(self.column_T), dtype=bool)
        used_T[pools_BC] = True
        used_U = np.zeros(len(self.vectors_UD), dtype=bool)
        used_U[self.column_T[used_T]] = True
        used = np.flatnonzero(used_U)
        if len(used) > _DENSE * pools_BC.shape[1]:
            pairs = zip(queries_BD, self.column_T[pools_BC], strict=True)
            return np.concatenate([self._products(query_D[None], columns_C, product) for query_D, columns_C in pairs])
        place_T = (np.cumsum(used_U) - 1)[self.column_T]
        scores_BU = self._products(queries_BD, used, product)
        scores_BC = np.empty(pools_BC.shape, dtype=np.int32)
        for scores_C, scores_U, pool_C in zip(scores_BC, scores_BU, pools_BC, strict=True):
            scores_C[:] = scores_U.take(place_T.take(pool_C))
        return scores_BC

    def _products(self, queries_BD: Doubles | FloatArray, columns: _Columns, product: _Product) -> Steps:
        out = np.empty((len(queries_BD), len(columns)), dtype=np.int32)
        for start in range(0, len(columns), _COLUMNS):
            chunk = columns[start : start + _COLUMNS]
            product(queries_BD, self.vectors_UD[chunk], out[:, start : start + _COLUMNS])
        out[:, self.broken_U[columns]] = NOT_A_NUMBER
        return out


def _estimated_products(queries_BD: Doubles | FloatArray, vectors_CD: FloatArray, out_BC: Steps) -> None:
    sums_BC = np.zeros(out_BC.shape, dtype=np.float32)
    for terms in slices(queries_BD.shape[1], _TERMS):
        sums_BC += queries_BD[:, terms] @ vectors_CD[:, terms].T
    np.rint(sums_BC, out=sums_BC)
    out_BC[:] = sums_BC


def _exact_products(queries_BD: Doubles | FloatArray, vectors_CD: FloatArray, out_BC: Steps) -> None:
    """No score is above 2^24 steps by more than a rounding error, and the fp64 product errs by less than D u |a| |b|.

    As in `Targets.error`, but for u = 2^-53.
    """
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
    """The terms' exact sum, rounded half to even, where it lies near the middle of `below` and the number after it.

    A product of two fp32 numbers is exact in fp64, and fsum's sign is that of the exact sum.
    """
    excess = math.fsum([*terms_D.tolist(), -below, -0.5])
    return below + 1 if excess > 0 or (excess == 0 and below % 2) else below


def steps(lengths_Q: Doubles, longest: float) -> Doubles:
    """What a query's scores are rounded to: 2^-24 of the power of two that none of them exceeds."""
    largest_Q = lengths_Q * longest * (1 - 1e-6)  # a unit vector is a rounding error longer than 1
    steps_Q: Doubles = np.exp2(np.ceil(np.log2(np.where(largest_Q > 0, largest_Q, 1.0))) - 24)
    return steps_Q


def lengths(vectors: FloatArray) -> Doubles:
    """Lengths of the rows; not finite where a row is not."""
    found = np.empty(len(vectors))
    for part in slices(len(vectors)):
        rows = vectors[part].astype(np.float64)
        found[part] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return found


def without(vectors: FloatArray, broken: Bools) -> FloatArray:
    """The vectors, with zeros for those that are broken."""
    return np.where(broken[:, None], np.float32(0), vectors) if broken.any() else vectors


def slices(count: int, size: int | None = None) -> Iterator[slice[int, int, None]]:
    """Consecutive slices of a range; short ones unless a size is given."""
    size = size or _ROWS
    return (slice(start, start + size) for start in range(0, count, size))
