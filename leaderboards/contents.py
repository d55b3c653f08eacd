"""What a query or a target is, as rows of results hold it: text, instruction, media and their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.results.files import Result
from harness.types import MEDIA_TOKEN
from leaderboards.tables import clean

_VIDEO = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}
_NAME = 300
"""Most characters of a text on one line."""


class Place(NamedTuple):
    """A folder, and the kind of media that a record says were in it."""

    kind: str
    folder: Path


class NamedMedium(NamedTuple):
    """A medium by the name that the data gives it, with the places where it may be, best first."""

    name: str
    places: tuple[Place, ...] = ()

    @property
    def is_video(self) -> bool:
        """Whether it is a video: as the record says, or else by its name."""
        if self.places:
            return self.places[0].kind == "video"
        return Path(self.name).suffix.lower() in _VIDEO


@dataclass(frozen=True, slots=True)
class Content:
    """A query or a target. `text` follows the instruction, and has a token at the place of each medium."""

    text: str = ""
    instruction: str = ""
    media: tuple[NamedMedium, ...] = ()

    @property
    def line(self) -> str:
        """The first 300 characters: the names of its media in brackets, then its text, or else its instruction."""
        text = _plain(self.text) or ("" if self.media else _plain(self.instruction))
        return " ".join([*(f"[{medium.name}]" for medium in self.media), text]).strip()[:_NAME]


def _plain(text: str) -> str:
    return " ".join(text.replace(MEDIA_TOKEN, " ").split())


def places_of(result: Result) -> tuple[Place, ...]:
    """The places of a record's media, in its order. Older records name none."""
    found = result.dataset.get("places")
    pairs = [(each.get("kind"), each.get("folder")) for each in _mappings(found)]
    return tuple(Place(str(kind), Path(folder)) for kind, folder in pairs if isinstance(folder, str) and folder)


def content_of(value: object, records: Sequence[Sequence[Place]] = ()) -> Content:
    """Reads the content of a row. What is not of its type is left out.

    Args:
        value: the row's `content`, or one of its `positives` or `top`.
        records: the places of each record that has this row. The first one counts most.
    """
    fields = value if isinstance(value, Mapping) else {}
    text, start = fields.get("text"), fields.get("instruction")
    text = clean(text) if isinstance(text, str) else ""
    start = start if isinstance(start, int) and start > 0 else 0
    names, numbers = _list(fields.get("media")), _list(fields.get("places"))
    media = [
        NamedMedium(name, _at(records, numbers[index] if index < len(numbers) else 0))
        for index, name in enumerate(names)
        if isinstance(name, str)
    ]
    return Content(text[start:], text[:start], tuple(media))


def _at(records: Sequence[Sequence[Place]], number: object) -> tuple[Place, ...]:
    """Place `number` of every record that has it, without repeats."""
    found = (places[number] for places in records if isinstance(number, int) and 0 <= number < len(places))
    return tuple(dict.fromkeys(found))


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [each for each in _list(value) if isinstance(each, Mapping)]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
