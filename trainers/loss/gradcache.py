"""One training step over a batch of any size in the memory of one chunk, with the negatives of the whole batch.

Gradient caching (Gao et al. 2021, arXiv:2101.06983): embed every chunk without a graph, take the gradient of the loss
at the vectors, then embed each chunk again, with a graph and the same random numbers, and push its gradient through.
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
    """Adds to the gradients what a plain step over the pairs of all processes would, and returns the loss, detached.

    The loss returned is that of all pairs, the same on every process.

    encode: the vectors (k, d) of a chunk of k items, with a graph. It runs twice on each chunk and must do the same
        both times; torch's random numbers are replayed, but nothing like the running means of a BatchNorm is.
    query_chunks, target_chunks: this process's items. Laid end to end, queries and targets are paired. How they are cut
        is free, and may differ between processes.
    loss: called on the vectors of all processes, as `trainers.loss.gather.global_loss` says.
    parameters: all that is trained, of the model and of the loss, such as a temperature. The loss's own get the mean of
        their gradients over processes.
    negative_chunks: items whose vectors the loss gets as `negatives`. None: on no process are there any.
    backward: called once for each chunk; `Accelerator.backward` under accelerate.
    no_sync: held around every chunk but the last, so that gradients cross processes once. Under DDP, with accelerate,
        `lambda: accelerator.no_sync(model)`.

    Under FSDP every process needs as many chunks as the others, and each chunk must use every parameter, because
    processes meet at each one; leave out `no_sync` there, which would keep the gradients of the whole model.
    """
    sides = [list(query_chunks), list(target_chunks), list(negative_chunks or ())]
    first = [[_embed(encode, chunk) for chunk in side] for side in sides]
    # Autocast keeps the weights that it casts: those just made have no graph, and older torch would use them again.
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
                surrogate = (encode(chunk) * gradient).sum()
            if last:
                surrogate = _Reached.apply(surrogate, direct, *trained)  # type: ignore[no-untyped-call]
            backward(surrogate)
    return value


class _Reached(torch.autograd.Function):
    """A scalar as it is, through whose gradient every parameter is reached, and given what is directly its own.

    DDP sends gradients once it has seen every parameter, but texts, should they come last, use no image layers.
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
    """The state of torch's random numbers, of the CPU and of this process's accelerator."""

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
        """Goes back to this state, and returns to the present one afterwards."""
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
    """The loss over all processes, its gradient at each chunk's vectors, and at the parameters that it uses itself."""
    like = sides[0][0].vectors
    leaves = [torch.cat([like[:0], *(each.vectors for each in side)]).detach().requires_grad_() for side in sides]
    value = global_loss(loss, leaves[0], leaves[1], leaves[2] if has_negatives else None)
    found = torch.autograd.grad(value, [*leaves, *trained], allow_unused=True)
    whole = [torch.zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found, strict=False)]
    cut = [
        torch.split(gradient, [len(each.vectors) for each in side]) for gradient, side in zip(whole, sides, strict=True)
    ]
    direct: list[Tensor | None] = [None if each is None else mean_over_processes(each) for each in found[len(leaves) :]]
    return mean_over_processes(value), cut, direct
