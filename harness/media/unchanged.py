"""What is decoded is what was digested: a file that changes between its check and its use stops the run.

A vector's key holds the digest of its media. So a picture that changed since would be stored under the key of another.

- **Images** are read once, and these bytes are digested and decoded.
- **Videos** are read by other libraries. The size, times and number of the file must be the same before and after it is
  decoded. Up to `DIGESTED` bytes it is digested again afterwards. So a change that leaves no trace in the times is
  found, such as one through shared memory. A larger file is digested again only if its times changed since its check.
  The same holds for a folder of frames, of which the frames are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import BadMedia, UserError
from harness.media.frame_folder import frame_names, joined_digest
from harness.media.places import resolve
from harness.types import Media, Seen

DIGESTED = 64 * 1024 * 1024
"""Largest size in bytes of a video that is digested again after it was decoded."""


def stamp_of(path: Path) -> str:
    """Returns the size, times and number of a file as one text, which changes with the file. Raises: OSError.

    The text of a folder of frames begins with their size too, and changes with each of them.
    """
    if path.is_dir():
        stamps = [stamp_of(path / name) for name in frame_names(path)]
        size = sum(int(stamp.partition("|")[0]) for stamp in stamps)
        return f"{size}|{joined_digest(stamps)}"
    status = os.stat(path)
    return f"{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"


def read_bytes(path: Path) -> bytes:
    """Reads all bytes of a resolved file. Raises: BadMedia if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadMedia(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None


def read_unchanged(media: Media) -> tuple[Path, bytes]:
    """Returns the path of an image and its bytes, which are those that were checked before, if it was checked.

    Raises: BadMedia if it cannot be read; UserError if it changed.
    """
    with _there(media):
        path = resolve(media)
        data = read_bytes(path)
    if media.seen is not None and hashlib.sha256(data).hexdigest() != media.seen.digest:
        raise _changed(path)
    return path, data


@contextlib.contextmanager
def unchanged(media: Media) -> Iterator[Path]:
    """Gives the path of a video. Whoever decodes it inside gets what was checked before, if it was checked.

    Raises: BadMedia if it cannot be read; UserError if it changed.
    """
    with _there(media):
        path = resolve(media)
    if media.seen is None:
        yield path
        return
    before = _stamp(path)
    if _is_large(before) and before != media.seen.stamp:
        _check_bytes(path, media.seen)
    try:
        yield path
    except BadMedia:
        _check(path, before, media.seen)  # the file may be bad because it changed
        raise
    _check(path, before, media.seen)


@contextlib.contextmanager
def _there(media: Media) -> Iterator[None]:
    """Turns BadMedia inside into UserError for a file that could be used when it was checked.

    A bad file can be skipped, and what is skipped must follow from the data alone.
    """
    try:
        yield
    except BadMedia as error:
        if media.seen is None:
            raise
        raise UserError(f"{error.what} It could be read when this run checked it.", _REMEDY) from None


def _check(path: Path, before: str, seen: Seen) -> None:
    if _stamp(path) != before:
        raise _changed(path)
    if not _is_large(before):
        _check_bytes(path, seen)


def _is_large(stamp: str) -> bool:
    return int(stamp.partition("|")[0]) > DIGESTED


def _check_bytes(path: Path, seen: Seen) -> None:
    try:
        same = content_digest(path) == seen.digest
    except OSError:
        same = False
    if not same:
        raise _changed(path)


def content_digest(path: Path) -> str:
    """Returns the SHA-256 of a resolved file, or that of a folder of frames. Raises: OSError."""
    if path.is_dir():
        return joined_digest(content_digest(path / name) for name in frame_names(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> str:
    try:
        return stamp_of(path)
    except OSError:
        raise _changed(path) from None


_REMEDY = (
    "Let nothing write to the data, and run the same command again: what was embedded is kept. "
    "If the message stays, run `touch` on the file, so that it is read anew."
)


def _changed(path: Path) -> UserError:
    return UserError(f"{path} changed while this run used it: it is not the file that was checked.", _REMEDY)
