"""Paths and files: the cache folder, names that are safe in a path, and atomic writing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError

RESULTS, STORE = "runs/results", "runs/store"
"""Folders of results and of the embedding store, where the user names no other."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=-]+")
_LONGEST = 120
_KEPT = "Free some space and run the same command again; finished work is kept."
_ELSEWHERE = "Choose a folder that you may write to."


def cache_dir() -> Path:
    """Returns the folder for files that can be made again: `$LLAVE_CACHE`, or `llave-bench` in the user's cache folder.

    Raises: UserError if the user has no home folder and neither `LLAVE_CACHE` nor `XDG_CACHE_HOME` is set.
    """
    chosen = os.environ.get("LLAVE_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llave-bench"
    except RuntimeError:
        raise UserError("This user has no home folder for a cache.", "Set LLAVE_CACHE to a folder.") from None


def safe_name(name: str) -> str:
    """Returns a name as one path component, with `/` written as `--`.

    Different names have different components. The exception is names that differ only in case, on a disk that ignores
    case. A name that cannot be read back from its component gets `~` and a digest of the name at the end.
    """
    safe = _UNSAFE.sub("--", name).strip(".-")[:_LONGEST] or "_"
    if safe.replace("--", "/") == name:
        return safe
    return f"{safe}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write_atomic(path: Path, text: str) -> None:
    """Writes a text file completely or not at all. Raises: UserError if the disk refuses.

    The text goes to a temporary file in the same folder, which is synced and then moved into place. A lone surrogate,
    which UTF-8 cannot encode, is written as the escape that JSON reads back.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


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
