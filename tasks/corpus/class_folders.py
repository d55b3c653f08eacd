"""Images in a folder for each class, `ROOT/CLASS/NAME.jpg`, which `datasets` calls an image folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from harness.files.folder_kinds import IMAGES
from tasks.corpus.tables import Row


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """The rows of such a folder: id, path and class, in the order of names."""

    place: Path
    names: tuple[str, ...]
    """Paths of the images, relative to `place`."""
    files: tuple[Path, ...] = ()
    """No table decides the rows."""
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def rows(self) -> Iterator[Row]:
        """Returns one row for each image."""
        for name in self.names:
            yield Row(str(self.place / name), {"id": name, "image": name, "label": name.partition("/")[0]})

    @property
    def content(self) -> str:
        """A digest of the names, which decide the rows."""
        return hashlib.sha256("\0".join(self.names).encode("utf-8", "surrogatepass")).hexdigest()


def class_folders(folder: Path) -> ClassFolders | None:
    """Returns the images of a folder by class; None unless it has two or more subfolders, all with images alone."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    names: list[str] = []
    for place in classes if len(classes) > 1 else ():
        entries = sorted(place.iterdir())
        images = [path.name for path in entries if path.suffix.lower() in IMAGES]
        if not images or any(path.is_dir() for path in entries):
            return None
        names += [f"{place.name}/{name}" for name in images]
    return ClassFolders(folder, tuple(names)) if names else None
