"""The pictures of a page: small ones within it, up to a limit in bytes, or larger ones beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict
from urllib.parse import quote

from harness.files.writing import explain_os_errors
from leaderboards.contents import NamedMedium
from leaderboards.pictures import Pictures, count, embedded, webp

MOST_BYTES = 20_000_000
"""Most bytes of the pictures that a page holds within itself."""
_FEW, _SIDES, _QUALITY = 600, (320, 176), 60
"""Up to so many pictures have the first side in pixels, more have the second."""
NAME = 300
"""Most characters of a name."""
_SIDE_BESIDE, _QUALITY_BESIDE = 1024, 80


class Shown(TypedDict):
    """A medium on the page: its name, and the addresses of its pictures, none if there is no picture."""

    name: str
    video: bool
    src: list[str]
    large: NotRequired[list[str]]
    """The addresses of the pictures at full size, if there are others."""


@dataclass(slots=True)
class Album:
    """Makes the pictures of a page. `beside` is the folder for their files; None keeps them within the page."""

    pictures: Pictures = field(default_factory=Pictures)
    beside: Path | None = None
    notes: list[str] = field(default_factory=list)
    """What the page says about its pictures."""

    def shown(self, media: Sequence[NamedMedium]) -> list[Shown]:
        """The media as the page shows them, in their order. If there is no room for all, the first ones have it."""
        side = _SIDES[len(media) > _FEW] if self.beside is None else _SIDE_BESIDE
        room, left, made = MOST_BYTES, 0, []
        for medium in media:
            files = [webp(image, side, self._quality) for image in self.pictures.open(medium)] if room > 0 else []
            size = sum(map(len, files)) * 4 // 3 if self.beside is None else 0
            left += room <= 0 or size > room
            src = [] if size > room else [self._address(file) for file in files]
            room = room - size if size <= room else 0
            made.append(Shown(name=medium.name[:NAME], video=medium.is_video, src=src))
        self.notes += self._said(side, left, any(each["src"] for each in made))
        return made

    @property
    def _quality(self) -> int:
        return _QUALITY if self.beside is None else _QUALITY_BESIDE

    def _address(self, file: bytes) -> str:
        if self.beside is None:
            return embedded(file)
        name = f"{hashlib.sha256(file).hexdigest()[:16]}.webp"
        with explain_os_errors(self.beside):
            self.beside.mkdir(parents=True, exist_ok=True)
            (self.beside / name).write_bytes(file)
        return f"{quote(self.beside.name)}/{name}"

    def _said(self, side: int, left: int, some: bool) -> list[str]:
        inside = f"in this file, where they may take {MOST_BYTES // 1_000_000} MB"
        where = inside if self.beside is None else f"in the folder {self.beside.name} beside this file"
        lines = [f"Pictures are {where}. They have at most {side} pixels a side."] if some else []
        if left:
            lines.append(f"{count(left)} left out for lack of room. With --html-pictures beside, all are shown.")
        if self.pictures.absent:
            lines.append(f"{count(self.pictures.absent)} could not be found or opened when this page was made.")
        return lines
