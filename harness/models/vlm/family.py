"""Code that the generative families share: a prompt's turn, images as tensors, and the parameters of a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.models.fitting import square_pixels
from harness.types import MediaKind, Role

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PretrainedConfig

Ids: TypeAlias = NDArray[np.int64]
Tensors: TypeAlias = "Mapping[str, Tensor]"
"""Inputs of a network by name. Those of several items are joined along their first axis, padded to one shape."""
PixelLimits: TypeAlias = tuple[int, int]
"""Minimum and maximum number of pixels of an image."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The text of an item, split into instruction and text. MEDIA_TOKEN marks the places of media in both parts."""

    instruction: str
    text: str
    role: Role
    media: tuple[MediaKind, ...] = ()
    """The kinds of media. A video whose frames are shown as images counts as images."""

    @property
    def images(self) -> int:
        """The number of images."""
        return self.media.count("image")

    @property
    def videos(self) -> int:
        """The number of videos."""
        return self.media.count("video")


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """The grid of visual tokens of an image, ordered by row; for a video one such grid for each time."""

    rows: int
    columns: int
    times: tuple[int, ...] = (0,)
    """Positions in time, counted from the start of the image or video."""

    @property
    def tokens(self) -> int:
        """The number of visual tokens."""
        return self.rows * self.columns * len(self.times)


@dataclass(frozen=True, slots=True, eq=False)
class VisualTokens:
    """The prepared images of one item, or its videos."""

    tensors: Tensors
    tokens: Sequence[int]
    """The number of visual tokens for each placeholder token in the prompt."""
    grids: Sequence[PatchGrid] = ()
    """The grid for each placeholder token, for networks with positions in rows and columns."""
    texts: Sequence[str] = ()
    """For videos: the text that replaces each video in the prompt, if it has to be replaced."""


class TokenSpan(NamedTuple):
    """The place of an image, a video or a part of a video in a sequence."""

    start: int
    tokens: int
    grid: PatchGrid | None


ProcessImages: TypeAlias = (
    "Callable[[Sequence[Image], BaseImageProcessor, PretrainedConfig, PixelLimits | None], VisualTokens]"
)


def image_tensors(visual: VisualTokens, ids: Ids, token: int) -> Tensors:  # noqa: ARG001 - `VlmFamily.finish_inputs`
    """Returns the images' tensors, for families whose images do not depend on the text."""
    return visual.tensors


@dataclass(frozen=True, slots=True)
class VlmFamily:
    """An architecture, with the names that it has in transformers."""

    model_type: str
    network: str
    """The network's class."""
    image_processor: str
    """The image processor's class."""
    image_token: str
    """The text of the placeholder token of images."""
    special_tokens: tuple[str, ...]
    """Tokens that prompts need, the placeholder among them."""
    process_images: ProcessImages
    """Prepares the images of an item. Raises ValueError for an image that the public code refuses."""
    same_settings: Mapping[str, str]
    """Names of settings of the network's configuration, by their names in the image processor."""
    pixel_shape: Callable[[PretrainedConfig], tuple[int, ...]] = square_pixels
    """The lengths of the last axes of pixels that the network takes, by its `vision_config`."""
    finish_inputs: Callable[[VisualTokens, Ids, int], Tensors] = image_tensors
    """Returns the images' tensors, once the ids of the sequence and the id of `image_token` are known."""
    size_multiple: int = 1
    """Width and height of an image are multiples of this number of pixels, if it has pixel limits."""
    mrope: bool = False
    """Whether positions are `(3, length)`: time, row and column (M-RoPE)."""
    same_image_count: bool = False
    """Whether only items with the same number of images can share a batch."""
    adapter_renames: tuple[tuple[str, str], ...] = ()
    """Beginnings of module names in released adapters, and their names in `network`. The first match is used."""
