"""Memory follows from limits: not from the number of frames, and not from the size that a file claims."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import BadMedia
from harness.media import decode_worker, frame_index, video
from harness.media.containers import check_video
from harness.media.decode_pool import end_idle
from harness.media.readers import AnimationReader
from harness.media.video import map_frames, read_frames
from harness.types import Media
from tests.helpers.clips import write_clip
from tests.helpers.image_files import encoded, picture, png_that_claims, rotated_exif

ROOT = Path(__file__).resolve().parents[3]
MIB = 1 << 20
SIDE, LENGTH = 1600, 24
DECODER_BYTES, DECORD_BYTES, ENGINE_BYTES, IMAGE_BYTES = 26, 64, 12, 14
"""Most bytes for each pixel of a frame in the process that decodes, where decord does so, and in the engine.

And of each pixel of an image in the engine.
"""
BATCHES = 2 * decode_worker._AT_ONCE_BYTES
MOST = 1024 * MIB
"""What the documentation says that a process may take."""

CHILD = """
import json, resource, sys
from pathlib import Path
from harness.media.decode_pool import end_idle
from harness.media.images import open_image
from harness.media.video import map_frames
from harness.types import Media
def peak(who):
    return resource.getrusage(who).ru_maxrss * 1024
folder, name, small = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
kind = sys.argv[4]
def use(name):
    media = Media(kind, name, folder)
    if kind == "image":
        return open_image(media)
    return map_frames(media, lambda total, _: range(total), lambda frame: frame.resize((8, 8)))
use(small)
end_idle()
before = peak(resource.RUSAGE_SELF), peak(resource.RUSAGE_CHILDREN)
use(name)
end_idle()
print(json.dumps([before, (peak(resource.RUSAGE_SELF), peak(resource.RUSAGE_CHILDREN))]))
"""


def grown(folder: Path, name: str, small: str, kind: str) -> tuple[int, int]:
    """Bytes by which a large file raises the peak of the engine and of the decoder above that of a small one."""
    if sys.platform != "linux":
        pytest.skip("the unit of the peak is that of Linux")
    line = [sys.executable, "-c", CHILD, str(folder), name, small, kind]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    (engine, decoder), (engine_after, decoder_after) = json.loads(done.stdout)
    return engine_after - engine, decoder_after - decoder


def animate(path: Path, mode: str, side: int) -> None:
    colours = [(9 * number, 255 - 9 * number, 90, 120) for number in range(LENGTH)]
    frames = [Image.new(mode, (side, side), number if mode == "P" else colours[number]) for number in range(LENGTH)]
    for frame in frames if mode == "P" else ():
        frame.putpalette([value for colour in colours for value in colour[:3]])
    how = {"lossless": True, "method": 0, "quality": 0} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, **how)


def film(path: Path, _: str, side: int) -> None:
    write_clip(path, "mpeg4" if path.suffix == ".avi" else "libx264", LENGTH, (side, side))


FILMS: Mapping[str, tuple[Callable[[Path, str, int], None], str]] = {
    "a.gif": (animate, "P"),
    "b.gif": (animate, "RGBA"),
    "a.webp": (animate, "RGBA"),
    "a.png": (animate, "RGBA"),
    "a.mp4": (film, ""),
    "a.avi": (film, ""),
}


@pytest.mark.parametrize(
    "name",
    [each if each in ("b.gif", "a.mp4") else pytest.param(each, marks=pytest.mark.exhaustive) for each in FILMS],
)
def test_many_large_frames_take_the_memory_of_few(tmp_path: Path, name: str) -> None:
    pytest.importorskip("av")
    make, mode = FILMS[name]
    make(tmp_path / name, mode, SIDE)
    make(tmp_path / f"small.{name}", mode, 64)
    engine, decoder = grown(tmp_path, name, f"small.{name}", "video")
    size, bytes_each = (tmp_path / name).stat().st_size, DECORD_BYTES if name == "a.mp4" else DECODER_BYTES
    assert decoder <= bytes_each * SIDE**2 + BATCHES + size
    assert engine <= ENGINE_BYTES * SIDE**2 + BATCHES < LENGTH * 4 * SIDE**2, "all frames at once would take more"


def test_the_largest_frame_keeps_to_what_is_promised() -> None:
    base = BATCHES + 64 * MIB
    assert DECODER_BYTES * frame_index.FRAME_PIXELS + base <= MOST
    assert DECORD_BYTES * frame_index._DECORD_FRAME + base <= MOST


STILLS: Mapping[str, Callable[[int], bytes]] = {
    "rgb.png": lambda side: encoded(Image.new("RGB", (side, side), "red"), "PNG"),
    "rgba.png": lambda side: encoded(Image.new("RGBA", (side, side), (9, 9, 9, 9)), "PNG"),
    "deep.png": lambda side: encoded(Image.new("I;16", (side, side), 999), "PNG"),
    "float.tif": lambda side: encoded(Image.new("F", (side, side), 0.5), "TIFF"),
    "turned.tif": lambda side: encoded(Image.new("RGB", (side, side), "red"), "TIFF", exif=rotated_exif()),
    "cmyk.jpg": lambda side: encoded(Image.new("CMYK", (side, side)), "JPEG"),
    "palette.gif": lambda side: encoded(Image.new("P", (side, side), 3), "GIF"),
}


@pytest.mark.parametrize("name", STILLS)
def test_an_image_takes_few_copies_of_itself(tmp_path: Path, name: str) -> None:
    side = 4000
    for prefix, edge in (("", side), ("small.", 16)):
        (tmp_path / f"{prefix}{name}").write_bytes(STILLS[name](edge))
    engine, _ = grown(tmp_path, name, f"small.{name}", "image")
    assert engine <= IMAGE_BYTES * side**2 + (tmp_path / name).stat().st_size + 32 * MIB


def gif_that_claims(width: int, height: int) -> bytes:
    data = encoded(picture().quantize(8), "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def webp_that_claims(width: int, height: int) -> bytes:
    frames = [picture(number).convert("RGBA") for number in range(2)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    return data[:24] + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3] + data[30:]


@pytest.mark.parametrize("claim", [gif_that_claims, webp_that_claims, png_that_claims])
@pytest.mark.parametrize("size", [(65_535, 65_535), (8192, 4353), (frame_index.FRAME_PIXELS // 1000 + 1, 1000)])
def test_a_claim_of_too_large_frames_is_refused_at_first_sight(
    tmp_path: Path, claim: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    (tmp_path / "a.gif").write_bytes(claim(*size))
    with pytest.raises(BadMedia, match=r"a\.gif cannot be decoded: it is too large") as error:
        check_video(tmp_path / "a.gif")
    assert error.value.hint == "Make its frames smaller."


@pytest.mark.parametrize("side", [6000, 60_000])
def test_a_frame_beyond_what_the_head_claims_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    """Pillow enlarges a GIF to the frames that do not fit in it."""
    frames = [picture(number).quantize(8) for number in range(2)]
    data = bytearray(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100))
    first = data.index(b",\0\0\0\0")
    data[first + 5 : first + 9] = struct.pack("<HH", side, side)
    path = tmp_path / "a.gif"
    path.write_bytes(data)
    check_video(path)
    with pytest.raises(BadMedia, match=r"a\.gif cannot be decoded: .*pixels") as error:
        read_frames(Media("video", "a.gif", tmp_path), lambda total, _: range(total))
    assert error.value.hint == "Make its frames smaller."
    end_idle()


def test_a_film_of_too_large_frames_is_refused(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 8192, 4354, "yuv420p"
        blank = av.VideoFrame.from_ndarray(np.zeros((4354 * 3 // 2, 8192), np.uint8), format="yuv420p")
        container.mux([*stream.encode(blank), *stream.encode()])
    with pytest.raises(BadMedia, match="8,192 x 4,354 pixels, more than 35,651,584") as error:
        read_frames(Media("video", "a.mkv", tmp_path), lambda total, _: range(total))
    assert error.value.hint == "Make its frames smaller."
    end_idle()


def test_whole_frames_are_kept_up_to_a_limit_and_small_ones_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    animate(tmp_path / "a.gif", "P", 100)
    media = Media("video", "a.gif", tmp_path)
    for most, whole in ((LENGTH * 100**2, True), (LENGTH * 100**2 - 1, False)):
        monkeypatch.setattr(video, "MAX_PIXELS", most)
        assert len(map_frames(media, lambda total, _: range(total), lambda frame: frame.resize((10, 10)))) == LENGTH
        if whole:
            assert len(read_frames(media, lambda total, _: range(total))) == LENGTH
        else:
            with pytest.raises(BadMedia, match="pixels in all, 100 x 100 each"):
                read_frames(media, lambda total, _: range(total))
    end_idle()


def test_a_reader_of_animations_takes_no_other_format(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.gif", "TIFF")
    with pytest.raises(OSError, match="cannot identify"):
        AnimationReader(tmp_path / "a.gif")
