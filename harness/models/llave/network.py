"""LLaVE's network, built from modules of transformers: SigLIP, a projector, and Qwen2 without its LM head.

This module imports torch: import it where a network is needed, not at the top of a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2Config, Qwen2Model, SiglipVisionConfig, SiglipVisionModel

from harness.models.checkpoint_files import JsonFile, opening
from harness.models.llave.config import LlaveConfig, VisionTower
from harness.models.llave.prompt import LlaveInput
from harness.models.llave.vision import ImageLayout, VideoLayout, VisualInput
from harness.models.llave.weights import TensorLocation, account, read_tensors, released_name
from harness.models.network_config import check_depth

_CROPS_AT_ONCE = 64
"""Maximum number of crops in a pass of the vision tower.

It bounds the memory: about a gigabyte of activations at the released size, in 16 bits.
"""


class LlaveNetwork(nn.Module):
    """A differentiable network from prompts to embeddings.

    The embedding of a prompt does not depend on the other prompts of the batch or on their order.
    """

    def __init__(self, config: LlaveConfig, attention: str = "sdpa") -> None:
        super().__init__()
        self.side = config.tower.side
        self.crops_at_once = _CROPS_AT_ONCE
        self.language = Qwen2Model(_language_config(config, attention))
        self.tower = SiglipVisionModel(_tower_config(config.tower, attention))
        inner, outer = config.tower.shape["hidden_size"], config.language["hidden_size"]
        self.projector = nn.Sequential(nn.Linear(inner, outer), nn.GELU(), nn.Linear(outer, outer))
        self.image_newline = nn.Parameter(torch.empty(outer))

    def forward(self, prompts: Sequence[LlaveInput]) -> Tensor:
        """Returns unit vectors `(n, width)` in fp32: the final norm's output at each prompt's last token.

        Prompts are padded on the right. With causal attention no token attends to padding after it. So no mask is
        needed, and the fast kernels can be used.
        """
        rows = list(self._rows(prompts))
        last = torch.tensor([len(row) - 1 for row in rows], device=rows[0].device)
        padded = pad_sequence(rows, batch_first=True)
        states = self.language(inputs_embeds=padded, use_cache=False).last_hidden_state
        pooled: Tensor = states[torch.arange(len(rows), device=last.device), last]
        return normalize(pooled.float(), dim=-1)

    def visual_tokens(self, pictures: Sequence[VisualInput]) -> list[Tensor]:
        """Returns the visual tokens of each picture, `(tokens, width)`. The crops of all pictures share batches."""
        if not pictures:
            return []
        features = torch.split(self._features(pictures), [picture.layout.crops for picture in pictures])
        return [self._lay_out(each, picture.layout) for each, picture in zip(features, pictures, strict=True)]

    def _rows(self, prompts: Sequence[LlaveInput]) -> Iterator[Tensor]:
        """Yields the sequence of each prompt, `(length, width)`."""
        visual = iter(self.visual_tokens([picture for prompt in prompts for picture in prompt.pictures]))
        pieces = [piece for prompt in prompts for piece in prompt.ids]
        ids = torch.from_numpy(np.concatenate(pieces)).to(self.image_newline.device)
        textual = iter(torch.split(self.language.embed_tokens(ids), [len(piece) for piece in pieces]))
        for prompt in prompts:
            parts = [next(textual)]
            for _ in prompt.pictures:
                parts += [next(visual), next(textual)]
            yield torch.cat(parts)[: prompt.length]

    def _features(self, pictures: Sequence[VisualInput]) -> Tensor:
        """Returns projected features `(crops, side, side, width)`, taken before the tower's final norm."""
        crops = torch.from_numpy(np.concatenate([picture.crops for picture in pictures]))
        device, features = self.image_newline.device, []
        for start in range(0, len(crops), self.crops_at_once):
            pixels = crops[start : start + self.crops_at_once].to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
            states = self.tower.encoder(inputs_embeds=self.tower.embeddings(pixels)).last_hidden_state
            features.append(self.projector(states))
        every = torch.cat(features)
        return every.view(len(every), self.side, self.side, -1)

    def _lay_out(self, features: Tensor, layout: ImageLayout | VideoLayout) -> Tensor:
        if isinstance(layout, ImageLayout):
            return torch.cat([features[0].flatten(0, 1), self._with_newlines(_stitch(features[1:], layout))])
        frames = _resize(features, layout.side, layout.side)
        match layout.newline:
            case "grid":
                return self._with_newlines(frames.flatten(0, 1))
            case "frame":
                return self._with_newlines(frames.flatten(1, 2))
            case "one_token":
                return torch.cat([frames.flatten(0, 2), self.image_newline[None]])
            case "no_token":
                return frames.flatten(0, 2)

    def _with_newlines(self, rows: Tensor) -> Tensor:
        """Joins rows `(r, c, width)`, each followed by a newline: `(r * (c + 1), width)`."""
        newlines = self.image_newline.expand(len(rows), 1, -1)
        return torch.cat([rows, newlines], dim=1).flatten(0, 1)


def load_network(
    config: LlaveConfig,
    weights: Mapping[str, TensorLocation],
    folder: Path,
    device: str,
    dtype: str,
    attention: str = "sdpa",
) -> LlaveNetwork:
    """Builds a network and loads its weights.

    Raises:
        UserError: before any weight is read, if they are not exactly those that the network needs.
    """
    file = folder / "config.json"
    layers = {"num_hidden_layers": max(config.language["num_hidden_layers"], config.tower.shape["num_hidden_layers"])}
    check_depth(JsonFile(file, layers), len(weights))
    with opening(file, f"a configuration of LLaVE with the tower {config.tower.name}"), torch.device("meta"):
        network = LlaveNetwork(config, attention)
    names = {released_name(name): (name, tuple(each.shape)) for name, each in network.state_dict().items()}
    account(weights, {released: shape for released, (_, shape) in names.items()}, folder)
    wanted = {released: weights[released] for released in names}
    tensors = read_tensors(wanted, device, getattr(torch, dtype))
    network.load_state_dict({names[released][0]: tensor for released, tensor in tensors}, assign=True)
    # constants are not in the state dict, so they are computed here
    network.language.rotary_emb = type(network.language.rotary_emb)(network.language.config).to(device)
    network.tower.embeddings.position_ids = torch.arange(config.tower.side**2, device=device)[None]
    assert not any(each.is_meta for each in (*network.parameters(), *network.buffers()))
    return network


def _language_config(config: LlaveConfig, attention: str) -> Qwen2Config:
    return Qwen2Config(
        **config.language,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        attn_implementation=attention,
    )


def _tower_config(tower: VisionTower, attention: str) -> SiglipVisionConfig:
    """The tower without its last layer, as in the public code, and without a pooling head."""
    shape = {**tower.shape, "num_hidden_layers": tower.shape["num_hidden_layers"] - 1}
    return SiglipVisionConfig(
        **shape, layer_norm_eps=tower.layer_norm_eps, vision_use_head=False, attn_implementation=attention
    )


def _stitch(tiles: Tensor, layout: ImageLayout) -> Tensor:
    """Joins tiles `(n, side, side, width)`, ordered by row, to one map, trims its padding and shrinks it."""
    grid, margin, kept = layout.grid, layout.margin, layout.kept
    whole = tiles.view(grid.height, grid.width, *tiles.shape[1:]).transpose(1, 2).flatten(2, 3).flatten(0, 1)
    height, width = whole.shape[:2]
    trimmed = whole[margin.height : height - margin.height, margin.width : width - margin.width]
    if trimmed.shape[:2] == (kept.height, kept.width):
        return trimmed
    return _resize(trimmed[None], kept.height, kept.width)[0]


def _resize(features: Tensor, height: int, width: int) -> Tensor:
    """Resizes `(n, height, width, channels)` with bilinear interpolation."""
    resized: Tensor = interpolate(features.permute(0, 3, 1, 2), size=(height, width), mode="bilinear")
    return resized.permute(0, 2, 3, 1)
