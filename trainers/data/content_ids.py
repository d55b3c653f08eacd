"""Which items are the same: by what is in their files, not by what these are called."""

from __future__ import annotations

from collections.abc import Sequence

from harness.identity import fingerprint
from harness.media.digests import Digests
from harness.types import Item


def content_key(item: Item, digests: Digests) -> int:
    """A number below 2**63, equal where text, kinds of media and bytes of media are; the same in every process.

    Raises BadMedia.
    """
    return _key(item, [digests.media(medium).digest for medium in item.media])


def name_key(item: Item) -> int:
    """The same by the names of files; none is opened."""
    return _key(item, [f"{medium.root}/{medium.name}" for medium in item.media])


def _key(item: Item, media: Sequence[str]) -> int:
    kinds = [medium.kind for medium in item.media]
    return int(fingerprint({"text": item.full_text, "kinds": kinds, "media": list(media)})[:16], 16) >> 1
