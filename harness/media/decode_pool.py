"""A pool of processes that decode videos. A process that crashes or hangs is ended, and only its video is lost."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from harness.errors import BadMedia, UserError
from harness.media.decode_worker import COUNT_AGAIN, NO_DECODER, NO_MEMORY
from harness.media.frame_index import TOO_LARGE

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds that a decoder may be silent. While it reads a long video, it says that it is busy."""
_PIPE = 1 << 20
"""Capacity of a pipe in bytes, where the system lets us set it. A large pipe needs fewer switches for each frame."""
_HOME = Path(__file__).resolve().parents[2]
_START = f"import sys; sys.path.insert(0, {str(_HOME)!r}); from harness.media.decode_worker import serve; serve()"


def decode(path: Path, choose: Callable[[int, float], Sequence[int]], keep: Callable[[Image.Image], T]) -> list[T]:
    """Decodes the frames that `choose(number of frames, frames per second)` names, and keeps `keep(frame)` of each.

    Frames are RGB, and the list is in the order of the names. Few frames are in memory at once. Both functions may be
    called again from the beginning, if the number of frames turns out to be another.

    Raises: BadMedia if the video cannot be decoded; UserError if no decoder is installed or memory runs out.
    """
    try:
        decoder = _idle.pop()
    except IndexError:
        decoder = Decoder()
    try:
        kept = decoder.frames(path, choose, keep)
    except BaseException:
        decoder.end()  # its pipes may hold the rest of an answer, so it cannot be used again
        raise
    _idle.append(decoder)
    return kept


class _CountAgainError(Exception):
    """A frame is not where the packets of a video promise it."""


class Decoder:
    """A process that decodes one video after another. Used by one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, with our own line of code
            [sys.executable, "-P", "-c", _START],  # -P: no file of the working folder hides a module
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the decoders
        )
        assert self._process.stdin is not None
        assert isinstance(self._process.stdout, io.BufferedReader)
        self._requests = self._process.stdin
        self._answers = self._process.stdout
        self._pixels = bytearray()
        """A buffer for the frames that arrive. It grows when it is too small."""

    def frames(
        self, path: Path, choose: Callable[[int, float], Sequence[int]], keep: Callable[[Image.Image], T]
    ) -> list[T]:
        """Does the work of `decode`. After an error the process must be ended."""
        try:
            return self._frames(path, choose, keep, by_decoding=False)
        except _CountAgainError:
            return self._frames(path, choose, keep, by_decoding=True)

    def _frames(
        self,
        path: Path,
        choose: Callable[[int, float], Sequence[int]],
        keep: Callable[[Image.Image], T],
        *,
        by_decoding: bool,
    ) -> list[T]:
        self._ask({"open": str(path), "by_decoding": by_decoding}, path)
        facts = self._answer(path)
        total, rate = facts["total"], facts["rate"]
        assert isinstance(total, int)
        assert isinstance(rate, float)
        chosen = choose(total, rate)
        distinct = sorted(set(chosen))
        self._ask({"read": distinct}, path)
        kept: list[T] = []
        while len(kept) < len(distinct):
            kept += map(keep, self._pictures(path))
        of = dict(zip(distinct, kept, strict=True))
        return [of[number] for number in chosen]

    def end(self) -> None:
        """Kills the process and waits for its end."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._requests.close()
        self._answers.close()
        self._process.wait()

    def _pictures(self, path: Path) -> Iterator[Image.Image]:
        """Reads the next few frames, and yields them one by one."""
        shape = self._answer(path)["shape"]
        assert isinstance(shape, list)
        count, height, width = shape
        size = height * width * 3
        if len(self._pixels) < count * size:
            self._pixels = bytearray(count * size)
        pixels = memoryview(self._pixels)[: count * size]
        with self._deadline(path):
            if self._answers.readinto(pixels) < len(pixels):
                raise self._ended(path)
        for start in range(0, len(pixels), size):
            yield Image.frombytes("RGB", (width, height), pixels[start : start + size])

    def _ask(self, request: Mapping[str, object], path: Path) -> None:
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except OSError:
            raise self._ended(path) from None

    def _answer(self, path: Path) -> Mapping[str, object]:
        answer: Mapping[str, object] = {"busy": True}
        while "busy" in answer:
            with self._deadline(path):
                line = self._answers.readline()
                if not line.endswith(b"\n"):
                    raise self._ended(path)
            answer = json.loads(line)
        why = answer.get("error")
        if why == COUNT_AGAIN:
            raise _CountAgainError
        if why == NO_DECODER:
            raise UserError(f"{path} is a video, but no library that decodes videos is installed.", "pip install av")
        if why == NO_MEMORY:  # not BadMedia, which can be skipped: scores must not depend on the machine's memory
            raise UserError(f"There is not enough memory to decode {path}.", "Use fewer --workers.")
        if why is not None:
            hint = "Make its frames smaller." if str(why).startswith(TOO_LARGE) else "Fetch the video again."
            raise BadMedia(f"{path} cannot be decoded: {why}.", hint)
        return answer

    @contextlib.contextmanager
    def _deadline(self, path: Path) -> Iterator[None]:
        """Kills the process if the code inside takes too long. Then its pipes close, which ends the wait for it."""
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.daemon = True
        start = time.monotonic()
        timer.start()
        try:
            yield
        except BadMedia:
            if time.monotonic() - start < PATIENCE:
                raise
            what = f"{path} cannot be decoded: the decoder did not answer within {PATIENCE:g} seconds."
            raise BadMedia(what, "Fetch the video again, or encode it again.") from None
        finally:
            timer.cancel()

    def _ended(self, path: Path) -> BadMedia:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"status {code}"
        return BadMedia(f"{path} cannot be decoded: the decoder crashed ({how}).", "Fetch the video again.")


_idle: list[Decoder] = []
"""Processes that wait for work. There are never more of them than threads that decode at the same time."""


def end_idle() -> None:
    """Ends the processes that wait for work. The next video starts a new process."""
    while _idle:
        _idle.pop().end()


atexit.register(end_idle)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # the decoders belong to the parent process
