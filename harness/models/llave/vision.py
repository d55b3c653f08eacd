"""Images and videos for LLaVE: crops of one size, and the layout of their features in the sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.models.llave.config import LlaveConfig, Newline

Crops: TypeAlias = NDArray[np.uint8]
"""Pixels `(n, size, size, 3)`, RGB."""


class Size(NamedTuple):
    """A width and a height, in pixels or in tokens."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """The layout of an image's features: those of the base crop, then those of all tiles joined to one map.

    Rows and columns of the map that lie on black padding are removed. The map is shrunk to `kept`, and each of its
    rows is followed by a newline.
    """

    side: int
    """Tokens along one side of a crop."""
    grid: Size
    """Number of columns and rows of tiles."""
    margin: Size
    """Number of columns removed on each of both sides, and of rows removed at top and bottom each."""
    kept: Size
    """Columns and rows of the map after trimming and shrinking."""

    @property
    def crops(self) -> int:
        """The number of crops."""
        return 1 + self.grid.width * self.grid.height

    @property
    def tokens(self) -> int:
        """The number of visual tokens, newlines included."""
        return self.side**2 + self.kept.height * (self.kept.width + 1)


@dataclass(frozen=True, slots=True)
class VideoLayout:
    """The layout of a video's features: each frame's are shrunk to half the side, with the checkpoint's newlines."""

    frames: int
    side: int
    """Tokens along one side of a frame, after shrinking."""
    newline: Newline

    @property
    def crops(self) -> int:
        """The number of crops, one for each frame."""
        return self.frames

    @property
    def tokens(self) -> int:
        """The number of visual tokens, newlines included."""
        newlines = {"grid": self.frames * self.side, "frame": self.frames, "one_token": 1, "no_token": 0}
        return self.frames * self.side**2 + newlines[self.newline]


@dataclass(frozen=True, slots=True, eq=False)
class VisualInput:
    """A prepared image or video: its crops and the layout of their features."""

    crops: Crops
    layout: ImageLayout | VideoLayout


def best_resolution(image: Size, resolutions: Sequence[tuple[int, int]]) -> Size:
    """Returns the resolution that keeps most of the image's pixels.

    Among equal ones it is the one that wastes the fewest pixels, and then the first.
    """

    def merit(resolution: tuple[int, int]) -> tuple[int, int]:
        width, height = resolution
        scale = min(width / image.width, height / image.height)
        fitted = int(image.width * scale) * int(image.height * scale)
        useful = min(fitted, image.width * image.height)
        return useful, useful - width * height

    return Size(*max(resolutions, key=merit))


def image_layout(image: Size, grid: Size, side: int, max_tiles: int) -> ImageLayout:
    """Computes the layout of an image's features.

    Args:
        image: the image's size in pixels.
        grid: columns and rows of tiles.
        side: tokens along one side of a tile.
        max_tiles: number of tiles to whose tokens larger maps are shrunk.
    """
    width, height = grid.width * side, grid.height * side
    across, down = 0, 0
    if image.width / image.height > width / height:
        down = (height - int(image.height * (width / image.width))) // 2
    else:
        across = (width - int(image.width * (height / image.height))) // 2
    width, height = width - 2 * across, height - 2 * down
    times = math.sqrt(height * width / (max_tiles * side**2))
    kept = Size(int(width // times), int(height // times)) if times > 1.1 else Size(width, height)
    return ImageLayout(side, grid, Size(across, down), kept)


def process_image(image: Image.Image, config: LlaveConfig) -> VisualInput:
    """Makes one crop of the whole image, then tiles of the image in its best resolution, padded with black.

    The first crop does not keep the aspect ratio.
    """
    size = config.tower.image_size
    full = Size(*image.size)
    target = best_resolution(full, config.resolutions)
    grid = Size(target.width // size, target.height // size)
    tiles = np.asarray(_fit(image, target)).reshape(grid.height, size, grid.width, size, 3).swapaxes(1, 2)
    crops = np.concatenate([_to_square(image, size)[None], tiles.reshape(-1, size, size, 3)])
    return VisualInput(crops, image_layout(full, grid, config.tower.side, config.max_tiles))


def process_frame(frame: Image.Image, config: LlaveConfig) -> Crops:
    """Makes one crop `(size, size, 3)` of a frame of a video, without keeping the aspect ratio."""
    return _to_square(frame, config.tower.image_size)


def process_video(crops: Sequence[Crops], config: LlaveConfig) -> VisualInput:
    """Joins the crops of every frame."""
    return VisualInput(np.stack(crops), VideoLayout(len(crops), math.ceil(config.tower.side / 2), config.newline))


def _fit(image: Image.Image, target: Size) -> Image.Image:
    """Resizes the image to fill the target along one side, and centers it on black."""
    across, down = target.width / image.width, target.height / image.height
    if across < down:
        fitted = Size(target.width, min(math.ceil(image.height * across), target.height))
    else:
        fitted = Size(min(math.ceil(image.width * down), target.width), target.height)
    canvas = Image.new("RGB", target)
    corner = ((target.width - fitted.width) // 2, (target.height - fitted.height) // 2)
    canvas.paste(image.resize(fitted, Image.Resampling.BICUBIC), corner)
    return canvas


def _to_square(image: Image.Image, size: int) -> Crops:
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
