"""Gradient caching: a step over a batch of any size in the memory of one chunk, with all its negatives.

The method is that of Gao et al. 2021 (arXiv:2101.06983):

1. embed every chunk without a graph;
2. compute the loss and its gradient at the vectors;
3. embed each chunk again, with a graph and the same random numbers, and backpropagate its part of that gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from trainers.loss.gather import PairLoss, global_loss, mean_over_processes

Chunk = TypeVar("Chunk")


def cached_step(
    encode: Callable[[Chunk], Tensor],
    query_chunks: Sequence[Chunk],
    target_chunks: Sequence[Chunk],
    loss: PairLoss,
    *,
    parameters: Iterable[Tensor],
    negative_chunks: Sequence[Chunk] | None = None,
    backward: Callable[[Tensor], object] = torch.Tensor.backward,
    no_sync: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tensor:
    """Adds the same gradients as a plain step over the pairs of all processes. Returns the loss of all pairs, detached.

    Under FSDP all processes need the same number of chunks, and each chunk must use every parameter, because processes
    wait for each other at each one. Leave out `no_sync` there: it would keep the gradients of the whole model.

    Args:
        encode: returns the vectors (k, d) of a chunk of k items, with a graph. It is called twice for each chunk and
            must return the same. Random numbers of torch are replayed; running means of a BatchNorm are not.
        query_chunks: the queries of this process. Chunks may have any size, on each process another.
        target_chunks: the targets of this process. In the order of all chunks, they are paired with the queries.
        loss: is called on the vectors of all processes, as `trainers.loss.gather.global_loss` says.
        parameters: everything that is trained: the model's parameters and those of the loss, such as a temperature. The
            latter get the mean of their gradients over processes.
        negative_chunks: items whose vectors the loss gets as `negatives`. None: no process has any.
        backward: is called once for each chunk. With accelerate: `Accelerator.backward`.
        no_sync: is held around every chunk but the last, so that gradients are exchanged once. Under DDP with
            accelerate: `lambda: accelerator.no_sync(model)`.
    """
    sides = [list(query_chunks), list(target_chunks), list(negative_chunks or ())]
    first = [[_embed(encode, chunk) for chunk in side] for side in sides]
    # autocast caches the weights that it casts; these have no graph, and older torch would use them again below
    torch.clear_autocast_cache()
    trained = list(parameters)
    value, gradients, direct = _gradients(first, negative_chunks is not None, trained, loss)
    replays = [
        (chunk, gradient, seen.randomness)
        for side, embedded, whole in zip(sides, first, gradients, strict=True)
        for chunk, gradient, seen in zip(side, whole, embedded, strict=True)
    ]
    for number, (chunk, gradient, randomness) in enumerate(replays, start=1):
        last = number == len(replays)
        with nullcontext() if last else no_sync():
            with randomness.replayed():
                # the gradient of this sum by the weights is that of the loss, by the chain rule
                surrogate = (encode(chunk) * gradient).sum()
            if last:
                surrogate = _Reached.apply(surrogate, direct, *trained)  # type: ignore[no-untyped-call]
            backward(surrogate)
    return value


class _Reached(torch.autograd.Function):
    """Returns a scalar unchanged. Its backward pass reaches every parameter and adds the gradients in `direct`.

    DDP exchanges gradients once it has seen every parameter. If the last chunk has only texts, its own backward pass
    does not reach the image layers.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, value: Tensor, direct: Sequence[Tensor | None], *_: Tensor) -> Tensor:
        ctx.direct = direct  # type: ignore[attr-defined]
        return value.clone()

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        direct: Sequence[Tensor | None] = ctx.direct  # type: ignore[attr-defined]
        return gradient, None, *(None if each is None else gradient.to(each.dtype) * each for each in direct)


@dataclass(frozen=True, slots=True, eq=False)
class _Randomness:
    """The states of torch's random number generators: of the CPU, and of this process's accelerator if there is one."""

    cpu: Tensor
    device: Tensor | None

    @staticmethod
    def now() -> _Randomness:
        device = torch.get_device_module().get_rng_state() if torch.accelerator.is_available() else None
        return _Randomness(torch.get_rng_state(), device)

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            torch.get_device_module().set_rng_state(self.device)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Sets this state, and restores the present one afterwards."""
        present = _Randomness.now()
        self.restore()
        try:
            yield
        finally:
            present.restore()


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    vectors: Tensor
    randomness: _Randomness


def _embed(encode: Callable[[Chunk], Tensor], chunk: Chunk) -> _Embedded:
    randomness = _Randomness.now()
    with torch.no_grad():
        return _Embedded(encode(chunk), randomness)


def _gradients(
    sides: Sequence[Sequence[_Embedded]], has_negatives: bool, trained: Sequence[Tensor], loss: PairLoss
) -> tuple[Tensor, list[tuple[Tensor, ...]], list[Tensor | None]]:
    """The loss over all processes, and its gradients at each chunk's vectors and at the parameters that it uses."""
    like = sides[0][0].vectors
    # cutting off an empty slice gives a side without chunks its width and dtype
    leaves = [torch.cat([like[:0], *(each.vectors for each in side)]).detach().requires_grad_() for side in sides]
    value = global_loss(loss, leaves[0], leaves[1], leaves[2] if has_negatives else None)
    found = torch.autograd.grad(value, [*leaves, *trained], allow_unused=True)
    whole = [torch.zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found, strict=False)]
    cut = [
        torch.split(gradient, [len(each.vectors) for each in side]) for gradient, side in zip(whole, sides, strict=True)
    ]
    direct: list[Tensor | None] = [None if each is None else mean_over_processes(each) for each in found[len(leaves) :]]
    return mean_over_processes(value), cut, direct
