"""Queries that belong together, such as the captions of one picture: their outcomes are not independent.

Queries of one cluster share their right targets, a picture, a video, or a `group` that the data names. Intervals and
tests take a cluster for one observation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.data.dataset import Dataset
from harness.media.images import MediaInfo
from harness.scoring.intervals import Clusters
from harness.types import Query


def clusters_of(dataset: Dataset, *, by_target: bool = True) -> Clusters:
    """The number of each query's cluster, `(queries,)`, from 0 in the order of first queries.

    A group that the data names decides alone. Queries with several right targets share them if they have the same ones.
    One in common is not enough: it would join, from query to query, most of a corpus.

    A right target without a picture is no bond between queries that have one. It is a label or an answer: its set is
    fixed, and queries with one label are drawn independently. Without `by_target` no right target is a bond.
    """
    return joined([list(_bonds(dataset, query, by_target)) for query in dataset.data.queries])


def _bonds(dataset: Dataset, query: Query, by_target: bool) -> Iterator[object]:
    """What two queries must share to be in one cluster."""
    if query.group:
        yield "group", query.group
        return
    for medium in query.item.media:
        look = dataset.media.get(medium)
        yield "medium", look.digest if isinstance(look, MediaInfo) else medium
    right = {each for each in query.positives.tolist() if dataset.data.targets[each].media or not query.item.media}
    if right and by_target:
        yield "targets", tuple(sorted(right))


def joined(bonds: Sequence[Sequence[object]]) -> Clusters:
    """The clusters of queries that share a bond, directly or through others: connected components, by union-find."""
    parent = list(range(len(bonds)))

    def root(query: int) -> int:
        while parent[query] != query:
            parent[query] = parent[parent[query]]
            query = parent[query]
        return query

    first: dict[object, int] = {}
    for query, shared in enumerate(bonds):
        for bond in shared:
            one, other = root(query), root(first.setdefault(bond, query))
            parent[max(one, other)] = min(one, other)
    roots = [root(query) for query in range(len(bonds))]
    return np.unique(np.array(roots, dtype=np.int32), return_inverse=True)[1].astype(np.int32)
