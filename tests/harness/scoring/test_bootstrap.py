"""Bootstrap intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring.bootstrap import Interval, bootstrap


def of_mean(values: np.ndarray, seed: int = 0) -> Interval:
    return bootstrap([values.tolist()], medians=[False], seed=seed)[0]


def of_median(values: np.ndarray, seed: int = 0) -> Interval:
    return bootstrap([values.tolist()], medians=[True], seed=seed)[0]


def test_95_of_100_intervals_of_a_mean_hold_the_truth() -> None:
    samples = np.random.default_rng(0).random((500, 400)) < 0.3
    held = [low <= 0.3 <= high for low, high in (of_mean(sample, seed) for seed, sample in enumerate(samples))]
    assert 0.93 <= np.mean(held) <= 0.97


def test_95_of_100_intervals_of_a_median_hold_the_truth() -> None:
    samples = np.random.default_rng(1).exponential(size=(300, 200))
    held = [low <= np.log(2) <= high for low, high in (of_median(sample, seed) for seed, sample in enumerate(samples))]
    assert 0.92 <= np.mean(held) <= 0.98


def test_width_follows_the_standard_error() -> None:
    values = np.random.default_rng(2).random(1000)
    low, high = of_mean(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(1000), rel=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * (high - low))


def test_the_seed_decides() -> None:
    values = np.random.default_rng(3).random(200)
    assert of_mean(values, seed=1) == of_mean(values, seed=1) != of_mean(values, seed=2)


def test_order_of_queries_matters_no_more_than_the_seed() -> None:
    values = np.random.default_rng(4).random(500)
    low, high = of_mean(values)
    for other in (of_mean(values[::-1]), of_mean(values, seed=5)):
        assert np.abs(np.array(other) - (low, high)).max() < 0.15 * (high - low)


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 1000), st.integers(1, 60))
def test_equal_scores_give_an_interval_without_width(value: float, count: int) -> None:
    values = np.full(count, value)
    assert of_mean(values) == of_median(values) == (value, value)


def test_scores_are_resampled_together_and_do_not_disturb_each_other() -> None:
    values = np.random.default_rng(6).random(100)
    columns = [values.tolist(), (1 - values).tolist(), values.tolist()]
    together = bootstrap(columns, medians=[False, False, True], seed=0)
    assert together[0] == of_mean(values)
    assert together[2] == of_median(values)
    assert together[1] == pytest.approx((1 - together[0].high, 1 - together[0].low))


def test_the_number_of_resamples_held_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(7).random(300)
    before = of_mean(values), of_median(values)
    for cells in (1, 1 << 12, 1 << 30):
        monkeypatch.setattr("harness.scoring.bootstrap._CELLS", cells)
        assert (of_mean(values), of_median(values)) == before
