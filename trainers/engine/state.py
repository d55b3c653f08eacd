"""Trained weights and the optimizer's moments as plain tensors by name, independent of the number of processes.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias, cast

import torch
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

from trainers.engine.checkpoint import WrongTensors

_WEIGHT, _MOMENT = "weight/", "moment/"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Kinds of the optimizer's tensors that have the shape of the weight."""

Moments: TypeAlias = Mapping[str, Mapping[str, Tensor]]
"""The optimizer's tensors by the name of the parameter and by their kind."""


def collect(module: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Trained weights and the optimizer's tensors. Every process must call it; only the main one gets tensors."""
    learned = get_model_state_dict(module, options=_options(offload=True))
    whole = get_optimizer_state_dict(module, optimizer, options=_options(offload=True))
    weights, moments = _tensors(learned), dict(cast("Moments", whole.get("state", {})))
    for name in weights.keys() - moments.keys():
        if name in _parameters(module):  # it has had no gradient yet, for example because no pair had an image
            zeros = torch.zeros_like(weights[name])
            moments[name] = {"step": torch.zeros(()), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
    return join(weights, moments)


def restore(module: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restores what `collect` returned. Every process must call it, with all tensors."""
    own = _tensors(get_model_state_dict(module, options=_options()))
    check(tensors, {name: each.shape for name, each in own.items() if name in _parameters(module)})
    weights, moments = split(tensors)
    set_model_state_dict(module, dict(weights), options=StateDictOptions(full_state_dict=True, strict=False))
    groups = get_optimizer_state_dict(module, optimizer, options=_options())["param_groups"]
    whole = cast("OptimizerStateType", {"state": moments, "param_groups": groups})
    set_optimizer_state_dict(module, optimizer, whole, options=_options())


def join(weights: Mapping[str, Tensor], moments: Moments) -> dict[str, Tensor]:
    """Weights and moments in one mapping, as a checkpoint stores them."""
    named = {f"{_WEIGHT}{name}": each for name, each in weights.items()}
    for name, kinds in moments.items():
        named |= {f"{_MOMENT}{name}/{kind}": each for kind, each in _tensors(kinds).items()}
    return {name: each.contiguous() for name, each in named.items()}


def with_an_axis(module: nn.Module) -> frozenset[str]:
    """Gives each scalar parameter an axis, without which none can be sharded, and returns their names."""
    scalars = [name for name, each in module.named_parameters() if each.ndim == 0]
    for name in scalars:
        place, _, own = name.rpartition(".")
        old = module.get_parameter(name)
        setattr(module.get_submodule(place), own, nn.Parameter(old.detach().reshape(1), old.requires_grad))
    return frozenset(scalars)


def reshaped(tensors: Mapping[str, Tensor], names: Collection[str], shape: tuple[int, ...]) -> dict[str, Tensor]:
    """The same weights, or those of `join`, where these parameters of one number, and their moments, get this shape."""
    joined = {f"{_WEIGHT}{name}" for name in names} | {f"{_MOMENT}{name}/{kind}" for name in names for kind in MOMENTS}
    wanted = joined | {*names}
    return {name: each.reshape(shape) if name in wanted else each for name, each in tensors.items()}


def check(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> None:
    """Raises WrongTensors unless there is a weight of each of the `shapes`, by name, with its moments."""
    for name, shape in shapes.items():
        for each in (f"{_WEIGHT}{name}", *(f"{_MOMENT}{name}/{kind}" for kind in MOMENTS)):
            found = list(tensors[each].shape) if each in tensors else None
            if found is None:
                raise WrongTensors(f"it lacks {each}")
            if found != list(shape):
                raise WrongTensors(f"{each} has the shape {found}, not {list(shape)}")


def split(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Weights and moments, from the mapping that `join` returned."""
    weights = {name.removeprefix(_WEIGHT): each for name, each in tensors.items() if name.startswith(_WEIGHT)}
    moments: dict[str, dict[str, Tensor]] = {}
    for name, each in tensors.items():
        if name.startswith(_MOMENT):
            parameter, _, kind = name.removeprefix(_MOMENT).rpartition("/")
            moments.setdefault(parameter, {})[kind] = each
    return weights, moments


def _parameters(module: nn.Module) -> set[str]:
    return {name.removeprefix("module.") for name, _ in module.named_parameters()}


def whole_weights(module: nn.Module) -> dict[str, Tensor]:
    """Every weight by name, on the CPU of the main process. Every process must call it."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return _tensors(get_model_state_dict(module, options=options))


def _tensors(values: Mapping[str, object]) -> dict[str, Tensor]:
    return {name: each for name, each in values.items() if isinstance(each, Tensor)}


def _options(*, offload: bool = False) -> StateDictOptions:
    return StateDictOptions(full_state_dict=True, cpu_offload=offload, ignore_frozen_params=True)
