"""Images that lie inside of rows. Each is kept once in the cache, as a file that is named by its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.files.paths import cache_dir
from harness.files.writing import atomic_file
from harness.types import Media

_MARK = "\0"
"""How the name of an image from a row begins. No path has a NUL, so none is taken for such a name."""


def keep_image(data: bytes) -> str:
    """Writes an image to the cache unless it is there. Returns its name for `image_of`. Raises: UserError."""
    name = hashlib.sha256(data).hexdigest()
    path = _folder() / name[:2] / name
    if not path.is_file() or path.stat().st_size != len(data):
        with atomic_file(path) as file:
            file.write(data)
    return f"{_MARK}{name[:2]}/{name}"


def is_embedded(name: str) -> bool:
    """Whether a name is of an image from a row."""
    return name.startswith(_MARK)


def image_of(name: str, root: Path, roots: tuple[Path, ...] = (), where: str = "") -> tuple[Media, ...]:
    """The image of a row. A name is a path relative to `root`, or comes from `keep_image`. Empty: no image."""
    if is_embedded(name):
        return (Media("image", name.removeprefix(_MARK), _folder(), where),)
    return (Media("image", name, root, where, roots),) if name else ()


def _folder() -> Path:
    return cache_dir() / "embedded-images"
