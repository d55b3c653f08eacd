"""A row of a corpus, or of its queries, as an item: texts, images and videos in order.

- **id**: `_id`, `id`, `corpus-id`, `query-id`, `qid`, `did` and the like.
- **text**: `text`, `query`, `txt`, `caption` and the like. A `title` and a space come before it, as BEIR's models do.
- **images**: `image`, `images`, `img_path` and the like, then `image 1` to `image N`. A value is a path, a
  {bytes, path}, or a list of these.
- **videos**: `video`, `video_path`.
- **in order**: `data`, a list of texts and paths of images, as in wikiHow-TIIR. Or `content`, a list of texts and
  media as `harness.data.items` reads it.

`<|media|>`, `<image>`, `<image N>` and `<|image_N|>` in a text mark the places of its media. In MRMR, N is the number
of the column `image N`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.data.items import in_order, part_value
from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Item, Media
from tasks.corpus.tables import Row
from tasks.embedded import image_of, keep_image

ID_KEYS = ("_id", "id", "corpus-id", "query-id", "corpus_id", "query_id", "qid", "did", "docid", "doc_id")
TEXT_KEYS = ("text", "query", "txt", "query_txt", "caption", "contents", "question")
IMAGE_KEYS = ("image", "img", "img_path", "query_img_path", "image_path", "images", "file_name")
VIDEO_KEYS = ("video", "video_path")
TITLE, INSTRUCTION = "title", "instruction"
INTERLEAVED = ("data", "content")
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
        key = next((key for key in INTERLEAVED if isinstance(row.fields.get(key), list) and row.fields[key]), None)
        if key is not None:
            text, media = in_order(self._in_order(row, key))
        else:
            by_column, found = self._numbered_media(row)
            text, media = _placed(self._text(row), found, by_column)
        instruction = _string(row, INSTRUCTION)
        if instruction and text and not instruction[-1].isspace():
            instruction += " "
        if not text.replace(MEDIA_TOKEN, "").strip() and not media:
            known = ", ".join((*TEXT_KEYS, *IMAGE_KEYS, *VIDEO_KEYS))
            raise UserError(f"{row.place}: it has neither text nor media.", f"The columns that are read: {known}.")
        return ItemRow(name, Item(text, media, instruction), row.place)

    def _text(self, row: Row) -> str:
        key = next((key for key in TEXT_KEYS if row.fields.get(key) is not None), None)
        return f"{_string(row, TITLE)} {_string(row, key) if key else ''}".strip()

    def _in_order(self, row: Row, key: str) -> list[str | Media]:
        """Texts and media of a list. In wikiHow-TIIR's `data`, a text that is a file name of an image is that image."""
        values = row.fields[key]
        parts: list[str | Media] = []
        for part in values if isinstance(values, list) else []:
            try:
                kind, value = ("image", part) if isinstance(part, dict) and "bytes" in part else part_value(part)
            except ValueError as error:
                raise UserError(f"{row.place}: {key}: {error}.", "Write texts and paths of images.") from None
            named = key == INTERLEAVED[0] and isinstance(value, str) and _PICTURE.fullmatch(value)
            if kind == "text" and not named:
                parts.append(str(value))
            else:
                parts += self._one(row, "video" if kind == "video" else "image", value)
        return parts

    def _numbered_media(self, row: Row) -> tuple[bool, list[tuple[int, Media]]]:
        """Whether columns have numbers, and all media with the number of their column or, without any, their place."""
        fields = row.fields
        numbered = {int(match[1]): key for key in fields if (match := _NUMBERED.fullmatch(key))}
        plain = next(([key] for key in IMAGE_KEYS if key in fields), [])
        first = [medium for key in plain for medium in self.media(row, key)]
        found = [(0 if numbered else place, medium) for place, medium in enumerate(first, start=1)]
        found += [(each, medium) for each in sorted(numbered) for medium in self.media(row, numbered[each])]
        return bool(numbered), [*found, *((0, medium) for key in VIDEO_KEYS for medium in self.media(row, key))]

    def media(self, row: Row, key: str) -> list[Media]:
        """Returns the media of one column. Raises: UserError that names place and column."""
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


def _placed(text: str, media: list[tuple[int, Media]], by_column: bool) -> tuple[str, tuple[Media, ...]]:
    """Writes the places of media as `MEDIA_TOKEN`, with the media in the order of their places.

    A mark with a number stands for the medium of that number, and one without for the next medium. Where a list has
    other numbers, such as from 0, its marks stand for its media in order. A mark without a medium, or of one that has
    a place already, is left out. Media without a place come first, with a place of their own if others have one.
    """
    if not media:
        return text, ()
    marks = [int(found[1] or found[2] or 0) for found in _PLACES.finditer(text)]
    if not by_column and not {*marks} <= {0, *(number for number, _ in media)}:
        marks = [0] * len(marks)
    left, placed = list(media), []
    for mark in marks:
        chosen = next((each for each in left if mark in (0, each[0])), None)
        placed.append(chosen)
        if chosen is not None:
            left.remove(chosen)
    tokens = iter(placed)
    text = _PLACES.sub(lambda _: MEDIA_TOKEN if next(tokens) else "", text)
    kept = [medium for _, medium in (*left, *(each for each in placed if each is not None))]
    return (f"{MEDIA_TOKEN}\n" * len(left) if len(left) < len(kept) else "") + text, tuple(kept)


def _string(row: Row, key: str) -> str:
    value = row.fields.get(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{row.place}: {key} is {type(value).__name__}, not a text.", "Write texts as strings.")
    return value or ""
