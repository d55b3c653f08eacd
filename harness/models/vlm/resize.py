"""Resizing of images before the family's own processor, as in each model's public code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.models.vlm.family import PixelLimits

_MAX_RATIO = 200
MIDDLE = "middle"
"""The choice of only the middle frame. Other choices are in `harness.media.frame_policy`."""


def middle(total: int, rate: float) -> list[int]:  # noqa: ARG001 - the signature of `FramePolicy.choose`
    """Returns the index of the middle frame, or of the later one of two."""
    return [total // 2]


def square(image: Image, side: int) -> Image:
    """Resizes to `side` x `side` pixels, without keeping the aspect ratio."""
    return image.resize((side, side))


def grow_to_square(image: Image, edge: int, side: int) -> Image:
    """Resizes an image with a side below `edge` to a square of `side` pixels. Other images stay as they are."""
    return square(image, side) if min(image.size) < edge else image


def grow_edges(image: Image, edge: int) -> Image:
    """Raises each side to at least `edge` pixels."""
    return image if min(image.size) >= edge else image.resize((max(image.width, edge), max(image.height, edge)))


def fit(image: Image, limits: PixelLimits, factor: int) -> Image:
    """Resizes to sides that are multiples of `factor`, with a number of pixels within `limits` (qwen_vl_utils).

    The aspect ratio changes as little as that allows. Above 200 to 1 the longer side is shortened to that ratio.
    """
    size = _fitted(image.width, image.height, limits, factor)
    return image.resize(size)


def _fitted(width: int, height: int, limits: PixelLimits, factor: int) -> tuple[int, int]:
    least, most = limits
    tall, wide = (max(factor, round(edge / factor) * factor) for edge in (height, width))
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        tall, wide = (max(factor, math.floor(edge / shrink / factor) * factor) for edge in (height, width))
    elif tall * wide < least:
        grow = math.sqrt(least / (height * width))
        tall, wide = (math.ceil(edge * grow / factor) * factor for edge in (height, width))
    if max(tall, wide) > _MAX_RATIO * min(tall, wide):
        tall, wide = min(tall, wide * _MAX_RATIO), min(wide, tall * _MAX_RATIO)
    return wide, tall
