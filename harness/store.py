"""The embedding store: vectors that survive anything.

    STORE/<model>-<fingerprint>/spec.json        what the fingerprint stands for
    STORE/<model>-<fingerprint>/<host>-<n>.db    SQLite; one writer process at a time, many readers

Each process writes to a file of its own and reads the union of all, so that ranks, machines and later runs share a
store without waiting for each other. A batch is one transaction with a rollback journal: after `kill -9` it is there or
it is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock, Timeout

from harness.errors import UserError
from harness.identity import model_fingerprint
from harness.paths import explain_os_errors, safe_name, write_atomic
from harness.types import FloatArray, ModelSpec

FORMAT = 1

_SCHEMA = f"""
PRAGMA page_size = 16384;
CREATE TABLE vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL);
PRAGMA user_version = {FORMAT};
"""
_CHUNK = 500


class Store:
    """Vectors of one model. Opens nothing for writing until the first `put`. Use as a context manager."""

    def __init__(self, root: Path, spec: ModelSpec) -> None:
        self.folder = root / f"{safe_name(spec.name)}-{model_fingerprint(spec)[:16]}"
        self._spec = spec
        self._readers: dict[Path, sqlite3.Connection] = {}
        self._writer: sqlite3.Connection | None = None
        self._lock: FileLock | None = None

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of `keys` that no file holds, each once, in their order."""
        wanted = dict.fromkeys(keys)
        for connection in self._open_readers():
            for found in _select(connection, "key", list(wanted)):
                wanted.pop(found[0], None)
        return list(wanted)

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Vectors `(n, d)` in the order of `keys`. Where several files hold a key the first by name counts."""
        places: dict[bytes, list[int]] = {}
        for index, key in enumerate(keys):
            places.setdefault(key, []).append(index)
        matrix = np.empty((len(keys), self.width() or 0), dtype=np.float32)
        for connection in self._open_readers():
            for key, vector in _select(connection, "key, vector", list(places)):
                matrix[places.pop(key)] = np.frombuffer(vector, dtype="<f4")
        assert not places, f"{len(places)} vectors are not in the store"
        return matrix

    def width(self) -> int | None:
        """Width of the vectors stored so far; None if there are none."""
        for connection in self._open_readers():
            with _explained(self.folder):
                row = connection.execute("SELECT length(vector) FROM vectors LIMIT 1").fetchone()
            if row:
                return int(row[0]) // 4
        return None

    def put(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
        """Stores `(n, d)` vectors in one transaction. Raises UserError if the disk is full or read-only."""
        data = np.ascontiguousarray(vectors, dtype="<f4")
        connection = self._open_writer()
        with _explained(self.folder), connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR IGNORE INTO vectors (key, vector) VALUES (?, ?)",
                [(key, row.tobytes()) for key, row in zip(keys, data, strict=True)],
            )

    def check_writable(self) -> None:
        """Raises UserError now rather than after the first batch."""
        self._open_writer()

    def close(self) -> None:
        for connection in [*self._readers.values(), self._writer]:
            if connection is not None:
                connection.close()
        self._readers.clear()
        self._writer = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _open_readers(self) -> list[sqlite3.Connection]:
        for path in sorted(self.folder.glob("*.db")):
            if path not in self._readers and path.stat().st_size > 0:
                # A journal left by a killed writer is rolled back by whoever reads next, which takes write access.
                connection = _connect(path, "rw" if os.access(path, os.W_OK) else "ro")
                if _checked_format(connection, path):
                    self._readers[path] = connection
                else:
                    connection.close()
        return [self._readers[path] for path in sorted(self._readers)]

    def _open_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            with explain_os_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                path, self._lock = _claim(self.folder)
            self._writer = _connect(path, "rwc")
            if not _checked_format(self._writer, path):
                with _explained(path):
                    self._writer.executescript(_SCHEMA)
            spec = self.folder / "spec.json"
            if not spec.exists():
                fields = asdict(_plain(self._spec))
                write_atomic(spec, json.dumps({"store_format": FORMAT, **fields}, indent=2, sort_keys=True) + "\n")
        return self._writer


def _plain(spec: ModelSpec) -> ModelSpec:
    return ModelSpec(
        spec.name, spec.revision, spec.adapter, spec.dtype, dict(spec.options), spec.modalities, spec.similarity
    )


def _claim(folder: Path) -> tuple[Path, FileLock]:
    """The first file of this machine that no live process writes to. The lock goes with the process."""
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
    with _explained(path):
        return sqlite3.connect(
            f"file:{_uri(path)}?mode={mode}", uri=True, isolation_level=None, timeout=60, check_same_thread=False
        )


def _uri(path: Path) -> str:
    return path.absolute().as_uri().removeprefix("file:")


def _checked_format(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file holds a store. Raises UserError for one that a newer version wrote."""
    with _explained(path):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise UserError(
            f"{path} was written by a newer version of llave-bench (store format {version}, this one reads {FORMAT}).",
            "Upgrade llave-bench, or use another --store.",
        )
    return bool(version == FORMAT)


def _select(connection: sqlite3.Connection, columns: str, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    with _explained(None):
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            yield from connection.execute(f"SELECT {columns} FROM vectors WHERE key IN ({marks})", chunk)  # noqa: S608


@contextlib.contextmanager
def _explained(path: Path | None) -> Iterator[None]:
    """Turns what SQLite can refuse into a UserError."""
    where = f"The embedding store at {path}" if path else "The embedding store"
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "full" in text:
            hint = "Free some space and run the same command again; the vectors stored so far are kept."
            raise UserError(f"{where} cannot grow: the disk is full.", hint) from None
        if "readonly" in text or "unable to open" in text:
            raise UserError(f"{where} cannot be written: {text}.", "Choose a --store you may write to.") from None
        if "locked" in text:
            hint = "Another process holds it. Wait for it to end and run again."
            raise UserError(f"{where} is locked.", hint) from None
        raise UserError(f"{where} failed: {text}.", "Check the disk, then run the same command again.") from None
    except sqlite3.DatabaseError as error:
        hint = "Move the file away and run again: what it held is computed anew, nothing else is lost."
        raise UserError(f"{where} is damaged: {error}.", hint) from None
