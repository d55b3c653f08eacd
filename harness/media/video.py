"""Frames of videos, as pictures. Where and how they are decoded: `decode_pool`, `decode_worker`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from harness.errors import BadMedia
from harness.media.containers import check_video
from harness.media.decode_pool import decode
from harness.media.frame_policy import FramePolicy
from harness.media.images import resolve
from harness.types import Media


def read_frames(media: Media, choose: Callable[[int, float], Sequence[int]]) -> list[Image.Image]:
    """The frames that `choose(number of frames, frames a second)` names, RGB. Raises BadMedia for what is no video."""
    try:
        path = resolve(media)
        check_video(path)
        return decode(path, choose)
    except BadMedia as error:
        if not media.where:
            raise
        raise BadMedia(f"{error.what} It is named in {media.where}.", error.hint) from None


def spread_frames(media: Media, count: int) -> list[Image.Image]:
    """At most `count` frames, evenly spread from the first to the last; a shorter video gives all of its own."""
    return read_frames(media, FramePolicy("uniform", count).choose)
