"""Training under DeepSpeed's ZeRO, stages 1 to 3 (Rajbhandari et al. 2020, arXiv:1910.02054). Imports torch.

DeepSpeed's engine owns the weights, clips and steps. Checkpoints are none the less what every other run writes: the
weights in fp32 and the moments of each parameter, by name, put together from all processes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.models.llave.prompt import LlaveInput
from trainers.config import TrainingConfig
from trainers.engine import state
from trainers.engine.backend import adam
from trainers.engine.zero_config import settle

if TYPE_CHECKING:
    from trainers.engine.network import PromptEncoder

_WORD = LlaveInput((np.zeros(1, np.int64),), (), 1)
_MOMENTS = ("exp_avg", "exp_avg_sq")


class _ZeroOptimizer(Protocol):
    optimizer: Optimizer


class _Engine(Protocol):
    """What is used of deepspeed.DeepSpeedEngine."""

    module: nn.Module
    device: torch.device
    optimizer: _ZeroOptimizer

    def __call__(self, prompts: Sequence[LlaveInput]) -> Tensor: ...
    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None: ...
    def backward(self, loss: Tensor, *, scale_wrt_gas: bool) -> object: ...
    def step(self) -> object: ...
    def get_global_grad_norm(self) -> float | Tensor | None: ...


class ZeroBackend:
    """A `trainers.engine.backend.Backend`. Raises UserError for a config of DeepSpeed's that contradicts the recipe."""

    def __init__(self, accelerator: Accelerator, encoder: PromptEncoder, config: TrainingConfig) -> None:
        width = encoder.network.language.config.hidden_size
        settle(accelerator.deepspeed_plugin.deepspeed_config, config, accelerator.num_processes, width)
        # stage 3 gathers weights at each pass through the tower: processes make one each, however many crops they have
        encoder.network.crops_at_once = sys.maxsize
        optimizer = adam(encoder, config, config.weight_decay)
        self._engine: _Engine = accelerator.prepare(encoder, optimizer)[0]
        self._is_main: bool = accelerator.is_main_process
        self._last = True

    @property
    def device(self) -> torch.device:
        return self._engine.device

    def embed(self, prompts: Sequence[LlaveInput]) -> Tensor:
        return self._engine(prompts)

    def backward(self, loss: Tensor) -> None:
        self._engine.set_gradient_accumulation_boundary(self._last)
        self._engine.backward(loss, scale_wrt_gas=False)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        before, self._last = self._last, False
        try:
            yield
        finally:
            self._last = before

    def step(self, lr: float) -> float:
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        found = float("nan") if norm is None else float(norm)
        return found if found >= 0 else float("inf")  # -1 stands for what is not finite

    def state(self) -> dict[str, Tensor]:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        weights, moments = {}, {}
        step = torch.tensor(float(next(iter(self._adam.state.values()))["step"]))
        for name, parameter in self._learning():
            weight = safe_get_full_fp32_param(parameter)
            kinds = {kind: safe_get_full_optimizer_state(parameter, kind) for kind in _MOMENTS}
            if self._is_main:  # one copy of it all in a node's memory, not one for each process
                weights[name] = weight.cpu()
                moments[name] = {"step": step.clone(), **{kind: each.cpu() for kind, each in kinds.items()}}
        return state.join(weights, moments)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        from deepspeed import zero
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        self._make_moments()
        weights, moments = state.split(tensors)
        for name, parameter in self._learning():
            weight = weights[name].to(self.device)
            safe_set_full_fp32_param(parameter, weight)
            with zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
                parameter.copy_(weight)
            for kind in _MOMENTS:
                safe_set_full_optimizer_state(parameter, moments[name][kind].to(self.device), kind)
        # one count for all: a parameter that no gradient had reached is behind, and has nothing to count
        done = max(float(each["step"]) for each in moments.values())
        for each in self._adam.state.values():
            each["step"] = torch.full_like(each["step"], done) if isinstance(each["step"], Tensor) else int(done)

    def weights(self) -> dict[str, Tensor]:
        from deepspeed import zero
        from deepspeed.utils import safe_get_full_fp32_param

        found = {}
        for name, each in self._engine.module.state_dict(keep_vars=True).items():
            if each.requires_grad:
                whole = safe_get_full_fp32_param(each)
            else:
                with zero.GatheredParameters([each]):
                    whole = each.to(torch.float32, copy=True)
            if self._is_main:
                found[name] = whole.cpu()
        return found

    def _learning(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, each) for name, each in self._engine.module.named_parameters() if each.requires_grad)

    @property
    def _adam(self) -> Optimizer:
        """What ZeRO wraps: over flat pieces of the weights, or DeepSpeed's own where it offloads."""
        return self._engine.optimizer.optimizer

    def _make_moments(self) -> None:
        """The optimizer has them from its first step on, so one is taken that moves nothing."""
        self.backward(0.0 * self.embed([_WORD]).sum())
        self.step(0.0)
