"""Decodes frames of a video by their number, with the first library that can. Runs in the processes of `decode_pool`.

decord comes first where `frame_index` proves that it reaches the same frames. PyAV reads everything else, and continues
where decord is not installed or fails. If a frame is not where the packets promise it, the frames are counted by
decoding. Pillow reads animated images (GIF, PNG, WebP).
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from harness.media.containers import is_animation
from harness.media.frame_index import Beat, check_size, index_frames, no_beat
from harness.media.readers import FAILURES, AnimationReader, DecordReader, Frame, PyavReader, Reader

NO_DECODER = "no decoder"
NO_MEMORY = "no memory"
COUNT_AGAIN = "count again"
AT_ONCE = 8
"""Largest number of frames in memory."""
_AT_ONCE_BYTES = 32 * 1024 * 1024
"""Largest size of several frames in memory. A larger one is alone there."""
_BEAT = 1.0
"""Seconds after which the decoder says that it is busy."""


class OpenVideo:
    """A video, read by the first library that can. If it fails, the next library continues."""

    def __init__(self, path: Path, *, by_decoding: bool = False, beat: Beat = no_beat) -> None:
        self._left, self._again = _readers(path, by_decoding, beat)
        self._reasons: list[str] = []
        self._reader = self._next()
        self.total, self.rate = self._reader.total, self._reader.rate

    def read(self, wanted: Sequence[int]) -> Iterator[Sequence[Frame]]:
        """Yields the frames of ascending numbers, a few at a time.

        Raises: ValueError if no library can read them. It is `COUNT_AGAIN` if the packets promised frames that are not
            there, so that the file has to be opened again, `by_decoding`.
        """
        done, number = 0, 1  # only a frame tells how large frames are
        while done < len(wanted):
            frames = self._read(wanted[done : done + number])
            done += number
            number = min(max(1, _AT_ONCE_BYTES // frames[0].nbytes), AT_ONCE)
            yield frames
            del frames

    def _read(self, wanted: Sequence[int]) -> list[Frame]:
        while True:
            try:
                return self._reader.read(wanted)
            except FAILURES as error:
                self._reasons.append(_reason(error))
                self._reader = self._next()

    def _next(self) -> Reader:
        while self._left:
            try:
                reader = self._left.pop(0)()
                if reader.total < 1:
                    raise ValueError("it has no frames")
            except ImportError:
                continue
            except FAILURES as error:
                self._reasons.append(_reason(error))
            else:
                return reader
        if self._again:
            raise ValueError(COUNT_AGAIN)
        raise ValueError(self._reasons[-1] if self._reasons else NO_DECODER)


def _readers(path: Path, by_decoding: bool, beat: Beat) -> tuple[list[Callable[[], Reader]], bool]:
    """Returns the readers to try, and whether the frames may be counted again by decoding if all of them fail."""
    if is_animation(path):
        return [partial(AnimationReader, path)], False
    try:
        index = index_frames(path, by_decoding=by_decoding, beat=beat)
    except ImportError:
        return [], False
    except MemoryError:  # to find frames takes little, so it is the file that asks for too much
        raise ValueError("it asks for more memory than there is") from None
    readers: list[Callable[[], Reader]] = [partial(PyavReader, path, index, beat)]
    return [partial(DecordReader, path, index)] * index.suits_decord + readers, bool(index.times)


def serve() -> None:
    """Answers requests from standard input, one JSON object per line, until the input ends.

    The answer to `{"open": path, "by_decoding": false}` is `{"total", "rate"}`. The answer to `{"read": [numbers]}`
    comes a few frames at a time: `{"shape": [frames, height, width]}`, then their bytes. After a failure,
    `{"error": reason}` takes the place of the answer or of its rest. `{"busy": true}` comes every second before an
    answer, for as long as the decoder gets on.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that output of a library does not mix with the answers
    beat = _beats(out)
    clip = None
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            if "open" in request:
                clip = None  # closed before the next is opened
                clip = OpenVideo(Path(request["open"]), by_decoding=request["by_decoding"], beat=beat)
                _answer(out, {"total": clip.total, "rate": clip.rate if math.isfinite(clip.rate) else 0.0})
            elif clip is not None:
                for frames in clip.read(request["read"]):
                    _send(out, frames)
                    del frames  # before the next ones are decoded
        except MemoryError:
            _answer(out, {"error": NO_MEMORY})
        except FAILURES as error:
            _answer(out, {"error": _reason(error)})


def _beats(out: BinaryIO) -> Beat:
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT:
            last = time.monotonic()
            _answer(out, {"busy": True})

    return beat


def _send(out: BinaryIO, frames: Sequence[Frame]) -> None:
    height, width, _ = frames[0].shape
    check_size(width, height)
    if any(frame.shape != frames[0].shape for frame in frames):
        raise ValueError("its frames differ in size")
    out.write(json.dumps({"shape": [len(frames), height, width]}).encode() + b"\n")
    out.writelines(np.ascontiguousarray(frame).data for frame in frames)
    out.flush()


def _answer(out: BinaryIO, fields: dict[str, object]) -> None:
    out.write(json.dumps(fields).encode() + b"\n")
    out.flush()


def _reason(error: BaseException) -> str:
    """Returns the message of a library's error, without source lines and stack."""
    text = str(getattr(error, "strerror", None) or error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return first.rpartition("Check failed: ")[2].rstrip(".")[:200]
