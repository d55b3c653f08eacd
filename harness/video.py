"""Frames of videos, by decord."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from harness.errors import BadMedia, UserError
from harness.media import resolve
from harness.types import Media


def read_frames(media: Media, choose: Callable[[int, float], Sequence[int]]) -> list[Image.Image]:
    """The frames that `choose(number of frames, frames a second)` names, RGB. Raises BadMedia for what is no video."""
    path = resolve(media)
    try:
        import decord
        from decord._ffi.base import DECORDError
    except ImportError:
        raise UserError(
            f"{path} is a video, and decord is not installed.",
            "pip install decord (Linux and Windows on x86-64 only), or use a model that sees no video.",
        ) from None
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        frames = reader.get_batch(list(choose(len(reader), float(reader.get_avg_fps())))).asnumpy()
    except (RuntimeError, DECORDError, OSError, ValueError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise BadMedia(f"{path} cannot be decoded: {reason[:200]}.", "Fetch the video again.") from None
    return [Image.fromarray(frame) for frame in frames]


def spread_frames(media: Media, count: int) -> list[Image.Image]:
    """At most `count` frames, evenly spread from the first to the last; a shorter video gives all of its own.

    Frame i of n is `floor(i * (n - 1) / (count - 1))`. Raises BadMedia.
    """
    return read_frames(media, lambda total, _fps: np.linspace(0, total - 1, min(count, total)).astype(int).tolist())
