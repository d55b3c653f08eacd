"""Where files go: the cache, names made safe for a path, and the one way to write a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError

_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=-]+")
_LONGEST = 120


def cache_dir() -> Path:
    """The folder for what can be made again: `$LLAVE_CACHE`, else `llave-bench` in the user's cache folder."""
    chosen = os.environ.get("LLAVE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llave-bench"


def safe_name(name: str) -> str:
    """A name as one path component. Different names never share one: what is changed gets a digest of the original."""
    safe = _UNSAFE.sub("--", name).strip(".-")[:_LONGEST] or "_"
    if safe == name.replace("/", "--"):
        return safe
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_atomic(path: Path, text: str) -> None:
    """Writes a whole file or none of it: a temporary file in the same folder, synced, then moved into place."""
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turns what a disk can refuse into a UserError that names the path."""
    try:
        yield
    except PermissionError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.", "Choose a folder you may write to.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: {path} could not be written.",
                "Free some space and run the same command again; what was finished is kept.",
            ) from None
        if error.errno == errno.EROFS:
            raise UserError(f"{path} is on a read-only disk.", "Choose a folder you may write to.") from None
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise UserError(
                f"{path} cannot be made: a file of that name is in the way.", "Choose another folder."
            ) from None
        raise


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
