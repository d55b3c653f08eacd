"""What the optimizer knows and the weights it moves, as plain tensors by name; the same on one process and on many.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    OptimizerStateType,
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

_WEIGHT, _MOMENT = "weight/", "moment/"


def collect(module: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Weights that are trained, and the optimizer's tensors. Every process must call it; the main one gets them all."""
    learned = get_model_state_dict(module, options=_options(offload=True))
    found = _tensors(learned, _WEIGHT)
    whole = get_optimizer_state_dict(module, optimizer, options=_options(offload=True))
    # other processes than the main one get nothing
    for name, moments in cast("Mapping[str, Mapping[str, object]]", whole.get("state", {})).items():
        found |= _tensors(moments, f"{_MOMENT}{name}/")
    return {name: each.contiguous() for name, each in found.items()}


def restore(module: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `collect` gave. Every process must call it, with all the tensors."""
    weights = {name.removeprefix(_WEIGHT): each for name, each in tensors.items() if name.startswith(_WEIGHT)}
    set_model_state_dict(module, dict(weights), options=StateDictOptions(full_state_dict=True, strict=False))
    moments: dict[str, dict[str, Tensor]] = {}
    for name, each in tensors.items():
        if name.startswith(_MOMENT):
            parameter, _, kind = name.removeprefix(_MOMENT).rpartition("/")
            moments.setdefault(parameter, {})[kind] = each
    groups = get_optimizer_state_dict(module, optimizer, options=_options())["param_groups"]
    whole = cast("OptimizerStateType", {"state": moments, "param_groups": groups})
    set_optimizer_state_dict(module, optimizer, whole, options=_options())


def whole_weights(module: nn.Module) -> dict[str, Tensor]:
    """Every weight by name, on the CPU of the main process. Every process must call it."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return _tensors(get_model_state_dict(module, options=options), "")


def _tensors(values: Mapping[str, object], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": each for name, each in values.items() if isinstance(each, Tensor)}


def read(path: Path) -> dict[str, Tensor]:
    return load_file(path)


def _options(*, offload: bool = False) -> StateDictOptions:
    return StateDictOptions(full_state_dict=True, cpu_offload=offload, ignore_frozen_params=True)
