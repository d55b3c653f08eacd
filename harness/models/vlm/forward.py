"""One forward pass of a generative model without its LM head, and the pooling of its vectors.

This module imports torch: import it where a network is needed, not at the top of a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from harness.models.vlm.family import Ids, Tensors
from harness.models.vlm.recipes import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, eq=False)
class VlmInput:
    """A prepared item."""

    ids: Ids
    positions: Ids | None
    """Positions `(3, length)`, for networks with M-RoPE."""
    tensors: Tensors
    """The tensors of images and videos; empty for a text."""
    images: int
    """The number of images."""


def embed(network: PreTrainedModel, recipe: Recipe, prompts: Sequence[VlmInput]) -> Tensor:
    """Returns unit vectors `(n, width)` in fp32, in the order of the prompts.

    The vector of a prompt does not depend on the other prompts of the batch or on their order.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for at, prompt in enumerate(prompts):
        groups[prompt.images if recipe.family.same_image_count else 0].append(at)
    parts = [_forward(network, recipe, [prompts[at] for at in group]) for group in groups.values()]
    order = torch.tensor([at for group in groups.values() for at in group], device=parts[0].device)
    return torch.cat(parts)[order.argsort()]


def _forward(network: PreTrainedModel, recipe: Recipe, prompts: Sequence[VlmInput]) -> Tensor:
    """Computes vectors of prompts that are padded on the right.

    With causal attention no token attends to padding after it. So no mask is needed, and the padding side of a
    model's public code does not matter.
    """
    device = network.device
    lengths = torch.tensor([len(prompt.ids) for prompt in prompts], device=device)
    inputs = {
        name: each.to(device, network.dtype if each.is_floating_point() else each.dtype)
        for name, each in _joined(prompts).items()
    }
    longest = int(lengths.max())
    real = torch.arange(longest, device=device) < lengths[:, None]
    mask = None
    if recipe.bidirectional:  # transformers uses masks by layer type as they are, and makes any other mask causal
        mask = dict.fromkeys(("full_attention", "sliding_attention"), real[:, None, None].expand(-1, 1, longest, -1))
    states = network(**inputs, attention_mask=mask, use_cache=False).last_hidden_state
    if recipe.pooling == "mean":
        pooled = (states.float() * real[..., None]).sum(1) / lengths[:, None]
    else:
        pooled = states[torch.arange(len(prompts), device=device), lengths - 1]
    return normalize(pooled.float(), dim=-1)


def _joined(prompts: Sequence[VlmInput]) -> dict[str, Tensor]:
    """Joins the inputs of a batch: ids `(n, length)`, positions `(3, n, length)`, and the images' tensors."""
    joined = {"input_ids": _stack([torch.from_numpy(prompt.ids)[None] for prompt in prompts])}
    placed = [torch.from_numpy(prompt.positions)[None] for prompt in prompts if prompt.positions is not None]
    if placed:
        joined["position_ids"] = _stack(placed).transpose(0, 1)
    names = {name for prompt in prompts for name in prompt.tensors}
    return joined | {
        name: _stack([prompt.tensors[name] for prompt in prompts if name in prompt.tensors]) for name in names
    }


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joins tensors along the first axis, padded with zeros at the end of the other axes."""
    largest = [max(edges) for edges in zip(*(each.shape[1:] for each in tensors), strict=True)]
    padded = []
    for each in tensors:
        missing = [due - had for due, had in zip(largest, each.shape[1:], strict=True)]
        padded.append(pad(each, [edge for after in reversed(missing) for edge in (0, after)]) if any(missing) else each)
    return torch.cat(padded)
