"""The ranks of a query's right candidates, as the metrics read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from harness.types import IndexArray


@dataclass(frozen=True, slots=True)
class TopCandidate:
    """A candidate at the top of a ranking: its index in the task's targets, and its fp32 score."""

    target: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranks of a query's right candidates. A positive with best < worst is tied with others."""

    query_id: str
    best: tuple[int, ...]
    """Rank, from 1, of each positive if it wins every tie; in the order of `Query.positives`, without repeats."""
    worst: tuple[int, ...]
    """Rank of each positive if it loses every tie."""
    pool_size: int
    """Number of distinct candidates that were ranked."""
    num_positives: int
    """Number of right candidates in the data; more than `len(best)` if one of them has a bad medium."""
    official: tuple[int, ...]
    """Rank of each positive under the public rule: it wins ties, and repeats of other candidates count."""
    official_pool_size: int
    """Number of candidates that were ranked, repeats counted."""
    top: tuple[TopCandidate, ...] = ()
    """The best candidates, best first; equal scores in the order of the targets."""
    right_score: float | None = None
    """The fp32 score of the best right candidate, in the top or not. None if it was not ranked."""
    grades: tuple[int, ...] = ()
    """Grades of the right candidates: the ranked ones in the order of `best`, then the others. Empty: all are 1."""
    official_grades: tuple[int, ...] = ()
    """The grades that the public code pairs with them, in the same order. Empty: they are `grades`."""

    @property
    def all_grades(self) -> tuple[int, ...]:
        """The grade of each right candidate, also if all are 1."""
        return self.grades or (1,) * self.num_positives

    @property
    def depends_on_protocol(self) -> bool:
        """Whether the public rule and the strict rule can give different scores."""
        ranks_agree = self.best == self.worst == self.official and self.pool_size == self.official_pool_size
        return not ranks_agree or bool(self.official_grades)

    @property
    def tied(self) -> bool:
        """Whether a right candidate has the score of a wrong one."""
        return any(
            worst - best + 1 > self._right_in(best, worst) for best, worst in zip(self.best, self.worst, strict=True)
        )

    def _right_in(self, best: int, worst: int) -> int:
        return sum(1 for pair in zip(self.best, self.worst, strict=True) if pair == (best, worst))


@dataclass(frozen=True, slots=True, eq=False)
class RankQuery:
    """A query to rank. `candidates` are indexes of targets, with repeats allowed; empty for all targets."""

    id: str
    candidates: IndexArray
    positives: IndexArray
    """Indexes of the right targets that have a vector."""
    num_positives: int
    """Number of right targets in the data, those without a vector included."""
    grades: tuple[int, ...] = ()
    """Grades of the right targets: of the distinct `positives`, then of those without a vector. Empty: all are 1."""
    excluded: IndexArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    """Indexes of targets that a query without a list does not rank, without repeats. None is among `positives`."""


class TieGroup(NamedTuple):
    """Candidates of equal score, at least one of them right."""

    before: int
    """Number of candidates with a higher score."""
    size: int
    grades: tuple[int, ...]
    """Grades of the group's right candidates, in ascending order."""

    @property
    def right(self) -> int:
        """Number of right candidates in the group."""
        return len(self.grades)
