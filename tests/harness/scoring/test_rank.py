"""The one rank function against exact arithmetic, and everything that must not change a rank."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import harness.scoring.exact
import harness.scoring.pool
import harness.scoring.rank
from harness.errors import UserError
from harness.scoring.rank import normalise, rank
from tests.helpers.rank_cases import Case, cases, grouped_cases, half_way_case, query, random_case, reference


@settings(deadline=None)
@given(cases(), st.integers(0, 4))
def test_ranks_and_top_are_those_of_exact_arithmetic(case: Case, top: int) -> None:
    assert case.rank(top=top) == reference(case.queries, case.targets, case.asked, top)


@pytest.mark.parametrize("width", [1, 3, 33, 200])
def test_unit_vectors_are_ranked_as_by_exact_arithmetic(width: int) -> None:
    case = random_case(width, 6, 40, width, 30)
    assert case.rank() == reference(case.queries, case.targets, case.asked)


def test_scores_half_way_between_two_steps_are_decided_as_exact_arithmetic_says() -> None:
    wrong_in_fp64 = 0
    for seed in range(10):
        case = half_way_case(seed)
        (expected,) = reference(case.queries, case.targets, case.asked, top=99)
        assert case.rank(top=99) == [expected]
        # Half to even: of four halves and their neighbours above and below, each number of steps is met three times.
        assert list(Counter(each.score for each in expected.top).values()) == [1, 2, 2, 4, 2, 2]  # half to even
        steps = np.rint(case.queries.astype(float) @ case.targets.T.astype(float) * 2.0**24)[0]
        scores = {each.target: each.score * 2.0**24 for each in expected.top}
        wrong_in_fp64 += [scores[target] for target in range(len(steps))] != steps.tolist()
    assert wrong_in_fp64


@settings(deadline=None)
@given(cases(), st.randoms())
def test_order_of_candidates_changes_nothing(case: Case, shuffler: Random) -> None:
    mixed = []
    for each in case.asked:
        candidates = each.candidates.tolist()
        shuffler.shuffle(candidates)
        mixed.append(replace(each, candidates=np.array(candidates, dtype=np.int32)))
    assert rank(case.queries, case.targets, mixed) == case.rank()


@settings(deadline=None)
@given(cases())
def test_a_query_is_ranked_the_same_alone_in_any_block_and_in_any_order(case: Case) -> None:
    together = case.rank()
    assert case.rank(block=1) == together
    assert case.rank(block=2) == together
    backwards = rank(case.queries[::-1], case.targets, case.asked[::-1])
    assert backwards[::-1] == together
    for row, each in enumerate(case.asked):
        assert rank(case.queries[row : row + 1], case.targets, [each]) == [together[row]]


@settings(deadline=None)
@given(cases(), st.randoms())
def test_order_of_targets_only_renames_them(case: Case, shuffler: Random) -> None:
    order = list(range(len(case.targets)))
    shuffler.shuffle(order)
    place = np.argsort(order).astype(np.int32)  # targets[order][place[i]] is targets[i]
    renamed = [replace(each, candidates=place[each.candidates], positives=place[each.positives]) for each in case.asked]
    moved = rank(case.queries, case.targets[order], renamed, top=0)
    assert moved == case.rank(top=0)
    scores = [[each.score for each in ranking.top] for ranking in rank(case.queries, case.targets[order], renamed)]
    assert scores == [[each.score for each in ranking.top] for ranking in case.rank()]


@settings(deadline=None)
@given(cases(lists=False))
def test_no_list_is_the_list_of_all_targets(case: Case) -> None:
    everything = np.arange(len(case.targets), dtype=np.int32)
    listed = [replace(each, candidates=everything) for each in case.asked]
    assert rank(case.queries, case.targets, listed) == case.rank()
    some = [own if row % 2 else each for row, (own, each) in enumerate(zip(listed, case.asked, strict=True))]
    assert rank(case.queries, case.targets, some) == case.rank()


@settings(deadline=None)
@given(cases(lists=False), st.data())
def test_what_a_query_leaves_out_is_as_if_it_were_not_there(case: Case, data: st.DataObject) -> None:
    everything = set(range(len(case.targets)))
    asked, listed = [], []
    for each in case.asked:
        others = sorted(everything - set(each.positives.tolist()))
        out = np.array(data.draw(st.lists(st.sampled_from(others), unique=True)) if others else [], np.int32)
        asked.append(replace(each, excluded=out))
        listed.append(replace(each, candidates=np.array(sorted(everything - set(out.tolist())), np.int32)))
    assert rank(case.queries, case.targets, asked) == rank(case.queries, case.targets, listed)


@settings(deadline=None)
@given(grouped_cases(), st.integers(0, 4))
def test_a_group_is_ranked_by_the_best_of_its_targets(case: Case, top: int) -> None:
    expected = reference(case.queries, case.targets, case.asked, top, case.groups)
    assert case.rank(top=top) == case.rank(top=top, block=1) == expected


@settings(deadline=None)
@given(cases())
def test_groups_of_one_change_nothing(case: Case) -> None:
    alone = replace(case, groups=[[number] for number in range(len(case.targets))])
    assert alone.rank() == case.rank()


@settings(deadline=None)
@given(cases(lists=True), st.data())
def test_a_repeated_candidate_counts_once_except_under_the_public_rule(case: Case, data: st.DataObject) -> None:
    longer = []
    for each in case.asked:
        extra = data.draw(st.lists(st.sampled_from(each.candidates.tolist()), max_size=5))
        longer.append(replace(each, candidates=np.concatenate([each.candidates, np.array(extra, dtype=np.int32)])))
    for before, after in zip(case.rank(), rank(case.queries, case.targets, longer), strict=True):
        same = replace(after, official=before.official, official_pool_size=before.official_pool_size)
        assert same == before
        assert all(one <= other for one, other in zip(before.official, after.official, strict=True))


@pytest.fixture(params=[None, 25])
def large(request: pytest.FixtureRequest) -> Case:
    return random_case(0, 150, 400, 70, request.param)


@pytest.mark.parametrize("block", [1, 7, 64, 10_000])
def test_block_size_changes_nothing(large: Case, block: int) -> None:
    assert large.rank(block=block) == large.rank()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_number_of_threads_changes_nothing(large: Case, threads: int) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(threads):
        limited = large.rank()
    assert limited == large.rank()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_DENSE", 0),
        ("_DENSE", 1 << 30),
        ("_COLUMNS", 1),
        ("_COLUMNS", 37),
        ("_ROWS", 1),
        ("_ROWS", 999),
        ("_CELLS", 1),
        ("_FEW", 1),
        ("_RARE", 1),
        ("_RARE", 1 << 30),
        ("_TERMS", 1),
        ("_TERMS", 16),
        ("_TAME", 0.0),
        ("_TARGETS", 1),
        ("_TARGETS", 64),
        ("_FEW_RIGHT", 0),
    ],
)
def test_no_constant_of_the_implementation_changes_anything(
    large: Case, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    before = large.rank()
    modules = [harness.scoring.rank, harness.scoring.pool, harness.scoring.exact]
    having = [module for module in modules if hasattr(module, name)]
    assert having
    for module in having:
        monkeypatch.setattr(module, name, value)
    assert large.rank() == before


def test_identical_targets_are_ties_and_so_are_targets_nearer_than_a_step() -> None:
    targets = np.array([[0.5, 0.0], [0.5, 0.0], [0.5, 2.0**-26], [0.5, 2.0**-22], [1.0, 0.0]], dtype=np.float32)
    (ranking,) = rank(np.array([[0.75, 0.5]], dtype=np.float32), targets, [query([], [0])])
    assert (ranking.best, ranking.worst, ranking.official) == ((3,), (5,), (3,))
    assert ranking.tied


@pytest.mark.parametrize("listed", [True, False])
def test_a_collapsed_model_is_ranked_quickly_and_tied_exactly(listed: bool) -> None:
    count, width = 1000, 896
    vectors = normalise(np.full((count, width), 0.3, dtype=np.float32))
    asked = [query(np.roll(np.arange(count), -row) if listed else [], [row]) for row in range(count)]
    start = time.perf_counter()
    rankings = rank(vectors, vectors, asked)
    assert time.perf_counter() - start < 5
    assert {(each.best, each.worst, each.official) for each in rankings} == {((1,), (count,), (1,))}
    assert {tuple(each.target for each in ranking.top) for ranking in rankings} == {tuple(range(10))}


@settings(deadline=None)
@given(cases(), st.integers(-70, 70), st.integers(-70, 70))
def test_scale_changes_scores_but_no_rank(case: Case, of_queries: int, of_targets: int) -> None:
    queries, targets = (
        (vectors.astype(float) * 2.0**exponent).astype(np.float32)
        for vectors, exponent in ((case.queries, of_queries), (case.targets, of_targets))
    )
    scaled = Case(queries, targets, case.asked)
    unscaled = queries.astype(float) * 2.0**-of_queries, targets.astype(float) * 2.0**-of_targets
    assume((unscaled[0] == case.queries).all() and (unscaled[1] == case.targets).all())  # else too small for fp32
    for before, after in zip(case.rank(), scaled.rank(), strict=True):
        assert replace(after, top=(), right_score=None) == replace(before, top=(), right_score=None)
        assert after.right_score == before.right_score * 2.0 ** (of_queries + of_targets)
        assert [each.target for each in after.top] == [each.target for each in before.top]
        assert [each.score for each in after.top] == [
            each.score * 2.0 ** (of_queries + of_targets) for each in before.top
        ]


def test_dot_products_beyond_fp32_are_still_told_apart() -> None:
    targets = np.array([[3e30], [2e30], [3e30], [-1e30]], dtype=np.float32)
    (ranking,) = rank(np.array([[1e30]], dtype=np.float32), targets, [query([], [1, 0, 3])])
    assert (ranking.best, ranking.worst) == ((3, 1, 4), (3, 2, 4))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["queries", "targets"])
def test_vectors_that_are_not_finite_are_refused(side: str, value: float) -> None:
    case = random_case(0, 3, 9, 5, 4)
    getattr(case, side)[-1, -1] = value
    with pytest.raises(UserError, match="not finite"):
        case.rank()


@settings(deadline=None)
@given(cases(lists=True), st.data())
def test_nan_wins_as_in_the_public_loop(case: Case, data: st.DataObject) -> None:
    """The public rule: `argmax` over a query's list, whose first is the right one; a NaN counts as the maximum."""
    queries, targets = np.round(case.queries * 4) / 4, np.round(case.targets * 4) / 4  # exact in fp32
    queries[data.draw(st.lists(st.integers(0, len(queries) - 1), max_size=1))] = np.nan
    targets[data.draw(st.lists(st.integers(0, len(targets) - 1), max_size=3))] = np.nan
    asked = [query(each.candidates, each.candidates[:1]) for each in case.asked]
    for row, ranking in enumerate(rank(queries, targets, asked, nan_wins=True)):
        public = int(np.argmax([queries[row] @ targets[each] for each in asked[row].candidates]))
        assert (ranking.official == (1,)) == (public == 0)
        if np.isnan(queries[row]).any():
            assert {each.score for each in ranking.top} == {np.inf}


def test_a_list_holds_its_positives() -> None:
    case = random_case(0, 1, 9, 5, 4)
    with pytest.raises(AssertionError, match="not among"):
        rank(case.queries, case.targets, [query([1, 2, 3], [4])])


@pytest.mark.parametrize("top", [0, 3, 99])
def test_top_holds_at_most_the_distinct_candidates(top: int) -> None:
    case = random_case(0, 20, 30, 5, 12)
    for ranking, each in zip(case.rank(top=top), case.asked, strict=True):
        assert len(ranking.top) == min(top, ranking.pool_size)
        assert {one.target for one in ranking.top} <= set(each.candidates.tolist())


def test_nothing_to_rank() -> None:
    nothing = np.empty((0, 4), dtype=np.float32)
    assert rank(nothing, nothing, []) == []
    (ranking,) = rank(np.ones((1, 4), dtype=np.float32), nothing, [query([], [])])
    assert (ranking.best, ranking.pool_size, ranking.top) == ((), 0, ())


def test_normalised_vectors_are_the_nearest_to_unit_length() -> None:
    vectors = np.random.default_rng(0).standard_normal((100, 300)).astype(np.float32) * np.float32(1e20)
    unit = normalise(vectors)
    lengths = np.sqrt(np.square(vectors.astype(float)).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(unit, vectors / lengths, rtol=2.0**-24 * 1.001)
    np.testing.assert_allclose(np.square(unit.astype(float)).sum(axis=1), 1, atol=2e-7)
    np.testing.assert_array_equal(np.concatenate([normalise(vectors[row, None]) for row in range(100)]), unit)
    np.testing.assert_array_equal(normalise(vectors * np.float32(2.0**-90)), unit)


def test_a_vector_of_zeros_has_no_direction() -> None:
    assert np.isnan(normalise(np.zeros((1, 3), dtype=np.float32))).all()
