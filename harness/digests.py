"""Digests of files, remembered by path, size and modification time, so that a second run does not read them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import BadMedia, UserError
from harness.identity import fingerprint, library_version
from harness.media import MediaInfo, inspect_image, resolve
from harness.paths import cache_dir
from harness.types import Media

_RECIPE = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS receipts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_FRESH_NS = 2_000_000_000
"""A file changed this recently may change again within its time stamp's resolution: it is not remembered."""


class Digests:
    """The memory: a SQLite file in the cache folder. Safe in threads. Without a usable file it lasts for one run."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str], str] = {}
        self._unsaved: list[tuple[str, str, str]] = []
        self._database = _open(path or cache_dir() / f"digests-{_RECIPE}.db")

    def file(self, path: Path) -> str:
        """SHA-256 of a file's bytes."""
        key, fresh = _stamp("file", path)
        known = self._recall("files", key)
        if known is None:
            known = _sha256(path)
            self._remember("files", key, known, keep=not fresh)
        return known

    def image(self, media: Media) -> MediaInfo:
        """Digest and size of an image, after the checks of `harness.media`. Raises BadMedia, and remembers that too."""
        path = resolve(media)
        key, fresh = _stamp(f"image/{library_version('pillow')}", path)
        known = self._recall("files", key)
        if known is None:
            try:
                info = inspect_image(path)
                known = json.dumps([info.digest, info.width, info.height, info.turned])
            except BadMedia as error:
                known = json.dumps({"what": error.what, "hint": error.hint})
            self._remember("files", key, known, keep=not fresh)
        fields = json.loads(known)
        if isinstance(fields, dict):
            raise BadMedia(str(fields["what"]), str(fields["hint"]))
        return MediaInfo(*fields)

    def media(self, media: Media) -> MediaInfo:
        """Digest of any medium. A video is digested here and opened by the model that sees it."""
        if media.kind == "image":
            return self.image(media)
        return MediaInfo(self.file(resolve(media)), 0, 0, turned=False)

    def receipt(self, key: str) -> Mapping[str, object] | None:
        """What `leave_receipt` said under `key`, if anything."""
        known = self._recall("receipts", key)
        return json.loads(known) if known else None

    def leave_receipt(self, key: str, value: Mapping[str, object]) -> None:
        self._remember("receipts", key, json.dumps(value), keep=True)

    def flush(self) -> None:
        """Writes out what was learned. A memory that cannot be written costs time, not truth."""
        with self._lock, contextlib.suppress(sqlite3.Error), self._database:
            for table, key, value in self._unsaved:
                self._database.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (key, value))  # noqa: S608
            self._unsaved.clear()

    def _recall(self, table: str, key: str) -> str | None:
        with self._lock:
            if (table, key) in self._cache:
                return self._cache[table, key]
            with contextlib.suppress(sqlite3.Error):
                row = self._database.execute(f"SELECT value FROM {table} WHERE key = ?", (key,)).fetchone()  # noqa: S608
                return str(row[0]) if row else None
        return None

    def _remember(self, table: str, key: str, value: str, *, keep: bool) -> None:
        with self._lock:
            self._cache[table, key] = value
            if keep:
                self._unsaved.append((table, key, value))
        if len(self._unsaved) >= 1000:
            self.flush()


def folder_digest(folder: Path, digests: Digests | None = None) -> str:
    """SHA-256 over the names and bytes of all files of a folder (hidden ones left out). Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.", "Name a folder that holds a model.")
    memory = digests or Digests()
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    digest = fingerprint({"files": [[name, memory.file(folder / name)] for name in names]})
    memory.flush()
    return digest


def files_digest(paths: Sequence[Path], digests: Digests) -> str:
    """SHA-256 over the bytes of some files in order, not over where they lie."""
    return fingerprint({"files": [digests.file(path) for path in paths]})


def _stamp(kind: str, path: Path) -> tuple[str, bool]:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from None
    key = f"{kind}|{os.path.realpath(path)}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}"
    return key, abs(time.time_ns() - stat.st_mtime_ns) < _FRESH_NS


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
        connection.executescript(_SCHEMA)
    except (OSError, sqlite3.Error):
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(_SCHEMA)
    return connection
