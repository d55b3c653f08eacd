"""Gathers the vectors of all processes in one tensor, with gradients back to each process."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


class PairLoss(Protocol):
    """A loss that compares each pair with all others: the mean over pairs."""

    def __call__(
        self, query: Tensor, target: Tensor, *, rows: range | None = None, negatives: Tensor | None = None
    ) -> Tensor:
        """The loss of `query` (n, d) and `target` (n, d), which are paired row by row.

        `negatives` (m, d) are more wrong targets. With `rows` the mean is over these pairs only, which are still
        compared with all.
        """
        ...


def world_size() -> int:
    """The number of processes, 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, 0 without torch.distributed."""
    return dist.get_rank() if world_size() > 1 else 0


def gather(vectors: Tensor) -> Tensor:
    """The rows of every process, in the order of the processes, which may have different numbers of rows.

    Every process must call it. The gradient at a process's rows is the sum of the gradients from all processes.

    Let W processes each compute a share of the loss, such that the mean over processes is the loss. Then the gradient
    at the rows is W times that of the loss. DDP and FSDP average the gradients of parameters, which gives exactly the
    gradient of the loss. LLaVE's reference (`gather_with_grad`, `local_loss`) has the same factor.
    """
    if world_size() == 1:
        return vectors
    gathered: Tensor = _Gather.apply(vectors, row_counts(vectors))  # type: ignore[no-untyped-call]
    return gathered


def row_counts(vectors: Tensor) -> list[int]:
    """The number of rows of each process. Every process must call it."""
    own = torch.tensor([len(vectors)], device=vectors.device)
    every = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(every, own)
    return [int(each) for each in every]


def global_loss(loss: PairLoss, query: Tensor, target: Tensor, negatives: Tensor | None = None) -> Tensor:
    """This process's share of the loss over the pairs of all processes, each pair compared with all.

    The mean over processes is the loss that one process with all pairs would have; `gather` explains the gradients.
    Each process computes the rows and columns of its own pairs, so the work is divided. Other tensors that `loss`
    uses (ids, owners of negatives) must be those of all processes, in the order of `gather`.
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
    # a process with more pairs has a larger part in the mean over all pairs
    return mean * (len(query) * world_size() / sum(counts))


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over processes, without a gradient. Every process must call it."""
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
        # all_gather needs the same shape on every process
        padded = own.new_zeros((max(counts), *own.shape[1:]))
        padded[: len(own)] = own
        every = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(every, padded)
        return torch.cat([each[:count] for each, count in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        # every process compares its pairs with these rows, so all of them contribute to the gradient
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[ctx.own], None  # type: ignore[attr-defined]
