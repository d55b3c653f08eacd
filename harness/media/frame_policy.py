"""Which frames of a video a model sees. The choice is part of the model's identity."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.errors import UserError

_FORM = re.compile(
    r"(?P<all>all)|uniform:(?P<count>[1-9]\d{0,5})|fps:(?P<fps>\d+(?:\.\d+)?)(?::(?P<most>[1-9]\d{0,5}))?"
)


@dataclass(frozen=True, slots=True)
class FramePolicy:
    """`all`; `uniform:8`, evenly spread; `fps:3:32`, three a second, spread evenly where that is more than 32.

    `str(FramePolicy.parse(text))` says the same as `text`, in its one canonical form.
    """

    kind: Literal["all", "uniform", "fps"]
    most: int = 0
    """Frames at most; 0: no limit."""
    fps: float = 0.0

    @staticmethod
    def parse(text: str) -> FramePolicy:
        """Raises UserError for anything else."""
        match = _FORM.fullmatch(text)
        if match is None or (match["fps"] and not float(match["fps"])):
            raise UserError(
                f"Frames of a video cannot be chosen by {text!r}.",
                "Write all, uniform:8 (eight, evenly spread), fps:3 (three a second) or fps:3:32 (but at most 32).",
            )
        if match["fps"]:
            return FramePolicy("fps", int(match["most"] or 0), float(match["fps"]))
        return FramePolicy("uniform", int(match["count"])) if match["count"] else FramePolicy("all")

    def __str__(self) -> str:
        if self.kind == "fps":
            return f"fps:{self.fps:g}:{self.most}" if self.most else f"fps:{self.fps:g}"
        return f"uniform:{self.most}" if self.kind == "uniform" else "all"

    def choose(self, total: int, rate: float) -> list[int]:
        """Indexes of the frames to see, ascending, of a video of `total` frames, `rate` a second."""
        if self.kind == "fps":
            return frame_indices(total, rate, self.fps, self.most)
        if self.kind == "uniform" and total > self.most:
            return _spread(total, self.most)
        return list(range(total))


def frame_indices(total: int, rate: float, fps: float, most: int, *, resample: bool = False) -> list[int]:
    """About `fps` frames a second: every n-th, where n is `rate / fps` rounded half to even, and at least 1.

    More than `most` (0: no limit), or any number with `resample`, become `most`, spread evenly from first to last, with
    repeats where there are fewer. The public code fails on videos slower than half of `fps`; here all their frames are
    seen, and so are those of a video that does not tell its rate (0, or not a number).
    """
    stride = max(1, round(rate / fps)) if math.isfinite(rate) else 1
    chosen = list(range(0, total, stride))
    return _spread(total, most) if most > 0 and (resample or len(chosen) > most) else chosen


def _spread(total: int, count: int) -> list[int]:
    """Evenly from the first to the last: `floor(i * (total - 1) / (count - 1))`, in floating point as numpy does it."""
    return [int(index) for index in np.linspace(0, total - 1, count, dtype=int)]
