"""Frames of videos as images. `decode_pool` and `decode_worker` decode them in other processes.

Memory follows from limits, not from what a file claims. A frame has at most `frame_index.FRAME_PIXELS` pixels, and few
frames are in memory at once. The pictures that a caller keeps have at most `images.MAX_PIXELS` pixels in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from harness.errors import BadMedia
from harness.media.containers import check_video
from harness.media.decode_pool import decode
from harness.media.frame_folder import frames_of
from harness.media.frame_policy import FramePolicy
from harness.media.images import MAX_PIXELS, open_image
from harness.media.places import about
from harness.media.unchanged import unchanged
from harness.types import Media

T = TypeVar("T")


def map_frames(
    media: Media, choose: Callable[[int, float], Sequence[int]], keep: Callable[[Image.Image], T]
) -> list[T]:
    """Decodes the frames of a video that `choose(number of frames, frames per second)` names.

    Args:
        media: the video: a file, or a folder of frames, whose rate is 0.
        choose: returns indexes of frames. It may be called twice: the second call counts.
        keep: gets each frame as RGB, and returns what to keep of it, such as a small picture. So many large frames take
            little memory.

    Returns:
        What was kept of the frames, in the order of the indexes.

    Raises:
        BadMedia: if it is not a video or is damaged, or if the pictures that are kept have more than `MAX_PIXELS`
            pixels in all. The message says where the data names it, if known.
        UserError: if the file is not the one that was checked before (`media.seen`).
    """
    held = 0

    def chosen(total: int, rate: float) -> Sequence[int]:
        nonlocal held
        held = 0
        return choose(total, rate)

    def kept(frame: Image.Image) -> T:
        nonlocal held
        found = keep(frame)
        held += found.width * found.height if isinstance(found, Image.Image) else 0
        if held > MAX_PIXELS:
            what = f"The frames of {media.name} that the model sees would take too much memory: "
            what += f"they have more than {MAX_PIXELS:,} pixels in all, {frame.width} x {frame.height} each."
            raise BadMedia(what, "Choose fewer frames, or make the video smaller.")
        return found

    with about(media):
        try:
            with unchanged(media) as path:
                if path.is_dir():
                    return _of_folder(media, path, chosen, kept)
                check_video(path)
                return decode(path, chosen, kept)
        except BadMedia as error:
            if not media.where:
                raise
            raise BadMedia(f"{error.what} It is named in {media.where}.", error.hint) from None


def _of_folder(
    media: Media, folder: Path, choose: Callable[[int, float], Sequence[int]], keep: Callable[[Image.Image], T]
) -> list[T]:
    """The frames of a folder. Each is opened like any image, also where sizes differ."""
    frames = frames_of(media, folder)
    chosen = choose(len(frames), 0.0)
    kept = {number: keep(open_image(frames[number])) for number in dict.fromkeys(chosen)}
    return [kept[number] for number in chosen]


def read_frames(media: Media, choose: Callable[[int, float], Sequence[int]]) -> list[Image.Image]:
    """Decodes whole frames of a video, as RGB. All else is as in `map_frames`."""
    return map_frames(media, choose, lambda frame: frame)


def spread_frames(media: Media, count: int) -> list[Image.Image]:
    """Decodes at most `count` frames, evenly spaced from the first to the last. A shorter video gives all its frames.

    Raises: BadMedia.
    """
    return read_frames(media, FramePolicy("uniform", count).choose)
