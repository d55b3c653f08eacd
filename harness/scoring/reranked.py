"""A ranking after a second stage, which orders the best candidates of each query anew. The others keep their ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.scoring.exact import Doubles
from harness.scoring.ranking import Ranking, TopCandidate
from harness.types import FloatArray, IndexArray, Query

SHOWN = 10
"""Number of candidates that a row shows."""


def shortlist(ranking: Ranking, most: int) -> list[int]:
    """Returns the targets that the second stage scores: the best `most` candidates, best first.

    Those tied with the first one that is left out are left out too, so that the list does not depend on the order of
    the data. `ranking.top` must have `most + 1` candidates, or all.
    """
    edge = ranking.top[most].score if len(ranking.top) > most else -np.inf
    return [each.target for each in ranking.top[:most] if each.score > edge]


def reranked(
    ranking: Ranking, query: Query, listed: Sequence[int], scores: FloatArray, *, grouped: bool = False
) -> Ranking:
    """Returns the ranking in which the candidates of the shortlist are in the order of their new scores.

    Ties stay neutral: a right candidate has the best and the worst rank that equal scores leave open. Whoever is not in
    the list is behind all who are, at the rank of the first stage.

    Args:
        ranking: of the first stage.
        listed: what `shortlist` says of it. A target that stands for two groups is in it twice.
        scores: the new score of each of them; all must be finite.
        grouped: whether candidates are groups of targets, of which `listed` has the best targets.
    """
    scores_S, repeats = np.asarray(scores, dtype=np.float64), Counter(query.candidates.tolist())
    weights_S = np.array([max(1, repeats[target]) for target in listed], dtype=np.int32)
    right = {target: turn for turn, target in reversed(list(enumerate(listed))) if target in query.positives}
    moved = [min(right.values())] if grouped and right else [right[each] for each in query.positives if each in right]
    turns = iter(dict.fromkeys(moved))
    before = zip(ranking.best, ranking.worst, ranking.official, strict=True)
    # Whoever has an equal score is in the list too, so the worst rank says who is in it.
    after = [_ranks(scores_S, weights_S, next(turns)) if old[1] <= len(listed) else old for old in before]
    best, worst, official = zip(*after, strict=True) if after else ((), (), ())
    order = np.lexsort((np.asarray(listed), -scores_S))[:SHOWN].tolist() if len(listed) else []
    return replace(
        ranking,
        best=best,
        worst=worst,
        official=official,
        top=tuple(TopCandidate(listed[turn], float(scores_S[turn])) for turn in order),
        right_score=max((float(scores_S[turn]) for turn in moved), default=None),
    )


def _ranks(scores_S: Doubles, weights_S: IndexArray, turn: int) -> tuple[int, int, int]:
    """The best, worst and official rank of one of the list. `weights_S` counts the repeats of each in the data."""
    above_S = scores_S > scores_S[turn]
    count = int(np.count_nonzero(above_S))
    return 1 + count, int(np.count_nonzero(scores_S >= scores_S[turn])), 1 + int(weights_S[above_S].sum())
