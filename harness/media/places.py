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

from harness.errors import BadMedia, UserError, shortened
from harness.files.kinds import MISSING, not_a, what_is
from harness.media.frame_folder import ENDINGS, frame_names
from harness.media.spellings import in_another_form, name_below, refuse_address, why_missing
from harness.types import Media

_SNAPSHOTS, _BLOBS = "snapshots", "blobs"


@contextlib.contextmanager
def about(media: Media) -> Iterator[None]:
    """Sets `medium` of every BadMedia that is raised inside, so that callers know which medium is bad."""
    try:
        yield
    except BadMedia as error:
        error.medium = media
        raise


def resolve(media: Media) -> Path:
    """Returns the path of a medium's file, with links followed. A video may also be a folder of its frames.

    The very name counts first. Then `\\` may stand for `/`, and letters may be in another Unicode form.

    Raises: BadMedia if it is missing, empty, not a file, or outside of the roots. It names the cause.
    """
    with about(media):
        path, roots = _named(media), (media.root, *media.roots)
        if path.is_absolute() and not _is_below(path, media.root):
            _refuse_absolute(media, path, roots)
        path, real = _found(media, path)
        _refuse_outside(path, real, roots)
        status = real.stat()
        if media.kind == "video" and stat.S_ISDIR(status.st_mode):
            _check_frames(path)
            return real
        if not stat.S_ISREG(status.st_mode):
            raise BadMedia(not_a(path, "a file"), "A media path must name a file. Correct the data file.")
        if not status.st_size:
            raise BadMedia(f"{path} is empty (0 bytes).", "Fetch the file again.")
        return real


def _check_frames(folder: Path) -> None:
    """Raises BadMedia for a folder without frames."""
    try:
        names = frame_names(folder)
    except OSError as error:
        raise BadMedia(f"{folder} cannot be read: {error.strerror}.", "Check its permissions.") from None
    if not names:
        what = f"{folder} is a folder without a frame: none of its files ends with {', '.join(ENDINGS)}."
        raise BadMedia(what, "Fetch the frames again, or name the file of the video.")


def _found(media: Media, path: Path) -> tuple[Path, Path]:
    """The path that exists, and where it leads. Raises: BadMedia if there is none."""
    try:
        return path, Path(os.path.realpath(path, strict=True))
    except ValueError:
        what = f"The path {shortened(media.name)!r} is not a possible file name."
        raise BadMedia(what, "Correct the data file.") from None
    except OSError as error:
        failure = error
    refuse_address(media)
    _refuse_above(media, media.name.replace("\\", "/"))
    if not isinstance(failure, FileNotFoundError | NotADirectoryError):
        what = f"{media.root / shortened(media.name)} cannot be reached: {failure.strerror}."
        raise BadMedia(what, "Check its links and permissions.")
    other = in_another_form(media)
    if other is None:
        raise _missing(media, path)
    return other, Path(os.path.realpath(other))


def check_inside(file: Path, roots: Sequence[Path]) -> None:
    """Raises UserError for a file of data that is a link to a place outside of the roots."""
    try:
        _refuse_outside(file, Path(os.path.realpath(file)), roots)
    except BadMedia as error:
        raise UserError(error.what, error.hint) from None


def _named(media: Media) -> Path:
    """The path that a name means, without a look at the disk."""
    if ".." in PurePosixPath(media.name).parts:
        refuse_address(media)
    _refuse_above(media, media.name)
    return media.root / media.name


def _refuse_above(media: Media, name: str) -> None:
    """Raises BadMedia for a name with `..`, and for one that is absolute here although it was not written so."""
    pure, written = PurePosixPath(name), Path(media.name)
    if ".." in pure.parts or ((pure.is_absolute() or written.drive) and not written.is_absolute()):
        raise BadMedia(
            f"The path {shortened(media.name)!r} leaves the folder {media.root}.",
            "Media paths must be relative to the media root and stay inside it. Correct the data file.",
        )


def _is_below(path: Path, root: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))


def _refuse_outside(path: Path, real: Path, roots: Sequence[Path]) -> None:
    """Raises BadMedia unless the real path lies in a root. It names the link that leads out."""
    if _is_inside(real, roots):
        return
    what, allowed = f"The path {shortened(str(path))!r} leaves the folder {roots[0]}.", real.parent
    base = next((root for root in roots if _is_below(path, root)), None)
    if base is not None:
        ways = (way for way in (*reversed(path.parents), path) if way.is_symlink() and _is_below(way, base))
        link = next((way for way in ways if not _is_inside(Path(os.path.realpath(way)), roots)), path)
        target = Path(os.path.realpath(link))
        what = f"{link} is a link to {target}, outside of {roots[0]}."
        if link != path:
            what, allowed = f"{what} {path} lies behind it.", target
    raise BadMedia(what, f"If you trust the data, allow that folder: --allow-root {allowed} (in Python: allow_roots).")


def _refuse_absolute(media: Media, path: Path, roots: Sequence[Path]) -> None:
    """Raises BadMedia for an absolute path that leads into no root. It may be one of another machine."""
    try:
        _refuse_outside(path, Path(os.path.realpath(path)), roots)
    except BadMedia as error:
        name = name_below(media, media.name)
        raise BadMedia(
            error.what, f"Paths are relative to {media.root}: write {name}." if name else error.hint
        ) from None


def _is_inside(real: Path, roots: Sequence[Path]) -> bool:
    return any(real.is_relative_to(folder) for root in roots for folder in _real_folders(root))


@cache
def _real_folders(root: Path) -> tuple[str, ...]:
    """A root with links followed, and the blobs of the hub's cache if it lies in a snapshot there."""
    real = Path(os.path.realpath(root))
    repos = [real.parents[-place] for place, part in enumerate(real.parts) if part == _SNAPSHOTS]
    blobs = [repo / _BLOBS for repo in repos if (repo / _BLOBS).is_dir() and not (repo / _BLOBS).is_symlink()]
    return str(real), *map(str, blobs)


def _missing(media: Media, path: Path) -> BadMedia:
    """The error for a file that is not there."""
    shown, kind = media.root / shortened(media.name), what_is(path)
    if kind is not MISSING:
        return BadMedia(f"{shown} does not exist: it is {kind.name}.", kind.remedy)
    why, remedy = why_missing(media)
    return BadMedia(f"{shown} does not exist{why}.", remedy)


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
