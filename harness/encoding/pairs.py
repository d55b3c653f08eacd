"""Pairs of a query and a candidate, which a cross-encoder scores. A score is stored as a vector."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.types import FloatArray, Item


@dataclass(frozen=True, slots=True)
class ItemPair(Item):
    """A query and a candidate as one item, whose vector is `(score, 1)`. Its text is that of both, for messages.

    The one keeps a score of zero apart from a vector of zeros, which is an error.
    """

    query: Item = field(default_factory=Item)
    target: Item = field(default_factory=Item)


def pair_work(query: Work, target: Work) -> Work:
    """The work of scoring a pair of texts. Its key covers both items and the model."""
    key = hashlib.sha256(b"pair/1" + query.key + target.key).digest()
    text = f"{query.item.full_text} | {target.item.full_text}"
    return Work(key, ItemPair(text, query=query.item, target=target.item), "query")


def stored_scores(store: Store, keys: Sequence[bytes]) -> FloatArray:
    """Returns the scores `(n,)` of pairs, in fp32 and in the order of `keys`, all of which must be stored."""
    return store.get(keys)[:, 0] if keys else np.empty(0, dtype=np.float32)
