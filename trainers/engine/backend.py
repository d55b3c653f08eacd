"""The network under training and its optimizer, on one process or sharded over several. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trainers.config import TrainingConfig
from trainers.data.loader import PreparedItem
from trainers.engine import state


class Backend(Protocol):
    """A network and its optimizer.

    All processes must call the same methods in the same order, and with the same number of items or chunks.
    """

    @property
    def device(self) -> torch.device:
        """The device of this process."""

    def embed(self, items: Sequence[PreparedItem]) -> Tensor:
        """Vectors `(n, width)` in fp32, with a graph unless gradients are off."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Adds to the gradient. The gradient of a step is the mean over processes."""
        ...

    def no_sync(self) -> AbstractContextManager[object]:
        """Held around every backward pass of a step but the last: where possible, gradients are exchanged once."""
        ...

    def step(self, lr: float) -> float:
        """Clips the gradient, updates the weights, clears the gradient, and returns the norm before clipping.

        If the norm is not finite, the weights may not be either, and must not be saved.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """The tensors that `restore` needs, named as in `trainers.engine.state`, at least on the main process."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state` returned, which may come from another number of processes."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """Every weight by its name in the encoder, on the CPU of the main process."""
        ...


class AccelerateBackend:
    """A `Backend` on one process, or with DDP or FSDP2 through accelerate."""

    def __init__(self, accelerator: Accelerator, encoder: nn.Module, config: TrainingConfig) -> None:
        self._accelerator = accelerator
        self._clip = config.max_grad_norm or float("inf")
        is_sharded = accelerator.distributed_type == DistributedType.FSDP
        self._scalars = state.with_an_axis(encoder) if is_sharded else frozenset()
        # both in one call, because FSDP2 replaces the parameters that the optimizer holds
        prepared = accelerator.prepare(encoder, adam(encoder, config, config.weight_decay))
        self._encoder: nn.Module = prepared[0]
        self._optimizer: Optimizer = prepared[1].optimizer
        self._trainable = [each for each in self._encoder.parameters() if each.requires_grad]

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self._accelerator.device
        return device

    def embed(self, items: Sequence[PreparedItem]) -> Tensor:
        """Unit vectors `(n, width)` in fp32."""
        vectors: Tensor = self._encoder(items)
        return vectors

    def backward(self, loss: Tensor) -> None:
        """Adds to the gradient."""
        self._accelerator.backward(loss)

    def no_sync(self) -> AbstractContextManager[object]:
        """Has no effect under FSDP, where a process would have to keep the gradients of the whole network."""
        if self._accelerator.distributed_type == DistributedType.FSDP:
            return nullcontext()
        context: AbstractContextManager[object] = self._accelerator.no_sync(self._encoder)
        return context

    def step(self, lr: float) -> float:
        """Clips, updates the weights if the norm is finite, and returns the norm before clipping."""
        norm = self._accelerator.clip_grad_norm_(self._trainable, self._clip)
        whole: Callable[[], Tensor] | None = getattr(norm, "full_tensor", None)  # for a sharded gradient
        found = float(whole() if whole else norm)
        if math.isfinite(found):
            update(self._optimizer, lr)
        return found

    def state(self) -> dict[str, Tensor]:
        """Trained weights and the optimizer's moments, on the CPU of the main process."""
        return state.reshaped(state.collect(self._encoder, self._optimizer), self._scalars, ())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state` returned."""
        state.restore(self._encoder, self._optimizer, state.reshaped(tensors, self._scalars, (1,)))

    def weights(self) -> dict[str, Tensor]:
        """Every weight by its name in the encoder, on the CPU of the main process."""
        return state.reshaped(state.whole_weights(self._encoder), self._scalars, ())


def adam(module: nn.Module, config: TrainingConfig, decay: float) -> Optimizer:
    """AdamW over the trainable parameters of a module."""
    trainable = [each for each in module.parameters() if each.requires_grad]
    return AdamW(trainable, lr=config.learning_rate, betas=config.betas, weight_decay=decay)


def update(optimizer: Optimizer, lr: float) -> None:
    """Takes one step with this learning rate, and clears the gradient."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad()
