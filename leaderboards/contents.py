"""What a query or a target is, as rows of results hold it: text, instruction, media and their places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.results.result import Result
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
    """A query or a target: its instruction, the text that follows, and its media.

    Of several media each has its number, from 1, in brackets at its place in the texts.
    """

    text: str = ""
    instruction: str = ""
    media: tuple[NamedMedium, ...] = ()

    @property
    def line(self) -> str:
        """The first 300 characters: the names of its media in brackets, then its text, or else its instruction."""
        text = self.text or ("" if self.media else self.instruction)
        return " ".join([*(f"[{medium.name}]" for medium in self.media), *text.split()])[:_NAME]


def places_of(result: Result) -> tuple[Place, ...]:
    """The places of a record's media, in its order. Older records name none."""
    found = result.dataset.get("places")
    pairs = [(each.get("kind"), each.get("folder")) for each in _mappings(found)]
    return tuple(Place(str(kind), Path(folder)) for kind, folder in pairs if isinstance(folder, str) and folder)


def content_of(value: object, records: Sequence[Sequence[Place]] = (), lead: str = "") -> Content:
    """Reads the content of a row. What is not of its type is left out.

    Args:
        value: the row's `content`, or one of its `positives` or `top`.
        records: the places of each record that has this row. The first one counts most.
        lead: the instruction of texts whose row does not say what is their instruction.
    """
    fields = value if isinstance(value, Mapping) else {}
    text, start = _text(fields), fields.get("instruction")
    start = start if isinstance(start, int) and start > 0 else len(lead) if text.startswith(lead) else 0
    names, numbers = _list(fields.get("media")), _list(fields.get("places"))
    media = [
        NamedMedium(name, _at(records, numbers[index] if index < len(numbers) else 0))
        for index, name in enumerate(names)
        if isinstance(name, str)
    ]
    first = text.count(MEDIA_TOKEN, 0, start)
    several = len(media) > 1
    return Content(_numbered(text[start:], several, first), _numbered(text[:start], several, 0), tuple(media))


def shared_lead(values: Iterable[object]) -> str:
    """What all these texts begin with, up to a colon or a line's end.

    That is an instruction which the data does not mark. It is all of the text if all texts are alike and have media. It
    is empty if any row says what is its instruction.
    """
    fields = [value for value in values if isinstance(value, Mapping)]
    texts = {_text(each) for each in fields}
    if not texts or any("instruction" in each for each in fields):
        return ""
    if len(texts) == 1:
        return texts.pop() if all(each.get("media") for each in fields) else ""
    shared = os.path.commonprefix([min(texts), max(texts)])  # noqa: RUF071 -- characters are meant, not folders
    return shared[: max(shared.rfind(": ") + 1, shared.rfind("\n") + 1)]


def _text(fields: Mapping[str, object]) -> str:
    text = fields.get("text")
    return clean(text) if isinstance(text, str) else ""


def _numbered(text: str, several: bool, number: int) -> str:
    """The text with numbers from `number` + 1 in place of its tokens. With one medium, tokens only vanish."""
    head, *parts = text.split(MEDIA_TOKEN)
    marks = (f"[{number + turn}]" if several else "" for turn in range(1, len(parts) + 1))
    return (head + "".join(mark + part for mark, part in zip(marks, parts, strict=True))).strip()


def _at(records: Sequence[Sequence[Place]], number: object) -> tuple[Place, ...]:
    """Place `number` of every record that has it, without repeats."""
    found = (places[number] for places in records if isinstance(number, int) and 0 <= number < len(places))
    return tuple(dict.fromkeys(found))


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [each for each in _list(value) if isinstance(each, Mapping)]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
