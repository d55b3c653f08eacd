"""Reads from a store what the ranking takes: vectors, of unit length or not, or those of all tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from harness.encoding.matrices import Tokens, Vectors
from harness.scoring.maxsim import CHUNK, TokenTargets
from harness.scoring.pool import Pool
from harness.scoring.rank import normalise
from harness.scoring.ranking import Ranking
from harness.types import FloatArray, IndexArray, ModelSpec


@runtime_checkable
class VectorReader(Protocol):
    """Where single vectors are read: the store, or a view of it."""

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Returns the vectors `(n, d)` in the order of `keys`, as an array of the caller's own."""


@runtime_checkable
class TokenReader(Protocol):
    """Where the vectors of all tokens are read: the store of a model that `is_late`."""

    def tokens(self, keys: Sequence[bytes]) -> Tokens:
        """Returns the items in the order of `keys`."""


Reader: TypeAlias = VectorReader | TokenReader


def read_vectors(store: Reader, keys: Sequence[bytes | None], spec: ModelSpec) -> Vectors:
    """Returns the vectors of items, of unit length if they are compared by cosine. No key may be None."""
    there = [key for key in keys if key is not None]
    if spec.is_late:
        assert isinstance(store, TokenReader), "a model of late interaction is read from its store"
        return store.tokens(there)
    assert isinstance(store, VectorReader)
    vectors = store.get(there)
    return normalise(vectors, out=vectors) if spec.similarity == "cosine" else vectors


def pool_of(store: Reader, keys: Sequence[bytes | None], spec: ModelSpec) -> Pool:
    """Returns targets whose vectors are read from the store when they are needed.

    Those of tokens are read once now, for the lengths of their vectors. Raises UserError if these are not finite.
    """

    def read(indexes: IndexArray) -> Vectors:
        return read_vectors(store, [keys[index] for index in indexes.tolist()], spec)

    if not spec.is_late:
        return Pool(len(keys), read, lengths=(1.0, 1.0) if spec.similarity == "cosine" else None)
    pool = Pool(len(keys), read, block=CHUNK)
    return replace(pool, lengths=pool.bounds())


def listed_targets(pool: Pool, spec: ModelSpec) -> FloatArray | TokenTargets:
    """Returns the targets of queries with lists. All are in memory, but those of tokens are read when needed."""

    def read(indexes: IndexArray) -> Tokens:
        tokens = pool.read(indexes)
        assert isinstance(tokens, Tokens)
        return tokens

    if spec.is_late:
        return TokenTargets(pool.size, read, *pool.bounds())
    vectors = pool.read(np.arange(pool.size, dtype=np.int32))
    assert isinstance(vectors, np.ndarray)
    return vectors


def shown_scores(rankings: Sequence[Ranking], queries: Vectors, spec: ModelSpec) -> Sequence[Ranking]:
    """Returns the rankings with the model's scores: `meanmaxsim` divides by the number of the query's tokens."""
    if spec.similarity != "meanmaxsim":
        return rankings
    assert isinstance(queries, Tokens)
    return [
        replace(
            ranking,
            top=tuple(replace(each, score=each.score / count) for each in ranking.top),
            right_score=None if ranking.right_score is None else ranking.right_score / count,
        )
        for ranking, count in zip(rankings, queries.counts.tolist(), strict=True)
    ]
