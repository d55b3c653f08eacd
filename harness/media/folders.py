"""Folders of a checkpoint in use: their content when it was identified, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from harness.identity import fingerprint
from harness.media.digests import Digests, folder_digests, folder_files


class Stamp(NamedTuple):
    """What changes whenever a file is written or replaced. It can also change where the content stays."""

    inode: int
    size: int
    modified: int
    """Nanoseconds."""
    changed: int
    """Nanoseconds. Programs can set `modified` back, but not this one."""


@dataclass(frozen=True, slots=True)
class FolderState:
    """The files of a folder by name, hidden ones left out: their digests, and their stamps before those were made."""

    folder: Path
    digests: Mapping[str, str]
    stamps: dict[str, Stamp] = field(repr=False)

    @staticmethod
    def of(folder: Path) -> FolderState:
        """Reads a folder. Raises: UserError if something in it cannot be read."""
        stamps = {name: stamp for name, path in folder_files(folder).items() if (stamp := _stamp(path))}
        return FolderState(folder, folder_digests(folder), stamps)

    @property
    def digest(self) -> str:
        """The digest of the whole folder, as `folder_digest` makes it."""
        return fingerprint({"files": [list(each) for each in self.digests.items()]})

    def check(self) -> None:
        """Raises UserError for a file whose content is no longer the same. A file is read only if its stamp changed."""
        for name, digest in self.digests.items():
            path = self.folder / name
            stamp = _stamp(path)
            if stamp is None or (stamp != self.stamps.get(name) and Digests().file(path) != digest):
                raise _changed(path, "is gone" if stamp is None else "has changed")
            self.stamps[name] = stamp

    def check_names(self) -> None:
        """Raises UserError for a file that was not there before."""
        for name in folder_files(self.folder).keys() - self.digests.keys():
            raise _changed(self.folder / name, "is new")


def check_before_use(states: Iterable[FolderState]) -> None:
    """Raises UserError if folders are not as they were, by content and by names."""
    for state in states:
        state.check()
        state.check_names()


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _changed(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} {what} since the model was identified, so its vectors would be stored under another model's name.",
        "Wait until whatever writes the folder has ended, then run the same command again. What was stored is right.",
    )
