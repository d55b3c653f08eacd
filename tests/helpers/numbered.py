"""Videos whose frames carry their number, encoded, cut and read by the `ffmpeg` program."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

WIDTH, HEIGHT, LENGTH, RATE = 64, 48, 30, 10
_BITS = 5
_GROUP = 8
"""Frames between two key frames."""

Frames = Sequence[np.ndarray]

_X264 = f"scenecut=0:bframes=3:b-adapt=0:keyint={_GROUP}:min-keyint={_GROUP}"
_X265 = f"log-level=none:scenecut=0:keyint={_GROUP}:min-keyint={_GROUP}"
_MPEG4 = ("-bf", "2", "-q:v", "3", "-g", str(_GROUP), "-sc_threshold", "1000000000")
ENCODERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "h264": {
        "closed": ("libx264", "-x264-params", f"{_X264}:open-gop=0"),
        "open": ("libx264", "-x264-params", f"{_X264}:open-gop=1"),
        "intra": ("libx264", "-x264-params", "keyint=1"),
        "refresh": ("libx264", "-x264-params", f"{_X264}:bframes=0:intra-refresh=1"),
    },
    "h265": {
        "closed": ("libx265", "-x265-params", f"{_X265}:open-gop=0"),
        "open": ("libx265", "-x265-params", f"{_X265}:open-gop=1"),
        "intra": ("libx265", "-x265-params", "log-level=none:keyint=1"),
    },
    "vp9": {
        "closed": ("libvpx-vp9", "-g", str(_GROUP), "-lag-in-frames", "16", "-b:v", "200k", "-deadline", "realtime"),
        "intra": ("libvpx-vp9", "-g", "1", "-deadline", "realtime"),
    },
    "av1": {
        "closed": ("libaom-av1", "-cpu-used", "8", "-g", str(_GROUP), "-lag-in-frames", "19"),
        "intra": ("libaom-av1", "-cpu-used", "8", "-g", "1"),
    },
    "mpeg4": {
        "closed": ("mpeg4", *_MPEG4, "-flags", "+cgop"),
        "open": ("mpeg4", *_MPEG4),
        "intra": ("mpeg4", "-g", "1", "-q:v", "3"),
    },
    "theora": {"closed": ("libtheora", "-g", str(_GROUP), "-q:v", "8")},
}
"""Encoder and options of each codec and each kind of group of pictures."""
CUTS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "whole": ((), ()),
    "edit list": (("-ss", "1.25"), ()),
    "next key": ((), ("-ss", "1.15")),
    "mid-group": ((), ("-ss", "1.15", "-copyinkf")),
    "end": ((), ("-t", "1.75")),
}
"""Options of `ffmpeg -c copy` before and after the name of the file. MP4 has an edit list for the first of them."""


def drawn() -> list[np.ndarray]:
    """The frames: a texture that moves, below the bits of the frame's number."""
    noise = np.random.default_rng(0).integers(40, 200, (HEIGHT // 4, WIDTH // 2)).repeat(4, 0).repeat(4, 1)
    frames = []
    for number in range(LENGTH):
        frame = np.roll(noise, 2 * number, 1)[:, :WIDTH].astype(np.uint8)
        for bit in range(_BITS):
            frame[:16, 12 * bit : 12 * bit + 12] = 230 if number >> bit & 1 else 20
        frames.append(frame)
    return frames


def number_of(frame: np.ndarray) -> int:
    """Reads the number that a frame carries."""
    return sum(int(frame[4:12, 12 * bit + 3 : 12 * bit + 9].mean() > 128) << bit for bit in range(_BITS))


def encode(path: Path, codec: str, group: str) -> Path:
    """Writes the drawn frames. Skips the test where `ffmpeg` lacks the encoder."""
    encoder, *options = ENCODERS[codec][group]
    if encoder not in _encoders():
        pytest.skip(f"needs the program ffmpeg with {encoder}")
    grey = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    raw = b"".join(plane.tobytes() for frame in drawn() for plane in (frame, grey))
    source = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", "-")
    ffmpeg(*source, "-c:v", encoder, *options, "-pix_fmt", "yuv420p", str(path), data=raw)
    return path


def cut(source: Path, path: Path, before: Sequence[str] = (), after: Sequence[str] = ()) -> Path:
    """Copies packets into another file, without encoding them anew."""
    ffmpeg(*before, "-i", str(source), *after, "-c", "copy", str(path))
    return path


def shown(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Frames:
    """All frames that `ffmpeg` shows, as RGB, each once."""
    every = ("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(ffmpeg("-i", str(path), *every), np.uint8).reshape(-1, size[1], size[0], 3)


def ffmpeg(*arguments: str, data: bytes = b"") -> bytes:
    """Runs the program. Returns what it writes to its standard output."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg")
    done = subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], input=data, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this ffmpeg cannot: {done.stderr.decode(errors='replace')[-200:]}")
    return done.stdout


@functools.cache
def _encoders() -> frozenset[str]:
    if shutil.which("ffmpeg") is None:
        return frozenset()
    listed = subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True, text=True, check=True).stdout
    return frozenset(line.split()[1] for line in listed.splitlines() if len(line.split()) > 1)
