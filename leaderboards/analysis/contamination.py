"""Which test queries and targets occur in training data, and what scores are without those queries.

Media are the same if their bytes are, and alike if `lookalikes` says so. Of a video, frames at
equal distances count.
Of an item with media only these count, since questions and labels are shared by nature. An item of text alone occurs if
`texts` says so. A query is hit if it occurs, or one of its right targets does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.dataset import Dataset
from harness.errors import BadMedia
from harness.media.digests import Digests
from harness.media.images import open_image
from harness.media.video import spread_frames
from harness.progress import Progress
from harness.results.verified import Outcomes
from harness.types import Item, Media
from leaderboards.analysis.lookalikes import Looks, LooksIndex, looks_of
from leaderboards.analysis.texts import TextIndex, normal

_FRAMES = 5
_BLOCK = 64


class Occurrence(NamedTuple):
    """Where training data has a medium or a text, and how alike the two are."""

    how: str
    """`same bytes`, `alike`, `same text` or `similar text`."""
    where: str


@dataclass(frozen=True, slots=True, eq=False)
class TaskOverlap:
    """The hits of one task."""

    dataset: Dataset
    queries: Mapping[int, Occurrence]
    """By number of the query."""
    targets: Mapping[int, Occurrence]

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Which queries are hit: themselves, or through a right target."""
        return np.array(
            [
                number in self.queries or any(each in self.targets for each in query.positives.tolist())
                for number, query in enumerate(self.dataset.data.queries)
            ]
        )


@dataclass(slots=True, eq=False)
class _Tested:
    """Media and texts of the test data, and what was found of them."""

    media: dict[str, Media] = field(default_factory=dict)
    """By digest."""
    texts: dict[str, None] = field(default_factory=dict)
    found: dict[str, Occurrence] = field(default_factory=dict)
    """By digest or text."""

    def mark(self, key: str, how: str, where: str) -> None:
        """Keeps the first place of each, of those that are the same if there are some."""
        known = self.found.get(key)
        if known is None or (how.startswith("same") and not known.how.startswith("same")):
            self.found[key] = Occurrence(how, where)


def overlap(
    datasets: Sequence[Dataset],
    training: Iterable[tuple[str, Item]],
    digests: Digests,
    progress: Progress,
    *,
    workers: int,
    pairs: int = 0,
    exact: bool = False,
) -> list[TaskOverlap]:
    """Finds the test items that training data has.

    Args:
        datasets: the test data.
        training: items, each with its place in the training data.
        digests: the digests of files.
        progress: hears how many test pictures were read. The caller says how many pairs of training data were.
        workers: number of threads that decode pictures.
        pairs: number of pairs of the training data.
        exact: whether pictures count only if their bytes are the same, so that none is decoded.
    """
    tested = _Tested()
    for dataset in datasets:
        for item in _items(dataset):
            for medium in item.media:
                if medium in dataset.media:
                    tested.media.setdefault(dataset.media[medium].digest, medium)
            if not item.media and (text := normal(item.text or item.full_text)):
                tested.texts[text] = None
    with ThreadPoolExecutor(max(1, workers)) as pool:
        progress.phase("test pictures", len(tested.media))
        pictures: list[str] = []
        looks: list[Looks] = []
        for digest, own in zip(tested.media, pool.map(_looks, [] if exact else tested.media.values()), strict=False):
            pictures += [digest] * len(own)
            looks += own
            progress.advance(1)
        search = _Search(tested, pictures, LooksIndex(looks), TextIndex(tested.texts), digests, exact)
        progress.phase("training data", pairs)
        items = _once(training)
        while block := list(islice(items, _BLOCK)):
            search.compare(block, pool)
    return [_of_task(dataset, tested.found) for dataset in datasets]


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    tested: _Tested
    pictures: Sequence[str]
    """The digest behind each picture of the index."""
    looks: LooksIndex
    texts: TextIndex
    digests: Digests
    exact: bool

    def compare(self, block: Sequence[tuple[str, Item | Media]], pool: ThreadPoolExecutor) -> None:
        """Marks what some training items have."""
        media = [(where, each) for where, each in block if isinstance(each, Media)]
        found = pool.map(self._of_medium, [each for _, each in media])
        places: list[str] = []
        looks: list[Looks] = []
        for (where, _), (digest, own) in zip(media, found, strict=True):
            if digest in self.tested.media:
                self.tested.mark(digest, "same bytes", where)
            places += [where] * len(own)
            looks += own
        for other, own_number in self.looks.near(looks):
            self.tested.mark(self.pictures[own_number], "alike", places[other])
        for where, item in block:
            if isinstance(item, Item):
                text = normal(item.full_text)
                for each in self.texts.found_in(text) if text else ():
                    same = each == text or text.endswith(f" {each}")
                    self.tested.mark(each, "same text" if same else "similar text", where)

    def _of_medium(self, medium: Media) -> tuple[str, list[Looks]]:
        try:
            digest = self.digests.media(medium).digest
        except BadMedia:
            return "", []
        return digest, [] if self.exact else _looks(medium)


def _once(training: Iterable[tuple[str, Item]]) -> Iterator[tuple[str, Item | Media]]:
    """Each medium once, and each item of text alone."""
    seen: set[Media] = set()
    for where, item in training:
        for medium in item.media:
            if medium not in seen:
                seen.add(medium)
                yield where, medium
        if not item.media:
            yield where, item


def _looks(medium: Media) -> list[Looks]:
    """The hashes of an image, or of frames of a video. None for a medium that cannot be used."""
    try:
        pictures: list[Image.Image] = spread_frames(medium, _FRAMES) if medium.kind == "video" else [open_image(medium)]
    except BadMedia:
        return []
    return [each for each in map(looks_of, pictures) if each is not None]


def _items(dataset: Dataset) -> Iterator[Item]:
    yield from (query.item for query in dataset.data.queries)
    yield from dataset.data.targets


def _of_task(dataset: Dataset, found: Mapping[str, Occurrence]) -> TaskOverlap:
    def of(items: Iterable[Item]) -> dict[int, Occurrence]:
        hits = ((number, _of_item(item, dataset, found)) for number, item in enumerate(items))
        return {number: hit for number, hit in hits if hit is not None}

    return TaskOverlap(dataset, of(query.item for query in dataset.data.queries), of(dataset.data.targets))


def _of_item(item: Item, dataset: Dataset, found: Mapping[str, Occurrence]) -> Occurrence | None:
    if not item.media:
        return found.get(normal(item.text or item.full_text))
    digests = (dataset.media[medium].digest for medium in item.media if medium in dataset.media)
    return next((found[digest] for digest in digests if digest in found), None)


def split(outcomes: Outcomes, hit: NDArray[np.bool_]) -> tuple[Outcomes, Outcomes]:
    """The outcomes of the queries that are hit, and of the others."""

    def part(chosen: NDArray[np.bool_]) -> Outcomes:
        clusters = outcomes.clusters
        if clusters is not None:
            clusters = np.unique(clusters[chosen], return_inverse=True)[1].astype(np.int32)
        return Outcomes(outcomes.scores[chosen], outcomes.tied[chosen], clusters)

    return part(hit), part(~hit)
