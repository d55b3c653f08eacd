"""Rules that choose the frames of a video that a model sees. The rule is part of the model's identity."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.errors import UserError

_FORM = re.compile(
    r"(?P<all>all)|uniform:(?P<count>[1-9]\d{0,5})(?P<padded>:padded)?|fps:(?P<fps>\d+(?:\.\d+)?)(?::(?P<most>[1-9]\d{0,5}))?"
)


@dataclass(frozen=True, slots=True)
class FramePolicy:
    """A rule that chooses frames: `all`, `uniform:8` (evenly spaced), `uniform:8:padded`, or `fps:3:32`.

    `fps:3:32` is three frames per second, or 32 evenly spaced frames where that would be more than 32. A video with
    fewer frames than `uniform:8` asks for gives all that it has. With `padded` its last frame is repeated up to 8.
    `str(FramePolicy.parse(text))` is the canonical form of `text`.
    """

    kind: Literal["all", "uniform", "fps"]
    most: int = 0
    """Maximum number of frames; 0 for no limit."""
    fps: float = 0.0
    """Frames per second; used only by `fps`."""
    padded: bool = False
    """Whether a shorter video repeats its last frame up to `most`; used only by `uniform`."""

    @staticmethod
    def parse(text: str) -> FramePolicy:
        """Parses a rule as users write it. Raises: UserError for any other text."""
        match = _FORM.fullmatch(text)
        if match is None or (match["fps"] and not float(match["fps"])):
            raise UserError(
                f"Frames of a video cannot be chosen by {text!r}.",
                "Write all, uniform:8 (eight, evenly spaced), uniform:8:padded (never fewer), fps:3 (three per second) "
                "or fps:3:32 (at most 32).",
            )
        if match["fps"]:
            return FramePolicy("fps", int(match["most"] or 0), float(match["fps"]))
        if match["count"]:
            return FramePolicy("uniform", int(match["count"]), padded=bool(match["padded"]))
        return FramePolicy("all")

    def __str__(self) -> str:
        if self.kind == "fps":
            return f"fps:{self.fps:g}:{self.most}" if self.most else f"fps:{self.fps:g}"
        return f"uniform:{self.most}{':padded' * self.padded}" if self.kind == "uniform" else "all"

    def choose(self, total: int, rate: float) -> list[int]:
        """Returns the ascending indexes of the frames to see, of a video of `total` frames at `rate` per second.

        Only the last index of a padded video is repeated.
        """
        if self.kind == "fps":
            return frame_indices(total, rate, self.fps, self.most)
        if self.kind == "uniform" and total > self.most:
            return _spread(total, self.most)
        return [*range(total), *[total - 1] * (self.most - total if self.padded else 0)]


def frame_indices(total: int, rate: float, fps: float, most: int, *, resample: bool = False) -> list[int]:
    """Returns the ascending indexes of about `fps` frames per second, of `total` frames at `rate` per second.

    Every n-th frame is taken, where n is `rate / fps` rounded half to even, and at least 1. If that gives more than
    `most` frames (0: no limit), `most` frames are taken instead, evenly spaced from the first to the last. With
    `resample` there are always `most`, with repeats if the video is shorter.

    The public code fails on videos slower than half of `fps`. Here all their frames are taken. The same holds for a
    video whose rate is not known (0 or not a number).
    """
    stride = max(1, round(rate / fps)) if math.isfinite(rate) else 1
    chosen = list(range(0, total, stride))
    return _spread(total, most) if most > 0 and (resample or len(chosen) > most) else chosen


def _spread(total: int, count: int) -> list[int]:
    """Evenly spaced indexes, `floor(i * (total - 1) / (count - 1))`, with numpy's floating-point rounding."""
    return [int(index) for index in np.linspace(0, total - 1, count, dtype=int)]
