"""Where a name in data may lead: into the folders that the user named, whatever links lead there.

Data behind links is normal. A root may be a link, and so may what lies in it. A snapshot in the cache of the hub's
library consists of links to the files in `blobs` beside it. What leads out of every root is refused.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from harness.errors import BadMedia, UserError
from harness.types import Media

_SNAPSHOTS, _BLOBS = "snapshots", "blobs"
_STAND_INS = {b"/annex/objects/": "git-annex", b"../.git/annex/": "git-annex", b"version https://git-lfs": "git-lfs"}
"""How a small file begins that stands for a large one, which was not fetched."""
_FETCH = {"git-annex": "git annex get", "git-lfs": "git lfs pull"}


@contextlib.contextmanager
def about(media: Media) -> Iterator[None]:
    """Sets `medium` of every BadMedia that is raised inside, so that callers know which medium is bad."""
    try:
        yield
    except BadMedia as error:
        error.medium = media
        raise


def resolve(media: Media) -> Path:
    """Returns the path of a medium's file, with links followed.

    Raises: BadMedia if it is missing, empty, not a file, or outside of the roots.
    """
    with about(media):
        path, roots = _named(media), (media.root, *media.roots)
        try:
            if path.is_absolute() and not _is_below(path, media.root):
                _refuse_outside(path, Path(os.path.realpath(path)), roots)
            real = Path(os.path.realpath(path, strict=True))
            status = real.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise _missing(path) from None
        except OSError as error:
            raise BadMedia(f"{path} cannot be reached: {error.strerror}.", "Check its links and permissions.") from None
        except ValueError:
            raise BadMedia(f"The path {media.name!r} is not a possible file name.", "Correct the data file.") from None
        _refuse_outside(path, real, roots)
        if not stat.S_ISREG(status.st_mode):
            raise BadMedia(f"{path} is not a file.", "A media path must name a file. Correct the data file.")
        if not status.st_size:
            raise BadMedia(f"{path} is empty (0 bytes).", "Fetch the file again.")
        return real


def check_inside(file: Path, roots: Sequence[Path]) -> None:
    """Raises UserError for a file of data that is a link to a place outside of the roots."""
    try:
        _refuse_outside(file, Path(os.path.realpath(file)), roots)
    except BadMedia as error:
        raise UserError(error.what, error.hint) from None


def _named(media: Media) -> Path:
    """The path that a name means, without a look at the disk."""
    pure = PurePosixPath(media.name.replace("\\", "/"))
    if ".." in pure.parts or Path(media.name).drive or (pure.is_absolute() and not Path(media.name).is_absolute()):
        raise BadMedia(
            f"The path {media.name!r} leaves the folder {media.root}.",
            "Media paths must be relative to the media root and stay inside it. Correct the data file.",
        )
    return media.root / pure


def _is_below(path: Path, root: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))


def _refuse_outside(path: Path, real: Path, roots: Sequence[Path]) -> None:
    """Raises BadMedia unless the real path lies in a root."""
    if any(real.is_relative_to(folder) for root in roots for folder in _real_folders(root)):
        return
    what = f"{path} is a link to {real}, outside of {roots[0]}."
    if not any(_is_below(path, root) for root in roots):
        what = f"The path {str(path)!r} leaves the folder {roots[0]}."
    raise BadMedia(
        what, f"If you trust the data, allow that folder: --allow-root {real.parent} (in Python: allow_roots)."
    )


@cache
def _real_folders(root: Path) -> tuple[str, ...]:
    """A root with links followed, and the blobs of the hub's cache if it lies in a snapshot there."""
    real = Path(os.path.realpath(root))
    repos = [real.parents[-place] for place, part in enumerate(real.parts) if part == _SNAPSHOTS]
    blobs = [repo / _BLOBS for repo in repos if (repo / _BLOBS).is_dir() and not (repo / _BLOBS).is_symlink()]
    return str(real), *map(str, blobs)


def _missing(path: Path) -> BadMedia:
    """The error for a file that is not there. It names the first link on its way that leads nowhere."""
    for place in (*reversed(path.parents), path):
        if place.is_symlink() and not place.exists():
            target = os.readlink(place)
            remedy = "Fetch it: git annex get" if "annex/objects" in target else "Mend the link, or fetch the file."
            return BadMedia(f"{place} does not exist: it is a broken link to {target}.", remedy)
    return BadMedia(
        f"{path} does not exist.",
        "Check the folder that paths are relative to (--images; --root of `llave embed`), or fetch the file.",
    )


def refuse_stand_in(head: bytes, path: Path) -> None:
    """Raises BadMedia for the first bytes of a file that stands for one that was not fetched."""
    tool = next((tool for start, tool in _STAND_INS.items() if head.startswith(start)), None)
    if tool is not None:
        what = f"{path} is a pointer of {tool}; the file itself was not fetched."
        raise BadMedia(what, f"Fetch it: {_FETCH[tool]}")


def walk(
    folder: Path, onerror: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Like `os.walk`, through links to folders too. A link to a folder above it is left out, because it never ends."""
    for base, folders, names in os.walk(folder, onerror=onerror, followlinks=True):
        here = Path(base)
        folders[:] = [name for name in folders if not _holds(here / name, here)]
        yield here, folders, names


def _holds(folder: Path, inner: Path) -> bool:
    return folder.is_symlink() and inner.resolve().is_relative_to(folder.resolve())
