"""A temperature that is learned. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainers.config import TrainingConfig
from trainers.engine import state
from trainers.engine.backend import adam, move
from trainers.loss.gather import mean_over_processes

_PREFIX = "temperature/"


class Temperature(nn.Module):
    """The scale of the cosines, learned as its logarithm so that it stays above zero, and its optimizer."""

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([math.log(config.scale)], device=device))
        self._optimizer = adam(self, config, decay=0.0)

    def forward(self) -> Tensor:
        return self.log_scale.exp().squeeze()

    def step(self, lr: float) -> None:
        """Moves it by the mean gradient over processes."""
        if self.log_scale.grad is not None:
            self.log_scale.grad = mean_over_processes(self.log_scale.grad)
        move(self._optimizer, lr)

    def state(self) -> dict[str, Tensor]:
        return {f"{_PREFIX}{name}": each for name, each in state.collect(self, self._optimizer).items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave, out of all that a checkpoint has."""
        own = {name.removeprefix(_PREFIX): each for name, each in tensors.items() if name.startswith(_PREFIX)}
        state.restore(self, self._optimizer, own)
