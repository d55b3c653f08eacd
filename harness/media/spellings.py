"""Names of media that are spelled in another way than the file's: what is unusual, and which file is meant.

One other spelling is used: another Unicode form, since systems and archives store names in either. Everything else is
refused with its cause, such as letter case, which counts on some systems only.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from harness.errors import BadMedia, shortened
from harness.types import Media

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]+)://")
_DATA, _FILE = re.compile(r"\s*data:[^/\\]*[/;,]", re.I), re.compile(r"\s*file:(//(localhost)?)?", re.I)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\]")
_MOST_FOUND = 4
_USUAL = "Check the folder that paths are relative to (--images; --root of `llave embed`), or fetch the file."


def refuse_address(media: Media) -> None:
    """Raises BadMedia for a name that is an address, or an absolute path of another system."""
    name, written = media.name, repr(shortened(media.name))
    if _DATA.match(name):
        raise BadMedia(
            f"data: images are not read, such as {written}.",
            "Decode them to files (base64 -d) and name those. In Python, give images themselves.",
        )
    if _FILE.match(name):
        path = _FILE.sub("", unquote(name), count=1)
        raise BadMedia(f"{written} is a file: address, not a path.", _relative(media, path))
    if scheme := _SCHEME.match(name):
        raise BadMedia(
            f"{written} is an address ({scheme[1].lower()}), and addresses are not fetched.",
            f"Fetch the files, and name them by their paths in {media.root}.",
        )
    if os.name != "nt" and _DRIVE.match(name):
        raise BadMedia(f"{written} is an absolute Windows path.", _relative(media, name))


def in_another_form(media: Media) -> Path | None:
    """The file that has the name with `\\` for `/`, or in another Unicode form. None if there is none.

    Raises: BadMedia if several files have it.
    """
    found = _alike(media.root, _plain(media), _composed)
    if len(found) > 1:
        names = " and ".join(ascii(path.relative_to(media.root).as_posix()) for path in found[:2])
        what = f"{media.root / shortened(media.name)} does not exist"
        raise BadMedia(
            f"{what}, and several files have this name in other Unicode forms: {names}.",
            "Remove all but one, or write the name in the form of one.",
        )
    return found[0] if found else None


def why_missing(media: Media) -> tuple[str, str]:
    """What is unusual about a name that no file has, as `; ...` after "does not exist", and what to do.

    It looks for the file that is meant below the root only.
    """
    root, plain = media.root, _plain(media)
    for cause, other in _respellings(plain):
        if found := _alike(root, other, _composed):
            return f"; the name {cause}, and {_below(root, found[0])} is there", "Correct the data file."
    if found := _alike(root, plain, _folded):
        true = _below(root, found[0])
        return f"; {true} does, in other letter case", "Correct the data file: on many systems letter case counts."
    if plain.startswith("~"):
        return "; ~ is not expanded in data", _relative(media, plain)
    if name_below(media, plain):
        return f"; paths are relative to {root}", _relative(media, plain)
    return "", _USUAL


def _respellings(plain: str) -> Iterator[tuple[str, str]]:
    """Other spellings of a name, each after what is unusual about the written one."""
    yield "has spaces at an end", "/".join(part.strip() for part in plain.split("/"))
    yield "has quotes around it", plain.strip("\"' ")
    yield "is written in %-escapes", unquote(plain)
    yield "is written in %-escapes, with spaces at an end", unquote(plain).strip()


def _relative(media: Media, name: str) -> str:
    """What to do about a path that is not relative to the root. It gives the right one if the file is there."""
    return f"Paths are relative to {media.root}: write {name_below(media, name) or 'the part below it'}."


def name_below(media: Media, name: str) -> str:
    """The end of a path that names a file below the root, in quotes; empty if there is none."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for at in range(1, len(parts)):
        found = _alike(media.root, "/".join(parts[at:]), _composed)
        if found and found[0].is_file():
            return _below(media.root, found[0])
    return ""


def _alike(root: Path, plain: str, fold: Callable[[str], str]) -> list[Path]:
    """What lies below a root under a path's names after `fold`, up to a bound. The very name comes alone."""
    parts = PurePosixPath(plain).parts
    if not parts or ".." in parts or plain.startswith("/") or "\0" in plain:
        return []
    if os.path.exists(root / plain):
        return [root / plain]
    places = [root]
    for part in parts:
        places = [place / name for place in places for name in _listed(place, fold).get(fold(part), ())][:_MOST_FOUND]
    return [place for place in places if os.path.exists(place)]


def _listed(folder: Path, fold: Callable[[str], str]) -> dict[str, list[str]]:
    try:
        return _names(folder, os.stat(folder).st_mtime_ns, fold)
    except OSError:
        return {}


@lru_cache(maxsize=8)
def _names(folder: Path, _changed: int, fold: Callable[[str], str]) -> dict[str, list[str]]:
    """The names in a folder by what `fold` makes of them. Read once, although a dataset may have many such names."""
    names: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        names.setdefault(fold(name), []).append(name)
    return names


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())


def _plain(media: Media) -> str:
    """The name with `/` between folders, relative to the root if it lies below it."""
    plain, root = PurePosixPath(media.name.replace("\\", "/")), os.path.abspath(media.root)
    return plain.relative_to(root).as_posix() if plain.is_relative_to(root) else str(plain)


def _below(root: Path, path: Path) -> str:
    return repr(shortened(path.relative_to(root).as_posix()))
