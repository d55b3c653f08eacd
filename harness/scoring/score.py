"""Scores a task from stored vectors: matrices, rankings, metrics, and per-query rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.data.dataset import Dataset, MediaPlace
from harness.scoring.clustering import clustering_of, is_clustering, judge, labels_of
from harness.scoring.clusters import clusters_of
from harness.scoring.exact import slices
from harness.scoring.groups import Groups
from harness.scoring.intervals import Clusters
from harness.scoring.metrics import Metric, QueryRow, Score, summaries
from harness.scoring.pool import rank_pool
from harness.scoring.rank import normalise, rank
from harness.scoring.ranking import Ranking, RankQuery, TopCandidate
from harness.scoring.reading import Reader, VectorReader, listed_targets, pool_of, read_vectors, shown_scores
from harness.types import IndexArray, Item, ModelSpec, ProtocolName, Query, TaskData

_HIT = Metric("hit", 1)
_LATE_QUERIES = 1024
"""Number of queries in memory that have a vector for every token."""
_NONE: IndexArray = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetKeys:
    """Keys in the store for a dataset's queries and targets; None for an item without a vector."""

    queries: tuple[bytes | None, ...]
    targets: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The scores of a model on a task, by the names of the metrics."""

    rankings: tuple[Ranking, ...]
    metrics: dict[str, Score]
    """The scores of the chosen protocol: either `strict` or `official`."""
    strict: dict[str, Score]
    official: dict[str, Score]
    chance: dict[str, float]
    rows: tuple[QueryRow, ...]
    clusters: int
    """Number of clusters of queries; as many as queries if all are unrelated."""

    @property
    def tied_queries(self) -> int:
        """Number of queries for which a right candidate is tied with a wrong one."""
        return sum(ranking.tied for ranking in self.rankings)


def score(dataset: Dataset, keys: DatasetKeys, store: Reader, spec: ModelSpec, *, protocol: ProtocolName) -> Scored:
    """Ranks and scores a task from stored vectors. Queries without a vector count as wrong.

    A clustering sorts them by their vectors instead. There they are one more cluster.

    Raises: UserError for vectors that are not finite.
    """
    if is_clustering(dataset.task):
        return _clustered(dataset, keys, store, spec, protocol)
    return score_rankings(dataset, rank_dataset(dataset, keys, store, spec), protocol=protocol)


def score_rankings(dataset: Dataset, rankings: Sequence[Ranking], *, protocol: ProtocolName) -> Scored:
    """Scores a task from the rankings of all its queries, in their order."""
    clusters = clusters_of(dataset)
    metrics = [Metric.parse(name) for name in dataset.task.metrics]
    strict = {metric: [metric.score(ranking) for ranking in rankings] for metric in metrics}
    public = strict
    if any(ranking.depends_on_protocol for ranking in rankings):
        public = {metric: [metric.score_official(ranking) for ranking in rankings] for metric in metrics}
    both = {"strict": _scores(strict, rankings, clusters, "strict")}
    both["official"] = both["strict"] if public is strict else _scores(public, rankings, clusters, "official")
    main = (public if protocol == "official" else strict)[metrics[0]]
    return Scored(
        tuple(rankings),
        both[protocol],
        both["strict"],
        both["official"],
        {str(metric): metric.aggregate(map(metric.chance, rankings)) for metric in metrics},
        tuple(
            _row(dataset, query, ranking, metrics[0], value, cluster, official=protocol == "official")
            for query, ranking, value, cluster in zip(
                dataset.data.queries, rankings, main, clusters.tolist(), strict=True
            )
        ),
        len(np.unique(clusters)),
    )


def _clustered(dataset: Dataset, keys: DatasetKeys, store: Reader, spec: ModelSpec, protocol: ProtocolName) -> Scored:
    assert isinstance(store, VectorReader), "a plan of tokens has no clustering"
    vectors = store.get([key for key in keys.queries if key is not None])
    unit = normalise(vectors) if spec.similarity == "cosine" else vectors
    found = clustering_of(labels_of(dataset), np.array([key is not None for key in keys.queries]), vectors, unit)
    groups = clusters_of(dataset, by_target=False)
    verdict = judge(found, dataset.task.metrics, groups, protocol, dataset.task.metrics[0])
    main, queries = Metric.parse(dataset.task.metrics[0]), dataset.data.queries
    labels = np.unique([query.positives[0] for query in queries]).astype(np.int32)
    rankings = tuple(
        _renumbered(replace(ranking, query_id=query.id), labels)
        for query, ranking in zip(queries, verdict.rankings, strict=True)
    )
    rows = tuple(
        {
            **_row(dataset, query, rankings[at], main, float(verdict.parts_N[at]), int(groups[at]), official=False),
            "assigned": found.strict_SN[:, at].tolist(),
            "assigned_official": int(found.official_N[at]),
        }
        for at, query in enumerate(queries)
    )
    chosen = {"strict": verdict.strict, "official": verdict.official}[protocol]
    count = len(np.unique(groups))
    return Scored(rankings, chosen, verdict.strict, verdict.official, verdict.chance, rows, count)


def rank_dataset(
    dataset: Dataset, keys: DatasetKeys, store: Reader, spec: ModelSpec, *, top: int = 10
) -> list[Ranking]:
    """Returns the rankings of all queries, in their order, with targets numbered as in the dataset.

    Each has its best `top` candidates.

    Targets without a vector are left out of all candidates. A query without a vector, or without a right candidate that
    has one, is not ranked: its Ranking has no ranks. Raises: UserError for vectors that are not finite.
    """
    place_T = _places([key is not None for key in keys.targets])
    usable = np.flatnonzero(place_T >= 0).astype(np.int32)
    groups = [_kept(place_T, members) for members in dataset.data.groups]
    place = _places([len(members) > 0 for members in groups]) if groups else place_T
    queries: list[RankQuery] = []
    rankable: list[int] = []
    for index, query in enumerate(_candidates_for_targets(dataset.data)):
        whole_pool = dataset.task.scope != "local" or not len(query.candidates)
        candidates = _NONE if whole_pool else _kept(place, query.candidates)
        positives, grades = _kept(place, query.positives), _grades(place, query.positives, query.grades)
        excluded = np.unique(_kept(place, query.excluded)) if whole_pool else _NONE
        number = len(set(query.positives.tolist()))
        queries.append(RankQuery(query.id, candidates, positives, number, grades, excluded))
        if keys.queries[index] is not None and len(positives):
            rankable.append(index)
    asked = [queries[index] for index in rankable]
    listed = bool(groups) or any(len(query.candidates) for query in asked)
    members = Groups.of([each for each in groups if len(each)]) if groups and asked else None
    pool = pool_of(store, [keys.targets[index] for index in usable], spec)
    targets = listed_targets(pool, spec) if listed else None
    ranked: list[Ranking] = []
    for part in slices(len(asked), _LATE_QUERIES if spec.is_late else max(1, len(asked))):
        vectors = read_vectors(store, [keys.queries[index] for index in rankable[part]], spec)
        if targets is None:
            some = rank_pool(vectors, asked[part], pool, top=top)
        else:
            some = rank(vectors, targets, asked[part], groups=members, top=top)
        ranked += shown_scores(some, vectors, spec)
    rankings = {index: _renumbered(ranking, usable) for index, ranking in zip(rankable, ranked, strict=True)}
    size = int(place.max(initial=-1)) + 1
    every = (rankings.get(index) or _unranked(query, size) for index, query in enumerate(queries))
    return [
        replace(ranking, official_grades=_grades(place, query.positives, query.official_grades))
        if query.official_grades
        else ranking
        for ranking, query in zip(every, dataset.data.queries, strict=True)
    ]


def _candidates_for_targets(data: TaskData) -> Sequence[Query]:
    """Returns the queries. If targets are in groups, candidates and positives are numbers of groups."""
    if not data.groups:
        return data.queries
    number = {frozenset(members.tolist()): turn for turn, members in enumerate(data.groups)}
    right = (number[frozenset(query.positives.tolist())] for query in data.queries)
    pairs = zip(data.queries, right, strict=True)
    return [replace(query, candidates=_NONE, positives=np.array([each], dtype=np.int32)) for query, each in pairs]


def _places(usable: Sequence[bool]) -> IndexArray:
    """Returns the new number of each, counting only the usable ones; -1 for the others."""
    places = np.cumsum(usable, dtype=np.int32) - 1
    return np.where(usable, places, np.int32(-1))


def _renumbered(ranking: Ranking, usable: IndexArray) -> Ranking:
    """Returns the ranking with its top candidates numbered as in the dataset."""
    if all(each.target == usable[each.target] for each in ranking.top):
        return ranking
    top = tuple(TopCandidate(int(usable[each.target]), each.score) for each in ranking.top)
    return replace(ranking, top=top)


def _kept(place: IndexArray, indexes: IndexArray) -> IndexArray:
    """Returns the new numbers of targets or groups, without those that cannot be used."""
    kept = place[indexes]
    result: IndexArray = kept[kept >= 0]
    return result


def _grades(place: IndexArray, positives: IndexArray, grades: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the grades of the distinct right targets: first of those with a vector. Empty: all are 1."""
    of = dict(zip(positives.tolist(), grades, strict=False))
    return tuple(grade for _, grade in sorted(of.items(), key=lambda pair: bool(place[pair[0]] < 0)))


def _unranked(query: RankQuery, whole_pool: int) -> Ranking:
    whole_pool -= len(query.excluded)
    distinct = len(set(query.candidates.tolist())) or whole_pool
    return Ranking(
        query.id, (), (), distinct, query.num_positives, (), len(query.candidates) or whole_pool, grades=query.grades
    )


def _scores(
    columns: Mapping[Metric, Sequence[float]], rankings: Sequence[Ranking], clusters: Clusters, rule: ProtocolName
) -> dict[str, Score]:
    return {str(metric): score for metric, score in summaries(columns, rankings, clusters, rule).items()}


def _row(
    dataset: Dataset, query: Query, ranking: Ranking, main: Metric, value: float, cluster: int, *, official: bool
) -> QueryRow:
    targets, places = dataset.data.targets, dataset.places
    positives = list(dict.fromkeys(query.positives.tolist()))
    grouped = bool(dataset.data.groups)
    right = [place for place, each in enumerate(ranking.top) if each.target in positives]
    right = right[:1] if grouped else right  # further down, the same target can stand for another group
    why = dataset.why_bad(query.item) or next(
        filter(None, (dataset.why_bad(targets[each]) for each in positives)), None
    )
    return {
        "query": ranking.query_id,
        "right": (_HIT.score_official(ranking) if official else _HIT.score(ranking)) == 1,
        str(main): value,
        "cluster": cluster,
        "best_rank": list(ranking.best),
        "worst_rank": list(ranking.worst),
        "official_rank": list(ranking.official),
        **({"grades": list(ranking.grades)} if ranking.grades else {}),
        **({"official_grades": list(ranking.official_grades)} if ranking.official_grades else {}),
        "right_score": ranking.right_score,
        "candidates": ranking.pool_size,
        "content": content(query.item, places),
        "positives": [
            {"target": each, **({"group": positives} if grouped else {}), **content(targets[each], places)}
            for each in (positives[:1] if grouped else positives)
        ],
        "top": [
            {
                "target": each.target,
                "score": each.score,
                "right": place in right,
                **content(targets[each.target], places),
            }
            for place, each in enumerate(ranking.top)
        ],
        **({"bad_media": why.what} if why else {}),
    }


def content(item: Item, places: Mapping[MediaPlace, int]) -> dict[str, object]:
    """Returns the text and the media of an item as plain data, for per-query rows.

    `places` are all places of the dataset's media, which its record lists in this order.
    """
    fields: dict[str, object] = {"text": item.full_text}
    if item.instruction:
        fields["instruction"] = len(item.instruction)
    if item.media:
        fields["media"] = [medium.name for medium in item.media]
        if len(places) > 1:
            fields["places"] = [places[medium.kind, medium.root] for medium in item.media]
    return fields
