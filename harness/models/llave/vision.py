"""What LLaVE sees of an image or a video: crops of one size, and where their features go in the sequence."""

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
"""`(n, size, size, 3)`, RGB."""


class Size(NamedTuple):
    """In pixels, or in tokens."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """An image's features: the base crop's as they are, then those of the tiles, put together and trimmed.

    Trimmed of the rows and columns that lie on black padding, shrunk to `kept` if they are too many, and with a newline
    after each row.
    """

    side: int
    grid: Size
    """Columns and rows of tiles."""
    margin: Size
    """Columns cut off left and right, rows cut off above and below."""
    kept: Size

    @property
    def crops(self) -> int:
        return 1 + self.grid.width * self.grid.height

    @property
    def tokens(self) -> int:
        return self.side**2 + self.kept.height * (self.kept.width + 1)


@dataclass(frozen=True, slots=True)
class VideoLayout:
    """A video's features: each frame's shrunk to half the side, with newlines as the checkpoint has them."""

    frames: int
    side: int
    """Tokens along one side of a frame, after shrinking."""
    newline: Newline

    @property
    def crops(self) -> int:
        return self.frames

    @property
    def tokens(self) -> int:
        newlines = {"grid": self.frames * self.side, "frame": self.frames, "one_token": 1, "no_token": 0}
        return self.frames * self.side**2 + newlines[self.newline]


@dataclass(frozen=True, slots=True, eq=False)
class VisualInput:
    """An image or a video made ready: its crops and the layout of their features."""

    crops: Crops
    layout: ImageLayout | VideoLayout


def best_resolution(image: Size, resolutions: Sequence[tuple[int, int]]) -> Size:
    """The one that keeps most of the image's pixels; of those the one that wastes least; of those the first."""

    def merit(resolution: tuple[int, int]) -> tuple[int, int]:
        width, height = resolution
        scale = min(width / image.width, height / image.height)
        fitted = int(image.width * scale) * int(image.height * scale)
        useful = min(fitted, image.width * image.height)
        return useful, useful - width * height

    return Size(*max(resolutions, key=merit))


def image_layout(image: Size, grid: Size, side: int, max_tiles: int) -> ImageLayout:
    """Where the features of an image tiled by `grid` go; `side` is tokens along one side of a tile."""
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


def see_image(image: Image.Image, config: LlaveConfig) -> VisualInput:
    """The whole image squashed to one crop, then tiles of the image fitted into its best resolution on black."""
    size = config.tower.image_size
    seen = Size(*image.size)
    target = best_resolution(seen, config.resolutions)
    grid = Size(target.width // size, target.height // size)
    tiles = np.asarray(_fit(image, target)).reshape(grid.height, size, grid.width, size, 3).swapaxes(1, 2)
    crops = np.concatenate([_squash([image], size), tiles.reshape(-1, size, size, 3)])
    return VisualInput(crops, image_layout(seen, grid, config.tower.side, config.max_tiles))


def see_video(frames: Sequence[Image.Image], config: LlaveConfig) -> VisualInput:
    """Every frame squashed to one crop."""
    layout = VideoLayout(len(frames), math.ceil(config.tower.side / 2), config.newline)
    return VisualInput(_squash(frames, config.tower.image_size), layout)


def _fit(image: Image.Image, target: Size) -> Image.Image:
    """The image resized to fill the target along one side, in the middle of black."""
    across, down = target.width / image.width, target.height / image.height
    if across < down:
        fitted = Size(target.width, min(math.ceil(image.height * across), target.height))
    else:
        fitted = Size(min(math.ceil(image.width * down), target.width), target.height)
    canvas = Image.new("RGB", target)
    corner = ((target.width - fitted.width) // 2, (target.height - fitted.height) // 2)
    canvas.paste(image.resize(fitted, Image.Resampling.BICUBIC), corner)
    return canvas


def _squash(images: Sequence[Image.Image], size: int) -> Crops:
    return np.stack([np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)) for image in images])
