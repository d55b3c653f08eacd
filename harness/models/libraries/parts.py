"""Items of several inputs, whose vectors a library gives one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

K = TypeVar("K")
P = TypeVar("P")


def encode_parts(
    items: Sequence[Sequence[tuple[K, P]]], encode: Callable[[K, Sequence[P]], Iterable[Tensor]]
) -> list[list[Tensor]]:
    """Encodes items that have one or several parts.

    Args:
        items: the parts of each item, each with a key. Parts with one key can share a call.
        encode: returns what the model gives for parts, called once for each key.

    Returns:
        What the model gave for the parts of each item.
    """
    calls: dict[K, list[tuple[int, int, P]]] = defaultdict(list)
    for at, parts in enumerate(items):
        for turn, (key, part) in enumerate(parts):
            calls[key].append((at, turn, part))
    found: dict[tuple[int, int], Tensor] = {}
    for key, members in calls.items():
        for (at, turn, _), vectors in zip(members, encode(key, [part for _, _, part in members]), strict=True):
            found[at, turn] = vectors
    return [[found[at, turn] for turn in range(len(parts))] for at, parts in enumerate(items)]


def embed_parts(items: Sequence[Sequence[tuple[K, P]]], encode: Callable[[K, Sequence[P]], Iterable[Tensor]]) -> Tensor:
    """Returns vectors `(n, width)` in fp32: the `mean_direction` of what `encode_parts` gives for each item."""
    import torch

    return torch.stack([mean_direction(of_item) for of_item in encode_parts(items, encode)])


def mean_direction(vectors: Sequence[Tensor]) -> Tensor:
    """Returns the mean of the unit vectors in fp32, or a single vector without a change of its length."""
    import torch

    if len(vectors) == 1:
        return vectors[0].float()
    return torch.nn.functional.normalize(torch.stack(list(vectors)).float(), dim=1).mean(dim=0)
