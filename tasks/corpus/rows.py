"""A row of a corpus, or of its queries, as an item: texts, images and videos in order.

- **id**: `_id`, `id`, `corpus-id`, `query-id`, `qid`, `did` and the like.
- **text**: `text`, `query`, `txt`, `caption` and the like. A `title` and a space come before it, as BEIR's models do.
- **images**: `image`, `images`, `img_path` and the like, then `image 1` to `image N`. A value is a path, a
  {bytes, path}, or a list of these.
- **videos**: `video`, `video_path`.
- **in order**: `data`, a list of texts and paths of images, as in wikiHow-TIIR.

`<|media|>`, `<image>`, `<image N>` and `<|image_N|>` in a text mark the places of its media.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Item, Media
from tasks.corpus.tables import Row
from tasks.embedded import image_of, keep_image

ID_KEYS = ("_id", "id", "corpus-id", "query-id", "corpus_id", "query_id", "qid", "did", "docid", "doc_id")
TEXT_KEYS = ("text", "query", "txt", "query_txt", "caption", "contents", "question")
IMAGE_KEYS = ("image", "img", "img_path", "query_img_path", "image_path", "images", "file_name")
VIDEO_KEYS = ("video", "video_path")
TITLE, INSTRUCTION, INTERLEAVED = "title", "instruction", "data"
_NUMBERED = re.compile(r"image[ _](\d+)")
_PLACES = re.compile(r"<\|media\|>|<image(?:[ _](\d+))?>|<\|image_(\d+)\|>")
_PICTURE = re.compile(r"\S+\.(?:png|jpe?g|webp|gif|bmp|tiff?|avif)", re.IGNORECASE)


class ItemRow(NamedTuple):
    """An item with its id and its place."""

    name: str
    item: Item
    place: str


@dataclass(frozen=True, slots=True)
class ItemReader:
    """Reads rows as items. Media lie below `root`, or behind links in `roots`."""

    root: Path
    roots: tuple[Path, ...] = ()

    def read(self, row: Row, name: str) -> ItemRow:
        """Returns the item of a row whose id is `name`. Raises: UserError that names place and column."""
        parts = row.fields.get(INTERLEAVED)
        if isinstance(parts, list) and parts:
            return ItemRow(name, self._interleaved(row, parts), row.place)
        media = [each for key in _media_columns(row.fields) for each in self._media(row, key)]
        text, media = _placed(self._text(row), media)
        instruction = _string(row, INSTRUCTION)
        if instruction and text and not instruction[-1].isspace():
            instruction += " "
        if not text.replace(MEDIA_TOKEN, "").strip() and not media:
            known = ", ".join((*TEXT_KEYS, *IMAGE_KEYS, *VIDEO_KEYS))
            raise UserError(f"{row.place}: it has neither text nor media.", f"The columns that are read: {known}.")
        return ItemRow(name, Item(text, tuple(media), instruction), row.place)

    def _text(self, row: Row) -> str:
        key = next((key for key in TEXT_KEYS if row.fields.get(key) is not None), None)
        return f"{_string(row, TITLE)} {_string(row, key) if key else ''}".strip()

    def _interleaved(self, row: Row, parts: Sequence[object]) -> Item:
        """A list of texts and paths of images, in order."""
        if not all(isinstance(part, str) for part in parts):
            raise UserError(f"{row.place}: {INTERLEAVED} is not a list of texts.", "Write texts and paths of images.")
        texts = [str(part) for part in parts]
        media = [medium for text in texts if _PICTURE.fullmatch(text) for medium in self._one(row, INTERLEAVED, text)]
        return Item("\n".join(MEDIA_TOKEN if _PICTURE.fullmatch(text) else text for text in texts), tuple(media))

    def _media(self, row: Row, key: str) -> list[Media]:
        value = row.fields.get(key)
        each = value if isinstance(value, list) else [value]
        return [medium for one in each for medium in self._one(row, key, one)]

    def _one(self, row: Row, key: str, value: object) -> tuple[Media, ...]:
        """The medium that a value names, if there is one."""
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (None, value)
        if isinstance(data, bytes) and data:
            return image_of(keep_image(data), self.root, self.roots, row.place)
        if path is None or path == "":
            return ()
        if not isinstance(path, str):
            what = f"{row.place}: {key} is neither a path nor an image, but {type(path).__name__}."
            raise UserError(what, "An image is a path, or {bytes, path} as the Image feature of datasets stores it.")
        if key in VIDEO_KEYS:
            return (Media("video", path, self.root, row.place, self.roots),)
        return image_of(path, self.root, self.roots, row.place)


def _media_columns(fields: Mapping[str, object]) -> list[str]:
    """The columns of media, images before videos, numbered ones in their order."""
    numbered = {int(found[1]): key for key in fields if (found := _NUMBERED.fullmatch(key))}
    plain = [key for key in IMAGE_KEYS if key in fields][:1]
    return [*plain, *(numbered[each] for each in sorted(numbered)), *(key for key in VIDEO_KEYS if key in fields)]


def _placed(text: str, media: list[Media]) -> tuple[str, list[Media]]:
    """Writes the places of media as `MEDIA_TOKEN`. Numbered places give the order of the media."""
    if not media:
        return text, media
    places = list(_PLACES.finditer(text))
    if len(places) != len(media):
        return _PLACES.sub("", text), media
    numbers = [int(found[1] or found[2] or 0) for found in places]
    if sorted(numbers) == list(range(1, len(media) + 1)):
        media = [media[number - 1] for number in numbers]
    return _PLACES.sub(MEDIA_TOKEN, text), media


def _string(row: Row, key: str) -> str:
    value = row.fields.get(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{row.place}: {key} is {type(value).__name__}, not a text.", "Write texts as strings.")
    return value or ""
