"""Videos that are folders of pictures: one picture for each frame, as datasets ship frames that they have cut out.

The frames are the pictures whose names end with one of `ENDINGS`, in natural order: `frame_2.jpg` before
`frame_10.jpg`. Other files of the folder do not count. The rate of the frames is not known.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from harness.types import Media

ENDINGS = (".jpg", ".jpeg", ".png")
"""Extensions of frames, in lower or upper case."""
_NUMBER = re.compile(r"(\d+)")


def frame_names(folder: Path) -> list[str]:
    """Returns the names of the frames in a folder, in natural order. Raises: OSError if it cannot be read."""
    names = (entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    return sorted((name for name in names if name.lower().endswith(ENDINGS)), key=_natural)


def frames_of(video: Media, folder: Path) -> list[Media]:
    """Returns the frames of a video as images. `folder` is where the video lies, with links followed.

    Raises: OSError if the folder cannot be read.
    """
    roots = (video.root, *video.roots)
    return [Media("image", name, folder, video.where, roots) for name in frame_names(folder)]


def joined_digest(digests: Iterable[str]) -> str:
    """Returns the digest of a video from those of its frames, in their order. Names of frames do not count."""
    return hashlib.sha256("\n".join(["frames", *digests]).encode()).hexdigest()


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Numbers compare as numbers, and everything else by its letters. The name itself decides between 1 and 01."""
    parts = _NUMBER.split(name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts], name
