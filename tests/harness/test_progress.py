"""The estimate of a whole run is arithmetic on what is left and on how long the same kind of work has taken."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.progress import LOADING, SCORING, RunEstimate, WorkKind

IMAGE, BIG, TEXT = WorkKind("image", 8), WorkKind("image", 12), WorkKind("text", 3)
KINDS = st.dictionaries(st.sampled_from([IMAGE, BIG, TEXT, SCORING, LOADING]), st.integers(1, 50), max_size=5)


def test_work_left_takes_as_long_as_the_same_work_has_taken():
    run = RunEstimate()
    run.expect("m", {IMAGE: 110, TEXT: 1000, SCORING: 3, LOADING: 1})
    assert run.seconds_left() is None, "nothing was timed yet"
    run.finish("m", {LOADING: 1}, 20)
    assert run.seconds_left() is None
    run.finish("m", {IMAGE: 10}, 5)
    run.finish("m", {TEXT: 100}, 1)
    run.finish("m", {SCORING: 1}, 2)
    assert run.seconds_left() == pytest.approx(100 * 0.5 + 900 * 0.01 + 2 * 2)


def test_a_batch_of_several_kinds_takes_its_time_evenly():
    run = RunEstimate()
    run.expect("m", {IMAGE: 4, TEXT: 4})
    run.finish("m", {IMAGE: 1, TEXT: 3}, 8)
    assert run.seconds_left() == pytest.approx((3 + 1) * 2)


def test_a_model_that_did_not_begin_counts_as_the_others_until_it_was_timed():
    run = RunEstimate()
    run.expect("small", {IMAGE: 10, LOADING: 1})
    run.expect("large", {IMAGE: 100, LOADING: 1})
    run.finish("small", {LOADING: 1}, 3)
    run.finish("small", {IMAGE: 10}, 10)
    assert run.seconds_left() == pytest.approx(100 * 1 + 3)
    run.finish("large", {LOADING: 1}, 30)
    run.finish("large", {IMAGE: 10}, 50)
    assert run.seconds_left() == pytest.approx(90 * 5), "its own rate counts, not the mean of both"


def test_a_size_that_was_not_timed_counts_as_the_nearest_one():
    run = RunEstimate()
    run.expect("m", {IMAGE: 1, BIG: 1, WorkKind("image", 11): 10, WorkKind("video", 1): 1})
    run.finish("m", {IMAGE: 1}, 1)
    run.finish("m", {BIG: 1}, 9)
    assert run.seconds_left() == pytest.approx(10 * 9 + 5), "the video counts as the mean of all items"


def test_what_a_store_has_is_no_work():
    run = RunEstimate()
    run.expect("m", {})
    assert run.seconds_left() == 0
    run.expect("m", {IMAGE: 5})
    run.expect("m", {})
    assert run.seconds_left() == 0


@given(st.dictionaries(st.sampled_from("ab"), KINDS, min_size=1), st.floats(0.01, 100))
def test_at_a_constant_pace_the_estimate_is_exact_from_the_first_step_to_the_last(work, pace):
    """Whatever the work: if each piece takes as long, what is left takes as long as it says."""
    run = RunEstimate()
    for model, own in work.items():
        run.expect(model, own)
    left = sum((Counter(own) for own in work.values()), Counter[WorkKind]())
    timed: set[WorkKind] = set()
    for model, own in work.items():
        for kind, count in own.items():
            for _ in range(count):
                run.finish(model, {kind: 1}, pace)
                left[kind] -= 1
                timed.add(kind)
                if timed >= {LOADING, SCORING, TEXT}:
                    assert run.seconds_left() == pytest.approx(pace * left.total())
    assert run.seconds_left() == 0
