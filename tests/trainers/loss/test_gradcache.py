"""The cached step equals the plain step in loss, gradients and random numbers, in one process and in two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from tests.helpers.mixed_model import Chunk, Mixed, cut, items
from tests.helpers.processes import Work, in_processes
from trainers.loss.gather import PairLoss
from trainers.loss.gradcache import cached_step
from trainers.loss.hardness import Hardness, hardness_weighted_infonce

QUERIES, TARGETS, WRONG = items(8, 1), items(8, 2), items(3, 3)
CUTS = [([8], [8], [3]), ([3, 1, 4], [5, 3], [1, 2]), ([1] * 8, [2, 2, 2, 2], [3])]
_close = partial(torch.testing.assert_close, rtol=0, atol=1e-12)


def _loss(scale: float | Tensor = 20.0, **options: object) -> PairLoss:
    return partial(hardness_weighted_infonce, scale=scale, alpha=9.0, target_ids=torch.arange(8) % 6, **options)


def _plain(model: Mixed, sides: Sequence[Sequence[Chunk]], loss: PairLoss) -> Tensor:
    query, target, *wrong = (torch.cat([model(chunk) for chunk in side]) for side in sides)
    value = loss(query, target, negatives=wrong[0]) if wrong else loss(query, target)
    value.backward()
    return value.detach()


def _gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("sizes", CUTS, ids=str)
def test_it_is_the_plain_step(sizes: tuple[list[int], ...], dropout: float) -> None:
    sides = [cut(side, *each) for side, each in zip((QUERIES, TARGETS, WRONG), sizes, strict=True)]
    plain, cached = Mixed(dropout=dropout), Mixed(dropout=dropout)
    own, other = (torch.tensor(3.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    torch.manual_seed(7)
    expected = _plain(plain, sides, _loss(own.exp()))
    left = torch.get_rng_state()
    torch.manual_seed(7)
    found = cached_step(
        cached,
        *sides[:2],
        _loss(other.exp()),
        negative_chunks=sides[2],
        parameters=[*cached.parameters(), other],
    )
    assert torch.equal(torch.get_rng_state(), left)
    assert not found.requires_grad
    _close(found, expected)
    _close(other.grad, own.grad)
    _close(_gradients(cached), _gradients(plain))
    assert all((each != 0).any() for each in _gradients(cached).values())


@pytest.mark.parametrize("hardness", get_args(Hardness))
def test_without_dropout_cuts_change_nothing_and_steps_add_up(hardness: str) -> None:
    plain, cached = Mixed(), Mixed()
    loss = _loss(hardness=hardness, margin=1.0)
    for _ in range(2):
        _plain(plain, [[QUERIES], [TARGETS]], loss)
        cached_step(cached, cut(QUERIES, 3, 5), cut(TARGETS, 1, 7), loss, parameters=cached.parameters())
    _close(_gradients(cached), _gradients(plain))


def test_gradients_cross_processes_with_the_last_chunk_only() -> None:
    heard: list[str] = []

    @contextmanager
    def quiet() -> Iterator[None]:
        heard.append("quiet")
        yield
        heard.append("loud")

    def backward(loss: Tensor) -> None:
        heard.append("backward")
        loss.backward()

    cached_step(Mixed(), cut(QUERIES, 4, 4), [TARGETS], _loss(), parameters=[], backward=backward, no_sync=quiet)
    assert heard == [*["quiet", "backward", "loud"] * 2, "backward"]


def test_a_scaled_backward_scales_every_gradient() -> None:
    """As a gradient scaler and gradient accumulation do."""
    plain, cached = Mixed(), Mixed()
    own, other = (torch.tensor(20.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    _plain(plain, [[QUERIES], [TARGETS]], _loss(own))
    cached_step(
        cached,
        cut(QUERIES, 4, 4),
        [TARGETS],
        _loss(other),
        parameters=[*cached.parameters(), other],
        backward=lambda value: (value * 64).backward(),
    )
    _close(_gradients(cached), {name: 64 * each for name, each in _gradients(plain).items()})
    _close(other.grad, 64 * own.grad)


def test_one_autocast_around_the_whole_step_loses_no_gradient() -> None:
    """Autocast keeps the weights that it casts; those kept without a graph must not be used with one."""
    plain, cached = Mixed().float(), Mixed().float()
    texts = [torch.arange(1 + number) for number in range(8)]
    with torch.autocast("cpu", torch.bfloat16):
        _plain(plain, [[texts], [texts[::-1]]], _loss())
        cached_step(cached, [texts], [texts[::-1]], _loss(), parameters=cached.parameters())
    expected, found = _gradients(plain), _gradients(cached)
    assert found.keys() == expected.keys()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def _shares() -> tuple[list[Chunk], list[Chunk], list[Chunk]]:
    """What this process holds: unequal shares of the pairs, in equally many chunks, the last of which is one video."""
    if dist.get_rank() == 0:
        return cut(QUERIES[:3], 2, 1), cut(TARGETS[:3], 1, 2), cut(WRONG[:1], 1)
    return cut(QUERIES[3:], 3, 2), cut(TARGETS[3:], 5), cut(WRONG[1:], 1, 1)


def _step(
    model: Mixed, no_sync: Callable[[], AbstractContextManager[object]], backward: Callable[[Tensor], object]
) -> dict[str, Tensor]:
    """The loss, and every gradient whole."""
    log_scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    queries, targets, wrong = _shares()
    value = cached_step(
        model,
        queries,
        targets,
        _loss(log_scale.exp()),
        parameters=[*model.parameters(), log_scale],
        negative_chunks=wrong,
        backward=backward,
        no_sync=no_sync,
    )
    gradients = {
        name.removeprefix("module."): each.full_tensor() if isinstance(each, DTensor) else each
        for name, each in _gradients(model).items()
    }
    return gradients | {"loss": value, "log_scale": log_scale.grad}


def _under_ddp() -> dict[str, Tensor]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(Mixed(seed=dist.get_rank()))
    assert isinstance(model, DistributedDataParallel)
    return _step(model, lambda: accelerator.no_sync(model), accelerator.backward)


def _under_fsdp2() -> dict[str, Tensor]:
    """accelerate shards nothing on CPUs, so this is torch's own, which accelerate calls."""

    def step(*, quiet: bool) -> dict[str, Tensor]:
        model = Mixed(uses_all=True)
        fully_shard(model.body)
        fully_shard(model)

        @contextmanager
        def no_sync() -> Iterator[None]:
            model.set_requires_gradient_sync(False)
            yield
            model.set_requires_gradient_sync(True)

        return _step(model, no_sync if quiet else nullcontext, Tensor.backward)

    found = step(quiet=False)
    _close(step(quiet=True), found)
    return found


@pytest.mark.parametrize("work", [_under_ddp, _under_fsdp2])
def test_two_processes_are_one_with_all_the_pairs(work: Work, tmp_path: Path) -> None:
    plain, log_scale = Mixed(), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    value = _plain(plain, [[QUERIES], [TARGETS], [WRONG]], _loss(log_scale.exp()))
    expected = _gradients(plain) | {"loss": value, "log_scale": log_scale.grad}
    for found in in_processes(2, work, tmp_path):
        _close(found, expected)
