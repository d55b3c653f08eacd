"""What every process holds, in one tensor, with gradients that cross processes."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


class PairLoss(Protocol):
    """The mean over pairs of a loss that compares each pair with all others.

    `query` and `target` are (n, d), paired row by row. `rows`: the mean is over these pairs only, still compared with
    all. `negatives` is (m, d), where there are any.
    """

    def __call__(
        self, query: Tensor, target: Tensor, *, rows: range | None = None, negatives: Tensor | None = None
    ) -> Tensor: ...


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(vectors: Tensor) -> Tensor:
    """The rows of every process, one process after another; they may differ in number. Of one process: its own.

    Every process must call it. The gradient at a process's rows is the sum of what all processes ask of them. So if
    each one computes a share of the loss such that the mean over processes is the loss, it is W times the gradient of
    that loss (W processes), and averaging the parameters' gradients, as DDP and FSDP do, gives exactly the gradient of
    the loss. LLaVE's reference (`gather_with_grad`, `local_loss`) has the same factor.
    """
    if world_size() == 1:
        return vectors
    gathered: Tensor = _Gather.apply(vectors, row_counts(vectors))  # type: ignore[no-untyped-call]
    return gathered


def row_counts(vectors: Tensor) -> list[int]:
    """How many rows each process holds."""
    own = torch.tensor([len(vectors)], device=vectors.device)
    every = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(every, own)
    return [int(each) for each in every]


def global_loss(loss: PairLoss, query: Tensor, target: Tensor, negatives: Tensor | None = None) -> Tensor:
    """This process's share of the loss over the pairs of all processes, each pair compared with all.

    The mean over processes is the loss of one process that holds everything; `gather` says what that means for
    gradients. Each process computes the rows and columns of its own pairs, so the work is shared. What else `loss`
    holds (ids, owners of negatives) must speak of the pairs of all processes, in the order of `gather`.
    """
    if world_size() == 1:
        return loss(query, target) if negatives is None else loss(query, target, negatives=negatives)
    counts = row_counts(query)
    start = sum(counts[: dist.get_rank()])
    rows = range(start, start + len(query))
    queries, targets = gather(query), gather(target)
    if negatives is None:
        mean = loss(queries, targets, rows=rows)
    else:
        mean = loss(queries, targets, rows=rows, negatives=gather(negatives))
    return mean * (len(query) * world_size() / sum(counts))


def mean_over_processes(value: Tensor) -> Tensor:
    """Without a gradient."""
    value = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(value)
        value /= world_size()
    return value


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, own: Tensor, counts: list[int]) -> Tensor:
        start = sum(counts[: dist.get_rank()])
        ctx.own = slice(start, start + len(own))  # type: ignore[attr-defined]
        padded = own.new_zeros((max(counts), *own.shape[1:]))
        padded[: len(own)] = own
        every = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(every, padded)
        return torch.cat([each[:count] for each, count in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[ctx.own], None  # type: ignore[attr-defined]
