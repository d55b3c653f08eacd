"""The network under training with its optimizer, however processes share it. Imports torch."""

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

from harness.models.llave.prompt import LlaveInput
from trainers.config import TrainingConfig
from trainers.engine import state


class Backend(Protocol):
    """All processes call the same methods in the same order, with as many items or chunks as the others."""

    @property
    def device(self) -> torch.device: ...

    def embed(self, prompts: Sequence[LlaveInput]) -> Tensor:
        """Unit vectors `(n, width)` in fp32, with a graph unless gradients are off."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Adds to the gradient, which is the mean over processes."""
        ...

    def no_sync(self) -> AbstractContextManager[object]:
        """Around every backward of a step but the last, so that gradients cross processes once, where that can be."""
        ...

    def step(self, lr: float) -> float:
        """Clips the gradient, moves the weights, forgets the gradient, and returns the norm that it had.

        If the norm is not finite, the weights may be spoilt: nothing may be saved.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs, as `trainers.engine.state` names it; on the main process, or also on the others."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave, on however many processes that was."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """Every weight by its name in the encoder, on the CPU of the main process."""
        ...


class AccelerateBackend:
    """On one process, or by DDP or FSDP2 through accelerate."""

    def __init__(self, accelerator: Accelerator, encoder: nn.Module, config: TrainingConfig) -> None:
        self._accelerator = accelerator
        self._clip = config.clip or float("inf")
        # together, because FSDP2 exchanges the parameters that the optimizer holds
        prepared = accelerator.prepare(encoder, adam(encoder, config, config.weight_decay))
        self._encoder: nn.Module = prepared[0]
        self._optimizer: Optimizer = prepared[1].optimizer
        self._learning = [each for each in self._encoder.parameters() if each.requires_grad]

    @property
    def device(self) -> torch.device:
        device: torch.device = self._accelerator.device
        return device

    def embed(self, prompts: Sequence[LlaveInput]) -> Tensor:
        vectors: Tensor = self._encoder(prompts)
        return vectors

    def backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)

    def no_sync(self) -> AbstractContextManager[object]:
        """Not under FSDP, where what a process would keep are the gradients of the whole network."""
        if self._accelerator.distributed_type == DistributedType.FSDP:
            return nullcontext()
        context: AbstractContextManager[object] = self._accelerator.no_sync(self._encoder)
        return context

    def step(self, lr: float) -> float:
        norm = self._accelerator.clip_grad_norm_(self._learning, self._clip)
        whole: Callable[[], Tensor] | None = getattr(norm, "full_tensor", None)  # of a sharded gradient
        found = float(whole() if whole else norm)
        if math.isfinite(found):
            move(self._optimizer, lr)
        return found

    def state(self) -> dict[str, Tensor]:
        return state.collect(self._encoder, self._optimizer)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        state.restore(self._encoder, self._optimizer, tensors)

    def weights(self) -> dict[str, Tensor]:
        return state.whole_weights(self._encoder)


def adam(module: nn.Module, config: TrainingConfig, decay: float) -> Optimizer:
    """Over what learns."""
    learning = [each for each in module.parameters() if each.requires_grad]
    return AdamW(learning, lr=config.lr, betas=config.betas, weight_decay=decay)


def move(optimizer: Optimizer, lr: float) -> None:
    """One step, and the gradient is forgotten."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad()
