"""Candidates that are groups of targets, such as the captions of a video. The best target gives the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.scoring.exact import Steps
from harness.types import IndexArray


class BestOfGroup(NamedTuple):
    """Scores of candidates `(B, C)`, and the target that gives each score, the first one if several are equal."""

    scores_BC: Steps
    targets_BC: IndexArray

    def part(self, rows: slice[int, int, None]) -> BestOfGroup:
        """Returns the rows of a slice."""
        return BestOfGroup(self.scores_BC[rows], self.targets_BC[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups of targets: all members (M), group after group, and the start and size of each group (G)."""

    members_M: IndexArray
    starts_G: IndexArray
    sizes_G: IndexArray

    @staticmethod
    def of(groups: Sequence[IndexArray]) -> Groups:
        """Builds it from the members of each group. No group may be empty. A target may be in several groups."""
        sizes_G = np.array([len(members) for members in groups], dtype=np.int32)
        assert sizes_G.all(), "there is an empty group"
        return Groups(np.concatenate(groups), np.cumsum(sizes_G, dtype=np.int32) - sizes_G, sizes_G)

    def __len__(self) -> int:
        return len(self.starts_G)

    def best(self, scores_BT: Steps) -> BestOfGroup:
        """Returns the best score of each group, `(B, G)`, from the scores of all targets `(B, T)`."""
        scores_BM = scores_BT[:, self.members_M]
        best_BG = np.maximum.reduceat(scores_BM, self.starts_G, axis=1)
        is_best_BM = scores_BM == np.repeat(best_BG, self.sizes_G, axis=1)
        no_target = np.int32(scores_BT.shape[1])  # larger than every target, so that the minimum ignores it
        first_BG = np.minimum.reduceat(np.where(is_best_BM, self.members_M, no_target), self.starts_G, axis=1)
        return BestOfGroup(best_BG, first_BG)
