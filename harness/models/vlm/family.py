"""What the generative families have in common: a turn of text, images as tensors, and what sets a family apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.types import MediaKind, Role

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PretrainedConfig

Ids: TypeAlias = NDArray[np.int64]
Tensors: TypeAlias = "Mapping[str, Tensor]"
"""Inputs of a network by name. Those of several items are joined along their first axis, padded to one shape."""
Limits: TypeAlias = tuple[int, int]
"""Fewest and most pixels of an image."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What an item says and asks: MEDIA_TOKEN stands where its media go, in either part."""

    instruction: str
    text: str
    role: Role
    media: tuple[MediaKind, ...] = ()
    """A video that is shown as so many images is those."""

    @property
    def images(self) -> int:
        return self.media.count("image")

    @property
    def videos(self) -> int:
        return self.media.count("video")


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """The visual tokens of an image, row by row; of a video so many for each of its times."""

    rows: int
    columns: int
    times: tuple[int, ...] = (0,)
    """Counted from where it starts."""

    @property
    def tokens(self) -> int:
        return self.rows * self.columns * len(self.times)


@dataclass(frozen=True, slots=True, eq=False)
class VisualTokens:
    """The images of one item, or its videos. `tokens` are the places that each takes in the sequence."""

    tensors: Tensors
    tokens: Sequence[int]
    grids: Sequence[PatchGrid] = ()
    """For networks that place visual tokens in two dimensions."""
    texts: Sequence[str] = ()
    """Of videos: what stands in a prompt for each, where a token is what visual tokens take the place of."""


class TokenSpan(NamedTuple):
    """Where an image, a video or a part of one stands in a sequence."""

    start: int
    tokens: int
    grid: PatchGrid | None


See: TypeAlias = "Callable[[Sequence[Image], BaseImageProcessor, PretrainedConfig, Limits | None], VisualTokens]"


def as_seen(seen: VisualTokens, ids: Ids, token: int) -> Tensors:  # noqa: ARG001 - the signature of `VlmFamily.finish`
    """For families whose images do not need to know the text."""
    return seen.tensors


@dataclass(frozen=True, slots=True)
class VlmFamily:
    """An architecture of transformers, by the names that it has there."""

    model_type: str
    network: str
    processor: str
    token: str
    """The text of the token that a visual token takes the place of."""
    special: tuple[str, ...]
    """Tokens that a prompt needs, that one among them."""
    see: See
    finish: Callable[[VisualTokens, Ids, int], Tensors] = as_seen
    """The images' tensors once the sequence of ids is known, and the id of `token`."""
    factor: int = 1
    """Edges of an image are multiples of this, where it has pixel limits."""
    two_dimensional: bool = False
    """Positions are `(3, length)`: time, row and column."""
    apart: bool = False
    """Only items with equally many images go through the network together."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Beginnings of module names in released adapters, and what they are in `network`; the first that fits counts."""
