"""Training under DeepSpeed's ZeRO, stages 1 to 3 (Rajbhandari et al. 2020, arXiv:1910.02054). Imports torch.

DeepSpeed's engine owns the weights, clips the gradient and takes the steps. Checkpoints are the same as without it.
They have weights in fp32 and the moments of each parameter by name, from all processes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.errors import UserError
from harness.models.llave.network import LlaveNetwork
from trainers.config import TrainingConfig
from trainers.data.loader import PreparedItem
from trainers.engine import state
from trainers.engine.backend import adam

if TYPE_CHECKING:
    from trainers.engine.network import ItemEncoder

_REFUSED = ("optimizer", "scheduler", "fp16", "amp", "torch_autocast", "tensor_parallel", "pipeline")
"""Sections of DeepSpeed's config that replace settings of the recipe, or change what a batch is."""


class _ZeroOptimizer(Protocol):
    optimizer: Optimizer


class _DeepSpeedEngine(Protocol):
    """The part of deepspeed.DeepSpeedEngine that is used here."""

    module: nn.Module
    device: torch.device
    optimizer: _ZeroOptimizer

    def __call__(self, items: Sequence[PreparedItem]) -> Tensor: ...
    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None: ...
    def backward(self, loss: Tensor, *, scale_wrt_gas: bool) -> object: ...
    def step(self) -> object: ...
    def get_global_grad_norm(self) -> float | Tensor | None: ...


class ZeroBackend:
    """A `trainers.engine.backend.Backend` under DeepSpeed.

    Raises UserError if DeepSpeed's config contradicts the recipe.
    """

    def __init__(self, accelerator: Accelerator, encoder: ItemEncoder, config: TrainingConfig) -> None:
        width = encoder([encoder.blank]).shape[1]
        fill_config(accelerator.deepspeed_plugin.deepspeed_config, config, accelerator.num_processes, width)
        if isinstance(encoder.network, LlaveNetwork):
            # stage 3 gathers weights at each pass through the tower, so all processes make one, whatever their crops
            encoder.network.crops_at_once = sys.maxsize
        self._blank: PreparedItem = encoder.blank
        self._scalars = state.with_an_axis(encoder)
        optimizer = adam(encoder, config, config.weight_decay)
        self._engine: _DeepSpeedEngine = accelerator.prepare(encoder, optimizer)[0]
        self._is_main: bool = accelerator.is_main_process
        self._last = True

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self._engine.device

    def embed(self, items: Sequence[PreparedItem]) -> Tensor:
        """Unit vectors `(n, width)` in fp32."""
        return self._engine(items)

    def backward(self, loss: Tensor) -> None:
        """Adds to the gradient. DeepSpeed updates weights in `step` only after a pass outside `no_sync`."""
        self._engine.set_gradient_accumulation_boundary(self._last)
        self._engine.backward(loss, scale_wrt_gas=False)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Marks backward passes that are not the last of a step."""
        before, self._last = self._last, False
        try:
            yield
        finally:
            self._last = before

    def step(self, lr: float) -> float:
        """Clips, updates the weights, and returns the norm before clipping."""
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        found = float("nan") if norm is None else float(norm)
        return found if found >= 0 else float("inf")  # DeepSpeed returns -1 for a norm that is not finite

    def state(self) -> dict[str, Tensor]:
        """Trained weights and the optimizer's moments, on the CPU of the main process."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        weights, moments = {}, {}
        step = torch.tensor(float(next(iter(self._adam.state.values()))["step"]))
        for name, parameter in self._trainable():
            weight = safe_get_full_fp32_param(parameter)
            kinds = {kind: safe_get_full_optimizer_state(parameter, kind) for kind in state.MOMENTS}
            if self._is_main:  # so a node's memory has one copy, and not one for each process
                weights[name] = weight.cpu()
                moments[name] = {"step": step.clone(), **{kind: each.cpu() for kind, each in kinds.items()}}
        return state.reshaped(state.join(weights, moments), self._scalars, ())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state` returned."""
        from deepspeed import zero
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        self._make_moments()
        shapes = {name: getattr(each, "ds_shape", each.shape) for name, each in self._trainable()}
        tensors = state.reshaped(tensors, self._scalars, (1,))
        state.check(tensors, shapes)
        weights, moments = state.split(tensors)
        for name, parameter in self._trainable():
            weight = weights[name].to(self.device)
            safe_set_full_fp32_param(parameter, weight)
            with zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
                parameter.copy_(weight)
            for kind in state.MOMENTS:
                safe_set_full_optimizer_state(parameter, moments[name][kind].to(self.device), kind)
        # one step count for all: a parameter without gradients so far has a lower one, but its moments are zero
        done = max(float(each["step"]) for each in moments.values())
        for each in self._adam.state.values():
            each["step"] = torch.full_like(each["step"], done) if isinstance(each["step"], Tensor) else int(done)

    def weights(self) -> dict[str, Tensor]:
        """Every weight by its name in the encoder, on the CPU of the main process."""
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
        return state.reshaped(found, self._scalars, ())

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, each) for name, each in self._engine.module.named_parameters() if each.requires_grad)

    @property
    def _adam(self) -> Optimizer:
        """The optimizer that ZeRO wraps: over flat pieces of the weights, or DeepSpeed's own where it offloads."""
        return self._engine.optimizer.optimizer

    def _make_moments(self) -> None:
        """Makes the optimizer create its moments, by a step with a gradient and a learning rate of zero."""
        self.backward(0.0 * self.embed([self._blank]).sum())
        self.step(0.0)


def fill_config(deepspeed: dict[str, object], config: TrainingConfig, processes: int, width: int) -> None:
    """Fills in what DeepSpeed's config leaves out or has as `auto`, from the recipe.

    `width` is the hidden size of the language model. Raises UserError where the config contradicts the recipe.
    """
    zero = cast("dict[str, object]", deepspeed["zero_optimization"])
    if zero.get("stage") not in (1, 2, 3):
        raise UserError(
            f"DeepSpeed's config has ZeRO stage {zero.get('stage')}.", "Use 1, 2 or 3, or torchrun without ZeRO."
        )
    for name in _REFUSED:
        section = deepspeed.get(name)
        if isinstance(section, dict) and section.get("enabled", True) not in (False, "false"):
            raise UserError(
                f"DeepSpeed's config has a section {name!r}, which is not supported.",
                "Remove it. The recipe has the optimizer, the schedule and the precision, and --set changes them.",
            )
    _fill(deepspeed, "train_batch_size", config.batch)
    _fill(deepspeed, "train_micro_batch_size_per_gpu", config.batch // processes)
    _fill(deepspeed, "gradient_accumulation_steps", 1)
    _fill(deepspeed, "gradient_clipping", config.max_grad_norm)
    _fill(cast("dict[str, object]", deepspeed["bf16"]), "enabled", config.precision == "bf16")
    sums = cast("dict[str, object]", deepspeed.setdefault("data_types", {}))
    sums.setdefault("grad_accum_dtype", "fp32")  # a step adds up one gradient for each micro-batch
    # the values that transformers' Trainer fills in
    sizes = {
        "reduce_bucket_size": width * width,
        "stage3_prefetch_bucket_size": 9 * width * width // 10,
        "stage3_param_persistence_threshold": 10 * width,
    }
    zero |= {name: size for name, size in sizes.items() if zero.get(name) == "auto"}


def _fill(section: dict[str, object], name: str, value: object) -> None:
    found = section.get(name)
    if found not in (None, "auto", value):
        raise UserError(
            f"DeepSpeed's config says {name}: {found}, and the recipe {value}.",
            'Write "auto" there to use the value of the recipe, and change that with --set.',
        )
    section[name] = value
