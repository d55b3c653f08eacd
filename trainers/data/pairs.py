"""Pairs of a query and its target, keys of items by content, and a user's own pairs in JSON Lines.

A line is `{"query": ITEM, "positive": ITEM, "negatives": [ITEM, ...]}`; `harness.data.items` says what an item is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.items import ITEM_FIELDS, parse_item, unknown_keys
from harness.errors import UserError
from harness.files.reading import bad_line, place_of, read_lines
from harness.identity import fingerprint
from harness.media.digests import Digests
from harness.types import Item, Media

_KEYS = ("query", "positive", "negatives", "group")


@dataclass(frozen=True, slots=True)
class Pair:
    """A query, its target, and wrong targets that come with it (hard negatives)."""

    query: Item
    target: Item
    negatives: tuple[Item, ...] = ()
    group: int | None = None
    """The number of the group of similar pairs that it belongs to, if the data names one."""

    @property
    def items(self) -> tuple[Item, ...]:
        """The query, the target and the negatives."""
        return (self.query, self.target, *self.negatives)


@dataclass(frozen=True, slots=True, eq=False)
class PairFile:
    """A user's own pairs. This is a `trainers.data.mmeb_train.Subset`."""

    name: str
    path: Path
    pairs: Sequence[tuple[int, Pair]]
    """Pairs with the numbers of their lines, from 1."""

    def __len__(self) -> int:
        return len(self.pairs)

    def pair(self, index: int) -> Pair:
        """The pair with this index."""
        return self.pairs[index][1]

    def where(self, index: int) -> str:
        """The file and the line of a pair."""
        return place_of(self.path, self.pairs[index][0])

    def media(self) -> Iterator[Media]:
        """Every medium of the pairs, with repeats."""
        for _, pair in self.pairs:
            for item in pair.items:
                yield from item.media

    def has_negatives(self) -> NDArray[np.bool_]:
        """(n,) which pairs come with negatives."""
        return np.array([bool(pair.negatives) for _, pair in self.pairs])

    def digest(self) -> str:
        """A digest of texts and names of media, in the order of the pairs."""
        return digest_of(
            repr([(item.full_text, [each.name for each in item.media]) for item in pair.items])
            + ("" if pair.group is None else f" group {pair.group}")
            for _, pair in self.pairs
        )


def digest_of(texts: Iterable[str]) -> str:
    """A digest (16 hexadecimal digits) of texts and their order."""
    found = sha256()
    for text in texts:
        found.update(text.encode() + b"\0")
    return found.hexdigest()[:16]


def content_key(item: Item, digests: Digests) -> int:
    """A number from 0 to below 2**63. Items with the same text, kinds of media and bytes of media have the same.

    It is the same in every process. Raises BadMedia.
    """
    return _key(item, [digests.media(medium).digest for medium in item.media])


def name_key(item: Item) -> int:
    """A number like that of `content_key`, with the names of files in place of their bytes. No file is opened."""
    return _key(item, [f"{medium.root}/{medium.name}" for medium in item.media])


def read_pairs(
    path: Path, root: Path, choose: Callable[[int, str], list[int]], roots: tuple[Path, ...] = ()
) -> PairFile:
    """Reads the pairs of a file.

    Args:
        path: the file. The dataset has the file's name.
        root: the folder that media paths are relative to.
        choose: returns the indexes of the pairs to keep, given their number and the dataset's name.
        roots: other folders that links may lead into.

    Raises:
        UserError: that names the line that cannot be used, or for a file without pairs.
    """
    pairs = []
    for number, line in read_lines(path):
        parse = partial(parse_item, root=root, where=place_of(path, number), roots=roots)
        try:
            pairs.append((number, _pair(line, parse)))
        except ValueError as error:
            raise bad_line(path, number, error) from None
    if not pairs:
        raise UserError(f"{path} has no pairs.", 'Add lines such as {"query": "...", "positive": "..."}.')
    return PairFile(path.stem, path, [pairs[row] for row in choose(len(pairs), path.stem)])


def _pair(line: Mapping[str, object], parse: Callable[[object], Item]) -> Pair:
    if not {"query", "positive"} <= set(line) <= set(_KEYS):
        raise ValueError(f"a pair has the keys query and positive, and may have negatives and group, not {line!r:.80}")
    group = line.get("group")
    if group is not None and (not isinstance(group, int) or isinstance(group, bool)):
        raise ValueError("group must be a whole number")
    negatives = line.get("negatives", [])
    if not isinstance(negatives, list):
        raise ValueError("negatives must be a list")
    return Pair(
        _item("query", line["query"], parse),
        _item("positive", line["positive"], parse),
        tuple(_item("negative", each, parse) for each in negatives),
        group,
    )


def _item(what: str, given: object, parse: Callable[[object], Item]) -> Item:
    try:
        if isinstance(given, Mapping):
            unknown_keys(given, ITEM_FIELDS, "an item")
        return parse(given)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def _key(item: Item, media: Sequence[str]) -> int:
    kinds = [medium.kind for medium in item.media]
    return int(fingerprint({"text": item.full_text, "kinds": kinds, "media": list(media)})[:16], 16) >> 1
