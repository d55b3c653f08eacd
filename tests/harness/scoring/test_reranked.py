"""A second stage against its definition: the shortlist by the new scores, then the others by the old ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.scoring.ranking import Ranking, TopCandidate
from harness.scoring.reranked import reranked, shortlist
from tests.helpers.rank_cases import Case, cases, query

NEW = st.lists(st.integers(-1, 1), min_size=99, max_size=99)


def _second(ranking: Ranking, asked, most: int, new) -> Ranking:
    listed = shortlist(ranking, most)
    return reranked(ranking, asked, listed, np.array([new[each] for each in listed], dtype=np.float32))


@given(cases(), st.integers(1, 5), NEW)
def test_it_is_one_ranking_by_shortlist_and_score(case: Case, most: int, new: list[int]) -> None:
    for full, first, asked in zip(case.rank(top=99), case.rank(top=most + 1), case.asked, strict=True):
        old = {each.target: each.score for each in full.top}
        tied = {score: sum(other >= score for other in old.values()) for score in old.values()}
        keys = {each: (1, new[each]) if tied[score] <= most else (0, score) for each, score in old.items()}
        after = _second(first, asked, most, new)
        positives = list(dict.fromkeys(asked.positives.tolist()))
        pool = asked.candidates.tolist() or list(keys)
        assert list(after.best) == [1 + sum(key > keys[each] for key in keys.values()) for each in positives]
        assert list(after.worst) == [sum(key >= keys[each] for key in keys.values()) for each in positives]
        assert list(after.official) == [1 + sum(keys[each] > keys[own] for each in pool) for own in positives]
        listed = [each for each, key in keys.items() if key[0]]
        shown = sorted(listed, key=lambda each: (-new[each], each))[:10]
        assert [(each.target, each.score) for each in after.top] == [(each, new[each]) for each in shown]
        assert after.right_score == max((new[each] for each in positives if each in listed), default=None)
        assert (after.pool_size, after.grades) == (first.pool_size, first.grades)


@given(cases(), st.integers(1, 5))
def test_the_old_scores_change_no_rank(case: Case, most: int) -> None:
    for first, asked in zip(case.rank(top=most + 1), case.asked, strict=True):
        old = {each.target: each.score for each in first.top}
        after = _second(first, asked, most, old)
        assert (after.best, after.worst, after.official) == (first.best, first.worst, first.official)


def test_a_constant_first_stage_leaves_nothing_to_order() -> None:
    first = Ranking("q", (1,), (5,), 5, 1, (1,), 5, tuple(TopCandidate(each, 0.5) for each in range(4)))
    assert shortlist(first, 3) == []
    assert reranked(first, query([], [2]), [], np.empty(0, np.float32)).worst == (5,)


def test_a_group_moves_with_its_best_target() -> None:
    # three groups: {0, 1}, {2}, {1, 3}; target 1 is the best of two of them
    top = (TopCandidate(1, 0.9), TopCandidate(1, 0.9), TopCandidate(2, 0.1))
    first = Ranking("q", (1,), (2,), 3, 1, (1,), 3, top)
    asked = query([], [1, 3])
    assert shortlist(first, 2) == [1, 1]
    after = reranked(first, asked, [1, 1, 2], np.array([0, 0, 7], np.float32), grouped=True)
    assert (after.best, after.worst, after.official) == ((2,), (3,), (2,))
