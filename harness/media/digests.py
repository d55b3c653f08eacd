"""Digests of files, cached by path, size and change times. So a second run does not read the files again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from harness.errors import BadMedia, UserError
from harness.files.kinds import not_a
from harness.files.paths import cache_dir
from harness.identity import fingerprint, library_version
from harness.media.containers import check_video, is_animation
from harness.media.frame_folder import frames_of, joined_digest
from harness.media.images import MediaInfo, inspect_image
from harness.media.pixels import VERSION
from harness.media.places import about, resolve, walk
from harness.media.unchanged import read_bytes, stamp_of
from harness.types import Media

_RECIPE = 2
"""Increase it when the same file gets another verdict than before."""
_SCHEMA = "CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, stamp TEXT NOT NULL, value TEXT NOT NULL)"
_FRESH_NS = 2_000_000_000
"""A file that changed this recently is not cached, because it may change again without a change of its times."""
_UNSAVED = 1000
"""Number of entries that are held in memory before they are written."""
_TIMEOUT = 5.0
"""Seconds to wait for another process to finish writing."""


class Digests:
    """A cache of digests: a SQLite file in the cache folder. Safe in threads.

    If the file cannot be used, the cache is held in memory for this run.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._added: dict[str, tuple[str, str]] = {}
        self._unsaved: list[str] = []
        self._database = _open(path or cache_dir() / f"digests-{_RECIPE}.db")

    def file(self, path: Path) -> str:
        """Returns the SHA-256 of a file's bytes. Raises: UserError if it cannot be read."""
        return self._of_file("file", Path(os.path.realpath(path)), _sha256)[0]

    def image(self, media: Media) -> MediaInfo:
        """Returns the digest and size of an image that `inspect_image` has checked.

        Raises: BadMedia. That a file is bad is cached too.
        """
        with about(media):
            return self._image(resolve(media))

    def media(self, media: Media) -> MediaInfo:
        """Returns the digest and size of a medium. Raises: BadMedia.

        Images are checked as in `image`. Of videos only the structure is checked; models decode them. The notes on an
        animated image are those on its first frame. If a video is a folder of frames, each of them is checked as an
        image.
        """
        if media.kind == "image":
            return self.image(media)
        with about(media):
            path = resolve(media)
            if path.is_dir():
                return self._frames(media, path)
            check_video(path)
            try:
                digest, stamp = self._of_file("file", path, _sha256)
            except UserError as error:
                raise BadMedia(error.what, error.hint) from None
            notes: tuple[str, ...] = ()
            with contextlib.suppress(BadMedia, OSError):  # whether it can be used is found when it is decoded
                notes = self._image(path).notes if is_animation(path) else ()
            version = str(VERSION) if "deep_greys_scaled" in notes else ""  # of an animation, version 1 clipped them
            return MediaInfo(digest, 0, 0, notes, version, stamp)

    def _frames(self, media: Media, folder: Path) -> MediaInfo:
        stamp = stamp_of(folder)
        infos = [self.image(frame) for frame in frames_of(media, folder)]
        notes = dict.fromkeys(note for info in infos for note in info.notes)
        version = next((info.version for info in infos if info.version), "")
        return MediaInfo(joined_digest(info.digest for info in infos), 0, 0, tuple(notes), version, stamp)

    def receipt(self, key: str) -> Mapping[str, object] | None:
        """Returns the value that `leave_receipt` stored under `key`, or None."""
        known = self._recall(f"receipt|{key}", "")
        return json.loads(known) if known else None

    def leave_receipt(self, key: str, value: Mapping[str, object]) -> None:
        """Stores a JSON value under `key`, in place of an earlier one."""
        self._remember(f"receipt|{key}", "", json.dumps(value))

    def flush(self) -> None:
        """Writes new entries to the file. If that fails, the files are read again next time."""
        with self._lock:
            rows = [(key, *self._added[key]) for key in self._unsaved]
            self._unsaved.clear()
            with contextlib.suppress(sqlite3.Error), self._database:
                self._database.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", rows)

    def _image(self, path: Path) -> MediaInfo:
        known, stamp = self._of_file(f"image/{library_version('pillow')}", path, _inspected)
        found = json.loads(known)
        if isinstance(found, dict):
            raise BadMedia(str(found["what"]), str(found["hint"]))
        digest, width, height, notes, version = found
        return MediaInfo(digest, width, height, tuple(notes), version, stamp)

    def _of_file(self, kind: str, path: Path, work: Callable[[Path], str]) -> tuple[str, str]:
        """Returns the cached value for a file, or that of `work`, and the file's stamp before.

        `path` must be free of links.
        """
        stamp, fresh = _stamp(path)
        key = f"{kind}|{path}"
        known = self._recall(key, stamp)
        if known is None:
            known = work(path)
            if not fresh:
                self._remember(key, stamp, known)
        return known, stamp

    def _recall(self, key: str, stamp: str) -> str | None:
        with self._lock:
            row = self._added.get(key)
            if row is None:
                try:
                    row = self._database.execute("SELECT stamp, value FROM known WHERE key = ?", (key,)).fetchone()
                except sqlite3.Error:  # damaged, or locked for longer than the timeout: do not wait again
                    self._database = _connect(":memory:")
            return row[1] if row is not None and row[0] == stamp else None

    def _remember(self, key: str, stamp: str, value: str) -> None:
        with self._lock:
            self._added[key] = stamp, value
            self._unsaved.append(key)
            full = len(self._unsaved) >= _UNSAVED
        if full:
            self.flush()


def folder_digest(folder: Path, digests: Digests | None = None) -> str:
    """Returns a SHA-256 over the names and bytes of all files of a folder, hidden ones left out.

    Raises: UserError if it is not a folder, or if something in it cannot be read.
    """
    return fingerprint({"files": [list(each) for each in folder_digests(folder, digests).items()]})


def folder_digests(folder: Path, digests: Digests | None = None) -> dict[str, str]:
    """Returns the SHA-256 of each file of a folder by its name in it, sorted. Raises: as `folder_digest`."""
    cache = digests or Digests()
    found = {name: cache.file(path) for name, path in folder_files(folder).items()}
    cache.flush()
    return found


def folder_files(folder: Path) -> dict[str, Path]:
    """Returns the files of a folder that `folder_digest` covers by their names in it, sorted. Raises: UserError."""
    if not folder.is_dir():
        raise UserError(not_a(folder, "a folder"), "Name a folder that holds a model.")
    return dict(sorted((path.relative_to(folder).as_posix(), path) for path in _files(folder)))


def files_digest(paths: Sequence[Path], digests: Digests) -> str:
    """Returns a SHA-256 over the bytes of files in the order given. Their paths do not count."""
    return fingerprint({"files": [digests.file(path) for path in paths]})


def _files(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder, those behind links included, as a library that loads the folder finds them."""
    for here, folders, names in walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if name[0] != "."]
        yield from (here / name for name in names if name[0] != "." and (here / name).is_file())


def _stamp(path: Path) -> tuple[str, bool]:
    """Returns a text that changes whenever the file changes, and whether the file changed just now."""
    try:
        stamp, status = stamp_of(path), os.stat(path)
    except OSError as error:
        _unreadable(error)
    return stamp, time.time_ns() - status.st_ctime_ns < _FRESH_NS  # programs can set mtime back, but not ctime


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        _unreadable(error)


def _inspected(path: Path) -> str:
    """Returns the value that `Digests.image` caches.

    Raises: BadMedia if the file cannot be read now. That says nothing about its content, so it is not cached.
    """
    data = read_bytes(path)
    try:
        info = inspect_image(data, path)
    except BadMedia as error:
        return json.dumps({"what": error.what, "hint": error.hint})
    return json.dumps([info.digest, info.width, info.height, info.notes, info.version])


def _unreadable(error: OSError) -> NoReturn:
    what = f"{error.filename} cannot be read: {error.strerror}."
    raise UserError(what, "Check the path and its permissions.") from None


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _connect(path)
    except (OSError, sqlite3.Error):
        return _connect(":memory:")


def _connect(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_TIMEOUT, check_same_thread=False)
    connection.execute(_SCHEMA)
    return connection
