"""Folders of frames for tests: no two frames of a folder are alike, and none is large."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(name: str, size: tuple[int, int] = (8, 8)) -> Image.Image:
    """A small picture that is decided by a name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def write_frames(folder: Path, count: int, name: str = "frame_{:04}.jpg", clip: str = "") -> Path:
    """Writes frames into a folder, and returns it. `clip` decides the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture(f"{clip}/{number}").save(folder / name.format(number))
    return folder
