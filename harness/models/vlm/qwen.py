"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: images of any size, and positions in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.models.vlm.family import Ids, Limits, PatchGrid, VisualTokens, VlmFamily

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PretrainedConfig

IMAGE = "<|image_pad|>"
VISION = f"<|vision_start|>{IMAGE}<|vision_end|>"
_SPECIAL = (IMAGE, "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
_RENAMED = (
    ("model.language_model.", "language_model."),
    ("model.visual.", "visual."),
    ("visual.", "visual."),
    ("model.", "language_model."),
)


def _see(
    images: Sequence[Image],
    processor: BaseImageProcessor,
    config: PretrainedConfig,  # noqa: ARG001 - the signature of `VlmFamily.see`
    limits: Limits | None,
) -> VisualTokens:
    assert limits is not None, "every recipe of these families has pixel limits"
    size = {"shortest_edge": limits[0], "longest_edge": limits[1]}
    found = processor(images=list(images), size=size, return_tensors="pt")
    merged = processor.merge_size
    grids = [PatchGrid(int(rows) // merged, int(columns) // merged) for _, rows, columns in found["image_grid_thw"]]
    tensors = {name: found[name] for name in ("pixel_values", "image_grid_thw")}
    return VisualTokens(tensors, [grid.tokens for grid in grids], grids)


def grid_positions(length: int, images: Sequence[tuple[int, PatchGrid]]) -> Ids:
    """Positions `(3, length)` by time, row and column (M-RoPE); `images` say where each starts, in order.

    Text moves all three by one; an image stands at one time, its rows and columns counted from there, and what follows
    it goes on after its longest side, one of which is time in a video (Qwen2-VL, arXiv 2409.12191, section 2.1; and
    transformers 4, but 5 leaves time out there).
    """
    positions = np.empty((3, length), np.int64)
    at = place = 0
    for start, grid in images:
        positions[:, at:start] = place + np.arange(start - at)
        place += start - at
        at = start + grid.tokens
        each = np.meshgrid(grid.times, np.arange(grid.rows), np.arange(grid.columns), indexing="ij")
        positions[:, start:at] = place + np.stack(each).reshape(3, -1)
        place += max(grid.rows, grid.columns, grid.times[-1] + 1)
    positions[:, at:] = place + np.arange(length - at)
    return positions


def _family(model_type: str, network: str, factor: int) -> VlmFamily:
    return VlmFamily(
        model_type,
        network,
        processor="Qwen2VLImageProcessorPil",
        token=IMAGE,
        special=_SPECIAL,
        see=_see,
        factor=factor,
        two_dimensional=True,
        renamed=_RENAMED,
    )


QWEN2 = _family("qwen2_vl", "Qwen2VLModel", 28)
QWEN25 = _family("qwen2_5_vl", "Qwen2_5_VLModel", 28)
QWEN3 = _family("qwen3_vl", "Qwen3VLModel", 32)
