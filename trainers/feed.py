"""Pairs made ready ahead of the steps that need them, in threads, and remembered where there is room."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from harness.errors import BadMedia, UserError
from harness.models.llave_prompt import Prompt
from harness.types import Features, Item, Role
from trainers.batches import Place, Plan
from trainers.data import Subset
from trainers.pairs import Pair

_AHEAD = 2
"""Steps that are prepared while one is computed."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Pairs that are contrasted with each other. Prompts are this process's; pairs of like length follow each other.

    Equal contents have equal ids, over the pairs of all processes.
    """

    places: Sequence[Place]
    """Of all processes."""
    queries: Sequence[Prompt]
    targets: Sequence[Prompt]
    negatives: Sequence[Prompt]
    query_ids: Sequence[int]
    target_ids: Sequence[int]
    all_negatives: int
    """How many all processes have together. What they hold beyond that repeats the last, so that shares are equal."""


class Prepared:
    """Makes items ready, and keeps those that fit into a number of bytes."""

    def __init__(self, prepare: Callable[[Item, Role], Features[Prompt]], room: int) -> None:
        self._prepare = prepare
        self._room = room
        self._known: dict[tuple[Item, Role], Prompt] = {}
        self._lock = threading.Lock()

    def __call__(self, item: Item, role: Role) -> Prompt:
        found = self._known.get((item, role))
        if found is None:
            found = self._prepare(item, role).data
            size = sum(ids.nbytes for ids in found.ids) + sum(picture.crops.nbytes for picture in found.pictures)
            with self._lock:
                if size <= self._room:
                    self._room -= size
                    self._known[item, role] = found
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """The batches of a plan, made ready for one of several processes."""

    plan: Plan
    subsets: Sequence[Subset]
    prepared: Prepared
    rank: int
    processes: int
    negatives: bool
    workers: int

    def steps(self, start: int, end: int) -> Iterator[list[Part]]:
        """The parts of each step's batch. Raises UserError naming the row that cannot be made ready."""
        with ThreadPoolExecutor(self.workers) as pool, ThreadPoolExecutor(_AHEAD) as heads:
            waiting: deque[Future[list[Part]]] = deque()
            try:
                for step in range(start, end + _AHEAD):
                    if step < end:
                        waiting.append(heads.submit(self._step, step, pool))
                    if step >= start + _AHEAD:
                        yield waiting.popleft().result()
            finally:
                for each in waiting:
                    each.cancel()

    def where(self, place: Place) -> str:
        return self.subsets[place.subset].where(place.row)

    def _step(self, step: int, pool: ThreadPoolExecutor) -> list[Part]:
        return [self._part(places, pool) for places in self.plan.at(step)]

    def _part(self, places: Sequence[Place], pool: ThreadPoolExecutor) -> Part:
        pairs = [self.subsets[place.subset].pair(place.row) for place in places]
        share = len(pairs) // self.processes
        mine = range(self.rank * share, (self.rank + 1) * share)
        queries = list(pool.map(lambda at: self._ready(places[at], pairs[at].query, "query"), mine))
        targets = list(pool.map(lambda at: self._ready(places[at], pairs[at].target, "target"), mine))
        order = sorted(range(share), key=lambda at: (-queries[at].length, -targets[at].length, at))
        query_ids, target_ids = _numbered([pair.query for pair in pairs]), _numbered([pair.target for pair in pairs])
        extra = self._extra(places, pairs)
        equal = math.ceil(len(extra) / self.processes)
        own = [extra[min(at, len(extra) - 1)] for at in range(self.rank * equal, (self.rank + 1) * equal)]
        return Part(
            places=places,
            queries=[queries[at] for at in order],
            targets=[targets[at] for at in order],
            negatives=list(pool.map(lambda each: self._ready(each[0], each[1], "target"), own)),
            query_ids=[query_ids[mine[at]] for at in order],
            target_ids=[target_ids[mine[at]] for at in order],
            all_negatives=len(extra),
        )

    def _extra(self, places: Sequence[Place], pairs: Sequence[Pair]) -> list[tuple[Place, Item]]:
        """Distinct hard negatives that are nobody's target here."""
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

    def _ready(self, place: Place, item: Item, role: Role) -> Prompt:
        try:
            return self.prepared(item, role)
        except BadMedia as error:
            hint = f"{error.hint} Or leave out what cannot be opened: --set on_bad_media=skip."
            raise UserError(f"{self.where(place)}: {error.what}", hint) from None


def _numbered(items: Sequence[Item]) -> list[int]:
    numbers: dict[Item, int] = {}
    return [numbers.setdefault(item, len(numbers)) for item in items]
