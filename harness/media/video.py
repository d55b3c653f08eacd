"""Frames of videos as images. `decode_pool` and `decode_worker` decode them in other processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from harness.errors import BadMedia
from harness.media.containers import check_video
from harness.media.decode_pool import decode
from harness.media.frame_policy import FramePolicy
from harness.media.places import about, resolve
from harness.types import Media


def read_frames(media: Media, choose: Callable[[int, float], Sequence[int]]) -> list[Image.Image]:
    """Decodes the frames of a video that `choose(number of frames, frames per second)` names, as RGB in that order.

    Raises: BadMedia if it is not a video or is damaged. The message says where the data names it, if known.
    """
    with about(media):
        try:
            path = resolve(media)
            check_video(path)
            return decode(path, choose)
        except BadMedia as error:
            if not media.where:
                raise
            raise BadMedia(f"{error.what} It is named in {media.where}.", error.hint) from None


def spread_frames(media: Media, count: int) -> list[Image.Image]:
    """Decodes at most `count` frames, evenly spaced from the first to the last. A shorter video gives all its frames.

    Raises: BadMedia.
    """
    return read_frames(media, FramePolicy("uniform", count).choose)
