"""Where files lie: the cache folder, the default folders, and names that are safe in a path."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from harness.errors import UserError

RESULTS, STORE = "runs/results", "runs/store"
"""Folders of results and of the embedding store, where the user names no other."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=-]+")
_LONGEST = 120


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
