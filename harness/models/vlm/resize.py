"""How an image is brought to size before the family's own processor sees it, as each model's public code does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.models.vlm.family import Limits

_MAX_RATIO = 200
MIDDLE = "middle"
"""A choice of frames: the one in the middle. What else there is `harness.media.frame_policy` knows."""


def middle(total: int, rate: float) -> list[int]:  # noqa: ARG001 - the signature of a choice of frames
    """As a choice of frames: the one in the middle, of an even number the later one."""
    return [total // 2]


def square(image: Image, side: int) -> Image:
    """Both edges at `side`; the aspect ratio is lost."""
    return image.resize((side, side))


def grow_to_square(image: Image, edge: int, side: int) -> Image:
    """An image with an edge below `edge` becomes a square of `side`; others stay as they are."""
    return square(image, side) if min(image.size) < edge else image


def grow_edges(image: Image, edge: int) -> Image:
    """Each edge at `edge` or more."""
    return image if min(image.size) >= edge else image.resize((max(image.width, edge), max(image.height, edge)))


def fit(image: Image, limits: Limits, factor: int) -> Image:
    """Edges at multiples of `factor`, pixels within `limits`, the aspect ratio as near as that allows (qwen_vl_utils).

    Beyond 200 to 1 the longer edge is cut down to that.
    """
    size = _fitted(image.width, image.height, limits, factor)
    return image.resize(size)


def _fitted(width: int, height: int, limits: Limits, factor: int) -> tuple[int, int]:
    fewest, most = limits
    tall, wide = (max(factor, round(edge / factor) * factor) for edge in (height, width))
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        tall, wide = (max(factor, math.floor(edge / shrink / factor) * factor) for edge in (height, width))
    elif tall * wide < fewest:
        grow = math.sqrt(fewest / (height * width))
        tall, wide = (math.ceil(edge * grow / factor) * factor for edge in (height, width))
    if max(tall, wide) > _MAX_RATIO * min(tall, wide):
        tall, wide = min(tall, wide * _MAX_RATIO), min(wide, tall * _MAX_RATIO)
    return wide, tall
