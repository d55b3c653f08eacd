"""Images and videos: open, check, decode and digest them.

`from harness.media import open_image, read_frames, map_frames` is the door for a user's own model. These names stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.media.images import open_image
    from harness.media.video import map_frames, read_frames

__all__ = ["map_frames", "open_image", "read_frames"]


def __getattr__(name: str) -> object:
    """Loads what is asked for, so that an import of this package alone loads no library for pictures."""
    if name == "open_image":
        from harness.media.images import open_image

        return open_image
    if name in __all__:
        from harness.media import video

        return getattr(video, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
