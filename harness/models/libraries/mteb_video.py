"""Videos for mteb, which asks a decoder of torchcodec for the frames that it chooses. Here our reader answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.media.video import map_frames
from harness.types import Media

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What mteb reads in `metadata` of a decoder."""

    num_frames: int
    average_fps: float | None
    """Frames per second; None for a folder of frames."""

    @property
    def end_stream_seconds(self) -> float | None:
        """The length in seconds, if the rate is known."""
        return self.num_frames / self.average_fps if self.average_fps else None

    duration_seconds = end_stream_seconds


@dataclass(frozen=True, slots=True, eq=False)
class FrameBatch:
    """Frames `(n, 3, height, width)` in uint8, as a decoder of torchcodec returns them."""

    data: Tensor


class ClipDecoder:
    """A video with the members of torchcodec's `VideoDecoder` that mteb's collators use."""

    def __init__(self, medium: Media) -> None:
        """Looks for the number of frames, and decodes the first. Raises BadMedia."""
        self._medium = medium
        found: list[ClipFacts] = []

        def first(total: int, rate: float) -> Sequence[int]:
            found[:] = [ClipFacts(total, rate or None)]
            return [0]

        map_frames(medium, first, lambda frame: frame.size)
        self.metadata = found[0]

    def get_frames_at(self, indices: Sequence[int]) -> FrameBatch:
        """Decodes the frames of the numbers given, in their order. Raises BadMedia."""
        import torch

        frames = map_frames(self._medium, lambda *_: indices, lambda frame: frame)
        pixels = np.stack([np.asarray(frame) for frame in frames])
        return FrameBatch(torch.from_numpy(pixels).permute(0, 3, 1, 2))
