"""What lies at a path, in words for a message: the one answer to "then what is it?".

It looks at links and the first bytes of a file, not at the ending of its name. It opens nothing but regular files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from harness.files.folder_kinds import kind_of_folder
from harness.files.signatures import Kind, kind_of_bytes
from harness.files.text_kinds import kind_of_text

HEAD = 4096
"""The bytes that are read of a file, at most."""

MISSING = Kind("nothing: there is no such path", "Check the path.", "nothing")
EMPTY = Kind("an empty file (0 bytes)", "Fetch it again.", "nothing")
ZEROS = Kind("zeros alone", "Its download broke off. Fetch it again.", "data")
_ZEROS_FIRST = Kind(f"zeros alone in its first {HEAD:,} bytes", ZEROS.remedy, "data")
_SPECIAL = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_ANNEXED = "annex/objects"


def what_is(path: Path) -> Kind:
    """Returns what lies at a path. It always has an answer and raises nothing, whatever lies there.

    At most `HEAD` bytes of a file are read. Of a folder, a bounded number of names and a few small files count.
    """
    try:
        status = path.stat()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            return kind_of_folder(path)
        if not stat.S_ISREG(mode):
            return Kind(_SPECIAL.get(stat.S_IFMT(mode), "no file"), "Name a file.", "unknown")
        with path.open("rb") as file:
            return kind_of_head(file.read(HEAD), whole=status.st_size <= HEAD)
    except (FileNotFoundError, NotADirectoryError):
        return _link(path) or MISSING
    except OSError as error:
        return Kind(f"out of reach ({error.strerror})", "Check its links and permissions.", "unknown")
    except ValueError:  # a NUL, or half of a character
        return Kind("no possible path", "Correct the path.", "nothing")


def not_a(path: Path, wanted: str) -> str:
    """Returns the sentence for a path that is not what was wanted, such as `a folder`: what it is instead."""
    kind = what_is(path)
    return f"{path} is not {wanted}: it {'does not exist' if kind is MISSING else f'is {kind.name}'}."


def other_than(path: Path, wanted: str) -> Kind | None:
    """Returns what lies at a path, if it is clear that it is not what was wanted, such as `a Parquet file`."""
    kind = what_is(path)
    says_nothing = kind is MISSING or kind.sort in ("text", "unknown")
    return None if says_nothing or _words(kind.name) & _words(wanted) else kind


def _words(name: str) -> set[str]:
    return set(name.replace(",", " ").split()) - {"a", "an", "the", "file", "in", "of", "valid"}


def kind_of_head(head: bytes, *, whole: bool) -> Kind:
    """Returns the kind of a file by its first bytes. `whole` is whether they are all that it has."""
    if not head:
        return EMPTY
    if not any(head):
        return ZEROS if whole else _ZEROS_FIRST
    return kind_of_bytes(head) or kind_of_text(head[:HEAD], whole and len(head) <= HEAD) or _unknown(head)


def _unknown(head: bytes) -> Kind:
    return Kind(f"data of an unknown kind, which begins with {head[:16]!r}", "Fetch it again.", "unknown")


def _link(path: Path) -> Kind | None:
    """The kind of the first link on the way to a path that leads nowhere."""
    for place in (*reversed(path.parents), path):
        if place.is_symlink() and not place.exists():
            target = os.readlink(place)
            if _ANNEXED in target:
                return Kind(
                    f"a broken link to {target}: git-annex did not fetch the file",
                    "Fetch it: git annex get FILE",
                    "stand-in",
                )
            return Kind(f"a broken link to {target}", "Mend the link, or fetch the file.", "nothing")
    return None
