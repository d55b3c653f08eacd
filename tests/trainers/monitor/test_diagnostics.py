"""Figures of similarity equal what closed forms and plain loops say."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from trainers.monitor import diagnostics
from trainers.monitor.diagnostics import _count, diagnose, overlap


def _shifted(overlap: float) -> tuple[NormalDist, NormalDist]:
    """Two of equal deviation; the area under both is 2 Phi(-d / 2) at a distance of d deviations."""
    return NormalDist(0.1 - 2 * 0.08 * NormalDist().inv_cdf(overlap / 2), 0.08), NormalDist(0.1, 0.08)


GAUSSIANS = {f"equal deviations, {each}": _shifted(each) for each in (0.05, 0.1336, 0.3, 0.5, 0.8, 0.95)} | {
    "narrow beside wide": (NormalDist(0.5, 0.04), NormalDist(0.3, 0.12)),
    "narrow in wide": (NormalDist(0.35, 0.05), NormalDist(0.3, 0.2)),
    "nearly collapsed": (NormalDist(0.982, 0.002), NormalDist(0.98, 0.001)),
}
gaussians = pytest.mark.parametrize(("one", "other"), GAUSSIANS.values(), ids=GAUSSIANS)


def _true(one: NormalDist, other: NormalDist) -> float:
    """By numbers, over cosines far beyond both."""
    at = np.linspace(-1.5, 1.5, 200_001)
    densities = [np.exp(-(((at - each.mean) / each.stdev) ** 2) / 2) / each.stdev for each in (one, other)]
    return float(np.minimum(*densities).sum() * (at[1] - at[0]) / math.sqrt(2 * math.pi))


def _counts(of: NormalDist, size: int, seeds: range) -> list[np.ndarray]:
    """Samples, counted: drawn bin by bin, which makes millions of them cheap."""
    below = np.array([of.cdf(edge) for edge in diagnostics._EDGES])
    shares = np.diff(below) / (below[-1] - below[0])
    return [np.random.default_rng([seed, size]).multinomial(size, shares) for seed in seeds]


def test_the_true_overlap_of_equal_deviations_is_the_closed_form() -> None:
    for each in (0.05, 0.5, 0.95):
        assert _true(*_shifted(each)) == pytest.approx(each, rel=1e-6)


@gaussians
def test_the_overlap_of_gaussians_is_within_one_percent_of_the_true_one(one: NormalDist, other: NormalDist) -> None:
    # So many that one standard error is 0.3 % where it is the largest, at an overlap of 0.05.
    found = [
        overlap(*each)
        for each in zip(_counts(one, 4_000_000, range(5)), _counts(other, 5_000_000, range(5)), strict=True)
    ]
    assert found == pytest.approx([_true(one, other)] * 5, rel=0.01, abs=0)


@gaussians
@pytest.mark.parametrize(("pairs", "bias", "spread"), [(20, 0.15, 0.11), (1000, 0.015, 0.02)])
def test_the_overlap_of_few_is_off_by_chance_alone(
    one: NormalDist, other: NormalDist, pairs: int, bias: float, spread: float
) -> None:
    few, many = _counts(one, pairs, range(30)), _counts(other, pairs * (pairs - 1), range(30))
    found = [overlap(*each) for each in zip(few, many, strict=True)]
    assert np.mean(found) == pytest.approx(_true(one, other), abs=bias)
    assert np.std(found) < spread


COSINES = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


@settings(max_examples=40)
@given(COSINES, COSINES, st.randoms(use_true_random=False))
@example([-0.4, 0, 0, 0.32, 0.32, 0.32, 1], [-0.4, 0.6, 0.6, 0.28, 0.28, 0.28, 1], Random(0))  # most on wrong sides
def test_an_overlap_is_a_share_and_the_same_from_both_sides_in_any_order(
    first: list[float], second: list[float], random: Random
) -> None:
    found = overlap(_count(np.array(first)), _count(np.array(second)))
    assert 0 <= found <= 1
    assert overlap(_count(np.array(second)), _count(np.array(first))) == found
    random.shuffle(first)
    assert overlap(_count(np.array(first)), _count(np.array(second))) == found
    assert overlap(_count(np.array(first)), _count(np.array(first * 3))) == pytest.approx(1)


@settings(max_examples=40)
@given(st.lists(st.floats(-0.9, -0.7), min_size=1, max_size=30), st.lists(st.floats(0, 0.2), min_size=1, max_size=30))
def test_samples_far_apart_do_not_overlap(first: list[float], second: list[float]) -> None:
    assert overlap(_count(np.array(first)), _count(np.array(second))) == pytest.approx(0)


def test_the_overlap_of_samples_of_several_peaks_is_that_of_their_densities() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(rng.choice([0.1, 0.5], 2000), 0.03)
    second = rng.normal(rng.choice([0.3, 0.5], 20_000), 0.03)
    parted = NormalDist(0.1, 0.03).overlap(NormalDist(0.3, 0.03))
    assert overlap(_count(first), _count(second)) == pytest.approx(0.5 + parted / 2, abs=0.03)


def _pairs_with(cosines: np.ndarray, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs with these cosines in many dimensions, where negatives' cosines are near enough to a Gaussian."""
    rng = np.random.default_rng(seed)
    width = round(noise**-2)
    query, other = rng.standard_normal((2, len(cosines), width))
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    other -= (other * query).sum(1, keepdims=True) * query
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return query, cosines[:, None] * query + np.sqrt(1 - cosines[:, None] ** 2) * other


def test_vectors_with_gaussian_cosines_have_the_closed_forms_overlap_and_auc() -> None:
    right, wrong = NormalDist(0.25, 0.08), NormalDist(0, 0.1)
    cosines = np.array(right.samples(4000, seed=1)).clip(-1, 1)
    found = diagnose(*_pairs_with(cosines, wrong.stdev))
    assert found.overlap == pytest.approx(right.overlap(wrong), abs=0.013)  # three standard errors of 4000 pairs
    assert found.auc == pytest.approx(NormalDist().cdf(0.25 / math.hypot(0.08, 0.1)), abs=0.005)
    assert found.positive.mean == pytest.approx(0.25, abs=0.005)
    assert found.negative.deviation == pytest.approx(0.1, abs=0.002)
    assert found.positive.high == pytest.approx(right.inv_cdf(0.95), abs=0.01)


@pytest.mark.parametrize(("pairs", "bins"), [(1, 2), (8, 4), (300, 14), (200_000, 100)])
def test_shares_are_a_histogram_from_the_lowest_to_the_highest_cosine(pairs: int, bins: int) -> None:
    cosines = np.random.default_rng(0).uniform(0.6, 0.9, pairs)
    lie = diagnostics._distribution(_count(cosines))
    assert (lie.lowest, lie.highest) == pytest.approx((cosines.min(), cosines.max()), abs=2e-4)
    expected = np.histogram(cosines, bins, (lie.lowest, lie.highest))[0] / pairs
    assert lie.shares == pytest.approx(expected, abs=0.5 / pairs + 0.001)
    assert sum(lie.shares) == pytest.approx(1)


@pytest.mark.parametrize("rows", [3, 1024])
def test_figures_are_those_of_plain_loops(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "_ROWS", rows)
    query, target = _pairs_with(np.linspace(-0.2, 0.9, 12), 0.3)
    ids = np.array([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3])
    found = diagnose(query * 3, target * 2, alpha=4, target_ids=ids, within=0.2, beyond=0.05)
    every = query @ target.T
    margins, entropies, highest, negatives, hard, suspects, won = [], [], [], 0, 0, 0, 0
    for i in range(12):
        wrong = [every[i, j] for j in range(12) if ids[j] != ids[i]]
        shares = np.exp(4 * np.array(wrong)) / np.exp(4 * np.array(wrong)).sum()
        margins.append(every[i, i] - max(wrong))
        entropies.append(-(shares * np.log(shares)).sum())
        highest.append(math.log(len(wrong)))
        negatives += len(wrong)
        hard += sum(each > every[i, i] - 0.2 for each in wrong)
        suspects += sum(each > every[i, i] + 0.05 for each in wrong)
        won += sum((every[k, k] > each) for k in range(12) for each in wrong)
    assert 0 < suspects < hard < negatives
    assert found.queries == 12
    assert (found.positive.count, found.negative.count) == (12, negatives)
    assert found.margin == pytest.approx(np.mean(margins), abs=1e-6)
    assert found.entropy == pytest.approx(np.mean(np.divide(entropies, highest)), abs=1e-6)
    assert found.effective == pytest.approx(np.mean(np.exp(entropies)), abs=1e-5)
    assert found.hard == pytest.approx(hard / negatives)
    assert found.suspects == pytest.approx(suspects / negatives)
    assert found.auc == pytest.approx(won / 12 / negatives, abs=0.001)
    assert found.numbers()["auc"] == found.auc


@pytest.mark.parametrize("rows", [7, 1024])
def test_neither_order_nor_blocks_matter(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, target = _pairs_with(np.linspace(-0.2, 0.9, 50), 0.3)
    ids = np.arange(50) // 2
    whole = diagnose(query, target, target_ids=ids)
    order = np.random.default_rng(1).permutation(50)
    monkeypatch.setattr(diagnostics, "_ROWS", rows)
    found = diagnose(query[order], target[order], target_ids=ids[order])
    assert found.numbers() == pytest.approx(whole.numbers(), abs=1e-6)
    assert found.negative.shares == pytest.approx(whole.negative.shares)
    assert [(order[each.query], order[each.negative]) for each in found.suspected] == [
        each[:2] for each in whole.suspected
    ]


def test_a_pool_of_the_other_targets_is_what_there_is_without_one() -> None:
    query, target = _pairs_with(np.linspace(-0.2, 0.9, 20), 0.3)
    mixed = np.random.default_rng(1).permutation(20)
    found = diagnose(query, target, pool=target[mixed], wrong=np.arange(20)[:, None] != mixed)
    assert found.numbers() == pytest.approx(diagnose(query, target).numbers(), abs=1e-6)


def test_weights_are_even_at_alpha_zero_and_less_so_the_higher_it_is() -> None:
    query, target = _pairs_with(np.linspace(-0.2, 0.9, 20), 0.3)
    found = [diagnose(query, target, alpha=alpha) for alpha in (0.0, 1.0, 9.0, 100.0)]
    assert (found[0].entropy, found[0].effective) == pytest.approx((1, 19))
    for one, other in pairwise(found):
        assert one.entropy > other.entropy
        assert one.effective > other.effective >= 1


def test_the_worst_suspects_are_named() -> None:
    cosines = np.random.default_rng(0).permutation(np.linspace(0.3, 0.9, 30))
    query = np.eye(31)[:30]
    target = cosines[:, None] * np.roll(query, -1, axis=0) + np.sqrt(1 - cosines**2)[:, None] * np.eye(31)[30]
    found = diagnose(query, target, beyond=0.2)
    worst = np.argsort(-cosines)[: diagnostics.MOST_SUSPECTED]
    assert [each.negative for each in found.suspected] == list(worst)
    assert [each.query for each in found.suspected] == [(each + 1) % 30 for each in worst]
    assert [each.excess for each in found.suspected] == pytest.approx(cosines[worst])
    assert found.suspects == pytest.approx(30 / (30 * 29))


def test_what_is_parted_does_not_overlap_and_what_collapsed_does() -> None:
    parted = diagnose(np.eye(6), np.eye(6))
    assert (parted.overlap, parted.auc, parted.margin, parted.hard) == pytest.approx((0, 1, 1, 0))
    assert parted.entropy == pytest.approx(1)
    assert parted.effective == pytest.approx(5)
    collapsed = diagnose(np.ones((6, 3)), np.ones((6, 3)))
    assert (collapsed.overlap, collapsed.auc, collapsed.margin, collapsed.hard) == pytest.approx((1, 0.5, 0, 1))


def test_what_cannot_be_diagnosed_is_refused() -> None:
    with pytest.raises(UserError, match="no negative"):
        diagnose(np.eye(3), np.eye(3), target_ids=np.zeros(3, np.int64))
    with pytest.raises(UserError, match="target of pair 1"):
        diagnose(np.eye(2), np.diag([1.0, 0.0]))
    with pytest.raises(UserError, match="query of pair 0"):
        diagnose(np.diag([np.nan, 1.0]), np.eye(2))
    with pytest.raises(UserError, match="not paired"):
        diagnose(np.ones((2, 3)), np.ones((3, 3)))
