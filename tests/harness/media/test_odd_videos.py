"""Files that every player shows, and that are easily read otherwise: cut, with stray bytes, with a thumbnail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import BadMedia
from harness.media import decode_pool
from harness.media.containers import check_video
from harness.media.decode_pool import end_idle
from harness.media.decode_worker import OpenVideo
from harness.media.frame_index import index_frames
from tests.helpers.clips import cut_clip, every_frame, whole_frames, write_clip
from tests.helpers.numbered import HEIGHT, LENGTH, RATE, WIDTH, encode, ffmpeg, number_of, shown

pytest.importorskip("av", reason="needs PyAV to write videos")

LONG_GROUP = {"x264-params": "keyint=250:bframes=3"}
OPEN_GROUPS = {"x264-params": "keyint=8:min-keyint=8:open-gop=1:bframes=3:b-adapt=0:scenecut=0"}


def assert_frames(path: Path, right: list[np.ndarray]) -> None:
    """In a process of its own that may not think for long, and in this one without decord."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "decord", None)
        for wanted in (range(len(right)), [0, len(right) // 2, len(right) - 1], [len(right) - 1]):
            pictures = whole_frames(path, lambda total, _, wanted=wanted: wanted if total == len(right) else [])
            alone = [frame for few in OpenVideo(path).read(wanted) for frame in few]
            for found in (map(np.asarray, pictures), alone):
                assert [each.tobytes() for each in found] == [right[number].tobytes() for number in wanted]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_pool, "PATIENCE", 30.0)


@pytest.mark.parametrize(("box", "first"), [("mp4", 17), ("mkv", 16)])
def test_a_clip_that_was_cut_has_the_frames_after_the_cut(tmp_path: Path, box: str, first: int) -> None:
    """Matroska has no edit list, so it shows the frames from the key frame on, those that are whole."""
    whole = write_clip(tmp_path / "whole.mp4", options=OPEN_GROUPS)
    assert_frames(whole, every_frame(whole))
    path = cut_clip(whole, tmp_path / f"cut.{box}", 1.7)
    assert_frames(path, every_frame(whole)[first:])


def test_a_cut_far_behind_a_key_frame_does_not_hold_the_decoder(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", length=290, options=LONG_GROUP)
    assert_frames(cut_clip(whole, tmp_path / "cut.mp4", 17), every_frame(whole)[170:])


@pytest.mark.parametrize(
    "tail", [b"\0", b"\r\n", b"<html>", b"\xff" * 9, b"\0\0\0\0", b"xy<!DOCTYPE html>" * 90], ids=len
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "clip.flv", "clip.gif", "clip.webp"])
def test_stray_bytes_at_the_end_do_not_matter(tmp_path: Path, name: str, tail: bytes) -> None:
    path = tmp_path / name
    if path.suffix in (".gif", ".webp"):
        pictures = [Image.new("RGB", (20, 10), (12 * number, 0, 90)) for number in range(10)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, lossless=True)
    else:
        write_clip(path)
    right = [frame for few in OpenVideo(path).read(range(OpenVideo(path).total)) for frame in few]
    with path.open("ab") as file:
        file.write(tail)
    check_video(path)
    assert_frames(path, right)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.gif"])
def test_a_file_that_is_cut_off_is_still_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".gif":
        pictures = [Image.new("RGB", (20, 10), (12 * number, 0, 90)) for number in range(10)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:])
    else:
        write_clip(path)
    content = path.read_bytes()
    for missing in (1, 9, len(content) // 2):
        path.write_bytes(content[:-missing])
        if path.suffix == ".mp4" or missing > 1:  # where other boxes end the file, their last byte does not matter
            with pytest.raises(BadMedia, match="cut off"):
                check_video(path)


@pytest.mark.parametrize("flags", [("-disposition:v:0", "attached_pic"), ("-disposition:v:0", "0"), ()])
def test_of_two_streams_the_film_is_read_and_not_the_thumbnail(tmp_path: Path, flags: tuple[str, ...]) -> None:
    film = encode(tmp_path / "film.mp4", "h264", "closed")
    path = tmp_path / "both.mkv"
    small = ("-f", "lavfi", "-i", f"color=red:s=32x16:r={RATE}:d=3")
    ffmpeg(
        *small, "-i", str(film), "-map", "0:v", "-map", "1:v", "-c:v:0", "mjpeg", "-c:v:1", "copy", *flags, str(path)
    )
    assert_frames(path, list(shown(film)))


@pytest.mark.parametrize(("name", "codec"), [("clip.ogv", "theora"), ("clip.ts", "mpeg4"), ("clip.ts", "h264")])
def test_a_rate_that_the_container_does_not_tell_follows_from_the_frames(tmp_path: Path, name: str, codec: str) -> None:
    clip = OpenVideo(encode(tmp_path / name, codec, "closed"))
    assert (clip.total, clip.rate) == (LENGTH, pytest.approx(RATE))


def test_what_was_streamed_without_an_index_is_read(tmp_path: Path) -> None:
    """With no lengths and no index, and with an index in pieces."""
    film = encode(tmp_path / "film.mp4", "h264", "closed")
    live = ("-f", "matroska", "-live", "1", str(tmp_path / "live.mkv"))
    pieces = ("-movflags", "frag_keyframe+empty_moov", str(tmp_path / "pieces.mp4"))
    for options in (live, pieces):
        ffmpeg("-i", str(film), "-c", "copy", *options)
        frames = [frame for few in OpenVideo(Path(options[-1])).read([0, 9, 20, 29]) for frame in few]
        assert [number_of(frame) for frame in frames] == [0, 9, 20, 29]
        assert frames[0].shape == (HEIGHT, WIDTH, 3)


def test_a_title_in_latin_1_is_no_fault(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", "h264", "closed")
    path = tmp_path / "titled.mkv"
    ffmpeg("-i", str(film), "-c", "copy", "-metadata", os.fsdecode(b"title=caf\xe9"), str(path))
    assert b"caf\xe9" in path.read_bytes()
    assert_frames(path, list(shown(film)))


def test_an_interlaced_film_is_counted_by_decoding(tmp_path: Path) -> None:
    """Because its packets might hold single fields. `ffmpeg` mixes the colours of its lines in another way."""
    path = tmp_path / "fields.mp4"
    source = ("-f", "lavfi", "-i", f"testsrc=s={WIDTH}x{HEIGHT}:r=10:d=2")
    ffmpeg(*source, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-flags", "+ildct+ilme", str(path))
    index = index_frames(path)
    assert index.total == len(shown(path)) == 20
    assert not index.times
    assert not index.suits_decord
    assert_frames(path, every_frame(path))


def test_bytes_that_flip_are_bad_media_or_nothing_and_never_a_wait(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    content = write_clip(path).read_bytes()
    rng = np.random.default_rng(0)
    read, refused = 0, []
    for _ in range(25):
        harmed = bytearray(content)
        for place in rng.integers(0, len(content), 6):
            harmed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(harmed)
        try:
            check_video(path)
            read += len(whole_frames(path, lambda total, _: [0, total // 2, total - 1]))
        except BadMedia as error:
            refused.append(error.what)
    end_idle()
    assert read
    assert all("clip.mp4" in each and "did not answer" not in each for each in refused)
