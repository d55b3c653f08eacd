"""Videos for tests, written by PyAV: no two frames are alike, so that a wrong one shows."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL.Image import Image

Turn = tuple[int, int, int, int]
TURNS: dict[int, Turn] = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def whole_frames(path: Path, choose: Callable[[int, float], Sequence[int]]) -> list[Image]:
    """Whole frames of a video, through the pool of decoders."""
    from harness.media.decode_pool import (
        decode,
    )  # it loads decord, which must not come before PyAV where VP9 is written

    return decode(path, choose, lambda frame: frame)


def write_clip(
    path: Path,
    codec: str = "libx264",
    length: int = 30,
    size: tuple[int, int] = (128, 64),
    times: Sequence[int] | None = None,
    rate: int = 10,
    options: Mapping[str, str] | None = None,
) -> Path:
    """A clip of a pattern that moves; `times` are in milliseconds, and may be unevenly spread."""
    av = pytest.importorskip("av")
    av.codec.Codec(codec, "w")  # raises an error that names the codec
    # decord's libvpx would be taken for PyAV's. SVT-AV1 gives a process of root a real-time priority.
    if codec == "libsvtav1" or ("vp" in codec and "decord" in sys.modules):
        code = "from pathlib import Path; from tests.helpers.clips import encode; "
        code += f"encode(Path({str(path)!r}), {codec!r})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])
        return path
    return encode(path, codec, length, size, times, rate, options)


def encode(
    path: Path,
    codec: str = "libx264",
    length: int = 30,
    size: tuple[int, int] = (128, 64),
    times: Sequence[int] | None = None,
    rate: int = 10,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Writes the clip in this process."""
    import av

    width, height = size
    base = np.random.default_rng(0).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    picture = base.repeat(8, 0).repeat(8, 1)[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=dict(options or {}))
        stream.width, stream.height = width, height
        stream.gop_size = 10
        stream.pix_fmt = "yuv444p" if width % 2 else "yuv420p"
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(length):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 3 * number, axis=1), format="rgb24")
            frame.pts = times[number] if times else number
            if times:
                frame.time_base = Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def cut_clip(source: Path, path: Path, seconds: float) -> Path:
    """Copies a clip's packets without their first seconds, from the key frame before. MP4 gets an edit list."""
    av = pytest.importorskip("av")
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        stream = container.streams.video[0]
        copy = output.add_stream_from_template(stream)
        start = round(seconds / stream.time_base)
        container.seek(start, stream=stream)
        for packet in container.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copy
                output.mux(packet)
    return path


def write_sound(path: Path, codec: str = "aac") -> Path:
    """A file with sound alone."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    return path


def turn(path: Path, degrees: int) -> Path:
    """Tells whoever plays an MP4 file to turn it, in the matrix of its track (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 44
    a, b, c, d = TURNS[degrees]
    data[start : start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def every_frame(path: Path) -> list[np.ndarray]:
    """All frames of a file in a row, turned as it asks: what any other way to read must agree with."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [
            np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90 % 4) for frame in container.decode(video=0)
        ]
