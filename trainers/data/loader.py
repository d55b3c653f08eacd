"""Loads the batches of a run. Threads prepare items ahead of the steps that need them, and a cache keeps items."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from typing import NamedTuple

from PIL.Image import Image

from harness.errors import BadMedia, UserError
from harness.media.digests import Digests
from harness.models.common import without_media
from harness.plan import seen_by
from harness.types import Embedder, Features, Item, Role
from trainers.data.mmeb_train import Subset
from trainers.data.pairs import Pair, content_key, name_key
from trainers.data.sampler import BatchPlan, PairIndex

_AHEAD = 2
"""Number of steps that are prepared while one is computed."""


class PreparedItem(NamedTuple):
    """An item as the model takes it."""

    features: Features[object]
    id: int
    """A number that equal items share."""
    complete: bool
    """Whether it passes through every part of the network, as a text with an image does."""


@dataclass(frozen=True, slots=True, eq=False)
class SubBatch:
    """Pairs that are contrasted with each other: a whole batch, or one of its parts.

    Items are those of this process, with pairs of similar length next to each other. Ids are those of `PreparedItems`,
    which are the same in all processes.
    """

    places: Sequence[PairIndex]
    """The pairs of all processes."""
    queries: Sequence[PreparedItem]
    targets: Sequence[PreparedItem]
    negatives: Sequence[PreparedItem]
    subsets: Sequence[int]
    """The number of each pair's dataset."""
    all_negatives: int
    """Number of negatives over all processes. The last one is repeated after these, so that shares are equal."""

    @property
    def items(self) -> list[PreparedItem]:
        """Queries, targets and negatives."""
        return [*self.queries, *self.targets, *self.negatives]


class PreparedItems:
    """Prepares items as evaluation does, and keeps as many as fit into `room` bytes.

    With `digests`, items with equal content have equal ids. Without, items that name the same files have.
    """

    def __init__(self, embedder: Embedder[object], room: int, digests: Digests | None = None) -> None:
        self._embedder = embedder
        self._room = room
        self._digests = digests
        self._known: dict[tuple[Item, Role], PreparedItem] = {}
        self._lock = threading.Lock()

    def __call__(self, item: Item, role: Role) -> PreparedItem:
        """The prepared item. Threads may call it at the same time. Raises BadMedia."""
        found = self._known.get((item, role))
        if found is None:
            modalities = self._embedder.spec.modalities
            seen = seen_by(item, modalities)
            complete = any(medium.kind == "image" for medium in seen.media) or "image" not in modalities
            found = PreparedItem(
                self._embedder.prepare(seen, role),
                name_key(item) if self._digests is None else content_key(item, self._digests),
                complete and bool(without_media(seen.full_text).strip()),
            )
            size = _bytes_of(found.features.data)
            with self._lock:
                if size <= self._room:
                    self._room -= size
                    self._known[item, role] = found
        return found


def _bytes_of(value: object) -> int:
    """About the memory of prepared data: of its arrays, tensors, pictures and texts."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_bytes_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_bytes_of, value))
    if is_dataclass(value):
        return sum(_bytes_of(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, Image):
        return value.width * value.height * len(value.getbands())
    return int(getattr(value, "nbytes", 0))


@dataclass(frozen=True, slots=True, eq=False)
class BatchLoader:
    """Prepares the batches of a plan for one of several processes."""

    plan: BatchPlan
    subsets: Sequence[Subset]
    prepared: PreparedItems
    rank: int
    processes: int
    negatives: bool
    """Whether hard negatives are loaded."""
    workers: int
    """Number of threads that prepare items."""

    def steps(self, start: int, end: int) -> Iterator[list[SubBatch]]:
        """The parts of each batch, for steps from `start` to below `end` (the first of a run is 0).

        Raises UserError that names the row of an item that cannot be prepared.
        """
        with ThreadPoolExecutor(self.workers) as pool, ThreadPoolExecutor(_AHEAD) as heads:
            waiting: deque[Future[list[SubBatch]]] = deque()
            try:
                for step in range(start, end + _AHEAD):
                    if step < end:
                        waiting.append(heads.submit(self._step, step, pool))
                    if step >= start + _AHEAD:
                        yield waiting.popleft().result()
            finally:
                for each in waiting:
                    each.cancel()

    def where(self, place: PairIndex) -> str:
        """Where a person finds the row of a pair."""
        return self.subsets[place.subset].where(place.row)

    def _step(self, step: int, pool: ThreadPoolExecutor) -> list[SubBatch]:
        return [self._part(places, pool) for places in self.plan.at(step)]

    def _part(self, places: Sequence[PairIndex], pool: ThreadPoolExecutor) -> SubBatch:
        pairs = [self.subsets[place.subset].pair(place.row) for place in places]
        share = len(pairs) // self.processes
        mine = range(self.rank * share, (self.rank + 1) * share)
        queries = list(pool.map(lambda at: self._ready(places[at], pairs[at].query, "query"), mine))
        targets = list(pool.map(lambda at: self._ready(places[at], pairs[at].target, "target"), mine))
        order = sorted(range(share), key=lambda at: (-queries[at].features.cost, -targets[at].features.cost, at))
        extra = self._extra(places, pairs)
        equal = math.ceil(len(extra) / self.processes)
        own = [extra[min(at, len(extra) - 1)] for at in range(self.rank * equal, (self.rank + 1) * equal)]
        negatives = list(pool.map(lambda each: self._ready(each[0], each[1], "target"), own))
        return SubBatch(
            places=places,
            queries=[queries[at] for at in order],
            targets=[targets[at] for at in order],
            negatives=negatives,
            subsets=[places[mine[at]].subset for at in order],
            all_negatives=len(extra),
        )

    def _extra(self, places: Sequence[PairIndex], pairs: Sequence[Pair]) -> list[tuple[PairIndex, Item]]:
        """Distinct hard negatives that are no pair's target here, each with a pair that it comes from."""
        if not self.negatives:
            return []
        targets = {pair.target for pair in pairs}
        found = {
            item: place
            for place, pair in zip(places, pairs, strict=True)
            for item in pair.negatives
            if item not in targets
        }
        return [(place, item) for item, place in found.items()]

    def _ready(self, place: PairIndex, item: Item, role: Role) -> PreparedItem:
        try:
            return self.prepared(item, role)
        except BadMedia as error:
            hint = f"{error.hint} Or leave out pairs with media that do not open: --set on_bad_media=skip."
            raise UserError(f"{self.where(place)}: {error.what}", hint) from None
