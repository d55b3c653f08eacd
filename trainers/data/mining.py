"""Hard negatives: wrong targets that a model finds similar to a query, from an exact search over all targets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.embed import EmbedSettings, OwnItem, embed_items
from harness.encoding.distributed import World
from harness.errors import BadMedia, UserError
from harness.files.writing import atomic_file
from harness.media.digests import Digests
from harness.progress import Progress
from harness.types import FloatArray, Item, ModelHandle, Role
from trainers.data.mmeb_train import Subset
from trainers.data.pairs import Pair, content_key

_ROWS = 256
_NEAR = 32
"""Number of nearest targets of a query that its group is looked for among."""

Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MiningRule:
    """Which wrong targets are hard negatives."""

    negatives: int = 4
    """Largest number for each query."""
    margin: float = 0.05
    """Targets whose similarity is above that of the right one minus this are suspected to be right, and left out."""
    group: int = 8
    """Number of similar pairs that `batches=similar` keeps together."""


@dataclass(frozen=True, slots=True, eq=False)
class Mined:
    """Pairs of a dataset with their hard negatives, and the number of each pair's group of similar pairs."""

    pairs: Sequence[Pair]
    groups: Indexes
    suspects: int
    """Number of targets that were left out because they may be right."""
    without: int
    """Number of pairs for which no negative was found."""


def mine(subset: Subset, handle: ModelHandle, rule: MiningRule, settings: EmbedSettings, progress: Progress) -> Mined:
    """Embeds the pairs of a dataset, or finds their vectors in the store, and searches all targets for each query.

    Raises UserError for media that cannot be used, and for a dataset with one target only; and what embedding raises.
    """
    pairs = [subset.pair(row) for row in range(len(subset))]
    digests = Digests()
    queries, query_of = _distinct([pair.query for pair in pairs], digests)
    targets, target_of = _distinct([pair.target for pair in pairs], digests)
    digests.flush()
    if len(targets) < 2:
        raise UserError(f"{subset.name} has one target, so there is no wrong one.", "Give pairs with other targets.")
    sides: tuple[tuple[Role, Sequence[Item]], ...] = (("query", queries), ("target", targets))
    items = [
        OwnItem(f"{role} {at}", item, role, f"{subset.name}, {role} {at}")
        for role, side in sides
        for at, item in enumerate(side)
    ]
    embedded = embed_items(items, handle, settings, progress, World(0, 1))
    assert embedded is not None, "there is one process"
    vectors = embedded.vectors
    if handle.spec.similarity == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    right: list[set[int]] = [set() for _ in queries]
    for query, target in zip(query_of.tolist(), target_of.tolist(), strict=True):
        right[query].add(target)
    found = search(vectors[: len(queries)], vectors[len(queries) :], right, rule)
    mined = [
        Pair(pair.query, pair.target, tuple(targets[at] for at in found.negatives[query]))
        for pair, query in zip(pairs, query_of.tolist(), strict=True)
    ]
    groups = similar_groups([found.nearest[query] for query in query_of], target_of, rule.group)
    return Mined(mined, groups, found.suspects, sum(not pair.negatives for pair in mined))


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """What a search found for each query."""

    negatives: Sequence[Sequence[int]]
    """Indexes of hard negatives, the most similar first."""
    nearest: Sequence[Sequence[int]]
    """Indexes of the most similar targets, right ones and suspects among them."""
    suspects: int


def search(query: FloatArray, target: FloatArray, right: Sequence[set[int]], rule: MiningRule) -> SearchResult:
    """Compares each query `(n, d)` with every target `(m, d)`, in fp64. Ties are ordered by index.

    `right` has the indexes of each query's right targets. The least similar of them counts for the margin.
    """
    negatives, nearest, suspects = [], [], 0
    columns = target.astype(np.float64).T
    for start in range(0, len(query), _ROWS):
        scores = query[start : start + _ROWS].astype(np.float64) @ columns
        for row, own in zip(scores, right[start : start + _ROWS], strict=True):
            wanted = min(len(row), max(_NEAR, rule.negatives))
            nearest.append(_highest(row, wanted))
            positives = sorted(own)
            limit = row[positives].min() - rule.margin
            wrong = row.copy()
            wrong[positives] = -np.inf
            suspects += int((wrong > limit).sum())
            wrong[wrong > limit] = -np.inf
            best = _highest(wrong, min(len(row), rule.negatives))
            negatives.append([at for at in best if wrong[at] > -np.inf])
    return SearchResult(negatives, nearest, suspects)


def _highest(row: NDArray[np.float64], count: int) -> list[int]:
    """Indexes of the highest values, in descending order. Ties: the lower index first."""
    least = np.partition(row, len(row) - count)[len(row) - count]
    chosen = np.flatnonzero(row >= least)
    order = np.lexsort((chosen, -row[chosen]))
    return [int(at) for at in chosen[order][:count]]


def similar_groups(nearest: Sequence[Sequence[int]], target_of: Indexes, size: int) -> Indexes:
    """(n,) the number of each pair's group. A group has up to `size` pairs.

    Each pair that has no group yet takes the pairs whose targets its query is most similar to. B3 (arXiv:2505.11293)
    cuts a graph of such neighbours instead.
    """
    owners: dict[int, list[int]] = {}
    for pair, target in enumerate(target_of.tolist()):
        owners.setdefault(target, []).append(pair)
    groups = np.full(len(nearest), -1, np.int64)
    number = 0
    for pair in range(len(nearest)):
        if groups[pair] >= 0:
            continue
        near = (other for target in nearest[pair] for other in owners.get(target, ()) if groups[other] < 0)
        members = list(dict.fromkeys([pair, *near]))[:size]
        groups[members] = number
        number += 1
    return groups


def write_mined(path: Path, mined: Mined) -> None:
    """Writes pairs as JSON Lines, which training reads. Media have the names that they have in the data.

    Raises UserError if the disk refuses.
    """
    with atomic_file(path) as file:
        for pair, group in zip(mined.pairs, mined.groups.tolist(), strict=True):
            line = {
                "query": _written(pair.query),
                "positive": _written(pair.target),
                "negatives": [_written(each) for each in pair.negatives],
                "group": group,
            }
            file.write((json.dumps(line) + "\n").encode())


def _written(item: Item) -> dict[str, object]:
    fields = dict[str, object](_fields(item))
    return fields or {"text": ""}


def _fields(item: Item) -> Iterator[tuple[str, object]]:
    for kind in ("image", "video"):
        if names := [medium.name for medium in item.media if medium.kind == kind]:
            yield kind, names
    if item.text:
        yield "text", item.text
    if item.instruction:
        yield "instruction", item.instruction


def _distinct(items: Sequence[Item], digests: Digests) -> tuple[list[Item], Indexes]:
    """Items without repeats of content, and the number of each given item among them. Raises UserError."""
    numbers: dict[int, int] = {}
    kept: list[Item] = []
    places = []
    for item in items:
        try:
            key = content_key(item, digests)
        except BadMedia as error:
            raise UserError(error.what, error.hint) from None
        if numbers.setdefault(key, len(kept)) == len(kept):
            kept.append(item)
        places.append(numbers[key])
    return kept, np.array(places, np.int64)
