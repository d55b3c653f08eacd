"""Items that have a vector for every token, as models of late interaction make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.encoding.vectors import (
    Work,
    as_matrix,
    check_values,
    check_vectors,
    check_width,
    describe,
    vector_distance,
)
from harness.errors import UserError, counted
from harness.types import FloatArray, IndexArray, ModelSpec

_SHAPE = "embed must return one array (tokens, width) for each item."


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The matrices of items, one below the other."""

    vectors: FloatArray
    """The vectors `(N, d)` of all tokens of all items."""
    starts: NDArray[np.int64]
    """The first row `(n + 1,)` of each item, and N."""

    @staticmethod
    def of(matrices: Sequence[FloatArray], width: int) -> Tokens:
        """Puts matrices `(tokens, width)` together; each has at least one token."""
        starts = np.cumsum([0, *map(len, matrices)], dtype=np.int64)
        vectors = np.concatenate(matrices) if matrices else np.empty((0, width), dtype=np.float32)
        return Tokens(vectors, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, items: slice[int, int, None]) -> Tokens:
        """The items of a slice, without a copy of their vectors."""
        first, last, _ = items.indices(len(self))
        starts = self.starts[first : max(first, last) + 1]
        return Tokens(self.vectors[starts[0] : starts[-1]], starts - starts[0])

    def take(self, items: IndexArray) -> Tokens:
        """The items in the order given, as a copy."""
        chosen = [self.vectors[self.starts[item] : self.starts[item + 1]] for item in items.tolist()]
        return Tokens.of(chosen, self.vectors.shape[1])

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of tokens `(n,)` of each item."""
        counts: NDArray[np.int64] = np.diff(self.starts)
        return counts


Vectors: TypeAlias = FloatArray | Tokens
"""Of each item a vector, as the rows of `(n, d)`, or a vector for every token."""


def as_arrays(output: object, spec: ModelSpec) -> FloatArray | list[FloatArray]:
    """Returns what a model gave as float32: vectors `(n, d)`, or a list of matrices if the model `is_late`.

    Raises: UserError if it is not made of numbers, or is no sequence of arrays.
    """
    if not spec.is_late:
        return as_matrix(output)
    if not isinstance(output, Iterable):
        raise UserError(f"The model returned {type(output).__name__}, which is no sequence of arrays.", _SHAPE)
    return [as_matrix(each) for each in output]


def as_vectors(output: object, spec: ModelSpec) -> FloatArray:
    """Returns what a model gave as vectors `(n, d)`; if it `is_late`, the mean of each item's vectors.

    Raises: UserError as `as_arrays` does, and for matrices that are empty or of different widths.
    """
    arrays = as_arrays(output, spec)
    if isinstance(arrays, np.ndarray):
        return arrays
    shapes = [matrix.shape for matrix in arrays]
    if any(len(shape) != 2 or not all(shape) for shape in shapes) or len({shape[-1] for shape in shapes}) != 1:
        raise UserError(f"The model returned arrays of the shapes {', '.join(map(str, shapes))}.", _SHAPE)
    means: FloatArray = np.stack([matrix.mean(axis=0) for matrix in arrays])
    return means


def checked(
    arrays: FloatArray | list[FloatArray], work: Sequence[Work], width: int | None
) -> tuple[list[FloatArray], int]:
    """Checks a batch. Returns the vector `(d,)` or the matrix `(tokens, d)` of each item, and the width of vectors.

    `width` is that of vectors stored before, or None. Raises: UserError for what cannot be stored, as `check_vectors`
    has it. In a matrix a single vector may be of zeros.
    """
    if isinstance(arrays, np.ndarray):
        width = check_vectors(arrays, work, width)
        return list(arrays), width
    if len(arrays) != len(work):
        raise UserError(f"The model returned {counted(len(arrays), 'array')} for {counted(len(work), 'item')}.", _SHAPE)
    for matrix, each in zip(arrays, work, strict=True):
        if matrix.ndim != 2 or not matrix.size:
            raise UserError(f"The model returned an array of shape {matrix.shape} for {describe(each)}.", _SHAPE)
        check_width(matrix, width)
        width = matrix.shape[1]
    finite = [bool(np.isfinite(matrix).all()) for matrix in arrays]
    check_values(finite, [bool(matrix.any()) for matrix in arrays], work)
    return arrays, width or 0


def item_distance(one: FloatArray, other: FloatArray, spec: ModelSpec) -> float:
    """Returns the distance of two vectors `(d,)` as `vector_distance` does, or the largest of those of two matrices.

    It is infinite for matrices of different shapes, and relative to the longest vector of both.
    """
    if not spec.is_late:
        return vector_distance(one, other, spec.similarity)
    if one.shape != other.shape:
        return np.inf
    a, b = one.astype(np.float64), other.astype(np.float64)
    longest = max(np.linalg.norm(a, axis=1).max(), np.linalg.norm(b, axis=1).max())
    return float(np.linalg.norm(a - b, axis=1).max() / longest)
