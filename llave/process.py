"""The process of the command from its first line on: its streams, its encoding, and what Ctrl-C does to it.

Ctrl-C ends the command within seconds, whatever it is doing:

- While modules are loaded, or before and after the work, it ends at once. An import that is broken off leaves locks and
  half-made modules behind, for which other threads wait without end. Nothing is lost: work is kept batch by batch.
- During the work it raises KeyboardInterrupt. A thread counts the seconds, since the work may be inside a library that
  does not return. When they are over, or after a second Ctrl-C, the thread ends the process.

Imports only what Python has. A program that imports `llave` as a library keeps its own streams and signals.
"""

from __future__ import annotations

import errno
import io
import os
import select
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STOPPED = 130
_PATIENCE = 1.5
"""Seconds between Ctrl-C and the end of the process, if the work does not end by itself."""
_IMPORTS = "<frozen importlib._bootstrap>"

_About = ParamSpec("_About")


class _State:
    """What the process is doing."""

    works = False
    interrupted = False
    """Whether Python has handled the first Ctrl-C."""
    stopping = False
    """Whether Ctrl-C was pressed. Python may be inside a library, and handle it later or never."""
    has_spoken = False


def is_command() -> bool:
    """Whether this process runs the command `llave`, and not a program that imports it."""
    place = len(sys.orig_argv) - len(sys.argv)  # of the script, or of the module behind -m
    return place > 0 and os.path.basename(sys.orig_argv[place]) in ("llave", "-mllave")


def begin() -> None:
    """Puts streams, encoding and Ctrl-C right. Call it once, in the main thread, before anything else."""
    _open_closed_streams()
    _use_utf8()
    sys.stdout, sys.stderr = _kept_open(sys.stdout), _kept_open(sys.stderr)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the caller ignores it, as nohup does
        _watch_interrupts()


@contextmanager
def work() -> Iterator[None]:
    """The time in which Ctrl-C raises KeyboardInterrupt."""
    try:
        _State.works = True
        yield
    finally:
        _State.works = False


def is_stopping() -> bool:
    """Whether Ctrl-C was pressed. Libraries turn KeyboardInterrupt into errors of their own."""
    return _State.stopping


def farewell(arguments: Sequence[str]) -> str:
    """Returns what is said at the end: how to continue. Of several processes one says it; of others it is empty."""
    _State.has_spoken = True
    several = os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")
    if several and os.environ.get("RANK", "0") != "0":
        return ""
    if arguments[:1] != ["train"] or "--dry-run" in arguments:
        return "\nStopped. Finished work is kept: the same command continues from here.\n"
    again = [*arguments, *([] if "--resume" in arguments else ["--resume"])]
    how = "launched as before: llave" if several else "llave"
    return f"\nStopped. The last checkpoint is kept. To continue, run\n  {how} {shlex.join(again)}\n"


def end_stopped() -> NoReturn:
    """Ends the process at once. Threads and other exit handlers are not waited for."""
    if not _State.has_spoken:
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""  # progress bars hide it
        text = f"{show_cursor}{farewell(sys.argv[1:])}".encode(errors="replace")
        if select.select([], [2], [], 0)[1]:  # a pipe that nobody reads is full
            with suppress(OSError):
                os.write(2, text)
    os._exit(STOPPED)


def lost_output() -> OSError | None:
    """Writes what is left of the output. Returns why standard output could not be written.

    A reader that went away, as `head` does, is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError):  # it was closed
            stream.flush()
    outlet = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    trouble = outlet.trouble if isinstance(outlet, _Outlet) else None
    return None if trouble is None or trouble.errno == errno.EPIPE else trouble


class _Outlet(io.FileIO):
    """A standard stream. After an error what is written to it is dropped, so that the work continues."""

    trouble: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.trouble = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def _kept_open(stream: TextIO) -> TextIO:
    """The stream on an outlet. A character that its encoding lacks is replaced, so that no table is lost for it."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering or stream.write_through,
        write_through=stream.write_through,
    )


def _open_closed_streams() -> None:
    """Opens standard streams that are closed. Else the next file that is opened would be one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def _use_utf8() -> None:
    """Starts Python again in UTF-8 mode if the locale cannot express all names of files, as LC_ALL=C."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8" or sys.flags.utf8_mode:
        return
    if encoding != "ascii":  # the terminal may still be in the encoding of the locale
        os.environ.setdefault("PYTHONIOENCODING", encoding)
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 -- this same command


def _watch_interrupts() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, _interrupt)
    threading.Thread(target=_count_down, args=(reader,), daemon=True, name="interrupts").start()
    os.register_at_fork(after_in_child=_leave_interrupts)
    sys.unraisablehook = _silent_when_stopping(sys.unraisablehook)
    sys.excepthook = _silent_when_stopping(sys.excepthook)
    threading.excepthook = _silent_when_stopping(threading.excepthook)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    again, _State.interrupted, _State.stopping = _State.interrupted, True, True
    if again or not _State.works or _is_importing(frame):
        end_stopped()
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTS:
            return True
        frame = frame.f_back
    return False


def _count_down(reader: int) -> None:
    """Ends the process some time after the first Ctrl-C, or at the second. Runs in its own thread."""
    while os.read(reader, 1) != bytes([signal.SIGINT]):
        pass  # another signal
    _State.stopping = True
    end = time.monotonic() + _PATIENCE
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        if os.read(reader, 1) == bytes([signal.SIGINT]):
            break
    end_stopped()


def _leave_interrupts() -> None:
    """A forked process is not the command: a library made it, which knows how it should end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _silent_when_stopping(hook: Callable[_About, object]) -> Callable[_About, None]:
    """The hook that prints a traceback, which prints none after Ctrl-C."""

    def quiet(*about: _About.args, **more: _About.kwargs) -> None:
        if not _State.stopping:
            hook(*about, **more)

    return quiet
