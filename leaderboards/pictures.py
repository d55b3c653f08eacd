"""Finds the media that results name, opens them as pictures, and says which of them it did not find."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from PIL import Image

from harness.errors import BadMedia, UserError
from harness.files.kinds import not_a
from harness.media.images import open_image
from harness.media.places import resolve
from harness.media.video import spread_frames
from harness.types import Media, MediaKind
from leaderboards.contents import NamedMedium, Place
from leaderboards.tables import clean, some

FRAMES = 4
"""Number of frames that stand for a video."""
_TINY = 96
"""Side in pixels of pictures that are kept without loss, such as icons and drawings."""
_OTHER = "--images DIR names another folder."


@dataclass(slots=True)
class Pictures:
    """Opens media where their records say that they lay. `folders` come first, for media that were moved."""

    folders: tuple[Path, ...] = ()
    _missing: dict[NamedMedium, None] = field(default_factory=dict)
    _damaged: dict[NamedMedium, str] = field(default_factory=dict)

    @staticmethod
    def of(folders: Sequence[Path]) -> Pictures:
        """Pictures with these folders before those of the records. Raises UserError for one that is no folder."""
        for folder in folders:
            if not folder.is_dir():
                raise UserError(not_a(folder, "a folder"), "--images is a folder that media names are relative to.")
        return Pictures(tuple(folders))

    def open(self, medium: NamedMedium) -> list[Image.Image]:
        """The picture, or frames of the video. Empty if it is missing or damaged; `notes` then count it."""
        found = self.find(medium)
        try:
            if found:
                return spread_frames(found, FRAMES) if found.kind == "video" else [open_image(found)]
        except BadMedia as error:
            self._damaged[medium] = error.what
        return []

    def find(self, medium: NamedMedium) -> Media | None:
        """The first place that has the medium, which is not opened. None if there is none; `notes` then count it."""
        for found in self._candidates(medium):
            with suppress(BadMedia):
                resolve(found)
                return found
        self._missing[medium] = None
        return None

    def _candidates(self, medium: NamedMedium) -> Iterator[Media]:
        own = "video" if medium.is_video else "image"
        for kind, folder in (*(Place(own, each) for each in self.folders), *medium.places):
            if kind in get_args(MediaKind):
                yield Media("video" if kind == "video" else "image", medium.name, folder)

    def notes(self) -> list[str]:
        """A sentence on media that were not found, and one on media that could not be opened. For the terminal."""
        looked = dict.fromkeys([*self.folders, *(place.folder for each in self._missing for place in each.places)])
        lines = []
        if self._missing:
            where = f"looked in {some([clean(str(folder)) for folder in looked], 3)}"
            where = where if looked else "their results do not say where they were"
            lines.append(f"{count(len(self._missing))} not found: {where}. {_OTHER}")
        if self._damaged:
            first = clean(next(iter(self._damaged.values())))
            lines.append(f"{count(len(self._damaged))} cannot be opened, such as: {first}")
        return lines

    @property
    def absent(self) -> int:
        """Number of media that could not be shown."""
        return len(self._missing) + len(self._damaged)


def webp(image: Image.Image, side: int, quality: int) -> bytes:
    """A WebP file of an image, made smaller so that no side is longer than `side`. Tiny ones are kept without loss."""
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, lossless=max(image.size) <= _TINY)
    return file.getvalue()


def embedded(file: bytes) -> str:
    """The address of a WebP file that holds the file itself."""
    return f"data:image/webp;base64,{base64.b64encode(file).decode('ascii')}"


def count(number: int) -> str:
    """A number of pictures in words."""
    return f"{number:,} picture{'' if number == 1 else 's'}"
