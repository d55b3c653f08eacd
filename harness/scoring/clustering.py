"""A task as a clustering: k-means on the vectors of its queries, judged by the labels, which are its targets.

- `strict`: k-means from ten seeds, on vectors of length 1 where the model compares by cosine. A score is the mean over
  the seeds, and its interval covers seeds and items. Items are sorted by their vectors, so that their order in the data
  changes nothing. One thread computes, so that the number of processors changes nothing.
- `official`: MIEB's protocol, which is that of mteb: one run of mini-batch k-means on the vectors as they are.

Other items give other clusters too, which the parts of the items do not show. So the variance over seeds enters an
interval whole, not divided by their number. docs/clustering.md has the coverage.

Axes: S runs of k-means, N items, L labels, V width of the vectors.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Dataset
from harness.errors import UserError, shortened
from harness.scoring.agreement import Agreement, agreements, table_of
from harness.scoring.intervals import Clusters, Floats, SampleMean
from harness.scoring.metrics import Metric, Score
from harness.scoring.ranking import Ranking, TopCandidate
from harness.types import FloatArray, IndexArray, ProtocolName, Task

SEEDS = 10
_PUBLIC_SEED, _PUBLIC_BATCH = 42, 500
_TOP = 10
_BLOCK = 4096
_RULES: tuple[ProtocolName, ProtocolName] = ("strict", "official")


@dataclass(frozen=True, eq=False)
class Clustering:
    """The label of each item, and its cluster in each run. All are numbers from 0."""

    labels_N: IndexArray
    strict_SN: IndexArray
    official_N: IndexArray

    def runs(self, rule: ProtocolName) -> IndexArray:
        """The clusters under a protocol, `(S, N)`."""
        return self.strict_SN if rule == "strict" else self.official_N[None]

    @cached_property
    def agreements(self) -> Mapping[ProtocolName, Sequence[Mapping[str, Agreement]]]:
        """How well the clusters of each run agree with the labels, by protocol."""
        return {rule: [agreements(self.labels_N, row_N) for row_N in self.runs(rule)] for rule in _RULES}

    def spread(self, metric: str) -> float:
        """The variance of a metric over seeds."""
        return float(np.var([each[metric].value for each in self.agreements["strict"]], ddof=1))


@dataclass(frozen=True, slots=True, eq=False)
class ClusteringScores:
    """What a clustering is worth. All of it follows from labels and clusters."""

    strict: dict[str, Score]
    official: dict[str, Score]
    chance: dict[str, float]
    parts_N: Floats
    """The part of each item in the main score, `(N,)`; their mean is that score."""
    rankings: tuple[Ranking, ...]
    """The labels of each item, by their share of the other items in its cluster."""


def is_clustering(task: Task) -> bool:
    """Whether a task is scored as a clustering. Raises: UserError if only some of its metrics are of that kind."""
    kinds = {Metric.parse(name).is_agreement for name in task.metrics}
    if len(kinds) > 1:
        what = f"{task.name} has metrics of clusters and of rankings: {', '.join(task.metrics)}."
        raise UserError(what, "Make two tasks of it.")
    return kinds == {True}


def labels_of(dataset: Dataset) -> IndexArray:
    """The label of each query, `(N,)`: its right target.

    Raises: UserError if a query has several.
    """
    name, queries = dataset.task.name, dataset.data.queries
    if several := next((each for each in queries if len(set(each.positives.tolist())) != 1), None):
        what = f"{name}: query {shortened(several.id)} has {len(several.positives)} labels."
        raise UserError(what, "Items of a clustering have one label each.")
    labels_N = np.array([each.positives[0] for each in queries], dtype=np.int32)
    return np.unique(labels_N, return_inverse=True)[1].astype(np.int32)


def clustering_of(
    labels_N: IndexArray, there_N: NDArray[np.bool_], vectors_TV: FloatArray, unit_TV: FloatArray
) -> Clustering:
    """Sorts items into as many clusters as there are labels. Items without a vector are one more cluster.

    Args:
        labels_N: the label of each item.
        there_N: which items have a vector. Their number is T.
        vectors_TV: their vectors as the model gives them, in the order of the data.
        unit_TV: those that the model compares.

    Raises: UserError for vectors that are not finite.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if not np.isfinite(unit_TV).all():
        raise UserError("There are vectors that are not finite.", "Look for overflow, or for a broken checkpoint.")
    labels = int(labels_N.max()) + 1
    strict_SN = np.full((SEEDS, len(labels_N)), labels, dtype=np.int32)
    official_N = np.full(len(labels_N), labels, dtype=np.int32)
    places_T, count = np.flatnonzero(there_N), min(labels, len(unit_TV))
    if count:
        order_T = np.argsort(_bytes(unit_TV), kind="stable")
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer distinct vectors than clusters
            for seed, row_N in enumerate(strict_SN):
                fitted = KMeans(count, n_init=1, random_state=seed).fit(unit_TV[order_T])
                row_N[places_T[order_T]] = fitted.labels_
            public = MiniBatchKMeans(count, n_init="auto", batch_size=_PUBLIC_BATCH, random_state=_PUBLIC_SEED)
            official_N[places_T] = public.fit(vectors_TV).labels_
    return Clustering(labels_N, np.stack([numbered(row_N) for row_N in strict_SN]), numbered(official_N))


def judge(
    found: Clustering, metrics: Sequence[str], groups: Clusters, protocol: ProtocolName, main: str
) -> ClusteringScores:
    """Everything that follows from labels and clusters. `groups` are the clusters of dependent queries, `(N,)`.

    `main` is the main metric, one of `metrics`.
    """
    columns = {rule: {name: [each[name] for each in found.agreements[rule]] for name in metrics} for rule in _RULES}
    strict, official = (
        {name: _score(name, each, groups, found.spread(name)) for name, each in columns[rule].items()}
        for rule in _RULES
    )
    return ClusteringScores(
        strict,
        official,
        {name: float(np.mean([each.chance for each in column])) for name, column in columns["strict"].items()},
        _parts(columns[protocol][main]),
        tuple(_rankings(found.labels_N, found.runs(protocol))),
    )


def sample_of(parts_N: Floats, groups: Clusters | None, spread: float) -> SampleMean:
    """The main score as a mean over items, for means over tasks and comparisons, which take scores for shares.

    A score from -1 to 1 counts as many unrelated hits as would give its mean the same variance.
    """
    count, found = len(parts_N), _scaled(parts_N, groups, spread)
    least = 1 / max(count, 2)
    share, mean = (float(np.clip(each, least, 1 - least)) for each in (found.mean, parts_N.mean()))
    effect = 4 * share * (1 - share) * found.effect / (mean * (1 - mean))
    return SampleMean(float(parts_N.mean()), count, found.clusters, effect)


def _scaled(parts_N: Floats, groups: Clusters | None, spread: float) -> SampleMean:
    """The mean of parts, which belong to a score from -1 to 1, moved to 0 to 1."""
    return SampleMean.of((parts_N + 1) / 2, clusters=groups, further=spread / 4)


def _score(name: str, runs: Sequence[Agreement], groups: Clusters, spread: float) -> Score:
    value = float(np.mean([each.value for each in runs]))
    low, high = (2 * end - 1 for end in _scaled(_parts(runs), groups, spread).interval)
    return Score(value, min(max(low, Metric(name).least), value), max(high, value))


def _parts(runs: Sequence[Agreement]) -> Floats:
    parts_N: Floats = np.mean([each.parts for each in runs], axis=0)
    return parts_N


def _rankings(labels_N: IndexArray, runs_SN: IndexArray) -> Iterator[Ranking]:
    """The rank of each item's label among all labels, by their share of the item's cluster.

    The share is a mean over runs. The item itself does not count. Labels that are equally common are tied.
    """
    counts = [table_of(labels_N, row_N).T for row_N in runs_SN]
    for start in range(0, len(labels_N), _BLOCK):
        own_B = labels_N[start : start + _BLOCK]
        here_B = np.arange(len(own_B))
        shares_BL = np.zeros((len(own_B), int(labels_N.max()) + 1))
        for counts_CL, row_N in zip(counts, runs_SN, strict=True):
            others_BL = counts_CL[row_N[start : start + _BLOCK]].copy()
            others_BL[here_B, own_B] -= 1
            shares_BL += others_BL / np.maximum(others_BL.sum(axis=1, keepdims=True), 1)
        shares_BL /= len(runs_SN)
        right_B = shares_BL[here_B, own_B]
        best_B = 1 + (shares_BL > right_B[:, None]).sum(axis=1)
        worst_B = (shares_BL >= right_B[:, None]).sum(axis=1)
        first_BK = np.argsort(-shares_BL, axis=1, kind="stable")[:, :_TOP]
        for at, (best, worst) in enumerate(zip(best_B.tolist(), worst_B.tolist(), strict=True)):
            top = tuple(TopCandidate(each, float(shares_BL[at, each])) for each in first_BK[at].tolist())
            labels = shares_BL.shape[1]
            yield Ranking(
                str(start + at), (best,), (worst,), labels, 1, (best,), labels, top, right_score=float(right_B[at])
            )


def numbered(clusters_N: IndexArray) -> IndexArray:
    """Clusters or labels with numbers from 0 in the order of their first items, `(N,)`."""
    _, first, inverse = np.unique(clusters_N, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int32)[inverse]


def _bytes(vectors_TV: FloatArray) -> NDArray[np.void]:
    """The bytes of each vector as one value, by which vectors can be sorted, `(T,)`."""
    rows = np.ascontiguousarray(vectors_TV)
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
