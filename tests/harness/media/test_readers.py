"""The same frames from every library, in every container, however they are reached."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.media import decode_pool, decode_worker, readers
from harness.media.decode_pool import end_idle
from harness.media.decode_worker import OpenVideo
from harness.media.frame_index import index_frames
from harness.media.readers import AnimationReader, DecordReader, PyavReader, Reader
from tests.helpers.clips import TURNS, every_frame, turn, whole_frames, write_clip

pytest.importorskip("av", reason="needs PyAV to write videos")
decord = pytest.importorskip("decord", reason="decord has no wheel for this platform")

UNEVEN = [100 * number + 37 * number % 60 for number in range(30)]
BY_DECORD = {
    "h264.mp4": {},
    "b.mov": {},
    "h264.mkv": {},
    "uneven.mp4": {"times": UNEVEN},
    "uneven.mkv": {"times": UNEVEN},
    "odd.mp4": {"size": (63, 47)},
    "one.mp4": {"length": 1},
}
"""Files that decord reads."""
BY_PYAV = {
    "mpeg4.mp4": {"codec": "mpeg4"},
    "vp9.webm": {"codec": "libvpx-vp9"},
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
        return write_clip(folder / name, **{**BY_DECORD, **BY_PYAV}[name])
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


@pytest.mark.parametrize("name", BY_DECORD)
def test_decord_and_pyav_give_the_same_frames(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    index = index_frames(path)
    assert index.suits_decord
    assert_right(DecordReader(path, index), path)
    assert_right(PyavReader(path, index), path)


@pytest.mark.parametrize("name", [*BY_DECORD, *BY_PYAV])
def test_whatever_the_container_the_frames_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write(tmp_path, name)
    clip = OpenVideo(path)
    assert isinstance(clip._reader, DecordReader if name in BY_DECORD else PyavReader)
    assert_right(clip, path)
    assert_right(OpenVideo(path, by_decoding=True), path)
    monkeypatch.setitem(sys.modules, "decord", None)  # so that importing it fails
    alone = OpenVideo(path)
    assert isinstance(alone._reader, PyavReader)
    assert_right(alone, path)
    assert alone.rate == clip.rate


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
    assert_right(PyavReader(turned, index_frames(turned)), turned)


def test_where_one_library_breaks_off_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fragile(DecordReader):
        def read(self, wanted: list[int]) -> list[np.ndarray]:
            if wanted[0] > 0:
                raise RuntimeError("enough")
            return super().read(wanted)

    monkeypatch.setattr(decode_worker, "AT_ONCE", 1)
    monkeypatch.setattr(decode_worker, "DecordReader", Fragile)
    path = write(tmp_path, "h264.mp4")
    assert_right(OpenVideo(path), path)


def test_only_what_is_needed_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long clip in groups of ten, the last frame takes its own group and no more."""
    path = write_clip(tmp_path / "long.mp4", length=200)
    decoded = []
    in_a_row = readers.frames_in_a_row
    monkeypatch.setattr(
        readers, "frames_in_a_row", lambda *where: (decoded.append(frame) or frame for frame in in_a_row(*where))
    )
    PyavReader(path, index_frames(path)).read([0, 199])
    assert len(decoded) <= 25


def test_frames_that_are_not_where_the_packets_promise_them_are_counted_by_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "h264.mkv")
    lie = "from harness.media import frame_index as f; real = f._times; "
    lie += "f._times = lambda packets: [*real(packets), 10**6]; "
    monkeypatch.setattr(decode_pool, "_START", decode_pool._START.replace("serve()", f"{lie}serve()"))
    end_idle()
    totals = []
    pictures = whole_frames(path, lambda total, _: totals.append(total) or [total - 1])
    end_idle()
    assert totals == [31, 30]
    assert (np.asarray(pictures[0]) == every_frame(path)[-1]).all()


def test_an_animation_is_read_by_pillow_frame_by_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 10), (12 * number, 0, 90)) for number in range(10)]
    for name, times in (("even.gif", 50), ("fast.gif", 0), ("even.png", 50), ("cover.png", 50), ("even.webp", 50)):
        path = tmp_path / name
        if name == "cover.png":
            Image.new("RGB", (20, 10), "white").save(
                path, save_all=True, default_image=True, append_images=frames, duration=times
            )
        else:
            frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, lossless=True)
        clip = OpenVideo(path)
        assert (clip.total, clip.rate) == (10, 20.0 if times else 10.0), name
        read = (frame for few in clip.read([0, 4, 9]) for frame in few)
        for number, frame in zip((0, 4, 9), read, strict=True):
            assert (frame == np.asarray(frames[number])).all(), name
    assert isinstance(clip._reader, AnimationReader)


def test_without_a_library_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "h264.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=decode_worker.NO_DECODER):
        OpenVideo(path)
