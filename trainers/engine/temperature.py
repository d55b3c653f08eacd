"""A learned temperature. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainers.config import TrainingConfig
from trainers.engine import state
from trainers.engine.backend import adam, update
from trainers.loss.gather import mean_over_processes

_PREFIX = "temperature/"


class Temperature(nn.Module):
    """A learned temperature with its optimizer.

    The parameter is the logarithm of the scale, which is one over the temperature, so the scale stays above zero.
    """

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([math.log(config.logit_scale)], device=device))
        self._optimizer = adam(self, config, decay=0.0)

    def forward(self) -> Tensor:
        """The scale that cosines are multiplied by, a scalar with a graph."""
        return self.log_scale.exp().squeeze()

    def step(self, lr: float) -> None:
        """Updates it by the mean gradient over processes."""
        if self.log_scale.grad is not None:
            self.log_scale.grad = mean_over_processes(self.log_scale.grad)
        update(self._optimizer, lr)

    def state(self) -> dict[str, Tensor]:
        """The tensors that `restore` needs, under names of their own."""
        return {f"{_PREFIX}{name}": each for name, each in state.collect(self, self._optimizer).items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state` returned, from all tensors of a checkpoint."""
        own = {name.removeprefix(_PREFIX): each for name, each in tensors.items() if name.startswith(_PREFIX)}
        state.restore(self, self._optimizer, own)
