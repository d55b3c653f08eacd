"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL, with images of any size and positions in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.models.vlm.family import Ids, PatchGrid, PixelLimits, VisualTokens, VlmFamily

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PretrainedConfig

IMAGE_TOKEN = "<|image_pad|>"
MARKED_IMAGE = f"<|vision_start|>{IMAGE_TOKEN}<|vision_end|>"
_SPECIAL = (IMAGE_TOKEN, "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
_SAME = {
    "patch_size": "vision_config.patch_size",
    "merge_size": "vision_config.spatial_merge_size",
    "temporal_patch_size": "vision_config.temporal_patch_size",
}
_RENAMED = (
    ("model.language_model.", "language_model."),
    ("model.visual.", "visual."),
    ("visual.", "visual."),
    ("model.", "language_model."),
)


def _process_images(
    images: Sequence[Image],
    processor: BaseImageProcessor,
    config: PretrainedConfig,  # noqa: ARG001 - the signature of `VlmFamily.process_images`
    limits: PixelLimits | None,
) -> VisualTokens:
    assert limits is not None, "every recipe of these families has pixel limits"
    size = {"shortest_edge": limits[0], "longest_edge": limits[1]}
    found = processor(images=list(images), size=size, return_tensors="pt")
    merged = processor.merge_size
    grids = [PatchGrid(int(rows) // merged, int(columns) // merged) for _, rows, columns in found["image_grid_thw"]]
    tensors = {name: found[name] for name in ("pixel_values", "image_grid_thw")}
    return VisualTokens(tensors, [grid.tokens for grid in grids], grids)


def grid_positions(length: int, images: Sequence[tuple[int, PatchGrid]]) -> Ids:
    """Returns positions `(3, length)`: time, row and column (M-RoPE).

    Each text token raises all three by one. The tokens of an image share one time, and count rows and columns from it.
    The next token continues after the longest side, where time is a side of a video. Source: Qwen2-VL, arXiv
    2409.12191, section 2.1, and transformers 4. transformers 5 leaves time out of the longest side.

    Args:
        length: the length of the sequence.
        images: start and grid of each image or part of a video, ordered by start.
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


def _patch_pixels(vision: PretrainedConfig) -> tuple[int, ...]:
    channels = vision.in_channels
    return (channels * vision.temporal_patch_size * vision.patch_size**2,)


def _family(model_type: str, network: str, size_multiple: int) -> VlmFamily:
    return VlmFamily(
        model_type,
        network,
        image_processor="Qwen2VLImageProcessorPil",
        image_token=IMAGE_TOKEN,
        special_tokens=_SPECIAL,
        process_images=_process_images,
        same_settings=_SAME,
        pixel_shape=_patch_pixels,
        size_multiple=size_multiple,
        mrope=True,
        adapter_renames=_RENAMED,
    )


QWEN2 = _family("qwen2_vl", "Qwen2VLModel", 28)
QWEN25 = _family("qwen2_5_vl", "Qwen2_5_VLModel", 28)
QWEN3 = _family("qwen3_vl", "Qwen3VLModel", 32)
