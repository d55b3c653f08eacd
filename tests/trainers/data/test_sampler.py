"""The order of pairs: every pair in its turn, a function of seed and step alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from trainers.data.sampler import BatchPlan, by_length

SIZES = st.lists(st.integers(8, 30), min_size=1, max_size=4)


def plan(sizes: list[int], **changes) -> BatchPlan:
    made = BatchPlan.over({str(n): size for n, size in enumerate(sizes)}, {}, batch=8, parts=2, mode="mixed", seed=0)
    return replace(made, **changes)


def flat(made: BatchPlan, step: int) -> list[tuple[int, int]]:
    return [tuple(place) for part in made.at(step) for place in part]


@given(SIZES, st.booleans(), st.integers(0, 3))
def test_an_epoch_sees_no_pair_twice_and_leaves_out_less_than_it_must(sizes: list[int], single: bool, seed: int):
    made = plan(sizes, single=single, seed=seed)
    for epoch in range(2):
        seen = [
            place for step in range(made.steps_per_epoch) for place in flat(made, epoch * made.steps_per_epoch + step)
        ]
        assert len(seen) == len(set(seen)) == made.steps_per_epoch * 8
        assert all(row < sizes[subset] for subset, row in seen)
        most = sum(size % 4 for size in sizes) + 4 if single else 7
        assert sum(sizes) - len(seen) <= most


@given(SIZES, st.booleans(), st.integers(0, 40))
def test_a_step_is_a_function_of_seed_and_step(sizes: list[int], single: bool, step: int):
    made = plan(sizes, single=single)
    before = flat(made, step)
    for other in (0, 3, 17):
        flat(made, other)
    assert flat(plan(sizes, single=single), step) == before
    assert [len(part) for part in made.at(step)] == [4, 4]


def test_seeds_and_epochs_differ():
    made = plan([30, 30])
    orders = [flat(made, 0), flat(replace(made, seed=1), 0), flat(made, made.steps_per_epoch)]
    assert len(set(map(tuple, orders))) == 3


@given(SIZES)
def test_a_part_of_single_batches_is_of_one_dataset(sizes: list[int]):
    made = plan(sizes, single=True)
    for step in range(2 * made.steps_per_epoch):
        assert all(len({place.subset for place in part}) == 1 for part in made.at(step))


def test_weights_say_how_often_an_epoch_sees_a_pair():
    made = BatchPlan.over({"a": 10, "b": 16}, {"a": 2.4, "b": 0.5}, batch=4, parts=1, mode="mixed", seed=0)
    seen = Counter(place for step in range(made.steps_per_epoch) for place in flat(made, step))
    assert made.draws == (24, 8)
    assert made.steps_per_epoch == 8
    assert {seen[0, row] for row in range(10)} == {2, 3}
    assert sum(count for (subset, _), count in seen.items() if subset == 1) == 8
    assert max(count for (subset, _), count in seen.items() if subset == 1) == 1


def test_too_few_pairs_and_unknown_weights_are_refused():
    with pytest.raises(UserError, match="b: fewer than the 8 pairs"):
        BatchPlan.over({"a": 10, "b": 7}, {}, batch=8, parts=1, mode="single", seed=0)
    with pytest.raises(UserError, match="fewer than a batch of 32"):
        BatchPlan.over({"a": 10, "b": 7}, {}, batch=32, parts=1, mode="mixed", seed=0)
    with pytest.raises(UserError, match="no dataset named 'c'"):
        BatchPlan.over({"a": 10, "b": 7}, {"c": 2.0}, batch=8, parts=1, mode="mixed", seed=0)


@pytest.mark.parametrize(("batch", "parts", "most"), [(32, 1, 17), (32, 4, 16), (64, 16, None)])
def test_the_largest_batch_that_pairs_suffice_for_is_named(batch: int, parts: int, most: int | None):
    sizes = {"a": 10, "b": 7}
    with pytest.raises(UserError) as refused:
        BatchPlan.over(sizes, {}, batch=batch, parts=parts, mode="mixed", seed=0)
    assert ("batch=" in refused.value.hint) == (most is not None)
    if most is not None:
        assert f"batch={most}." in refused.value.hint
        BatchPlan.over(sizes, {}, batch=most, parts=parts, mode="mixed", seed=0)


@given(st.lists(st.integers(1, 99), min_size=1, max_size=20), st.integers(1, 6))
def test_groups_by_length_are_all_of_it_in_order_of_length(lengths: list[int], groups: int):
    found = by_length(lengths, groups)
    assert sorted(index for group in found for index in group) == list(range(len(lengths)))
    in_order = [lengths[index] for group in found for index in group]
    assert in_order == sorted(lengths, reverse=True)
    assert max(map(len, found)) - min(map(len, found)) <= 1
