"""Metrics, which are parsed from names: `hit@1`, `recall@5`, `ndcg@10`, `mrr`, `map`, `mean_rank`, `median_rank`.

`all-recall@k` is the share of queries with all right candidates among the first k, such as all evidence.
Source of the name: Gutierrez et al., NeurIPS 2024 (HippoRAG), "All-Recall". `ami`, `v_measure` and `ari` are
those of a clustering, which `agreement.py` computes.

A candidate is right if its grade of relevance is 1 or more. Only nDCG uses the grades. The gain of `ndcg` is the grade,
as in trec_eval. The gain of `ndcg-exp` is 2^grade - 1 (Burges et al., ICML 2005, "Learning to rank using gradient
descent"). With grades of 1 both are the same.

Every score is the expectation over random orders of tied candidates, in closed form. Without ties it is the usual
value. So a constant embedder scores exactly chance. Source: McSherry and Najork, ECIR 2008, "Computing information
retrieval performance measures efficiently in the presence of tied scores".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import unknown_name
from harness.scoring.intervals import Clusters, Floats, Interval, SampleMean, half_of, intervals, quantiles
from harness.scoring.ranking import Ranking, TieGroup
from harness.types import ProtocolName

FULL = 0
"""The cut-off of a metric over the whole ranking."""


@dataclass(frozen=True, slots=True)
class Score:
    """A metric over all queries, with its 95 % CI: a fraction, or a rank for metrics that are ranks."""

    value: float
    low: float
    high: float


QueryRow: TypeAlias = Mapping[str, object]
"""Ranks, metric and content of one query, as plain data. docs/results.md explains the fields."""


Ties: TypeAlias = tuple[TieGroup, ...]
Grades: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and its cut-off `k`. `str(Metric.parse(name)) == name`."""

    kind: str
    k: int = FULL

    @staticmethod
    def parse(name: str) -> Metric:
        """Parses a name such as `ndcg@10` or `mrr`. Raises: UserError for an unknown name."""
        match = re.fullmatch(r"([a-z_-]+)(?:@([1-9][0-9]*))?", name)
        kind, k = match.groups() if match else (name, None)
        every = (*_SCORES, *AGREEMENTS)
        if kind not in every or kind in (_ONLY_FULL if k else _ONLY_CUT):
            known = [f"{each}@10" for each in every if each not in _ONLY_FULL]
            known += [each for each in every if each not in _ONLY_CUT]
            raise unknown_name("metric", name, known, f"Metrics, with any number for 10: {', '.join(known)}.")
        return Metric(kind, int(k or FULL))

    def __str__(self) -> str:
        return f"{self.kind}@{self.k}" if self.k else self.kind

    @property
    def is_rank(self) -> bool:
        """Whether it is a rank, from 1, where less is better. Otherwise it is a fraction from 0 to 1."""
        return self.kind in _RANKS

    @property
    def is_agreement(self) -> bool:
        """Whether it compares clusters with labels. Then it has a value for all queries together, not for each."""
        return self.kind in AGREEMENTS

    @property
    def least(self) -> float:
        """The least possible value. A value that is adjusted for chance can be negative."""
        return 1.0 if self.is_rank else AGREEMENTS.get(self.kind, 0.0)

    def score(self, ranking: Ranking) -> float:
        """Returns the query's value under neutral ties. Without a ranked right candidate it is the worst value."""
        return self._score(_tie_groups(ranking), ranking.all_grades, ranking.pool_size)

    def score_official(self, ranking: Ranking) -> float:
        """Returns the query's value under the public rule: right candidates win ties, and grades may be shuffled."""
        groups: list[TieGroup] = []
        grades = ranking.official_grades or ranking.all_grades
        for rank, fall in sorted((rank, -grade) for rank, grade in zip(ranking.official, grades, strict=False)):
            # Positives that are tied have one official rank. Each still takes a place of its own, best grades first.
            before = max(rank - 1, groups[-1].before + 1 if groups else 0)
            groups.append(TieGroup(before, 1, (-fall,)))
        return self._score(tuple(groups), grades, ranking.official_pool_size)

    def chance(self, ranking: Ranking) -> float:
        """Returns the query's expected value for a random order of its candidates."""
        grades = ranking.all_grades
        everything = TieGroup(0, ranking.pool_size, tuple(sorted(grades[: len(ranking.best)])))
        return self._score((everything,) if ranking.best else (), grades, ranking.pool_size)

    def aggregate(self, values: Iterable[float]) -> float:
        """Averages over queries: the median for `median_rank`, otherwise the mean; NaN without queries.

        The order of the values does not change a bit of the result.
        """
        listed = list(values)
        if not listed:
            return math.nan
        if self.kind == "median_rank":
            return float(np.median(listed))
        mean = math.fsum(listed) / len(listed)
        # The division rounds. Without this correction the mean of equal values could differ from that value.
        return mean + math.fsum(value - mean for value in listed) / len(listed)

    def sample(self, values: Floats, tied: NDArray[np.bool_], clusters: Clusters, pool: int) -> SampleMean:
        """What decides the interval of the average: values from 0 to 1, or a share of one half."""
        if self.kind == "median_rank":
            return half_of(values, clusters)
        first, span = self._scale(values, pool)
        return SampleMean.of(((values - first) / span).clip(0.0, 1.0), tied, clusters)

    def ends(self, values: Floats, shares: Interval, pool: int) -> Interval:
        """The interval of the average, from that of its sample."""
        if self.kind == "median_rank":
            return quantiles(values, shares)
        first, span = self._scale(values, pool)
        return Interval(*(first + span * end for end in shares))

    def _scale(self, values: Floats, pool: int) -> tuple[float, float]:
        """The least value, and the span to the largest one."""
        return self.least, max(float(values.max()) - 1.0, pool - 1.0, 1.0) if self.is_rank else 1.0

    def _score(self, groups: tuple[TieGroup, ...], grades: tuple[int, ...], pool_size: int) -> float:
        if not groups:
            return float(pool_size) if self.is_rank else 0.0
        ideal = grades if len(grades) == 1 else tuple(sorted(grades, reverse=True))
        return _value(self.kind, groups, ideal, self.k or pool_size)


def summaries(
    columns: Mapping[Metric, Sequence[float]], rankings: Sequence[Ranking], clusters: Clusters, rule: ProtocolName
) -> dict[Metric, Score]:
    """The average of each metric over queries, with its 95 % CI.

    Args:
        columns: the value of each query under the rule, by metric.
        rankings: their rankings.
        clusters: the cluster of each query, `(queries,)`.
        rule: under the strict rule ties leave outcomes open, which makes the interval wider.
    """
    tied = np.array([rule == "strict" and each.best != each.worst for each in rankings])
    pool = max(each.pool_size for each in rankings)
    arrays = {metric: np.asarray(values, dtype=np.float64) for metric, values in columns.items()}
    samples = [metric.sample(array, tied, clusters, pool) for metric, array in arrays.items()]
    found = {}
    for (metric, array), shares in zip(arrays.items(), intervals(samples), strict=True):
        value, ends = metric.aggregate(columns[metric]), metric.ends(array, shares, pool)
        found[metric] = Score(value, min(ends.low, value), max(ends.high, value))
    return found


def _tie_groups(ranking: Ranking) -> tuple[TieGroup, ...]:
    grades: dict[tuple[int, int], list[int]] = {}
    for best, worst, grade in zip(ranking.best, ranking.worst, ranking.all_grades, strict=False):
        grades.setdefault((best, worst), []).append(grade)
    return tuple(
        TieGroup(best - 1, worst - best + 1, tuple(sorted(found))) for (best, worst), found in sorted(grades.items())
    )


@lru_cache(maxsize=1 << 14)
def _value(kind: str, groups: tuple[TieGroup, ...], ideal: tuple[int, ...], k: int) -> float:
    """The value of a metric. `ideal` are the grades of all right candidates of the query, in descending order."""
    return _SCORES[kind](groups, ideal, k)


def _within(group: TieGroup, k: int) -> int:
    """Returns how many of the group's places are among the first k."""
    return min(max(k - group.before, 0), group.size)


def _hit(groups: Ties, _ideal: Grades, k: int) -> float:
    first = groups[0]  # enough: if a later group reaches into k, all of the first one is within k, so there is a hit
    places = _within(first, k)
    orders = math.comb(first.size, places)
    return (orders - math.comb(first.size - first.right, places)) / orders


def _recall(groups: Ties, ideal: Grades, k: int) -> float:
    return _found(groups, k) / len(ideal)


def _all_recall(groups: Ties, ideal: Grades, k: int) -> float:
    if sum(group.right for group in groups) < len(ideal):
        return 0.0  # one has no vector, so it is never found
    return math.prod(math.comb(_within(group, k), group.right) / math.comb(group.size, group.right) for group in groups)


def _precision(groups: Ties, _ideal: Grades, k: int) -> float:
    return _found(groups, k) / k


def _r_precision(groups: Ties, ideal: Grades, _k: int) -> float:
    return _found(groups, len(ideal)) / len(ideal)


def _found(groups: Ties, k: int) -> float:
    return math.fsum(group.right * _within(group, k) / group.size for group in groups)


def _ndcg(groups: Ties, ideal: Grades, k: int) -> float:
    return _gain_share(groups, ideal, k, float)


def _ndcg_exp(groups: Ties, ideal: Grades, k: int) -> float:
    return _gain_share(groups, ideal, k, lambda grade: 2.0**grade - 1.0)


def _gain_share(groups: Ties, ideal: Grades, k: int, gain: Callable[[int], float]) -> float:
    """The expected discounted gain of the first k, as a share of the gain of the best order."""
    found = math.fsum(
        math.fsum(map(gain, group.grades)) / group.size * _discount(group.before, group.before + _within(group, k))
        for group in groups
    )
    if ideal[0] == ideal[-1]:
        return found / (gain(ideal[0]) * _discount(0, min(len(ideal), k)))
    return found / math.fsum(gain(grade) / math.log2(place + 2) for place, grade in enumerate(ideal[:k]))


def _discount(start: int, stop: int) -> float:
    """Returns the sum of 1 / log2(rank + 1) over the ranks start + 1 to stop."""
    return math.fsum(1.0 / np.log2(np.arange(start + 2, stop + 2)))


def _mrr(groups: Ties, _ideal: Grades, k: int) -> float:
    group = groups[0]
    places = _within(group, k)
    ranks = np.arange(group.before + 1, group.before + 1 + places)
    return float(math.fsum(_first_at(group)[:places] / ranks))


def _first_at(group: TieGroup) -> NDArray[np.float64]:
    """Returns the probability that the group's first right candidate is at each of its places, `(size,)`."""
    left = np.arange(group.size, 0, -1, dtype=np.float64)
    hit_here = group.right / left  # above 1 only at places before which one is certainly found, so the product is 0
    missed_before = np.concatenate(([1.0], np.cumprod(1.0 - hit_here)[:-1]))
    return hit_here * missed_before


def _map(groups: Ties, ideal: Grades, k: int) -> float:
    total, right_before = 0.0, 0
    for group in groups:
        place = np.arange(_within(group, k), dtype=np.float64)
        others = place * (group.right - 1) / max(group.size - 1, 1)
        precision = (right_before + 1 + others) / (group.before + 1 + place)
        total += group.right / group.size * math.fsum(precision)
        right_before += group.right
    return total / len(ideal)


def _first_rank(groups: Ties, _ideal: Grades, _k: int) -> float:
    group = groups[0]
    return group.before + (group.size + 1) / (group.right + 1)


_SCORES: dict[str, Callable[[Ties, Grades, int], float]] = {
    "hit": _hit,
    "recall": _recall,
    "all-recall": _all_recall,
    "precision": _precision,
    "r_precision": _r_precision,
    "ndcg": _ndcg,
    "ndcg-exp": _ndcg_exp,
    "mrr": _mrr,
    "map": _map,
    "mean_rank": _first_rank,
    "median_rank": _first_rank,
}
_RANKS = {"mean_rank", "median_rank"}
AGREEMENTS = {"ami": -1.0, "v_measure": 0.0, "ari": -1.0}
"""The least values of metrics that compare clusters with labels. The first is the main one of a clustering."""
_ONLY_FULL = {*_RANKS, *AGREEMENTS, "r_precision"}
_ONLY_CUT = {"hit", "recall", "all-recall", "precision"}
