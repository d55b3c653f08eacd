"""Figures of similarity equal what closed forms and plain loops say."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from harness.errors import UserError
from trainers import diagnostics
from trainers.diagnostics import diagnose, overlap


def _binned(samples: np.ndarray) -> np.ndarray:
    return np.histogram(samples, bins=2000, range=(-1, 1))[0]


@pytest.mark.parametrize(
    ("first", "second"), [((0.2, 0.1), (0.5, 0.1)), ((0.3, 0.05), (0.35, 0.2)), ((0, 0.1), (0, 0.1))]
)
@pytest.mark.parametrize(("size", "within"), [(400_000, 0.005), (1500, 0.04)])
def test_the_overlap_of_gaussians_is_that_of_the_closed_form(first, second, size: int, within: float) -> None:
    rng = np.random.default_rng(0)
    found = overlap(_binned(rng.normal(*first, 2 * size)), _binned(rng.normal(*second, size)))
    assert found == pytest.approx(NormalDist(*first).overlap(NormalDist(*second)), rel=0.01, abs=within)


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
    assert found.overlap == pytest.approx(right.overlap(wrong), abs=0.01)
    assert found.auc == pytest.approx(NormalDist().cdf(0.25 / math.hypot(0.08, 0.1)), abs=0.005)
    assert found.positive.mean == pytest.approx(0.25, abs=0.005)
    assert found.negative.deviation == pytest.approx(0.1, abs=0.002)
    assert found.positive.high == pytest.approx(right.inv_cdf(0.95), abs=0.01)
    assert sum(found.negative.shares) == pytest.approx(1)


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
    assert found.auc == pytest.approx(won / 12 / negatives, abs=0.002)
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
