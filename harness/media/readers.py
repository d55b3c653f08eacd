"""One interface to the libraries that read videos.

A frame has the number that `frame_index` gives it. All readers apply the rotation of the container. They decode only
the frames that are needed to reach those asked for.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.media.frame_index import TOO_LARGE, Beat, FrameIndex, check_size, frames_in_a_row, no_beat, open_picture
from harness.media.pixels import DAMAGE, as_rgb

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Frame: TypeAlias = NDArray[np.uint8]
"""An RGB image of shape `(height, width, 3)`."""

_SHORTEST_MS, _USUAL_MS = 20, 100
"""An animation's frame with a duration below the first is shown for the second, as in browsers and FFmpeg."""


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
    """A reader that uses decord. It jumps to the key frame before a frame, so it needs an index that `suits_decord`.

    Raises: ValueError if decord sees other frames than the index has.
    """

    def __init__(self, path: Path, index: FrameIndex) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._reader = decord.VideoReader(str(path), num_threads=1)
        self.total, self.rate = index.total, index.rate
        starts = self._reader.get_frame_timestamp(range(len(self._reader)))[:, 0]
        wanted = (np.asarray(index.times) - index.times[0]) * index.unit
        if len(starts) != index.total or not np.allclose(starts - starts[0], wanted, rtol=1e-5, atol=1e-3):
            raise ValueError("decord sees other frames")

    def read(self, wanted: Sequence[int]) -> list[Frame]:
        """Decodes frames, as `Reader` says."""
        return list(self._reader.get_batch(list(wanted)).asnumpy())


class PyavReader:
    """A reader that uses PyAV. It jumps where the index says that it may, and checks the time of each frame."""

    def __init__(self, path: Path, index: FrameIndex, beat: Beat = no_beat) -> None:
        import av

        self.total, self.rate = index.total, index.rate
        self._index = index
        self._beat = beat
        self._container, self._stream = open_picture(path)
        self._frames = frames_in_a_row(self._container, self._stream, index.early, beat)
        self._turn = 0
        """The number of the frame that comes next."""
        self._convert = av.video.reformatter.VideoReformatter().reformat  # shared, because setting one up takes time

    def read(self, wanted: Sequence[int]) -> list[Frame]:
        """Decodes frames, as `Reader` says."""
        return [self._read(number) for number in wanted]

    def _read(self, number: int) -> Frame:
        place = bisect_right(self._index.entries, number, key=lambda each: each[0])
        entry, time = self._index.entries[place - 1] if place else (0, 0)
        if entry > self._turn:
            self._container.seek(time, stream=self._stream)
            self._frames = frames_in_a_row(self._container, self._stream, 0, self._beat)
            self._turn = entry
        frame = next((frame for frame in self._frames if self._is_next(frame) and self._turn > number), None)
        if frame is None:
            raise ValueError(f"frame {number} is missing")
        pixels = self._convert(frame, format="rgb24").to_ndarray()
        return np.rot90(pixels, round(frame.rotation / 90) % 4)

    def _is_next(self, frame: VideoFrame) -> bool:
        """Counts a frame. One from before the entry is not counted. Raises: ValueError if the next one is missing."""
        if self._index.times:
            time = self._index.times[self._turn]
            if frame.pts is not None and frame.pts < time:
                return False
            if frame.pts != time:
                raise ValueError(f"frame {self._turn} is missing")
        self._turn += 1
        return True


class AnimationReader:
    """A reader of animated images that uses Pillow. Transparency is dropped, as for images.

    Every frame is made from the one before it, so frames are read in order. A PNG may have a picture for programs that
    show no animations. It is no frame.
    """

    def __init__(self, path: Path) -> None:
        with _no_bomb():
            self._image = Image.open(path, formats=("GIF", "PNG", "WEBP"))
        self._go_to(0)
        self._first = int(bool(self._image.info.get("default_image", False)))
        self.total = int(getattr(self._image, "n_frames", 1)) - self._first
        seconds = sum(self._shown_ms(number) for number in range(self.total)) / 1000
        self.rate = self.total / seconds

    def read(self, wanted: Sequence[int]) -> list[Frame]:
        """Decodes frames, as `Reader` says."""
        return [self._read(number) for number in wanted]

    def _read(self, number: int) -> Frame:
        self._go_to(self._first + number)
        return np.asarray(as_rgb(self._image))

    def _shown_ms(self, number: int) -> float:
        self._go_to(self._first + number)
        self._image.load()  # only now is the duration of a WebP's frame known
        shown = float(self._image.info.get("duration", 0))
        return shown if shown >= _SHORTEST_MS else _USUAL_MS

    def _go_to(self, place: int) -> None:
        """Makes a picture of the file the next to be decoded. Raises ValueError if it is too large."""
        with _no_bomb():
            self._image.seek(place)
        check_size(*self._image.size)


@contextlib.contextmanager
def _no_bomb() -> Iterator[None]:
    """Turns what Pillow raises for far too large pictures into ValueError."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ValueError(f"{TOO_LARGE}: {error}") from None


def _failures() -> tuple[type[Exception], ...]:
    """Errors that the libraries raise for damaged files."""
    found: list[type[Exception]] = [*DAMAGE]
    with contextlib.suppress(ImportError):
        from decord._ffi.base import DECORDError

        found.append(DECORDError)
    with contextlib.suppress(ImportError):
        from av import FFmpegError

        found.append(FFmpegError)
    return tuple(found)


FAILURES = _failures()
