"""Pairs, and JSON Lines of a user's own.

A line is `{"query": {...}, "positive": {...}, "negatives": [{...}, ...]}`. An item has `text`, `image`,
`video` and `instruction`, or some of them; a string is its text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Item, Media, MediaKind

_ITEM_KEYS = ("text", "image", "video", "instruction")
_MEDIA: tuple[MediaKind, ...] = ("image", "video")


@dataclass(frozen=True, slots=True)
class Pair:
    """A query, the target that is right for it, and further ones that are wrong."""

    query: Item
    target: Item
    negatives: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PairFile:
    """A user's own pairs, as a dataset."""

    name: str
    path: Path
    pairs: Sequence[tuple[int, Pair]]
    """Each after the number of its line."""

    def __len__(self) -> int:
        return len(self.pairs)

    def pair(self, index: int) -> Pair:
        return self.pairs[index][1]

    def where(self, index: int) -> str:
        return f"{self.path}, line {self.pairs[index][0]}"

    def media(self) -> Iterator[Media]:
        for _, pair in self.pairs:
            for item in (pair.query, pair.target, *pair.negatives):
                yield from item.media

    def has_negatives(self) -> NDArray[np.bool_]:
        return np.array([bool(pair.negatives) for _, pair in self.pairs])

    def digest(self) -> str:
        items = ([pair.query, pair.target, *pair.negatives] for _, pair in self.pairs)
        return digest_of(repr([(item.full_text, [each.name for each in item.media]) for item in its]) for its in items)


def digest_of(texts: Iterable[str]) -> str:
    """The same for the same texts in the same order."""
    found = sha256()
    for text in texts:
        found.update(text.encode() + b"\0")
    return found.hexdigest()[:16]


def read_lines(path: Path, root: Path, chosen: Callable[[int, str], list[int]]) -> PairFile:
    """A file's pairs; `chosen` says which rows of how many, of which name. Raises UserError naming the line."""
    pairs = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                try:
                    pairs.append((number, _pair(json.loads(line), root, where)))
                except json.JSONDecodeError as error:
                    what = f"{where}, is not JSON: {error.msg} at column {error.colno}."
                    raise UserError(what, "A line is one pair, and a pair one line.") from None
                except ValueError as error:
                    raise UserError(f"{where}: {error}.", "Correct the file.") from None
    if not pairs:
        raise UserError(f"{path} has no pairs.", 'Add lines such as {"query": "...", "positive": "..."}.')
    return PairFile(path.stem, path, [pairs[row] for row in chosen(len(pairs), path.stem)])


def _pair(line: object, root: Path, where: str) -> Pair:
    keys = ("query", "positive", "negatives")
    if not isinstance(line, dict) or not {"query", "positive"} <= set(line) <= set(keys):
        raise ValueError(f"a pair has the keys query and positive, and may have negatives, not {line!r:.80}")
    negatives = line.get("negatives", [])
    if not isinstance(negatives, list):
        raise ValueError("negatives must be a list")
    return Pair(
        _item("query", line["query"], root, where),
        _item("positive", line["positive"], root, where),
        tuple(_item("negative", each, root, where) for each in negatives),
    )


def _item(what: str, given: object, root: Path, where: str) -> Item:
    fields = {"text": given} if isinstance(given, str) else given
    if not isinstance(fields, dict) or not set(fields) <= set(_ITEM_KEYS):
        raise ValueError(f"the {what} must be a text, or have keys out of {', '.join(_ITEM_KEYS)}")
    if not all(isinstance(value, str) for value in fields.values()):
        raise ValueError(f"what the {what} has must be strings")
    text, instruction = fields.get("text", ""), fields.get("instruction", "")
    media = tuple(Media(kind, fields[kind], root, where) for kind in _MEDIA if fields.get(kind))
    if instruction and text and not instruction[-1].isspace():
        instruction += " "
    item = Item(text, media, instruction)
    if not item.full_text.replace(MEDIA_TOKEN, "").strip() and not media:
        raise ValueError(f"the {what} is empty, without text and without media")
    if item.full_text.count(MEDIA_TOKEN) not in (0, len(media)):
        raise ValueError(f"the {what} names places for media that it does not have")
    return item
