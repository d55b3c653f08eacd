"""The network under training: trainable parts, adapters, and batching of items with similar length.

Imports torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.models.llave.network import LlaveNetwork
from harness.models.llave.prompt import LlaveInput
from harness.models.llave.vision import ImageLayout, Size, VisualInput
from harness.models.llave.weights import released_name
from trainers.config import TrainingConfig
from trainers.data.sampler import by_length
from trainers.engine.checkpoint import write_tensors
from trainers.engine.state import split

if TYPE_CHECKING:
    from peft import LoraConfig

_REST = "non_lora_trainables.safetensors"
"""File beside the adapter with other trained weights, such as the projector's."""
_GROUPS = 4
"""Number of forward passes for a batch, so that short items are not padded to the length of long ones."""
_ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class PromptEncoder(nn.Module):
    """Embeds prompts as unit vectors `(n, width)`, in their order.

    With `peers` (other processes), every group of items passes through every part of the network in the same order. A
    group without an image gets a blank one, which does not count. Otherwise the others would wait for a process with
    only text, or take its gradients for those of other weights. Videos do not count as images here, because some
    need no newline weights.
    """

    def __init__(self, network: LlaveNetwork, *, peers: bool = False) -> None:
        super().__init__()
        self.network = network
        self.peers = peers

    def forward(self, prompts: Sequence[LlaveInput]) -> Tensor:
        """Unit vectors `(n, width)` in fp32."""
        groups = by_length([prompt.length for prompt in prompts], min(_GROUPS, len(prompts)))
        vectors = torch.cat([self._embed([prompts[index] for index in group]) for group in groups])
        order = torch.tensor([index for group in groups for index in group], device=vectors.device)
        return vectors[torch.argsort(order)]

    def _embed(self, prompts: Sequence[LlaveInput]) -> Tensor:
        layouts = [picture.layout for prompt in prompts for picture in prompt.pictures]
        if not self.peers or any(isinstance(layout, ImageLayout) for layout in layouts):
            vectors: Tensor = self.network(prompts)
            return vectors
        vectors = self.network([*prompts, _blank(self.network)])
        return vectors[:-1]


def make_trainable(network: LlaveNetwork, config: TrainingConfig) -> None:
    """Freezes parts, inserts adapters, and turns on gradient checkpointing, as the config says."""
    network.train().requires_grad_(True)
    network.tower.post_layernorm.requires_grad_(False)  # LLaVE takes the features before this layer
    if config.lora_rank:
        _put_adapters(network, config)
    if "language" in config.frozen:
        network.language.requires_grad_(False)
    if "tower" in config.frozen:
        network.tower.requires_grad_(False).eval()
    if "projector" in config.frozen:
        network.projector.requires_grad_(False)
        network.image_newline.requires_grad_(False)
    if config.gradient_checkpointing:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about a new name, which older releases do not have
            for part in (network.language, *(() if "tower" in config.frozen else (network.tower,))):
                part.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def released_weights(state: Mapping[str, Tensor], config: TrainingConfig) -> dict[str, Tensor]:
    """The weights under the names of the released format, with adapters merged.

    `state` has the names of `LlaveNetwork`. Weights are in the precision of the run.
    """
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    released = {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight"):
            at = name.removesuffix("base_layer.weight")
            up, down = state[f"{at}lora_B.default.weight"], state[f"{at}lora_A.default.weight"]
            tensor = tensor + up @ down * (config.lora_alpha / config.lora_rank)
        released[released_name(name.replace(".base_layer.", "."))] = tensor.to(dtype).contiguous()
    return released


def write_weights(
    folder: Path, config: TrainingConfig, weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Writes the weights of a checkpoint: the whole network, the adapter, or both, as the config says.

    Args:
        folder: the checkpoint.
        weights: every weight as `LlaveNetwork` names it.
        tensors: the training state, which says what is trained.

    Raises:
        UserError: if the disk is full.
    """
    if not config.lora_rank or config.lora_merge:
        write_tensors(folder / "model.safetensors", released_weights(weights, config))
    if config.lora_rank:
        adapter = folder / "adapter"
        write_tensors(adapter / "adapter_model.safetensors", adapter_weights(weights))
        _adapter_config(config).save_pretrained(str(adapter))
        trained = [name.removeprefix("network.") for name in split(tensors)[0]]
        if rest := released_weights({name: weights[name] for name in trained if name in weights}, config):
            write_tensors(adapter / _REST, rest)


def adapter_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The adapters' weights, under the names that peft gives them when it wraps the language model."""
    return {
        f"base_model.model.{name.removeprefix('language.').replace('.default', '')}": tensor.contiguous()
        for name, tensor in state.items()
        if ".lora_" in name
    }


def _adapter_config(config: TrainingConfig) -> LoraConfig:
    try:
        from peft import LoraConfig
    except ImportError:
        raise UserError(
            "Adapters need the package peft, which is not installed.", 'pip install "llave-bench[train]"'
        ) from None
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(_ADAPTED),
    )


def _put_adapters(network: LlaveNetwork, config: TrainingConfig) -> None:
    adapter = _adapter_config(config)
    from peft import inject_adapter_in_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        inject_adapter_in_model(adapter, network.language)
    for name, parameter in network.language.named_parameters():
        parameter.requires_grad_(".lora_" in name)


def _blank(network: LlaveNetwork) -> LlaveInput:
    """A token and an image. Its vector is not used, so its gradient is zero."""
    size = network.tower.config.image_size
    layout = ImageLayout(network.side, Size(1, 1), Size(0, 0), Size(network.side, network.side))
    picture = VisualInput(np.zeros((2, size, size, 3), np.uint8), layout)
    return LlaveInput((np.zeros(1, np.int64), np.zeros(0, np.int64)), (picture,), 1)
