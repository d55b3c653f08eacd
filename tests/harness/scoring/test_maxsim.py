"""MaxSim against its formula in exact arithmetic, and what must not change a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness.scoring.maxsim
from harness.encoding.matrices import Tokens
from harness.errors import UserError
from harness.scoring.groups import Groups
from harness.scoring.maxsim import TokenTargets
from harness.scoring.pool import Pool, rank_pool
from harness.scoring.rank import normalise, rank
from harness.scoring.ranking import Ranking, RankQuery
from harness.scoring.scorer import block_of, finite_lengths, scorer_of
from harness.types import FloatArray
from tests.helpers.rank_cases import COARSE, FINE, Case, cases, dot, exact, query, reference, step_of

Matrices = Sequence[FloatArray]


def tokens(matrices: Matrices) -> Tokens:
    return Tokens.of(matrices, matrices[0].shape[1])


def pool(matrices: Matrices, block: int = 256) -> Pool:
    return Pool(len(matrices), tokens(matrices).take, block=block)


def ranked(queries: Matrices, targets: Matrices, asked: Sequence[RankQuery], top: int = 99) -> list[Ranking]:
    """By the function that reads lists, which takes whole pools too."""
    whole = pool(targets)
    found = finite_lengths(tokens(targets))
    return rank(tokens(queries), TokenTargets(whole.size, whole.read, found.max(), found.min()), asked, top=top)


def shown(rankings: Sequence[Ranking]) -> list[dict[int, float]]:
    return [{each.target: each.score for each in ranking.top} for ranking in rankings]


def random_matrices(seed: int, count: int, width: int, longest: int) -> list[FloatArray]:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, longest + 1, count)
    return [normalise(random.standard_normal((size, width)).astype(np.float32)) for size in sizes]


def everything(count: int, right: Sequence[int]) -> list[RankQuery]:
    return [query([], [each % count], f"q{number}") for number, each in enumerate(right)]


@pytest.fixture(scope="module")
def items() -> tuple[list[FloatArray], list[FloatArray]]:
    """Queries, one of them longer than 32 tokens, and targets with some repeated."""
    queries, targets = random_matrices(1, 12, 16, 12), random_matrices(2, 60, 16, 40)
    queries[3] = random_matrices(3, 1, 16, 1)[0].repeat(70, axis=0) + queries[0][:1]
    for copy in range(10, 60, 10):
        targets[copy] = targets[0]
    return queries, targets


@st.composite
def matrices(draw: st.DrawFn, most: int, width: int) -> list[FloatArray]:
    value = draw(st.sampled_from([COARSE, FINE]))
    matrix = st.lists(st.lists(value, min_size=width, max_size=width), min_size=1, max_size=4)
    return [np.array(draw(matrix), np.float32) for _ in range(draw(st.integers(1, most)))]


@given(st.data())
def test_a_score_is_the_sum_of_the_largest_dot_products_each_exact_and_rounded_once(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 5))
    queries, targets = data.draw(matrices(4, width)), data.draw(matrices(6, width))
    vectors = [exact(row) for target in targets for row in target]
    expected = []
    for of_query in queries:
        rows = [exact(row) for row in of_query]
        step = step_of(max(rows, key=lambda row: dot(row, row)), vectors)
        scores = [sum(max(round(dot(a, exact(b)) / step) for b in each) for a in rows) * step for each in targets]
        expected.append({number: float(score) for number, score in enumerate(scores)})
    asked = everything(len(targets), range(len(queries)))
    assert shown(ranked(queries, targets, asked)) == expected
    assert shown(rank_pool(tokens(queries), asked, pool(targets, block=2), top=99)) == expected


def test_scores_are_those_of_the_naive_formula_in_fp64(items: tuple[Matrices, Matrices]) -> None:
    queries, targets = items
    naive = [[(q.astype(np.float64) @ t.astype(np.float64).T).max(axis=1).sum() for t in targets] for q in queries]
    scores = [
        [own[number] for number in range(len(targets))]
        for own in shown(ranked(queries, targets, everything(60, range(12))))
    ]
    # Each of n dot products is off by half of 2^-24 of the longest lengths, and a sum of many by half a step.
    np.testing.assert_allclose(scores, naive, rtol=0, atol=70 * 2.0**-22)
    np.testing.assert_allclose(scores[0], naive[0], rtol=0, atol=len(queries[0]) * 2.0**-25 * 1.01)


@given(cases())
def test_items_of_one_token_are_ranked_as_their_vectors(case: Case) -> None:
    queries, targets = [row[None] for row in case.queries], [row[None] for row in case.targets]
    assert ranked(queries, targets, case.asked, top=5) == reference(case.queries, case.targets, case.asked, 5)
    if not any(len(each.candidates) for each in case.asked):
        assert rank_pool(tokens(queries), case.asked, pool(targets), top=5) == case.rank(top=5)


def test_equal_items_are_tied_wherever_they_stand(items: tuple[Matrices, Matrices]) -> None:
    queries, targets = items
    for ranking in ranked(queries, targets, everything(60, [0] * 12)):
        assert ranking.worst[0] - ranking.best[0] == 5
        assert ranking.tied
    alone = ranked(queries, [targets[0]] * 300, everything(300, [7] * 12), top=3)
    assert {(each.best, each.worst) for each in alone} == {((1,), (300,))}
    assert [each.target for each in alone[0].top] == [0, 1, 2]


def test_order_of_tokens_and_repeated_tokens_of_a_target_change_nothing(items: tuple[Matrices, Matrices]) -> None:
    queries, targets = items
    asked = everything(60, range(12))
    turned = [np.concatenate([each[::-1], each[:1]]) for each in targets]
    assert ranked(queries, turned, asked) == ranked(queries, targets, asked)
    assert ranked([each[::-1] for each in queries], targets, asked) == ranked(queries, targets, asked)


def test_a_query_is_ranked_the_same_alone_in_any_order_and_by_both_functions(items: tuple[Matrices, Matrices]) -> None:
    queries, targets = items
    asked = everything(60, range(12))
    together = ranked(queries, targets, asked)
    assert rank_pool(tokens(queries), asked, pool(targets), top=99) == together
    assert rank_pool(tokens(queries), asked, pool(targets, block=7), top=99) == together
    assert ranked(queries[::-1], targets, asked[::-1])[::-1] == together
    for number in range(12):
        assert ranked(queries[number : number + 1], targets, asked[number : number + 1]) == [together[number]]


@pytest.mark.parametrize(
    ("name", "value"),
    [("CHUNK", 1), ("CHUNK", 7), ("_PRODUCTS", 1), ("_ROWS", 1), ("_COLUMNS", 1), ("_DENSE", 0), ("_DENSE", 1 << 30)],
)
def test_no_constant_of_the_implementation_changes_anything(
    items: tuple[Matrices, Matrices], monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    queries, targets = items
    random = np.random.default_rng(0)
    lists = [random.choice(60, 20) for _ in queries]
    asked = [query(each, each[:2], f"q{number}") for number, each in enumerate(lists)]
    whole = everything(60, range(12))
    before = ranked(queries, targets, asked, 3), rank_pool(tokens(queries), whole, pool(targets), top=3)
    monkeypatch.setattr(harness.scoring.maxsim, name, value)
    assert (ranked(queries, targets, asked, 3), rank_pool(tokens(queries), whole, pool(targets), top=3)) == before


def test_estimates_are_off_by_no_more_than_they_say(items: tuple[Matrices, Matrices]) -> None:
    queries, targets = items
    lengths = finite_lengths(tokens(targets))
    scorer, block = scorer_of(tokens(targets), (lengths.max(), lengths.min())), block_of(tokens(queries), lengths.max())
    error = scorer.error(block)
    assert error is not None
    off = np.abs(scorer.every(block, exact=False).astype(int) - scorer.every(block, exact=True))
    assert 0 < off.max() <= error


def test_lists_and_groups_are_those_of_the_whole_pool(items: tuple[Matrices, Matrices]) -> None:
    queries, targets = items
    asked = everything(60, range(12))
    together = ranked(queries, targets, asked)
    listed = [replace(each, candidates=np.arange(60, dtype=np.int32)) for each in asked]
    assert ranked(queries, targets, listed) == together
    whole = pool(targets)
    scorer = TokenTargets(60, whole.read, *whole.bounds())
    alone = Groups.of([np.array([number], np.int32) for number in range(60)])
    assert rank(tokens(queries), scorer, asked, groups=alone, top=99) == together


def test_vectors_that_are_not_finite_are_refused() -> None:
    bad = [np.array([[1.0, np.nan]], np.float32)]
    good = [np.array([[1.0, 2.0]], np.float32)]
    for one, other in ((bad, good), (good, bad)):
        with pytest.raises(UserError, match="not finite"):
            rank_pool(tokens(one), everything(1, [0]), pool(other))


def test_the_exact_sum_of_a_long_query_is_rounded_once() -> None:
    """33 tokens: the step of the sum is twice that of a dot product, and a half goes to the even number."""
    step = 2.0**-24
    target = [np.array([[1.0, 1.0]], np.float32)]
    length = 2**0.5
    for odd in (1, 3, 5):
        rows = np.zeros((33, 2), np.float32)
        rows[0] = [1 / length, 0]  # the longest, so that the step is known
        rows[1] = [odd * step, 0]
        (found,) = shown(ranked([rows], target, everything(1, [0])))
        first = round(float(rows[0, 0]) / step)
        assert found[0] == round(Fraction(first + odd, 2)) * 2 * step
