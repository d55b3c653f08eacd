"""One interface to the libraries that read videos.

All readers count the frames that exist, even if the header says otherwise, in the order of presentation. They apply the
rotation of the container. They decode only the frames that are needed to reach those asked for.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Frame: TypeAlias = NDArray[np.uint8]
"""An RGB image of shape `(height, width, 3)`."""

AT_ONCE = 8
"""Largest number of frames in memory."""
_SHORTEST_MS, _USUAL_MS = 20, 100
"""An animation's frame with a duration below the first is shown for the second, as in browsers and FFmpeg."""
_INDEXED = {"mov", "matroska", "webm", "avi"}
"""Containers in which PyAV can seek to a key frame. In others it reads from the start."""


class Reader(Protocol):
    """An open video file."""

    total: int
    """Number of frames."""
    rate: float
    """Average frames per second; 0 if the file does not say."""

    def read(self, wanted: Sequence[int]) -> list[Frame]:
        """Decodes the frames of these numbers, from 0. Numbers must ascend, also from one call to the next.

        Raises: one of `FAILURES`.
        """


class DecordReader:
    """A reader that uses decord. It seeks to the key frame before a frame, or with `in_a_row` reads all in order."""

    def __init__(self, path: Path, *, in_a_row: bool = False) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._reader = decord.VideoReader(str(path), num_threads=1)
        self._in_a_row = in_a_row
        self._turn = 0
        self.total = len(self._reader)
        self.rate = float(self._reader.get_avg_fps())

    def read(self, wanted: Sequence[int]) -> list[Frame]:
        """Decodes frames, as `Reader` says."""
        if not self._in_a_row:
            return list(self._reader.get_batch(list(wanted)).asnumpy())
        found: dict[int, Frame] = {}
        while self._turn <= wanted[-1]:
            numbers = range(self._turn, min(self._turn + AT_ONCE, wanted[-1] + 1))
            frames = self._reader.get_batch(list(numbers)).asnumpy()
            found.update((number, frames[number - self._turn]) for number in numbers if number in wanted)
            self._turn = numbers.stop
        return [found[number] for number in wanted]


class PyavReader:
    """A reader that uses PyAV. It reads the times of all packets first, without decoding.

    The number of a frame is the place of its time among the sorted times.
    """

    def __init__(self, path: Path) -> None:
        import av

        av.logging.set_level(None)
        with av.open(str(path)) as container:
            stream = _picture(container)
            packets = [packet for packet in container.demux(stream) if packet.size]
            times = {packet.pts for packet in packets if packet.pts is not None}
            exact = len(times) == len(packets)
            self.rate = float(stream.average_rate or 0)
        self._container = av.open(str(path))
        self._stream = _picture(self._container)
        seeks = exact and not _INDEXED.isdisjoint(self._container.format.name.split(","))
        self._times = sorted(times) if exact else []
        self._keys = (
            sorted({packet.pts for packet in packets if packet.is_keyframe and packet.pts is not None}) if seeks else []
        )
        self.total = len(packets) if exact else _count_frames(path)
        self._frames = self._container.decode(self._stream)
        self._turn = 0
        self._convert = av.video.reformatter.VideoReformatter().reformat  # shared, because setting one up takes time

    def read(self, wanted: Sequence[int]) -> list[Frame]:
        """Decodes frames, as `Reader` says."""
        return [self._read(number) for number in wanted]

    def _read(self, number: int) -> Frame:
        if self._keys:
            key = self._keys[max(0, bisect_right(self._keys, self._times[number]) - 1)]
            if key > self._times[min(self._turn, self.total - 1)]:
                self._container.seek(key, stream=self._stream)
                self._frames = self._container.decode(self._stream)
        for frame in self._frames:
            place = bisect_right(self._times, frame.pts) - 1 if self._times and frame.pts is not None else self._turn
            self._turn = place + 1
            if place >= number:
                break
        if self._turn != number + 1:
            raise ValueError(f"frame {number} is missing")
        pixels = self._convert(frame, format="rgb24").to_ndarray()
        return np.rot90(pixels, round(frame.rotation / 90) % 4)


def _picture(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise ValueError("it has no video, only sound")
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    return stream


def _count_frames(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(_picture(container)))


class AnimationReader:
    """A reader of animated images that uses Pillow. Transparency is dropped, as for images.

    Every frame is made from the one before it, so frames are read in order.
    """

    def __init__(self, path: Path) -> None:
        self._image = Image.open(path)
        self.total = int(getattr(self._image, "n_frames", 1))
        seconds = sum(self._shown_ms(number) for number in range(self.total)) / 1000
        self.rate = self.total / seconds

    def read(self, wanted: Sequence[int]) -> list[Frame]:
        """Decodes frames, as `Reader` says."""
        return [self._read(number) for number in wanted]

    def _read(self, number: int) -> Frame:
        self._image.seek(number)
        return np.asarray(self._image.convert("RGB"))

    def _shown_ms(self, number: int) -> float:
        self._image.seek(number)
        shown = float(self._image.info.get("duration", 0))
        return shown if shown >= _SHORTEST_MS else _USUAL_MS


def _failures() -> tuple[type[Exception], ...]:
    """Errors that the libraries raise for damaged files."""
    found: list[type[Exception]] = [ArithmeticError, AssertionError, EOFError, LookupError, OSError, RuntimeError]
    found += [SyntaxError, TypeError, ValueError, struct.error, zlib.error]
    with contextlib.suppress(ImportError):
        from decord._ffi.base import DECORDError

        found.append(DECORDError)
    with contextlib.suppress(ImportError):
        from av import FFmpegError

        found.append(FFmpegError)
    return tuple(found)


FAILURES = _failures()
