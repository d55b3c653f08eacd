"""The options of dual encoders. All of them are part of the model's identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from harness.models.common import FRAMES
from harness.settings import whole


@dataclass(frozen=True, slots=True)
class DualOptions:
    """Options that a user can set. Except for `media_token`, the defaults are those of the MMEB paper's baselines."""

    fusion: Literal["sum", "unit-sum"] = "sum"
    """How image and text vectors of one item are added: as they are, or each at length 1."""
    instructions: Literal["all", "queries", "none"] = "all"
    """The items whose text includes their instruction."""
    several_media: Literal["mean", "unit-mean", "side-by-side", "refused"] = "mean"
    """How an item of several media is seen. The vectors of all pictures, frames included, are averaged as they are.
    Or each is at length 1 first, the images are joined into one picture, or such an item is an error."""
    media_token: str = ""
    """Replaces `<|media|>` in a text. If it is empty, the newline after the token is removed too."""
    max_length: Annotated[int | None, whole(3)] = None
    """Maximum number of tokens in a text, at most the number of positions in the checkpoint."""
    frames: Annotated[str, FRAMES] = "uniform:8"
    """The frames of a video that the model sees. Their vectors are averaged."""
