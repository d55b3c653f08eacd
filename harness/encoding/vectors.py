"""Vectors of a model, checked before they are stored. An error names the item."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from harness.errors import UserError, counted
from harness.progress import WorkKind
from harness.types import FloatArray, Item, Role, Similarity

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Work:
    """An item to embed and the key under which its vector is stored."""

    key: bytes
    item: Item
    role: Role
    pixels: int = 0
    """Pixels of its images, as far as they are known before it is prepared."""

    @property
    def rough_cost(self) -> tuple[int, int, int]:
        """An estimate to sort by before the item is prepared: number of videos, pixels, length of the text."""
        videos = sum(medium.kind == "video" for medium in self.item.media)
        return videos, self.pixels, len(self.item.full_text)

    @property
    def kind(self) -> WorkKind:
        """The class of items that take as long: with a video, an image or text alone, of similar size."""
        videos, pixels, length = self.rough_cost
        if self.item.media:
            return WorkKind("video", videos) if videos else WorkKind("image", pixels.bit_length() // 2)
        return WorkKind("text", length.bit_length() // 2)


@dataclass(frozen=True, slots=True)
class Load:
    """What has to be embedded: numbers of items, of their images and videos, and of characters of text."""

    items: int
    images: int
    videos: int
    characters: int

    @staticmethod
    def of(work: Sequence[Work]) -> Load:
        """The load of some items."""
        kinds = Counter(medium.kind for each in work for medium in each.item.media)
        return Load(len(work), kinds["image"], kinds["video"], sum(len(each.item.full_text) for each in work))

    def __add__(self, other: Load) -> Load:
        return Load(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        media = [counted(self.images, "image")] * (self.images > 0) + [counted(self.videos, "video")] * (
            self.videos > 0
        )
        tokens = -(-self.characters // 4)
        return ", ".join([counted(self.items, "item"), *media, f"about {counted(tokens, 'token')} of text"])


def as_matrix(output: object) -> FloatArray:
    """Returns a model's output as a float32 numpy array of the same shape, from any library and device.

    Raises: UserError if it is not an array of numbers.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(output, torch.Tensor):
        output = output.detach().to(device="cpu", dtype=torch.float32).numpy()
    try:
        with np.errstate(over="ignore"):  # a value too large for fp32 becomes infinite, and `check_vectors` reports it
            matrix: FloatArray = np.asarray(output, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The model returned {type(output).__name__}, which is not an array of numbers: {error}.",
            "embed must return one vector for each item, as (items, width).",
        ) from error
    return matrix


def vector_distance(one: FloatArray, other: FloatArray, similarity: Similarity) -> float:
    """Returns the distance of two vectors `(d,)`; infinite if one is not finite or all zeros.

    For cosine it is that of unit vectors, `sqrt(2 - 2 cos)`. Else it is relative to the longer vector.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    sizes = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if not all(0 < size < math.inf for size in sizes):
        return math.inf
    if similarity == "cosine":
        return float(np.linalg.norm(a / sizes[0] - b / sizes[1]))
    return float(np.linalg.norm(a - b)) / max(sizes)


def check_vectors(vectors: FloatArray, work: Sequence[Work], width: int | None) -> int:
    """Checks the vectors of a batch, and returns their width.

    `width` is that of vectors stored before, or None. Raises: UserError for a wrong shape, another width, values that
    are not finite, and vectors of zeros.
    """
    if vectors.ndim != 2 or len(vectors) != len(work):
        raise UserError(
            f"The model returned an array of shape {vectors.shape} for {counted(len(work), 'item')}.",
            "embed must return one vector for each item, as (items, width).",
        )
    check_width(vectors, width)
    finite, nonzero = np.isfinite(vectors).all(axis=1), vectors.any(axis=1)
    check_values(np.asarray(finite).tolist(), np.asarray(nonzero).tolist(), work)
    return int(vectors.shape[1])


def check_width(vectors: FloatArray, width: int | None) -> None:
    """Raises UserError if the vectors `(n, d)` have another width than those stored before, if there are any."""
    if width is not None and vectors.shape[1] != width:
        raise UserError(
            f"The model returned vectors of width {vectors.shape[1]}, but those stored before have width {width}.",
            "A model that changed needs a new revision in its spec. Then its vectors are stored apart.",
        )


def check_values(finite: Sequence[bool], nonzero: Sequence[bool], work: Sequence[Work]) -> None:
    """Raises UserError for an item whose vectors are not finite or all zeros, as two marks of each say."""
    if not all(finite):
        first, bad = describe(work[finite.index(False)]), finite.count(False)
        raise UserError(
            f"The model returned a vector that is not finite for {first} ({bad} of {len(work)} in its batch).",
            "Look for overflow (try --dtype float32) or for a broken checkpoint. Nothing of this batch was stored.",
        )
    if not all(nonzero):
        raise UserError(
            f"The model returned a vector of zeros for {describe(work[nonzero.index(False)])}.",
            "A vector of zeros has no direction, so it cannot rank anything. Nothing of this batch was stored.",
        )


def describe_all(work: Sequence[Work]) -> str:
    """Describes up to three items, for messages, and says how many more there are."""
    shown = [describe(each) for each in work[:_NAMED]]
    more = [f"{counted(len(work) - _NAMED, 'more item')}"] if len(work) > _NAMED else []
    *first, last = [*shown, *more]
    return f"{', '.join(first)} and {last}" if first else last


def describe(work: Work) -> str:
    """Describes an item in a few words, for messages: role, names of its media, and the start of its text."""
    parts = []
    if work.item.media:
        parts.append(" and ".join(repr(medium.name) for medium in work.item.media))
    text = work.item.full_text
    if text:
        parts.append(f"with text {text if len(text) <= 80 else text[:77] + '...'!r}")
    return f"the {work.role} {' '.join(parts) or 'without content'}"
