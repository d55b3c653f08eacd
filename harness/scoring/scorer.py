"""Steps and scores in steps, of items that have one vector or one for every token."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from harness.encoding.matrices import Tokens, Vectors
from harness.errors import UserError
from harness.scoring.exact import Block, Bools, Doubles, QueryBlock, Steps, Targets, lengths, steps
from harness.scoring.maxsim import TokenQueries, TokenTargets
from harness.types import IndexArray


class Scorer(Protocol):
    """Targets, and their scores by dot product (`exact.Targets`) or MaxSim (`maxsim.TokenTargets`)."""

    def __len__(self) -> int: ...

    def every(self, queries: Block, *, exact: bool) -> Steps:
        """Returns the scores `(B, T)` of all targets, exact or as `estimates` does."""

    def exact(self, queries: Block, pools_BC: IndexArray) -> Steps:
        """Returns the scores `(B, C)` of the targets in `pools_BC`. Where that is -1, the value has no meaning."""

    def error(self, queries: Block) -> int | None:
        """Returns the largest error of an estimate, in steps; None if these vectors cannot be estimated."""

    def estimates(self, queries: Block, pools_BC: IndexArray) -> Steps:
        """Returns the scores as `exact` does, but with an error of up to `error` steps."""

    def refine(self, scores_BC: Steps, queries: Block, pools_BC: IndexArray, near_BC: Bools) -> None:
        """Replaces the estimates marked in `near_BC` by exact scores, in place."""


def finite_lengths(vectors: Vectors) -> Doubles:
    """Returns the lengths of all vectors. Raises: UserError for vectors that are not finite."""
    found = lengths(vectors.vectors if isinstance(vectors, Tokens) else vectors)
    if not np.isfinite(found).all():
        raise UserError("There are vectors that are not finite.", "Look for overflow, or for a broken checkpoint.")
    return found


def block_of(queries: Vectors, longest: float) -> Block:
    """Returns queries with their steps; `longest` is the length of a target's longest vector.

    Raises: UserError for vectors that are not finite.
    """
    found = finite_lengths(queries)
    if isinstance(queries, Tokens):
        return TokenQueries.of(queries, longest)
    return QueryBlock(queries, steps(found, longest))


def scorer_of(targets: Vectors, bounds: tuple[float, float]) -> Scorer:
    """Returns targets in memory; `bounds` are the largest and the smallest length of all vectors. All are finite."""
    if isinstance(targets, Tokens):
        return TokenTargets(len(targets), targets.take, *bounds)
    numbers = np.arange(len(targets), dtype=np.int32)
    return Targets(targets, numbers, np.zeros(len(targets), dtype=bool), *bounds)
