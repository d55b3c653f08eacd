"""One file of the embedding store: its format, and the checks of everything that is read from it.

A file is a SQLite database with one table, `vectors`. A row of format 2 holds a CRC-32 of its key and its vector. A row
of format 1 has none, so only types, lengths and NaN are checked there. A row of format 3 is of an item with many
vectors. It holds their matrix, their number, and a CRC-32 of all. SQLite keeps no checksums: it may read damaged pages
without an error. So each row is checked whenever it is read, and the table is compared when a file is opened.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeAlias

import numpy as np

from harness.errors import UserError
from harness.files.reading import reason
from harness.types import FloatArray

FORMAT = 2
"""The format in which single vectors are written."""
TOKENS_FORMAT = 3
"""The format in which matrices are written, one for each item."""

_APPLICATION = 0x4C4C5600
"""`application_id` of format 0. That of format n is n more, and `user_version` is n: damage to one of them shows."""
_COLUMNS = "id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL"
_TABLES: Mapping[int, str] = {
    FORMAT: f"CREATE TABLE vectors ({_COLUMNS}, checksum INTEGER NOT NULL)",
    TOKENS_FORMAT: f"CREATE TABLE vectors ({_COLUMNS}, tokens INTEGER NOT NULL, checksum INTEGER NOT NULL)",
}
_MARKS_AND_TABLES: Mapping[tuple[int, int], str] = {
    (0, 1): f"CREATE TABLE vectors ({_COLUMNS})",
    **{(_APPLICATION + version, version): table for version, table in _TABLES.items()},
}
"""`application_id` and `user_version` of each format that is read, and the table of its files."""
_SCHEMAS: Mapping[int, Sequence[str]] = {
    version: (table, f"PRAGMA application_id = {_APPLICATION + version}", f"PRAGMA user_version = {version}")
    for version, table in _TABLES.items()
}
"""The statements that make a file of each format."""
_READ: Mapping[int, str] = {
    1: "key, vector, NULL, NULL",
    FORMAT: "key, vector, NULL, checksum",
    TOKENS_FORMAT: "key, vector, tokens, checksum",
}
"""What is read of a row of each format."""
_PAGE = "PRAGMA page_size = 16384"
"""A page has room for a vector of width 4000."""
_CHUNK = 500
_FETCHED = 64
"""Rows at a time: few enough that they are still in the processor's cache when they are checked."""
_KEPT = "then run the same command again; the vectors stored so far are kept."
_TROUBLE: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("cannot grow, the disk is full", f"Free some space, {_KEPT}"),
    sqlite3.SQLITE_IOERR: ("could not be read or written", f"Check the disk, its free space and your quota, {_KEPT}"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Choose a --store that you may write to."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check its permissions, or choose another --store."),
    sqlite3.SQLITE_PERM: ("cannot be opened", "Check its permissions, or choose another --store."),
    sqlite3.SQLITE_BUSY: ("is locked by another process", f"Wait for it to end, {_KEPT}"),
    sqlite3.SQLITE_PROTOCOL: ("cannot be locked", "Choose a --store on a disk that supports file locks."),
}
"""Errors of SQLite that come from the disk: what is wrong, and what to do. All others mean that the file is damaged."""

_Row: TypeAlias = tuple[object, ...]


class StoreDamaged(UserError):
    """A file of the embedding store does not hold what was written to it."""

    def __init__(self, path: Path, why: str) -> None:
        hint = "Move the file away and run again. Its vectors are computed again; all others are kept."
        super().__init__(f"The embedding store {path} is damaged: {why}.", hint)


class StoreFile:
    """An open file of vectors. All methods raise StoreDamaged, or another UserError for what the disk refuses."""

    def __init__(self, path: Path, connection: sqlite3.Connection, version: int) -> None:
        self.path, self.version = path, version
        self._connection = connection
        self._length: int | None = None

    @staticmethod
    def open(path: Path) -> StoreFile | None:
        """Opens a file to read; None if nothing was ever stored in it. Raises: UserError also for a newer format."""
        connection = _connect(path, "rw")
        try:
            with _explained(path), connection:
                connection.execute("BEGIN")  # so that no writer makes the table between two looks
                version = _version(path, connection)
        except UserError:
            connection.close()
            raise
        if version:
            return StoreFile(path, connection, version)
        connection.close()
        return None

    @staticmethod
    def open_for_writing(path: Path, version: int = FORMAT) -> StoreFile:
        """Opens a file, and makes it in the format `version` if there is none.

        One that cannot be written is found out now. One of another format is opened too, and must not be written to.
        """
        connection = _connect(path, "rwc")
        try:
            with _explained(path), connection:
                connection.execute(_PAGE)
                connection.execute("BEGIN IMMEDIATE")
                found = _version(path, connection)
                for statement in () if found else _SCHEMAS[version]:
                    connection.execute(statement)
        except UserError:
            connection.close()
            raise
        return StoreFile(path, connection, found or version)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def held(self, keys: Sequence[bytes]) -> Iterator[bytes]:
        """Yields those of the keys that the file holds, in any order. Reads no vectors."""
        for (key,) in self._select("key", keys):
            assert isinstance(key, bytes), "only a blob equals a blob"
            yield key

    def read(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, FloatArray]]:
        """Yields keys that the file holds, in any order, with their vectors `(d,)` or matrices `(tokens, d)`."""
        return self._checked(self._select(self._columns, keys))

    def width(self) -> int | None:
        """Returns the width of the vectors; None if there are none. It is that of the first one."""
        if self._length is None:
            for _ in self._checked(self._rows(f"SELECT {self._columns} FROM vectors LIMIT 1")):  # noqa: S608
                pass
        return self._length // 4 if self._length is not None else None

    def count(self) -> int:
        """Returns the number of items."""
        with _explained(self.path):
            return int(self._connection.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def check(self) -> None:
        """Reads everything: the pages and indexes, as SQLite checks them, and every row."""
        with _explained(self.path):
            if self._connection.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
                self._damaged("SQLite's integrity check fails")
        for _ in self._checked(self._rows(f"SELECT {self._columns} FROM vectors")):  # noqa: S608
            pass

    def put(self, keys: Sequence[bytes], vectors: Iterable[FloatArray]) -> None:
        """Stores a vector `(d,)` or a matrix `(tokens, d)` of each key, as the format has it, in one transaction.

        Keys that the file holds already keep what they have.
        """
        rows = [_row(key, vector, self.version) for key, vector in zip(keys, vectors, strict=True)]
        columns = "key, vector, tokens, checksum" if self.version == TOKENS_FORMAT else "key, vector, checksum"
        marks = ", ".join("?" * len(columns.split(", ")))
        with _explained(self.path), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT OR IGNORE INTO vectors ({columns}) VALUES ({marks})", rows)  # noqa: S608

    @property
    def _columns(self) -> str:
        return _READ[self.version]

    def _select(self, columns: str, keys: Sequence[bytes]) -> Iterator[_Row]:
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            yield from self._rows(f"SELECT {columns} FROM vectors WHERE key IN ({marks})", chunk)  # noqa: S608

    def _rows(self, statement: str, values: Sequence[bytes] = ()) -> Iterator[_Row]:
        """The rows of a statement. They are fetched many at a time."""
        with _explained(self.path):
            cursor = self._connection.execute(statement, values)
        while True:
            with _explained(self.path):
                rows = cursor.fetchmany(_FETCHED)
            if not rows:
                return
            yield from rows

    def _checked(self, rows: Iterator[_Row]) -> Iterator[tuple[bytes, FloatArray]]:
        for key, blob, tokens, checksum in rows:
            if not isinstance(key, bytes) or not isinstance(blob, bytes):
                self._damaged("a vector is no blob")
            if self.version > 1 and _checksum(key, blob, tokens) != checksum:
                self._damaged("the checksum of a vector is wrong")
            count = 1 if tokens is None else tokens
            if not isinstance(count, int) or count < 1 or not blob or len(blob) % (4 * count):
                self._damaged(f"a vector has {len(blob):,} bytes")
            length = len(blob) // count
            if self._length is None:
                self._length = length
            if length != self._length:
                self._damaged(f"its vectors have widths {self._length // 4:,} and {length // 4:,}")
            vector = np.frombuffer(blob, dtype="<f4")
            if self.version == 1 and not np.isfinite(vector).all():
                self._damaged("a vector is not finite, and such were never stored")
            yield key, vector if tokens is None else vector.reshape(count, -1)

    def _damaged(self, why: str) -> NoReturn:
        raise StoreDamaged(self.path, why)


def _row(key: bytes, vector: FloatArray, version: int) -> _Row:
    """The values of a new row, in the order of its columns."""
    blob, tokens = np.ascontiguousarray(vector, dtype="<f4").tobytes(), len(vector)
    return (
        (key, blob, tokens, _checksum(key, blob, tokens))
        if version == TOKENS_FORMAT
        else (key, blob, _checksum(key, blob))
    )


def _checksum(key: bytes, vector: bytes, tokens: object = None) -> int:
    state = zlib.crc32(key) if tokens is None else zlib.crc32(str(tokens).encode(), zlib.crc32(key))
    return zlib.crc32(vector, state)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Opens a file. SQLite opens it read-only if `rw` is not permitted.

    Readers use `rw` too, because the next process that opens the file rolls back the journal of a killed writer.
    """
    with _explained(path):
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=60, check_same_thread=False)
        connection.execute("PRAGMA cell_size_check = ON")
        return connection


def _version(path: Path, connection: sqlite3.Connection) -> int:
    """The format of a file; 0 if it is empty. Raises: UserError for a newer format, StoreDamaged for anything else."""
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    entries = {*connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")}
    if (mark, version) == (0, 0) and not entries:
        return 0
    if version > TOKENS_FORMAT and mark == _APPLICATION + version:
        raise UserError(
            f"{path} was written by a newer version of llave-bench (store format {version}; this one reads "
            f"{TOKENS_FORMAT}).",
            "Upgrade llave-bench, or use another --store.",
        )
    table = _MARKS_AND_TABLES.get((mark, version))
    wanted = {("table", "vectors", "vectors", table), ("index", "sqlite_autoindex_vectors_1", "vectors", None)}
    if table is None or entries != wanted:
        raise StoreDamaged(path, "it does not hold the table of a store")
    return int(version)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns errors of SQLite into a UserError that names the file. Misuse by our own code stays as it is."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for text, also in messages of SQLite
        trouble = _TROUBLE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if trouble is None:
            raise StoreDamaged(path, reason(error)) from None
        what, hint = trouble
        raise UserError(f"The embedding store {path} {what}: {error}.", hint) from None
