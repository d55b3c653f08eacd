"""Videos for the Qwen-VL networks: pairs of frames become visual tokens with a position in time.

Frames are sized as in qwen_vl_utils (`fetch_video`), and patches are laid out as in transformers' video processors.
Those need torchvision, so each frame goes through the family's image processor here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness.media.video import map_frames
from harness.models.vlm.family import PatchGrid, PixelLimits, VisualTokens
from harness.models.vlm.resize import fit

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PretrainedConfig

    from harness.types import Media

VIDEO_TOKEN = "<|video_pad|>"
MARKED_VIDEO = f"<|vision_start|>{VIDEO_TOKEN}<|vision_end|>"
_DEFAULT_RATE = 24.0
"""Frames per second of a video that does not tell its rate, as in transformers."""
_FLOOR_RATIO = 1.05
"""The maximum of a frame's pixels is at least this multiple of their minimum, as in qwen_vl_utils."""


@dataclass(frozen=True, slots=True)
class NativeVideo:
    """The pixel limits of a video with its own tokens."""

    frame_pixels: PixelLimits
    """Minimum and maximum number of pixels of a frame."""
    total_pixels: int
    """Maximum number of pixels of a video, where a pair of frames counts once."""

    def frame_limits(self, frames: int) -> PixelLimits:
        """Returns the pixel limits of each frame of a video with this number of frames (qwen_vl_utils)."""
        least, most = self.frame_pixels
        return least, min(most, max(int(2 * self.total_pixels / frames), int(least * _FLOOR_RATIO)))


@dataclass(frozen=True, slots=True, eq=False)
class TimedFrames:
    """Resized frames and their times in seconds. The last frame is repeated to fill the last pair."""

    frames: Sequence[Image]
    seconds: Sequence[float]


TimestampRule: TypeAlias = (
    "Callable[[TimedFrames, Sequence[PatchGrid], PretrainedConfig], tuple[Sequence[PatchGrid], str]]"
)
"""Takes a clip and the grid of each pair of frames.

Returns the grids with their positions in time, and the text that replaces the video in the prompt.
"""


def read_timed_frames(
    media: Media,
    choose: Callable[[int, float], Sequence[int]],
    native_video: NativeVideo,
    processor: BaseImageProcessor,
) -> TimedFrames:
    """Decodes frames of a video, and resizes each as soon as it is decoded.

    Args:
        media: the video.
        choose: returns indexes of frames from the number of frames and the rate per second.
        native_video: the pixel limits.
        processor: the family's image processor, which says how many frames share a patch in time.

    Raises:
        BadMedia: if the video cannot be decoded.
    """
    pair = processor.temporal_patch_size
    seconds: list[float] = []

    def chosen(total: int, rate: float) -> list[int]:
        numbers = list(choose(total, rate))
        seconds[:] = [number / (rate or _DEFAULT_RATE) for number in numbers]
        return numbers

    def fitted(frame: Image) -> Image:
        limits = native_video.frame_limits(len(seconds) + -len(seconds) % pair)
        return fit(frame, limits, processor.patch_size * processor.merge_size)

    frames = map_frames(media, chosen, fitted)
    missing = -len(frames) % pair
    return TimedFrames([*frames, *frames[-1:] * missing], [*seconds, *seconds[-1:] * missing])


def video_tokens(
    clips: Sequence[TimedFrames],
    timestamps: TimestampRule,
    processor: BaseImageProcessor,
    config: PretrainedConfig,
) -> VisualTokens:
    """Prepares the videos of one item.

    Args:
        clips: frames of each video.
        timestamps: places the pairs of frames in time.
        processor: the family's image processor.
        config: the network's configuration.
    """
    import torch

    merged, pair = processor.merge_size, processor.temporal_patch_size
    parts: list[Tensor] = []
    shapes: list[tuple[int, int, int]] = []
    grids: list[PatchGrid] = []
    texts: list[str] = []
    for clip in clips:
        frames = clip.frames
        rows, columns = (edge // processor.patch_size for edge in reversed(frames[0].size))
        shapes.append((len(frames) // pair, rows, columns))
        parts += [_patches(frames[at : at + pair], processor) for at in range(0, len(frames), pair)]
        placed, text = timestamps(clip, [PatchGrid(rows // merged, columns // merged)] * (len(frames) // pair), config)
        grids += placed
        texts += [text] if text else []
    tensors = {"pixel_values_videos": torch.cat(parts), "video_grid_thw": torch.tensor(shapes)}
    return VisualTokens(tensors, [grid.tokens for grid in grids], grids, texts)


def _patches(frames: Sequence[Image], processor: BaseImageProcessor) -> Tensor:
    """Returns patches `(n, channels x frames x edge x edge)` of frames that share patches in time.

    The image processor repeats an image along time. From the patches of frame t, those of time t are taken.
    """
    import torch

    count, edge = len(frames), processor.patch_size
    found = processor(images=list(frames), do_resize=False, return_tensors="pt")["pixel_values"]
    repeated = found.reshape(count, -1, 3, count, edge * edge)
    return torch.stack([repeated[t, :, :, t] for t in range(count)], dim=2).flatten(1)


def by_number(
    clip: TimedFrames,  # noqa: ARG001 - the signature of a TimestampRule
    grids: Sequence[PatchGrid],
    config: PretrainedConfig,  # noqa: ARG001
) -> tuple[Sequence[PatchGrid], str]:
    """Numbers the pairs of frames (Qwen2-VL)."""
    return [replace(grids[0], times=tuple(range(len(grids))))], ""


def by_second(
    clip: TimedFrames, grids: Sequence[PatchGrid], config: PretrainedConfig
) -> tuple[Sequence[PatchGrid], str]:
    """Spaces the pairs evenly by their mean distance in time, in steps of `tokens_per_second` (Qwen2.5-VL)."""
    seconds = clip.seconds[:: len(clip.frames) // len(grids)]
    apart = (seconds[-1] - seconds[0]) / max(1, len(grids) - 1)
    steps = np.arange(len(grids), dtype=np.float32) * np.float32(config.vision_config.tokens_per_second * apart)
    return [replace(grids[0], times=tuple(steps.astype(np.int64).tolist()))], ""


def by_text(
    clip: TimedFrames,
    grids: Sequence[PatchGrid],
    config: PretrainedConfig,  # noqa: ARG001 - the signature of a TimestampRule
) -> tuple[Sequence[PatchGrid], str]:
    """Writes the time before each pair, midway between its first and last frame (Qwen3-VL)."""
    pair = len(clip.frames) // len(grids)
    starts = range(0, len(clip.frames), pair)
    middles = [(clip.seconds[at] + clip.seconds[at + pair - 1]) / 2 for at in starts]
    return grids, "".join(f"<{middle:.1f} seconds>{MARKED_VIDEO}" for middle in middles)


def with_timestamps(prompt: str, texts: Sequence[str]) -> str:
    """Replaces the videos of a prompt by these texts, in order. Without texts the prompt stays as it is."""
    if not texts:
        return prompt
    head, *rest = prompt.split(MARKED_VIDEO)
    return head + "".join(text + part for text, part in zip(texts, rest, strict=True))
