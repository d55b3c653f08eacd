"""LLaVA-NeXT: an image as a whole and in crops, with a newline after each row of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.models.vlm.family import Limits, VisualTokens, VlmFamily

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PretrainedConfig

IMAGE = "<image>"


def _see(
    images: Sequence[Image],
    processor: BaseImageProcessor,
    config: PretrainedConfig,
    limits: Limits | None,  # noqa: ARG001 - the signature of `VlmFamily.see`
) -> VisualTokens:
    found = processor(images=list(images), return_tensors="pt")
    tensors = {name: found[name] for name in ("pixel_values", "image_sizes")}
    return VisualTokens(tensors, [_tokens(int(height), int(width), config) for height, width in found["image_sizes"]])


def _tokens(height: int, width: int, config: PretrainedConfig) -> int:
    """Places that an image of this size takes: the whole, then the crops without their padding, a newline a row.

    Sides are rounded as the network does (`unpad_image`): padding is the same on both sides.
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


def check_grids(processor: BaseImageProcessor, config: PretrainedConfig) -> None:
    """Raises UserError unless images are cut as the network expects them."""
    cut = [list(each) for each in processor.image_grid_pinpoints]
    expected = [list(each) for each in config.image_grid_pinpoints]
    if cut != expected:
        raise UserError(
            f"The processor cuts images at {cut}, the network expects {expected} (image_grid_pinpoints).",
            "Take preprocessor_config.json and config.json from the same checkpoint.",
        )


LLAVA_NEXT = VlmFamily(
    "llava_next",
    "LlavaNextModel",
    processor="LlavaNextImageProcessorPil",
    token=IMAGE,
    special=(IMAGE,),
    see=_see,
)
