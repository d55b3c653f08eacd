"""Several processes compute the reference's losses and gradients, and those of one process that holds everything."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from tests.helpers.loss_reference import recorded, vectors
from tests.helpers.processes import in_processes
from trainers.loss.gather import PairLoss, gather, global_loss, mean_over_processes, world_size
from trainers.loss.hardness import Hardness, hardness_weighted_infonce

HARDNESS = get_args(Hardness)
SHARES = {2: [1, 4], 4: [2, 1, 3, 1]}
"""How many pairs each process holds, unlike the reference's."""


def _work() -> dict[str, Tensor]:
    rank, size = dist.get_rank(), world_size()
    found = {}
    for name, case in recorded(f"w{size}_").items():
        own = [torch.tensor(each).double().chunk(size)[rank].requires_grad_() for each in (case.query, case.target)]
        loss = global_loss(partial(hardness_weighted_infonce, scale=case.scale, alpha=case.alpha), *own)
        found |= dict(zip((f"{name}/{each}" for each in ("loss", "query", "target")), _after(loss, own), strict=True))
    own = [each.split(SHARES[size])[rank].detach().requires_grad_() for each in _uneven(size)[:2]]
    wrong = _uneven(size)[2][rank : rank + 1 + rank % 2].detach().requires_grad_()
    if rank == 0:
        wrong = wrong[:0].detach().requires_grad_()
    for hardness in HARDNESS:
        scale = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
        loss = global_loss(_loss(size, scale, hardness), *own, wrong)
        names = (f"{hardness}/{each}" for each in ("loss", "query", "target", "wrong", "scale"))
        found |= dict(zip(names, _after(loss, [*own, wrong, scale]), strict=True))
    return found | {"ids": gather(torch.arange(rank)), "mean": mean_over_processes(torch.tensor(float(rank)))}


def _loss(size: int, scale: Tensor, hardness: str) -> PairLoss:
    margin = 1.0 if hardness == "total" else 0.0
    options = {"alpha": 9.0, "hardness": hardness, "margin": margin, "target_ids": _ids(size)}
    return partial(hardness_weighted_infonce, scale=scale, **options)


def _after(loss: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def _uneven(size: int) -> list[Tensor]:
    total = sum(SHARES[size])
    query = vectors(total, 8, 0)
    return [query, vectors(total, 8, 1, like=query), vectors(size + 1, 8, 2)]


def _ids(size: int) -> Tensor:
    return torch.arange(sum(SHARES[size])) % 3


@pytest.fixture(scope="module", params=[2, 4])
def processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    return in_processes(request.param, _work, tmp_path_factory.mktemp("gather"))


def _all(processes: list[dict[str, Tensor]], name: str) -> Tensor:
    return torch.cat([each[name] for each in processes])


def test_each_process_has_the_references_loss_and_gradients(processes: list[dict[str, Tensor]]) -> None:
    cases = recorded(f"w{len(processes)}_")
    assert cases
    for name, case in cases.items():
        for rank, each in enumerate(processes):
            assert each[f"{name}/loss"].item() == pytest.approx(case.loss[rank], abs=1e-10)
        for side, gradient in (("query", case.grad_query), ("target", case.grad_target)):
            found = _all(processes, f"{name}/{side}")
            torch.testing.assert_close(found, torch.tensor(gradient), rtol=0, atol=1e-10)


@pytest.mark.parametrize("hardness", HARDNESS)
def test_shares_of_any_size_make_up_the_loss_of_one_process(processes: list[dict[str, Tensor]], hardness: str) -> None:
    """The mean of the losses is the loss; each process's gradient is its part, times the number of processes."""
    size = len(processes)
    query, target, pool = _uneven(size)
    wrong = torch.cat([pool[rank : rank + 1 + rank % 2] for rank in range(1, size)]).detach().requires_grad_()
    scale = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
    whole = _loss(size, scale, hardness)(query, target, negatives=wrong)
    *expected, to_scale = torch.autograd.grad(whole, [query, target, wrong, scale])
    close = partial(torch.testing.assert_close, rtol=0, atol=1e-10)
    close(torch.stack([each[f"{hardness}/loss"] for each in processes]).mean(), whole.detach())
    close(torch.stack([each[f"{hardness}/scale"] for each in processes]).mean(), to_scale)
    for name, gradient in zip(("query", "target", "wrong"), expected, strict=True):
        close(_all(processes, f"{hardness}/{name}"), gradient * size)


def test_what_has_no_gradient_is_gathered_too(processes: list[dict[str, Tensor]]) -> None:
    size = len(processes)
    every = torch.cat([torch.arange(rank) for rank in range(size)])
    for each in processes:
        assert torch.equal(each["ids"], every)
        assert each["mean"] == (size - 1) / 2


def test_one_process_gathers_what_it_has(tmp_path: Path) -> None:
    own = vectors(3, 4, 0)
    assert gather(own) is own
    loss = partial(hardness_weighted_infonce, scale=50.0, alpha=9.0)
    assert torch.equal(global_loss(loss, own, own), loss(own, own))
