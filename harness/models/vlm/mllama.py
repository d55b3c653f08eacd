"""Mllama (Llama 3.2 Vision), whose text attends to the tiles of images by cross-attention.

A token before the first image attends to all tiles, padding included. So items with different numbers of images would
change each other's vectors in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.models.vlm.family import Ids, PixelLimits, Tensors, VisualTokens, VlmFamily

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PretrainedConfig

IMAGE_TOKEN, BEGIN_TOKEN = "<|image|>", "<|begin_of_text|>"
_TILES = "aspect_ratio_mask"


def _process_images(
    images: Sequence[Image],
    processor: BaseImageProcessor,
    config: PretrainedConfig,  # noqa: ARG001 - the signature of `VlmFamily.process_images`
    limits: PixelLimits | None,  # noqa: ARG001
) -> VisualTokens:
    found = processor(images=[list(images)], return_tensors="pt")
    return VisualTokens({name: found[name] for name in ("pixel_values", "aspect_ratio_ids", _TILES)}, [1] * len(images))


def _finish_inputs(visual: VisualTokens, ids: Ids, token: int) -> Tensors:
    """Adds the mask `(1, length, images, tiles)`: a token attends to the tiles of the images just before it."""
    import torch
    from transformers.models.mllama.processing_mllama import (
        convert_sparse_cross_attention_mask_to_dense,
        get_cross_attention_token_mask,
    )

    tiles = visual.tensors[_TILES][0]
    spans = get_cross_attention_token_mask(ids.tolist(), token)
    mask = convert_sparse_cross_attention_mask_to_dense(
        [spans], [tiles.sum(1).tolist()], tiles.shape[1], length=len(ids)
    )
    return {**visual.tensors, "cross_attention_mask": torch.from_numpy(mask)}


MLLAMA = VlmFamily(
    "mllama",
    "MllamaModel",
    image_processor="MllamaImageProcessorPil",
    image_token=IMAGE_TOKEN,
    special_tokens=(IMAGE_TOKEN, BEGIN_TOKEN),
    process_images=_process_images,
    same_settings={"max_image_tiles": "vision_config.max_num_tiles"},
    finish_inputs=_finish_inputs,
    same_image_count=True,
)
