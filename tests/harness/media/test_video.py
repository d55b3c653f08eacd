"""Frames of videos: which ones, and what happens to files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import BadMedia
from harness.models import open_model
from harness.types import Item, Media, ModelSettings

pytest.importorskip("decord", reason="decord has no wheel for this platform")
cv2 = pytest.importorskip("cv2")


def _write(path: Path, greys: list[int]) -> Media:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for grey in greys:
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    return Media("video", path.name, path.parent)


@pytest.mark.parametrize(("length", "count"), [(40, 8), (40, 1), (5, 8), (1, 8), (9, 9)])
def test_frames_are_spread_from_the_first_to_the_last(tmp_path: Path, length: int, count: int) -> None:
    from harness.media.video import spread_frames

    greys = [6 * number for number in range(length)]
    frames = spread_frames(_write(tmp_path / "ramp.mp4", greys), count)
    kept = min(count, length)
    wanted = [greys[number * (length - 1) // max(kept - 1, 1)] for number in range(kept)]
    assert [frame.size for frame in frames] == [(64, 48)] * kept
    assert np.abs([np.asarray(frame).mean() for frame in frames] - np.array(wanted)).max() < 4


@pytest.mark.parametrize("content", [b"", b"not a video", "half"])
def test_what_is_no_video_is_bad_media_that_names_the_file(tmp_path: Path, content: bytes | str) -> None:
    from harness.media.video import spread_frames

    path = tmp_path / "clip.mp4"
    media = _write(path, [10, 200] * 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if isinstance(content, str) else content)
    with pytest.raises(BadMedia, match=r"clip\.mp4"):
        spread_frames(media, 8)


def test_classical_sees_a_video_as_the_mean_of_its_frames(tmp_path: Path) -> None:
    model = open_model("classical", ModelSettings()).load()
    bright, dark, mixed = (
        model.prepare(Item("", (_write(tmp_path / f"{name}.mp4", greys),)), "query").data
        for name, greys in (("bright", [240] * 8), ("dark", [10] * 8), ("mixed", [240, 10] * 4))
    )
    assert bright @ mixed > bright @ dark
    assert dark @ mixed > bright @ dark
