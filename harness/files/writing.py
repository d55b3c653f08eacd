"""Writes files completely or not at all, and says in a sentence why a disk refused."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, AnyStr, BinaryIO

from harness.errors import UserError

_KEPT = "Free some space and run the same command again; finished work is kept."
_ELSEWHERE = "Choose a folder that you may write to."
_swept: set[Path] = set()
"""Folders without temporary files of killed processes."""


def write_atomic(path: Path, text: str) -> None:
    """Writes a text file completely or not at all. Raises: UserError if the disk refuses.

    A lone surrogate, which UTF-8 cannot encode, is written as the escape that JSON reads back.
    """
    with atomic_file(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that is there completely after the block, or not at all if the block raises.

    It is a temporary file in the same folder, which is synced and then moved into place. A process that is killed
    leaves it, and the next process that writes to the folder removes it. Raises: UserError if the disk refuses.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with _temporary(path) as file:
            temporary = Path(file.name)
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise


def _temporary(path: Path) -> BinaryIO:
    """Opens a new temporary file for a path, and locks it as one that a living process writes."""
    while True:
        file = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp").open("xb")
        with contextlib.suppress(OSError, ImportError):
            lock(file, wait=True)
        if os.path.exists(file.name):  # else another process swept it away before it was locked
            return file
        file.close()


def _sweep(folder: Path) -> None:
    """Removes the temporary files of killed processes from a folder, once in the life of this process."""
    if folder in _swept:
        return
    _swept.add(folder)
    for path in folder.glob(f".*.{'[0-9a-f]' * 32}.tmp"):
        with contextlib.suppress(OSError, ImportError), path.open("r+b") as file:
            lock(file, wait=False)
            path.unlink()


def lock(file: IO[AnyStr], *, wait: bool) -> None:
    """Locks a file until it is closed. Raises: ImportError on Windows; OSError if it is locked, or on some disks."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turns an OSError raised inside into a UserError that names the path."""
    try:
        yield
    except OSError as error:
        raise _explanation(path, error) from None


def _explanation(path: Path, error: OSError) -> UserError:
    why = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"The disk is full: {path} could not be written.", _KEPT)
    if error.errno == errno.EROFS:
        return UserError(f"{path} is on a read-only disk.", _ELSEWHERE)
    if isinstance(error, PermissionError):
        return UserError(f"{path} cannot be written: {why}.", _ELSEWHERE)
    if isinstance(error, FileExistsError | NotADirectoryError):
        return UserError(f"{path} cannot be made: a file of that name is in the way.", "Choose another folder.")
    return UserError(f"{path} could not be written: {why}.", "Check the path, the disk and your quota on it.")
