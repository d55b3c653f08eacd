"""Mllama (Llama 3.2 Vision): text attends to the tiles of its image across, not in the sequence.

A token before the first image looks at all tiles alike, padding among them, so items with one image and items with two
would change each other in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.models.vlm.family import Ids, Limits, Tensors, VisualTokens, VlmFamily

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PretrainedConfig

IMAGE, BEGIN = "<|image|>", "<|begin_of_text|>"
_TILES = "aspect_ratio_mask"


def _see(
    images: Sequence[Image],
    processor: BaseImageProcessor,
    config: PretrainedConfig,  # noqa: ARG001 - the signature of `VlmFamily.see`
    limits: Limits | None,  # noqa: ARG001
) -> VisualTokens:
    found = processor(images=[list(images)], return_tensors="pt")
    return VisualTokens({name: found[name] for name in ("pixel_values", "aspect_ratio_ids", _TILES)}, [1] * len(images))


def _finish(seen: VisualTokens, ids: Ids, token: int) -> Tensors:
    """Adds which tiles each token may look at, `(1, length, images, tiles)`: those of the images just before it."""
    import torch
    from transformers.models.mllama.processing_mllama import (
        convert_sparse_cross_attention_mask_to_dense,
        get_cross_attention_token_mask,
    )

    tiles = seen.tensors[_TILES][0]
    spans = get_cross_attention_token_mask(ids.tolist(), token)
    mask = convert_sparse_cross_attention_mask_to_dense(
        [spans], [tiles.sum(1).tolist()], tiles.shape[1], length=len(ids)
    )
    return {**seen.tensors, "cross_attention_mask": torch.from_numpy(mask)}


MLLAMA = VlmFamily(
    "mllama",
    "MllamaModel",
    processor="MllamaImageProcessorPil",
    token=IMAGE,
    special=(IMAGE, BEGIN),
    see=_see,
    finish=_finish,
    apart=True,
)
