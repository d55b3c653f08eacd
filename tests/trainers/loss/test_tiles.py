"""However large the batch, no tensor is larger than a tile or the inputs; and tiles change no result."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.helpers.loss_reference import dense, vectors
from trainers.loss.hardness import Hardness, hardness_weighted_infonce
from trainers.loss.tiles import Rule, negative_sums


class _Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        sizes = [each.numel() for each in tree_leaves(made) if isinstance(each, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return made


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hardness": "relative"},
        {"hardness": "total", "margin": 1.0},
        {"hardness": "unstopped"},
        {"false_negative_margin": 0.1},
        {"matryoshka_dims": (2, 4)},
        {"rows": range(10, 90)},
    ],
)
def test_nothing_larger_than_a_tile_is_made(options: dict[str, object]) -> None:
    query, target = vectors(100, 4, 0), vectors(100, 4, 1)
    wrong, owners = vectors(120, 4, 2), torch.arange(120) % 100
    for more in ({}, {"negatives": wrong}, {"negatives": wrong, "negative_rows": owners}):
        with _Largest() as largest:
            hardness_weighted_infonce(
                query, target, scale=50.0, alpha=9.0, tile=16, target_ids=owners[:100], **options, **more
            ).backward()
        assert largest.elements <= 120 * 4


@pytest.mark.parametrize("hardness", get_args(Hardness))
@pytest.mark.parametrize("tile", [1, 7, 64])
def test_tiles_change_nothing(tile: int, hardness: str) -> None:
    query = vectors(50, 6, 0)
    target, scale = vectors(50, 6, 1, like=query), torch.tensor(30.0, dtype=torch.float64, requires_grad=True)
    leaves = (query, target, scale)
    ours = hardness_weighted_infonce(query, target, scale=scale, alpha=9.0, hardness=hardness, margin=1.0, tile=tile)
    theirs = dense(query, target, scale=scale, alpha=9.0, hardness=hardness, margin=1.0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for own, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-12)


def test_gradients_of_both_sums_agree_with_differences() -> None:
    """alpha is no part of the gradient, so the check of it is made without one."""
    rows, columns = vectors(5, 3, 0), vectors(7, 3, 1)
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    rule = Rule(alpha=0.0, own=1, columns_too=True)
    assert torch.autograd.gradcheck(lambda *each: tuple(negative_sums(*each, rule, 2)), (rows, columns, scale))
