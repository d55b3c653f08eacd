"""LLaVA-NeXT, which takes an image as a whole and in crops, with a newline after each row of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.models.vlm.family import PixelLimits, VisualTokens, VlmFamily

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PretrainedConfig

IMAGE_TOKEN = "<image>"


def _process_images(
    images: Sequence[Image],
    processor: BaseImageProcessor,
    config: PretrainedConfig,
    limits: PixelLimits | None,  # noqa: ARG001 - the signature of `VlmFamily.process_images`
) -> VisualTokens:
    found = processor(images=list(images), return_tensors="pt")
    tensors = {name: found[name] for name in ("pixel_values", "image_sizes")}
    return VisualTokens(tensors, [_tokens(int(height), int(width), config) for height, width in found["image_sizes"]])


def _tokens(height: int, width: int, config: PretrainedConfig) -> int:
    """The number of visual tokens: the whole image, then the crops without padding, with a newline after each row.

    Sides are rounded as in the network (`unpad_image`), where padding is the same on both sides.
    """
    from transformers.image_processing_utils import select_best_resolution

    vision = config.vision_config
    side: int = vision.image_size // vision.patch_size
    tall, wide = select_best_resolution((height, width), config.image_grid_pinpoints)
    rows, columns = tall // vision.image_size * side, wide // vision.image_size * side
    if width / height > columns / rows:
        rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
    whole = side * side + (config.vision_feature_select_strategy == "full")
    return int(whole + rows * (columns + 1))


LLAVA_NEXT = VlmFamily(
    "llava_next",
    "LlavaNextModel",
    image_processor="LlavaNextImageProcessorPil",
    image_token=IMAGE_TOKEN,
    special_tokens=(IMAGE_TOKEN,),
    process_images=_process_images,
    same_settings={"image_grid_pinpoints": "image_grid_pinpoints"},
)
