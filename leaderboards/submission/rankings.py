"""Rankings read back from the per-query rows of a result, so that scores can be worked out again by the same code."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from harness.scoring.metrics import Metric, QueryRow
from harness.types import ProtocolName, Ranking

Rule = ProtocolName | Literal["chance"]


def ranking_of(row: QueryRow) -> Ranking:
    """What a row says of where its right candidates came out. Raises ValueError if that is impossible.

    Rows do not keep the size of a list with its repeats; it is taken to end at the last right candidate, which is
    enough for every metric but the rank of a query that could not be ranked.
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
    """A query's value under a rule. Queries that came out alike share one computation."""
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
