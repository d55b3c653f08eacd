"""The loss equals the reference, the formula written out and another library's, with every option and combination."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from harness.errors import UserError
from tests.helpers.loss_reference import HERE, RECORDED, Case, all_recorded, dense, recorded, vectors
from trainers.loss.hardness import Hardness, hardness_weighted_infonce

HARDNESS = get_args(Hardness)


def _gradients(loss: Callable[[], Tensor], *leaves: Tensor) -> list[Tensor]:
    value = loss()
    return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)]


def _same(ours: Callable[[], Tensor], theirs: Callable[[], Tensor], *leaves: Tensor, within: float = 1e-10) -> None:
    for own, other in zip(_gradients(ours, *leaves), _gradients(theirs, *leaves), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=within)


def _check_recorded(case: Case, tile: int) -> None:
    query, target = (torch.tensor(each).double().requires_grad_() for each in (case.query, case.target))

    def ours() -> Tensor:
        return hardness_weighted_infonce(query, target, scale=case.scale, alpha=case.alpha, tile=tile)

    for own, other in zip(_gradients(ours, query, target), (case.loss, case.grad_query, case.grad_target), strict=True):
        torch.testing.assert_close(own, torch.tensor(other).reshape(own.shape), rtol=0, atol=1e-10)


@pytest.mark.parametrize("tile", [3, 1024])
@pytest.mark.parametrize("name", recorded("case_"))
def test_it_is_the_reference(name: str, tile: int) -> None:
    _check_recorded(recorded(name)[name], tile)


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the whole record of the reference is not here")
def test_it_is_the_reference_in_every_recorded_case() -> None:
    cases = list(all_recorded())
    assert len(cases) == 67
    for case in cases:
        _check_recorded(case, 1024)


def test_the_record_is_small() -> None:
    assert HERE.stat().st_size < 200_000


@given(
    n=st.integers(1, 9),
    m=st.integers(0, 6),
    seed=st.integers(0, 99),
    scale=st.floats(0.5, 20),
    alpha=st.floats(0, 9),
    hardness=st.sampled_from(HARDNESS),
    margin=st.sampled_from([0.0, -2.0, 4.5]),
    direction=st.sampled_from(["both", "query"]),
    contents=st.integers(1, 9),
    false_negative_margin=st.none() | st.floats(-0.2, 0.2),
    owned=st.booleans(),
    tile=st.sampled_from([2, 3, 64]),
)
@settings(max_examples=200, deadline=None)
def test_options_combine_as_the_formula_says(
    n: int,
    m: int,
    seed: int,
    scale: float,
    alpha: float,
    hardness: str,
    margin: float,
    direction: str,
    contents: int,
    false_negative_margin: float | None,
    owned: bool,
    tile: int,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    query_ids, target_ids = (torch.randint(contents, (n,), generator=draw) for _ in range(2))
    negative_ids, owners = torch.randint(contents, (m,), generator=draw), torch.randint(n, (m,), generator=draw)
    query, learnt = vectors(n, 6, seed), torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    target, wrong = vectors(n, 6, seed + 100, like=query), vectors(m, 6, seed + 200)
    same = (query_ids[:, None] == query_ids) | (target_ids[:, None] == target_ids)
    allowed = target_ids[:, None] != negative_ids
    if owned:
        allowed &= torch.arange(n)[:, None] == owners

    def ours(rows: range | None = None) -> Tensor:
        return hardness_weighted_infonce(
            query,
            target,
            scale=learnt,
            alpha=alpha,
            hardness=hardness,
            margin=margin,
            direction=direction,
            query_ids=query_ids,
            target_ids=target_ids,
            false_negative_margin=false_negative_margin,
            negatives=wrong,
            negative_rows=owners if owned else None,
            negative_ids=negative_ids,
            rows=rows,
            tile=tile,
        )

    def theirs() -> Tensor:
        return dense(
            query,
            target,
            scale=learnt,
            alpha=alpha,
            hardness=hardness,
            margin=margin,
            direction=direction,
            same=same,
            false_negative_margin=false_negative_margin,
            negatives=wrong,
            allowed=allowed,
        )

    def in_parts() -> Tensor:
        first = n // 2
        parts = [range(first)] * (first > 0) + [range(first, n)]
        return torch.stack([ours(part) * (len(part) / n) for part in parts]).sum()

    leaves = (query, target, wrong, learnt)
    _same(ours, theirs, *leaves)
    _same(in_parts, theirs, *leaves)


@pytest.mark.parametrize("hardness", HARDNESS)
def test_without_weights_it_is_infonce(hardness: str) -> None:
    query, target = vectors(7, 5, 0), vectors(7, 5, 1)

    def plain() -> Tensor:
        logits = 20 * query @ target.T
        return (cross_entropy(logits, torch.arange(7)) + cross_entropy(logits.T, torch.arange(7))) / 2

    _same(
        lambda: hardness_weighted_infonce(query, target, scale=20.0, alpha=0, hardness=hardness), plain, query, target
    )


def _of_one_query(loss: Callable[..., Tensor], **options: object) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of the first query, and its derivatives by the similarities of its positive and of its negatives."""
    target = torch.eye(6, dtype=torch.float64)
    similarities = vectors(1, 6, 3).detach().requires_grad_()
    query = torch.cat([similarities, target[1:]])
    value = loss(query, target, scale=10.0, direction="query", rows=range(1), **options)
    (found,) = torch.autograd.grad(value, similarities)
    return value.detach(), found[0, 0], found[0, 1:]


@pytest.mark.parametrize("alpha", [0.5, 9.0])
def test_weights_are_a_total_and_shares(alpha: float) -> None:
    """The total decides the value and the positive's gradient, the shares how that of the negatives is divided."""
    loss = hardness_weighted_infonce
    plain, llave, relative, total = (
        _of_one_query(loss, alpha=each, hardness=kind)
        for each, kind in ((0.0, "llave"), (alpha, "llave"), (alpha, "relative"), (alpha, "total"))
    )
    close = functools.partial(torch.testing.assert_close, rtol=1e-12, atol=1e-14)
    for own, other in ((relative, plain), (total, llave)):
        close(own[0], other[0])
        close(own[1], other[1])
    for own, other in ((relative, llave), (total, plain)):
        close(own[2] / own[2].sum(), other[2] / other[2].sum())
    # what the negatives get, the positive loses
    for each in (plain, llave, relative, total):
        close(each[2].sum(), -each[1])


@pytest.mark.parametrize("margin", [-1.0, 4.5])
def test_a_margin_is_a_lower_logit_of_the_positive(margin: float) -> None:
    query, target = vectors(7, 5, 0), vectors(7, 5, 1)

    def lower() -> Tensor:
        logits = 20 * query @ target.T - margin * torch.eye(7, dtype=torch.float64)
        return (cross_entropy(logits, torch.arange(7)) + cross_entropy(logits.T, torch.arange(7))) / 2

    _same(lambda: hardness_weighted_infonce(query, target, scale=20.0, alpha=0, margin=margin), lower, query, target)


def test_weights_with_a_gradient_are_a_higher_scale_of_the_negatives() -> None:
    query, target = vectors(7, 5, 0), vectors(7, 5, 1)

    def scaled() -> Tensor:
        cosines = query @ target.T
        logits = 29 * cosines - 9 * cosines.diagonal().diag()
        return (cross_entropy(logits, torch.arange(7)) + cross_entropy(logits.T, torch.arange(7))) / 2

    _same(
        lambda: hardness_weighted_infonce(query, target, scale=20.0, alpha=9.0, hardness="unstopped"),
        scaled,
        query,
        target,
    )


@pytest.mark.parametrize("alpha", [0.5, 9.0])
def test_each_direction_is_that_of_sentence_transformers(alpha: float) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    model = pytest.importorskip("sentence_transformers").SentenceTransformer(modules=[torch.nn.Identity()])
    oracle = losses.MultipleNegativesRankingLoss(
        model, 20.0, similarity_fct=lambda a, b: a @ b.T, hardness_mode="all_negatives", hardness_strength=alpha
    )
    query, wrong = vectors(6, 8, 0), vectors(6, 8, 2)
    target = vectors(6, 8, 1, like=query)

    def theirs(*embeddings: Tensor) -> Tensor:
        return oracle.compute_loss_from_embeddings(list(embeddings), torch.empty(0))

    def ours(**options: object) -> Callable[[], Tensor]:
        return lambda: hardness_weighted_infonce(query, target, scale=20.0, alpha=alpha, **options)

    leaves = (query, target)
    _same(ours(), lambda: (theirs(query, target) + theirs(target, query)) / 2, *leaves)
    _same(ours(direction="query"), lambda: theirs(query, target), *leaves)
    _same(ours(direction="target"), lambda: theirs(target, query), *leaves)
    _same(ours(direction="query", negatives=wrong), lambda: theirs(query, target, wrong), *leaves, wrong)


@pytest.mark.parametrize("hardness", HARDNESS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_finite_where_the_weights_overflow(dtype: torch.dtype, hardness: str) -> None:
    query, target = (each.detach().to(dtype).mul(30).requires_grad_() for each in (vectors(8, 4, 0), vectors(8, 4, 1)))
    assert torch.exp(9 * (query @ target.T).max()).isinf() or dtype == torch.float64

    def loss() -> Tensor:
        return hardness_weighted_infonce(query, target, scale=50.0, alpha=9.0, hardness=hardness, margin=4.5)

    for each in _gradients(loss, query, target):
        assert each.isfinite().all()


@pytest.mark.parametrize("alpha", [0.0, 9.0])
def test_one_point_for_everything_costs_what_the_formula_says(alpha: float) -> None:
    one = normalize(torch.ones(8, 4, dtype=torch.float64), dim=1)
    loss = hardness_weighted_infonce(one, one, scale=50.0, alpha=alpha)
    assert loss.item() == pytest.approx(math.log1p(7 * math.exp(alpha)), abs=1e-10)


@pytest.mark.parametrize("hardness", HARDNESS)
def test_no_negative_means_no_loss_and_no_gradient(hardness: str) -> None:
    query, target, wrong = vectors(5, 4, 0), vectors(5, 4, 1), vectors(2, 4, 2)
    one_content = torch.zeros(5, dtype=torch.long)
    everything = {"target_ids": one_content, "negatives": wrong, "negative_ids": one_content[:2]}
    for extra, rows in itertools.product([{}, {"negative_rows": one_content[:2]}], [None, range(2, 4)]):
        found = _gradients(
            lambda: hardness_weighted_infonce(
                query,
                target,
                scale=50.0,
                alpha=9.0,
                hardness=hardness,
                margin=4.5,
                rows=rows,  # noqa: B023
                **everything,
                **extra,  # noqa: B023
            ),
            *(query, target, wrong),
        )
        assert all((each == 0).all() for each in found)


def test_a_repeated_target_is_nobodys_negative() -> None:
    """Moving a repeat of a pair's target changes the pair's own loss only through other pairs."""
    query, target = vectors(4, 6, 0), vectors(4, 6, 1).detach()
    ids = torch.tensor([0, 1, 0, 3])
    target[2] = target[0]

    def of_first(masked: bool) -> Tensor:
        moved = target.clone().requires_grad_()
        loss = hardness_weighted_infonce(
            query, moved, scale=5.0, alpha=3.0, direction="query", rows=range(1), target_ids=ids if masked else None
        )
        return torch.autograd.grad(loss, moved)[0][2]

    assert (of_first(masked=True) == 0).all()
    assert (of_first(masked=False) != 0).any()


def test_matryoshka_losses_are_the_mean_of_cut_and_renormalised_vectors() -> None:
    raw = [vectors(n, 8, seed).detach().mul(2).requires_grad_() for seed, n in enumerate((6, 6, 3))]

    def one(width: int) -> Tensor:
        query, target, wrong = (normalize(each[:, :width], dim=1) for each in raw)
        return dense(query, target, scale=7.0, alpha=2.0, negatives=wrong)

    def ours(**options: object) -> Callable[[], Tensor]:
        def loss() -> Tensor:
            query, target, wrong = (normalize(each, dim=1) for each in raw)
            return hardness_weighted_infonce(query, target, scale=7.0, alpha=2.0, negatives=wrong, **options)

        return loss

    _same(ours(matryoshka_dims=(2, 8)), lambda: (one(2) + one(8)) / 2, *raw)
    _same(ours(matryoshka_dims=(2, 4, 8), matryoshka_weights=(1, 0, 3)), lambda: (one(2) + 3 * one(8)) / 4, *raw)
    _same(ours(matryoshka_dims=(8,)), ours(), *raw, within=0)


def test_matryoshka_cuts_keep_the_length_of_vectors_that_have_one() -> None:
    query, target = (each.detach().mul(3) for each in (vectors(4, 8, 0), vectors(4, 8, 1)))
    cut = [normalize(each[:, :3], dim=1) * 3 for each in (query, target)]
    ours = hardness_weighted_infonce(query, target, scale=1.0, alpha=0.5, matryoshka_dims=(3,))
    torch.testing.assert_close(ours, dense(*cut, scale=1.0, alpha=0.5), rtol=0, atol=1e-10)


def test_half_precision_is_computed_in_single_also_under_autocast() -> None:
    query, target = (each.detach().bfloat16().requires_grad_() for each in (vectors(9, 8, 0), vectors(9, 8, 1)))
    wide = [each.detach().float().requires_grad_() for each in (query, target)]
    expected = _gradients(lambda: hardness_weighted_infonce(*wide, scale=50.0, alpha=9.0, tile=4), *wide)
    with torch.autocast("cpu", torch.bfloat16):
        found = _gradients(
            lambda: hardness_weighted_infonce(query, target, scale=50.0, alpha=9.0, tile=4), query, target
        )
        under = _gradients(lambda: hardness_weighted_infonce(*wide, scale=50.0, alpha=9.0, tile=4), *wide)
    assert all(torch.equal(a, b) for a, b in zip(under, expected, strict=True))
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1].bfloat16())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": torch.ones(3, 4)}, "not paired"),
        ({"query": torch.ones(0, 4), "target": torch.ones(0, 4)}, "not paired"),
        ({"target_ids": torch.arange(3)}, "Ids do not match"),
        ({"negative_ids": torch.arange(3)}, "Ids do not match"),
        ({"negatives": torch.ones(2, 5)}, "Explicit negatives"),
        ({"negatives": torch.ones(2, 4), "direction": "target"}, "Explicit negatives"),
        ({"negatives": torch.ones(2, 4), "negative_rows": torch.arange(3)}, "Ids do not match"),
        ({"hardness": "hard"}, "hardness is 'hard'"),
        ({"margin": math.inf}, "margin inf"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"matryoshka_dims": (2, 5)}, "cannot be cut to"),
        ({"matryoshka_dims": (2, 4), "matryoshka_weights": (1,)}, "has 2 values"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        hardness_weighted_infonce(
            **{"query": torch.ones(2, 4), "target": torch.ones(2, 4), "scale": 1.0, "alpha": 0.0, **change}
        )


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the whole record of the reference is not here")
def test_recorded_vectors_have_the_recorded_steps_loss() -> None:
    golden = RECORDED.parent
    with np.load(golden / "embeddings.npz") as arrays:
        for row in json.loads((golden / "train_step.json").read_text(encoding="utf-8")):
            sides = zip(*row["pairs"], strict=True)
            query, target = (torch.tensor(np.stack([arrays[f"llave/{name}"] for name in side])) for side in sides)
            loss = hardness_weighted_infonce(query, target, scale=row["logit_scale"], alpha=row["alpha"])
            assert loss.item() == pytest.approx(row["loss"], abs=1e-4)
