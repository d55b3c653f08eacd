"""Embedders that answer in parts and in any order, such as servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from harness.types import Features

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class PartialAnswer:
    """The vectors of some of the items that were asked for."""

    positions: Sequence[int]
    """The places `(n,)` of the items among those asked for, from 0."""
    vectors: object
    """An array `(n, d)`, in the order of `positions`."""
    truncated: int = 0
    """Number of the items that were cut because they are too long."""


@runtime_checkable
class Streaming(Protocol[T]):
    """An embedder whose answers are stored one by one, so that nothing that was answered is asked for again."""

    def stream(self, features: Iterable[Features[T]], budget: int) -> Iterator[PartialAnswer]:
        """Yields answers until every item has its vector. Several requests are under way at once.

        Args:
            features: prepared items, taken one by one in the thread that iterates, as there is room for more requests.
            budget: the largest cost of one request.

        Raises:
            UserError: after all requests that were under way have been answered.
        """
