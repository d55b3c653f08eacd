"""Candidates that are several targets, and count by the best of them: a video's captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.scoring.exact import Steps
from harness.types import IndexArray


class BestOfGroup(NamedTuple):
    """Scores of candidates `(B, C)`, and the target that each has its score from, the first if there are several."""

    scores_BC: Steps
    targets_BC: IndexArray

    def part(self, rows: slice[int, int, None]) -> BestOfGroup:
        return BestOfGroup(self.scores_BC[rows], self.targets_BC[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Targets of one group after the other (M), where each group starts (G), and how many it has."""

    members_M: IndexArray
    starts_G: IndexArray
    sizes_G: IndexArray

    @staticmethod
    def of(groups: Sequence[IndexArray]) -> Groups:
        """No group may be empty. A target may be in several."""
        sizes_G = np.array([len(members) for members in groups], dtype=np.int32)
        assert sizes_G.all(), "there is an empty group"
        return Groups(np.concatenate(groups), np.cumsum(sizes_G, dtype=np.int32) - sizes_G, sizes_G)

    def __len__(self) -> int:
        return len(self.starts_G)

    def best(self, scores_BT: Steps) -> BestOfGroup:
        scores_BM = scores_BT[:, self.members_M]
        best_BG = np.maximum.reduceat(scores_BM, self.starts_G, axis=1)
        is_best_BM = scores_BM == np.repeat(best_BG, self.sizes_G, axis=1)
        nobody = np.int32(scores_BT.shape[1])
        first_BG = np.minimum.reduceat(np.where(is_best_BM, self.members_M, nobody), self.starts_G, axis=1)
        return BestOfGroup(best_BG, first_BG)
