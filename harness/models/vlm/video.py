"""Videos as the Qwen-VL networks take them: pairs of frames as tokens of their own, with a place in time.

Sizes of frames are those of qwen_vl_utils (`fetch_video`), the layout of patches that of transformers' video
processors, which need torchvision; here each frame goes through the family's image processor, which does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness.media.video import read_frames
from harness.models.vlm.family import Limits, PatchGrid, VisualTokens
from harness.models.vlm.resize import fit

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PretrainedConfig

    from harness.types import Media

VIDEO = "<|video_pad|>"
FILM = f"<|vision_start|>{VIDEO}<|vision_end|>"
_USUAL_RATE = 24.0
"""Frames a second of a video that does not tell; transformers takes the same."""
_SPARE = 1.05
"""However long a video is, a frame may have this much more than its fewest pixels."""


@dataclass(frozen=True, slots=True)
class NativeVideo:
    """Fewest and most pixels of a frame, and those of a video: half of its frames', as two frames make one patch."""

    frame: Limits
    total: int

    def limits(self, frames: int) -> Limits:
        """Of each of so many frames (qwen_vl_utils)."""
        fewest, most = self.frame
        return fewest, min(most, max(int(2 * self.total / frames), int(fewest * _SPARE)))


@dataclass(frozen=True, slots=True, eq=False)
class TimedFrames:
    """Frames and the seconds at which they are shown, filled up to whole pairs with the last one."""

    frames: Sequence[Image]
    seconds: Sequence[float]


PlaceInTime: TypeAlias = (
    "Callable[[TimedFrames, Sequence[PatchGrid], PretrainedConfig], tuple[Sequence[PatchGrid], str]]"
)
"""From a clip and the grid of each pair: where they stand, and what takes the film's place in a prompt, if anything."""


def read_timed_frames(media: Media, choose: Callable[[int, float], Sequence[int]], pair: int) -> TimedFrames:
    """The frames that `choose(number of frames, frames a second)` names. Raises BadMedia."""
    seconds: list[float] = []

    def chosen(total: int, rate: float) -> list[int]:
        numbers = list(choose(total, rate))
        seconds[:] = [number / (rate or _USUAL_RATE) for number in numbers]
        return numbers

    frames = read_frames(media, chosen)
    missing = -len(frames) % pair
    return TimedFrames([*frames, *frames[-1:] * missing], [*seconds, *seconds[-1:] * missing])


def video_tokens(
    clips: Sequence[TimedFrames],
    film: NativeVideo,
    mark: PlaceInTime,
    processor: BaseImageProcessor,
    config: PretrainedConfig,
) -> VisualTokens:
    """The videos of one item."""
    import torch

    merged, pair = processor.merge_size, processor.temporal_patch_size
    parts: list[Tensor] = []
    shapes: list[tuple[int, int, int]] = []
    grids: list[PatchGrid] = []
    texts: list[str] = []
    for clip in clips:
        limits = film.limits(len(clip.frames))
        frames = [fit(frame, limits, processor.patch_size * merged) for frame in clip.frames]
        rows, columns = (edge // processor.patch_size for edge in reversed(frames[0].size))
        shapes.append((len(frames) // pair, rows, columns))
        parts += [_patches(frames[at : at + pair], processor) for at in range(0, len(frames), pair)]
        placed, text = mark(clip, [PatchGrid(rows // merged, columns // merged)] * (len(frames) // pair), config)
        grids += placed
        texts += [text] if text else []
    tensors = {"pixel_values_videos": torch.cat(parts), "video_grid_thw": torch.tensor(shapes)}
    return VisualTokens(tensors, [grid.tokens for grid in grids], grids, texts)


def _patches(frames: Sequence[Image], processor: BaseImageProcessor) -> Tensor:
    """Patches `(n, channels x frames x edge x edge)` of frames that are seen as one.

    The image processor repeats an image along time: of frame t, time t is taken.
    """
    import torch

    count, edge = len(frames), processor.patch_size
    found = processor(images=list(frames), do_resize=False, return_tensors="pt")["pixel_values"]
    repeated = found.reshape(count, -1, 3, count, edge * edge)
    return torch.stack([repeated[t, :, :, t] for t in range(count)], dim=2).flatten(1)


def by_number(
    clip: TimedFrames,  # noqa: ARG001 - the signature of a mark
    grids: Sequence[PatchGrid],
    config: PretrainedConfig,  # noqa: ARG001
) -> tuple[Sequence[PatchGrid], str]:
    """Qwen2-VL: pairs are numbered."""
    return [replace(grids[0], times=tuple(range(len(grids))))], ""


def by_second(
    clip: TimedFrames, grids: Sequence[PatchGrid], config: PretrainedConfig
) -> tuple[Sequence[PatchGrid], str]:
    """Qwen2.5-VL: pairs are as far from each other as on average in time, in `tokens_per_second`."""
    seconds = clip.seconds[:: len(clip.frames) // len(grids)]
    apart = (seconds[-1] - seconds[0]) / max(1, len(grids) - 1)
    steps = np.arange(len(grids), dtype=np.float32) * np.float32(config.vision_config.tokens_per_second * apart)
    return [replace(grids[0], times=tuple(steps.astype(np.int64).tolist()))], ""


def by_text(
    clip: TimedFrames,
    grids: Sequence[PatchGrid],
    config: PretrainedConfig,  # noqa: ARG001 - the signature of a mark
) -> tuple[Sequence[PatchGrid], str]:
    """Qwen3-VL: each pair stands by itself, and a text before it says when: midway between its first and its last."""
    pair = len(clip.frames) // len(grids)
    starts = range(0, len(clip.frames), pair)
    middles = [(clip.seconds[at] + clip.seconds[at + pair - 1]) / 2 for at in starts]
    return grids, "".join(f"<{middle:.1f} seconds>{FILM}" for middle in middles)


def with_timestamps(prompt: str, texts: Sequence[str]) -> str:
    """The prompt with these in the place of its films, in order, if there are any."""
    if not texts:
        return prompt
    head, *rest = prompt.split(FILM)
    return head + "".join(text + part for text, part in zip(texts, rest, strict=True))
