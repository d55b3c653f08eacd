"""The embedding store: vectors in SQLite files, safe against crashes.

    STORE/<model>-<fingerprint>/spec.json        the fields behind the fingerprint
    STORE/<model>-<fingerprint>/<host>-<n>.db    SQLite; one writer process at a time, many readers

Each process writes to its own file and reads all files. So processes, machines and later runs share a store without
waiting for each other. A batch is one transaction with a rollback journal: after `kill -9` it is stored completely or
not at all.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from harness.errors import UserError
from harness.files.paths import safe_name
from harness.files.writing import explain_os_errors, write_atomic
from harness.identity import model_fields, model_fingerprint
from harness.types import FloatArray, ModelSpec

FORMAT = 1

_PAGE = "PRAGMA page_size = 16384"
"""A page has room for a vector of width 4000."""
_SCHEMA = (
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL)",
    f"PRAGMA user_version = {FORMAT}",
)
_CHUNK = 500
_KEPT = "then run the same command again; the vectors stored so far are kept."
_DAMAGED = (
    "is damaged",
    "Move the file away and run again. Its vectors are computed again; all others are kept.",
)
_TROUBLE: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("cannot grow, the disk is full", f"Free some space, {_KEPT}"),
    sqlite3.SQLITE_IOERR: ("could not be read or written", f"Check the disk, its free space and your quota, {_KEPT}"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Choose a --store that you may write to."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check its permissions, or choose another --store."),
    sqlite3.SQLITE_PERM: ("cannot be opened", "Check its permissions, or choose another --store."),
    sqlite3.SQLITE_BUSY: ("is locked by another process", f"Wait for it to end, {_KEPT}"),
    sqlite3.SQLITE_PROTOCOL: ("cannot be locked", "Choose a --store on a disk that supports file locks."),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
"""Errors of SQLite that are not bugs of ours: what is wrong, and what to do."""


class Store:
    """The vectors of one model in a store. No file is opened for writing until the first `put`.

    Use it as a context manager. All methods raise UserError for damaged files, and for files of a newer version.
    """

    def __init__(self, root: Path, spec: ModelSpec) -> None:
        self.folder = root / f"{safe_name(spec.name)}-{model_fingerprint(spec)[:16]}"
        self._spec = spec
        self._readers: dict[Path, sqlite3.Connection] = {}
        self._writer: tuple[Path, sqlite3.Connection] | None = None
        self._lock: FileLock | None = None

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Returns the keys that no file holds, without repeats, in the order given."""
        wanted = dict.fromkeys(keys)
        for path, connection in self._open_readers():
            for row in _select(path, connection, "key", list(wanted)):
                del wanted[row[0]]
        return list(wanted)

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Returns the vectors `(n, d)` in the order of `keys`, all of which must be stored.

        If several files hold a key, the vector of the first file by name is returned.
        """
        places: dict[bytes, list[int]] = {}
        for index, key in enumerate(keys):
            places.setdefault(key, []).append(index)
        matrix = np.empty((len(keys), self.width() or 0), dtype=np.float32)
        for path, connection in self._open_readers():
            for key, vector in _select(path, connection, "key, vector", list(places)):
                matrix[places.pop(key)] = np.frombuffer(vector, dtype="<f4")
        assert not places, f"{len(places)} vectors are not in the store"
        return matrix

    def width(self) -> int | None:
        """Returns the width of the stored vectors; None if there are none."""
        for path, connection in self._open_readers():
            with _explained(path):
                row = connection.execute("SELECT length(vector) FROM vectors LIMIT 1").fetchone()
            if row:
                return int(row[0]) // 4
        return None

    def put(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
        """Stores vectors `(n, d)` in one transaction. Keys that the own file holds already keep their vectors.

        Raises: UserError if the disk is full or read-only.
        """
        data = np.ascontiguousarray(vectors, dtype="<f4")
        rows = [(key, row.tobytes()) for key, row in zip(keys, data, strict=True)]
        path, connection = self._open_writer()
        with _explained(path), connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO vectors (key, vector) VALUES (?, ?)", rows)

    def check_writable(self) -> None:
        """Opens the file for writing now, before the first batch. Raises: UserError if that is not possible."""
        self._open_writer()

    def close(self) -> None:
        """Closes all files, and releases the lock on the own one."""
        for connection in self._readers.values():
            connection.close()
        self._readers.clear()
        if self._writer is not None:
            self._writer[1].close()
            self._writer = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_readers(self) -> list[tuple[Path, sqlite3.Connection]]:
        for path in self.folder.glob("*.db"):
            if path not in self._readers and path.stat().st_size > 0:
                connection = _connect(path, "rw")
                if _checked_format(path, connection):
                    self._readers[path] = connection
                else:
                    connection.close()
        return sorted(self._readers.items())

    def _open_writer(self) -> tuple[Path, sqlite3.Connection]:
        if self._writer is None:
            with explain_os_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                path, self._lock = _claim(self.folder)
            connection = _connect(path, "rwc")
            if not _checked_format(path, connection):
                _create(path, connection)
            spec = self.folder / "spec.json"
            if not spec.exists():
                fields = {"store_format": FORMAT, **model_fields(self._spec)}
                write_atomic(spec, json.dumps(fields, indent=2, sort_keys=True) + "\n")
            self._writer = path, connection
        return self._writer


def _claim(folder: Path) -> tuple[Path, FileLock]:
    """Locks the first file of this machine that no live process writes to. The lock ends with the process."""
    host = safe_name(socket.gethostname())
    for number in range(10_000):
        path = folder / f"{host}-{number:03d}.db"
        lock = FileLock(f"{path}.lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        return path, lock
    raise UserError(f"{folder} has 10,000 writers.", "Remove the .lock files if no run is alive.")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Opens a file. SQLite opens it read-only if `rw` is not permitted.

    Readers use `rw` too, because the next process that opens the file rolls back the journal of a killed writer.
    """
    with _explained(path):
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=60, check_same_thread=False)


def _create(path: Path, connection: sqlite3.Connection) -> None:
    with _explained(path):
        connection.execute(_PAGE)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)


def _checked_format(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether the file holds a store. Raises: UserError if a newer version wrote it."""
    with _explained(path):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise UserError(
            f"{path} was written by a newer version of llave-bench (store format {version}, this one reads {FORMAT}).",
            "Upgrade llave-bench, or use another --store.",
        )
    return bool(version == FORMAT)


def _select(
    path: Path, connection: sqlite3.Connection, columns: str, keys: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    with _explained(path):
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            yield from connection.execute(f"SELECT {columns} FROM vectors WHERE key IN ({marks})", chunk)  # noqa: S608


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns errors of SQLite that are not bugs of ours into a UserError that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        trouble = _TROUBLE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if trouble is None:
            raise
        what, hint = trouble
        raise UserError(f"The embedding store {path} {what}: {error}.", hint) from None
