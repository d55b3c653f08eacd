"""Frames of videos, by decord."""

from __future__ import annotations

import numpy as np
from PIL import Image

from harness.errors import BadMedia, UserError
from harness.media import resolve
from harness.types import Media


def sample_frames(media: Media, count: int) -> list[Image.Image]:
    """At most `count` frames, RGB, evenly spread from the first to the last; shorter videos give all of theirs.

    Frame i of n is `floor(i * (n - 1) / (count - 1))`. Raises BadMedia for what decord cannot decode.
    """
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
        total = len(reader)
        chosen = np.linspace(0, total - 1, min(count, total)).astype(int)
        frames = reader.get_batch(chosen.tolist()).asnumpy()
    except (RuntimeError, DECORDError, OSError, ValueError) as error:
        raise BadMedia(f"{path} cannot be decoded: {_first_line(error)}.", "Fetch the video again.") from None
    return [Image.fromarray(frame) for frame in frames]


def _first_line(error: Exception) -> str:
    """decord puts a stack trace behind its reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rsplit("Error: ", 1)[-1][:200] if lines else type(error).__name__
