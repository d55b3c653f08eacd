"""Recomputes every number of a record from its per-query rows, with the engine's own code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from harness.errors import counted
from harness.results.files import Result
from harness.results.numbers import fixed
from harness.scoring.intervals import Clusters
from harness.scoring.metrics import Metric, QueryRow, Score
from harness.scoring.ranking import Ranking
from harness.types import ProtocolName

Rule = ProtocolName | Literal["chance"]
EXACT = 1e-9
"""Tolerance. The same code computes both scores, so only the last digits of another processor may differ."""


def disagreements(result: Result, rows: Sequence[QueryRow], *, intervals: bool) -> Iterator[str]:
    """Sentences on every number of a record that its rows contradict. Only the first wrong row is named."""
    if len(rows) != result.num_queries:
        yield f"It states {counted(result.num_queries, 'query')} but has {counted(len(rows), 'row')}."
        return
    rankings: list[Ranking] = []
    for number, row in enumerate(rows):
        try:
            rankings.append(ranking_of(row))
        except ValueError as error:
            yield f"Row {number} is impossible: {error}."
            return
    if len({str(row.get("query")) for row in rows}) < len(rows):
        yield "A query appears twice in its rows."
    ties = sum(ranking.tied for ranking in rankings)
    if ties != result.tied_queries:
        yield f"It states {counted(result.tied_queries, 'tied query')}; its rows have {ties}."
    yield from _row_values(result, rows, rankings)
    clusters = _clusters(rows)
    if clusters is None:
        yield "Its rows lack their clusters, or these are not numbered."
        return
    stated, found = result.dataset.get("clusters"), len(np.unique(clusters))
    if stated != found:
        yield f"It states {stated} clusters of queries; its rows have {found}."
    yield from _metrics(result, rankings, clusters if intervals else None)


def _clusters(rows: Sequence[QueryRow]) -> Clusters | None:
    """The cluster of each row. None if one has none."""
    numbers = [row.get("cluster") for row in rows]
    if not all(isinstance(each, int) and 0 <= each < len(rows) for each in numbers):
        return None
    return np.array(numbers, dtype=np.int32)


def _row_values(result: Result, rows: Sequence[QueryRow], rankings: Sequence[Ranking]) -> Iterator[str]:
    """Checks the main metric, `right` and the top candidates of each row against its ranks."""
    rule = rule_of(result)
    main, hit = Metric.parse(result.main_metric), Metric("hit", 1)
    for number, (row, ranking) in enumerate(zip(rows, rankings, strict=True)):
        stated, given = row.get(result.main_metric), value(main, ranking, rule)
        known = bool(ranking.best) or not main.is_rank
        if known and not (isinstance(stated, int | float) and _near(stated, given)):
            yield f"Row {number} states {result.main_metric} {stated}; its ranks give {given:g}."
            return
        if row.get("right") is not (value(hit, ranking, rule) == 1) or not _top_agrees(row, ranking):
            yield f"Row {number} has ranks that contradict `right` or its top candidates."
            return


def _top_agrees(row: QueryRow, ranking: Ranking) -> bool:
    """Whether the positives among the top candidates have the ranks of the row, and none is missing."""
    top = row.get("top")
    listed = [each for each in top if isinstance(each, dict)] if isinstance(top, list) else []
    scores = [float(each["score"]) for each in listed if isinstance(each.get("score"), int | float)]
    right = [score for score, each in zip(scores, listed, strict=False) if each.get("right")]
    places = sorted(1 + sum(other > score for other in scores) for score in right)
    needed = sum(worst <= len(scores) for worst in ranking.worst)
    return needed <= len(places) and places == sorted(ranking.best)[: len(places)]


def _metrics(result: Result, rankings: Sequence[Ranking], clusters: Clusters | None) -> Iterator[str]:
    """Checks every figure, and its interval too if the clusters are given."""
    unranked = not all(ranking.best for ranking in rankings)
    for rule, stated in _both(result):
        for name, score in stated.items():
            metric = Metric.parse(name)
            if rule == "official" and unranked and metric.is_rank:
                continue  # it depends on the length of the list with repeats, which rows do not keep
            values = [value(metric, ranking, rule) for ranking in rankings]
            mean = metric.aggregate(values)
            if not _near(score.value, mean):
                yield f"{name} ({rule}) is stated as {fixed(score.value, 6)}; its rows give {fixed(mean, 6)}."
            elif clusters is not None:
                found = metric.summary(values, rankings, clusters, rule)
                if not (_near(score.low, found.low) and _near(score.high, found.high)):
                    ours, theirs = (f"{fixed(each.low, 6)} to {fixed(each.high, 6)}" for each in (score, found))
                    yield f"The interval of {name} ({rule}) is stated as {ours}; its rows give {theirs}."
    for name, stated_chance in result.chance.items():
        metric = Metric.parse(name)
        chance = metric.aggregate(value(metric, ranking, "chance") for ranking in rankings)
        if not _near(chance, stated_chance):
            yield f"The chance of {name} is stated as {fixed(stated_chance, 6)}; its rows give {fixed(chance, 6)}."


def _both(result: Result) -> tuple[tuple[ProtocolName, Mapping[str, Score]], ...]:
    return ("strict", result.strict), ("official", result.official)


def rule_of(result: Result) -> ProtocolName:
    """The protocol of a result."""
    return "official" if result.protocol == "official" else "strict"


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=EXACT, abs_tol=EXACT)


def ranking_of(row: QueryRow) -> Ranking:
    """Reads the ranking of a query back from its row. Raises ValueError if the row is impossible.

    Rows do not keep the length of a list with repeats, so the list is taken to end at the last positive. That is exact
    for every metric except the rank of a query that could not be ranked.
    """
    if not isinstance(row, dict):
        raise ValueError("it is not an object")
    best, worst, official = (_ranks(row, name) for name in ("best_rank", "worst_rank", "official_rank"))
    candidates, positives = row.get("candidates"), row.get("positives")
    if not isinstance(candidates, int) or not isinstance(positives, list) or not positives:
        raise ValueError("it lacks its candidates or positives")
    if not len(best) == len(worst) == len(official) <= len(positives):
        raise ValueError("its ranks are not one for each right candidate")
    if any(not 1 <= low <= high <= candidates for low, high in zip(best, worst, strict=True)):
        raise ValueError("a rank lies outside its candidates")
    return Ranking(
        str(row.get("query")), best, worst, candidates, len(positives), official, max(candidates, *official, 0)
    )


def value(metric: Metric, ranking: Ranking, rule: Rule) -> float:
    """The value of a metric for one query under a protocol, or its chance level. Equal rankings are computed once."""
    places = (ranking.best, ranking.worst, ranking.pool_size, ranking.num_positives)
    return _value(metric, rule, *places, ranking.official, ranking.official_pool_size)


@lru_cache(maxsize=1 << 17)
def _value(
    metric: Metric,
    rule: Rule,
    best: tuple[int, ...],
    worst: tuple[int, ...],
    pool: int,
    positives: int,
    official: tuple[int, ...],
    official_pool: int,
) -> float:
    ranking = Ranking("", best, worst, pool, positives, official, official_pool)
    if rule == "chance":
        return metric.chance(ranking)
    return metric.score(ranking) if rule == "strict" else metric.score_official(ranking)


def _ranks(row: QueryRow, name: str) -> tuple[int, ...]:
    ranks = row.get(name)
    if not isinstance(ranks, list) or not all(isinstance(rank, int) and rank >= 1 for rank in ranks):
        raise ValueError(f"{name} is not a list of ranks")
    return tuple(ranks)
