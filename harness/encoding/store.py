"""The embedding store: vectors in SQLite files, safe against crashes.

    STORE/<model>-<fingerprint>/spec.json        the fields behind the fingerprint
    STORE/<model>-<fingerprint>/<host>-<n>.db    SQLite; one writer process at a time, many readers

Each process writes to its own file and reads all files. So processes, machines and later runs share a store without
waiting for each other. A batch is one transaction with a rollback journal: after `kill -9` it is stored completely or
not at all. `store_file.py` has the format of a file, and checks all that is read from it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from harness.encoding.matrices import Tokens
from harness.encoding.store_file import FORMAT, TOKENS_FORMAT, StoreDamaged, StoreFile
from harness.errors import UserError
from harness.files.paths import safe_name
from harness.files.reading import explain_reading
from harness.files.writing import explain_os_errors, write_atomic
from harness.identity import model_fields, model_fingerprint
from harness.types import FloatArray, ModelSpec


class Store:
    """The vectors of one model in a store. No file is opened for writing until the first `put`.

    Use it as a context manager. All methods raise StoreDamaged for a damaged file, and UserError for a file of a newer
    version and for what the disk refuses.
    """

    def __init__(self, root: Path, spec: ModelSpec) -> None:
        self.folder = root / f"{safe_name(spec.name)}-{model_fingerprint(spec)[:16]}"
        self._spec = spec
        self._format = TOKENS_FORMAT if spec.is_late else FORMAT
        self._readers: dict[Path, StoreFile] = {}
        self._writer: StoreFile | None = None
        self._lock: FileLock | None = None

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Returns the keys that no file holds, without repeats, in the order given."""
        wanted = dict.fromkeys(keys)
        for file in self._open_readers():
            for key in file.held(list(wanted)):
                wanted.pop(key, None)
        return list(wanted)

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Returns the vectors `(n, d)` in the order of `keys`, all of which must be stored.

        If several files hold a key, the vector of the first file by name is returned. Not for a model that `is_late`.
        """
        assert not self._spec.is_late, "its items have no single vectors"
        matrix = np.empty((len(keys), self.width() or 0), dtype=np.float32)
        for places, vector in self._placed(keys):
            matrix[places] = vector
        return matrix

    def tokens(self, keys: Sequence[bytes]) -> Tokens:
        """Returns the matrices in the order of `keys`, all of which must be stored, of a model that `is_late`."""
        assert self._spec.is_late, "its items have single vectors"
        found: dict[int, FloatArray] = {}
        for places, matrix in self._placed(keys):
            found.update(dict.fromkeys(places, matrix))
        return Tokens.of([found[place] for place in range(len(keys))], self.width() or 0)

    def check(self, keys: Iterable[bytes]) -> None:
        """Reads the vectors of those keys that are stored, so that damage is found before hours of work."""
        for _ in self._read(keys):
            pass

    def width(self) -> int | None:
        """Returns the width of the stored vectors; None if there are none."""
        return next((width for file in self._open_readers() if (width := file.width()) is not None), None)

    def put(self, keys: Sequence[bytes], vectors: Iterable[FloatArray]) -> None:
        """Stores a vector `(d,)` of each key in one transaction; of a model that `is_late` a matrix `(tokens, d)`.

        Keys that the own file holds already keep what they have. Raises: UserError if the disk is full or read-only.
        """
        self._open_writer().put(keys, vectors)

    def check_writable(self) -> None:
        """Opens the file for writing now, before the first batch. Raises: UserError if that is not possible."""
        self._open_writer()

    def close(self) -> None:
        """Closes all files, and releases the lock on the own one."""
        for file in self._readers.values():
            file.close()
        self._readers.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _placed(self, keys: Sequence[bytes]) -> Iterator[tuple[list[int], FloatArray]]:
        """Yields what is stored under each key, with all places of the key. All keys must be stored."""
        places: dict[bytes, list[int]] = {}
        for index, key in enumerate(keys):
            places.setdefault(key, []).append(index)
        for key, vector in self._read(places):
            yield places.pop(key), vector
        for file in self._open_readers() if places else ():
            file.check()  # one of them lost what was stored in it
        assert not places, f"{len(places)} vectors are not in the store"

    def _read(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, FloatArray]]:
        """Yields each of the keys that a file holds, with its vector in the first such file by name."""
        wanted, width = dict.fromkeys(keys), self.width()
        for file in self._open_readers():
            if (file.version == TOKENS_FORMAT) != self._spec.is_late:
                raise StoreDamaged(file.path, "its items have one vector for every token, or they should have")
            for key, vector in file.read(list(wanted)):
                if vector.shape[-1] != width:
                    raise StoreDamaged(file.path, f"its vectors have width {vector.shape[-1]:,}, others {width:,}")
                if key in wanted:  # a damaged index may give a key twice
                    del wanted[key]
                    yield key, vector

    def _open_readers(self) -> list[StoreFile]:
        for path in vector_files(self.folder):
            if path not in self._readers:
                file = StoreFile.open(path)
                if file is not None:
                    self._readers[path] = file
        return [file for _, file in sorted(self._readers.items())]

    def _open_writer(self) -> StoreFile:
        if self._writer is None:
            with explain_os_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                file, self._lock = _claim(self.folder, self._format)
            spec = self.folder / "spec.json"
            if not spec.exists():
                fields = {"store_format": self._format, **model_fields(self._spec)}
                write_atomic(spec, json.dumps(fields, indent=2, sort_keys=True) + "\n")
            self._writer = file
        return self._writer


def vector_files(folder: Path) -> list[Path]:
    """Returns the files of a model's folder that are not empty, by name."""
    paths = sorted(folder.glob("*.db"))
    return [path for path in paths if not _is_empty(path)]


def _is_empty(path: Path) -> bool:
    with explain_reading(path):
        return path.stat().st_size == 0


def lock_of(path: Path) -> FileLock:
    """Returns the lock of a file of vectors. Its writer holds it, and it ends with the process."""
    return FileLock(f"{path}.lock", timeout=0, thread_local=False)


def _claim(folder: Path, version: int) -> tuple[StoreFile, FileLock]:
    """Locks and opens the first file of this machine that no live process writes to.

    A file of another format is left as it is.
    """
    host = safe_name(socket.gethostname())
    for number in range(10_000):
        path = folder / f"{host}-{number:03d}.db"
        lock = lock_of(path)
        with ExitStack() as undo:
            try:
                undo.enter_context(lock)
            except Timeout:
                continue
            file = StoreFile.open_for_writing(path, version)
            if file.version == version:
                undo.pop_all()
                return file, lock
            file.close()
    raise UserError(f"{folder} has 10,000 writers.", "Remove the .lock files if no run is alive.")
