"""The window of prepared items from which batches are taken: items of similar cost within a budget."""

from __future__ import annotations

from bisect import insort_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.encoding.vectors import Work
from harness.errors import BadMedia
from harness.types import Features

MOST_ITEMS = 256
"""Largest number of items in a batch."""
_ALIKE = 0.75
"""Share of the cost of a batch's costliest item below which another item is mostly padding."""
_SMALL = 16
"""A batch below this fraction of the budget would cost more than the padding that it saves."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A prepared item."""

    work: Work
    features: Features[object]

    @property
    def cost(self) -> int:
        """What it takes of a budget, at least 1."""
        return max(1, self.features.cost)


@dataclass(frozen=True, slots=True)
class Bad:
    """An item whose media cannot be used."""

    work: Work
    error: BadMedia


Prepared: TypeAlias = Ready | Bad


class Window:
    """Prepared items by cost, the costliest last."""

    def __init__(self) -> None:
        self._items: list[Ready] = []
        self._cost = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, ready: Ready) -> None:
        """Takes an item in."""
        insort_left(self._items, ready, key=lambda each: each.cost)
        self._cost += ready.cost

    def holds(self, batches: int, budget: int) -> bool:
        """Whether there is enough for so many batches."""
        return self._cost >= batches * budget or len(self._items) >= batches * MOST_ITEMS

    def batch(self, budget: int) -> list[Ready]:
        """Returns the costliest first, as many as fit: the first sets what each of them takes up.

        Much cheaper ones wait for company of their own, unless that would leave the batch small.
        """
        most = self._items[-1].cost
        size = max(1, min(budget // most, MOST_ITEMS))
        batch = self._items[: -size - 1 : -1]
        alike = sum(ready.cost >= _ALIKE * most for ready in batch)
        return batch[: max(alike, budget // _SMALL // most)]

    def drop(self, batch: Sequence[Ready]) -> None:
        """Takes the batch out that was returned last."""
        del self._items[-len(batch) :]
        self._cost -= sum(ready.cost for ready in batch)
