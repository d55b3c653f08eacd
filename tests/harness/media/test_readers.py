"""The same frames from every library, in every container, however they are reached."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.media import decode_worker
from harness.media.decode_worker import OpenVideo
from harness.media.readers import AnimationReader, DecordReader, PyavReader, Reader
from tests.helpers.clips import TURNS, every_frame, turn, write_clip

pytest.importorskip("av", reason="needs PyAV to write videos")
decord = pytest.importorskip("decord", reason="decord has no wheel for this platform")

UNEVEN = [100 * number + 37 * number % 60 for number in range(30)]
EXACT = {
    "h264.mp4": {},
    "b.mov": {},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "h264.mkv": {},
    "uneven.mp4": {"times": UNEVEN},
    "uneven.mkv": {"times": UNEVEN},
    "odd.mp4": {"size": (63, 47)},
    "one.mp4": {"length": 1},
}
"""Files in which decord finds a frame when it jumps to it."""
OTHERS = {
    "mpeg4.avi": {"codec": "mpeg4"},
    "h264.avi": {},
    "two.mpg": {"codec": "mpeg2video", "rate": 25},
    "h264.ts": {},
    "flash.flv": {"codec": "flv1"},
    "windows.wmv": {"codec": "wmv2"},
    "av1.mp4": {"codec": "libsvtav1"},
}


def write(folder: Path, name: str) -> Path:
    try:
        return write_clip(folder / name, **{**EXACT, **OTHERS}[name])
    except Exception as error:
        if "codec" in type(error).__name__.lower() or "Encoder" in type(error).__name__:
            pytest.skip(f"this PyAV cannot write {name}")
        raise


def some(total: int) -> list[int]:
    return sorted({number % total for number in (0, total // 7, total // 2, total // 2 + 1, total - 2, total - 1)})


def assert_right(reader: Reader | OpenVideo, path: Path) -> None:
    right = every_frame(path)
    assert reader.total == len(right)
    wanted = some(reader.total)
    read = reader.read(wanted)
    found = [frame for few in read for frame in few] if isinstance(reader, OpenVideo) else list(read)
    assert len(found) == len(wanted)
    for number, frame in zip(wanted, found, strict=True):
        assert (frame == right[number]).all(), number


@pytest.mark.parametrize("name", EXACT)
def test_decord_and_pyav_give_the_same_frames_and_rates(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    assert_right(DecordReader(path), path)
    assert_right(PyavReader(path), path)
    assert DecordReader(path).rate == pytest.approx(PyavReader(path).rate, rel=1e-3)


@pytest.mark.parametrize("name", [*EXACT, *OTHERS])
def test_whatever_the_container_the_frames_are_right(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    assert_right(OpenVideo(path), path)


@pytest.mark.parametrize("name", ["mpeg4.avi", "h264.avi", "two.mpg", "flash.flv", "windows.wmv"])
def test_decord_reads_in_a_row_what_it_cannot_jump_in(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    assert_right(DecordReader(path, in_a_row=True), path)


@pytest.mark.parametrize("degrees", TURNS)
@pytest.mark.parametrize("size", [(128, 64), (64, 48)])
def test_a_turned_video_comes_upright(tmp_path: Path, degrees: int, size: tuple[int, int]) -> None:
    """Also where decord fails: it cannot turn narrow ones."""
    plain = write_clip(tmp_path / "plain.mp4", size=size)
    ((upright,),) = OpenVideo(plain).read([3])
    turned = turn(plain, degrees)
    ((frame,),) = OpenVideo(turned).read([3])
    assert (frame == np.rot90(upright, -degrees // 90)).all()
    assert_right(OpenVideo(turned), turned)
    assert_right(PyavReader(turned), turned)


def test_where_one_library_breaks_off_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fragile(DecordReader):
        def read(self, wanted: list[int]) -> list[np.ndarray]:
            if wanted[0] > 0:
                raise RuntimeError("enough")
            return super().read(wanted)

    monkeypatch.setattr(decode_worker, "AT_ONCE", 1)
    monkeypatch.setitem(decode_worker._LIBRARIES, "mp4", (Fragile, PyavReader))
    path = write(tmp_path, "h264.mp4")
    assert_right(OpenVideo(path), path)


def test_only_what_is_needed_is_decoded(tmp_path: Path) -> None:
    """Of a long clip in groups of ten, the last frame takes its own group and no more."""
    reader = PyavReader(write_clip(tmp_path / "long.mp4", length=200))
    decoded = 0
    decode = reader._container.decode

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(container, name)

        def decode(self, stream: object) -> object:
            nonlocal decoded
            for frame in decode(stream):
                decoded += 1
                yield frame

    container = reader._container
    reader._container = Counting()
    reader._frames = reader._container.decode(reader._stream)
    reader.read([0, 199])
    assert decoded <= 25


def test_an_animation_is_read_by_pillow_frame_by_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 10), (12 * number, 0, 90)) for number in range(10)]
    for name, times in (("even.gif", 50), ("fast.gif", 0), ("even.png", 50)):
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=times)
        clip = OpenVideo(path)
        assert (clip.total, clip.rate) == (10, 20.0 if times else 10.0), name
        for number, frame in zip((0, 4, 9), next(clip.read([0, 4, 9])), strict=True):
            assert (frame == np.asarray(frames[number])).all(), name
    assert isinstance(clip._reader, AnimationReader)


@pytest.mark.parametrize(
    ("absent", "name"), [*(("decord", name) for name in EXACT), ("av", "h264.mp4"), ("av", "mpeg4.avi")]
)
def test_where_one_library_is_not_installed_the_other_gives_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str, name: str
) -> None:
    path = write(tmp_path, name)
    right = every_frame(path)
    rate = OpenVideo(path).rate
    monkeypatch.setitem(sys.modules, absent, None)  # so that importing it fails
    clip = OpenVideo(path)
    wanted = some(len(right))
    frames = [frame for few in clip.read(wanted) for frame in few]
    assert isinstance(clip._reader, PyavReader if absent == "decord" else DecordReader)
    assert (clip.total, clip.rate) == (len(right), pytest.approx(rate, rel=1e-3))
    assert all((frame == right[number]).all() for number, frame in zip(wanted, frames, strict=True))


def test_without_a_library_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(path: Path) -> Reader:
        raise ImportError

    monkeypatch.setitem(decode_worker._LIBRARIES, "mp4", (absent, absent))
    with pytest.raises(ValueError, match=decode_worker.NO_DECODER):
        OpenVideo(write(tmp_path, "h264.mp4"))
