"""Recomputes every number of a record from the figures of its rows, with the engine's own code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, cast

import numpy as np

from harness.errors import counted
from harness.results.figures import Figures
from harness.results.numbers import fixed
from harness.results.record import recorded_similarity
from harness.results.result import Result
from harness.scoring.clustering import judge
from harness.scoring.intervals import Clusters
from harness.scoring.metrics import Metric, Score, summaries
from harness.scoring.ranking import Ranking
from harness.types import ModelSpec, ProtocolName, Scalar

Rule = ProtocolName | Literal["chance"]
EXACT = 1e-9
"""Tolerance. The same code computes both scores, so only the last digits of another processor may differ."""
_BISECTED = 1e-6
"""Tolerance of the ends of intervals, which other versions of SciPy compute in other last digits."""


def disagreements(result: Result, figures: Figures) -> Iterator[str]:
    """Sentences on every number of a record that its rows contradict. Only the first wrong row is named."""
    count = len(figures.values)
    if count != result.num_queries:
        yield f"It states {counted(result.num_queries, 'query')} but has {counted(count, 'row')}."
        return
    if figures.repeats:
        yield "A query appears twice in its rows."
    ties = int(np.array([ranking.tied for ranking in figures.rankings])[figures.which].sum())
    if ties != result.tied_queries:
        yield f"It states {counted(result.tied_queries, 'tied query')}; its rows have {ties}."
    stated = result.dataset.get("clusters")
    if stated is None and set(figures.clusters) == {None}:
        clusters = None
    elif any(number is None or number >= count for number in figures.clusters):
        yield "Its rows lack their clusters, or these are not numbered."
        return
    else:
        clusters = np.array(figures.clusters, dtype=np.int32)
        if (found := len(np.unique(clusters))) != stated:
            yield f"It states {stated} clusters of queries; its rows have {found}."
    if Metric.parse(result.main_metric).is_agreement:
        yield from _clustering(result, figures, clusters)
    else:
        yield from _row_values(result, figures)
        yield from _metrics(result, figures, clusters)


def _clustering(result: Result, figures: Figures, groups: Clusters | None) -> Iterator[str]:
    """Checks every figure of a clustering against the labels and clusters of its rows."""
    groups = np.arange(len(figures.values), dtype=np.int32) if groups is None else groups
    if figures.clustering is None:
        yield "Its rows lack the clusters that its items were sorted into."
        return
    verdict = judge(figures.clustering, list(result.strict), groups, rule_of(result), result.main_metric)
    unlike = ~np.isclose(figures.values, verdict.parts_N, rtol=EXACT, atol=EXACT)
    found = zip(figures.every_ranking, verdict.rankings, strict=True)
    odd = np.array([(one.best, one.worst) != (two.best, two.worst) for one, two in found])
    odd |= np.array([each.best == each.worst == (1,) for each in verdict.rankings]) != figures.right
    for row in np.flatnonzero(unlike | odd)[:1].tolist():
        yield f"Row {row} does not follow from the clusters of all rows."
    if figures.odd is not None:
        yield f"Row {figures.odd} has ranks that contradict its top candidates."
    for rule, stated, scores in (
        ("strict", result.strict, verdict.strict),
        ("official", result.official, verdict.official),
    ):
        for name, score in scores.items():
            yield from _differences(f"{name} ({rule})", stated[name], score, with_interval=True)
    for name, chance in verdict.chance.items():
        yield from _chance(name, result.chance[name], chance)


def _row_values(result: Result, figures: Figures) -> Iterator[str]:
    """Checks the main metric, `right` and the top candidates of each row against its ranks."""
    rule = rule_of(result)
    main, hit = Metric.parse(result.main_metric), Metric("hit", 1)
    known = np.array([bool(each.best) or not main.is_rank for each in figures.rankings])[figures.which]
    given = np.array([value(main, each, rule) for each in figures.rankings])[figures.which]
    right = np.array([value(hit, each, rule) == 1 for each in figures.rankings])[figures.which]
    unlike = np.flatnonzero(known & ~np.isclose(figures.values, given, rtol=EXACT, atol=EXACT))
    if len(unlike):
        row = int(unlike[0])
        yield f"Row {row} states {main} {figures.values[row]:g}; its ranks give {given[row]:g}."
    odd = [*np.flatnonzero(right != figures.right).tolist(), *([] if figures.odd is None else [figures.odd])]
    if odd:
        yield f"Row {min(odd)} has ranks that contradict `right` or its top candidates."


def _metrics(result: Result, figures: Figures, clusters: Clusters | None) -> Iterator[str]:
    """Checks every figure. Intervals need clusters, which rows of the first version do not have."""
    some = np.zeros(len(figures.values), dtype=np.int32) if clusters is None else clusters
    strict = _scores(list(result.strict), figures, some, "strict")
    alike = all(each.best and not each.depends_on_protocol for each in figures.rankings)
    official = strict if alike else _scores(list(result.official), figures, some, "official")
    for rule, stated, found in (("strict", result.strict, strict), ("official", result.official, official)):
        for name, score in found.items():
            yield from _differences(f"{name} ({rule})", stated[name], score, with_interval=clusters is not None)
    for name, stated_chance in result.chance.items():
        metric = Metric.parse(name)
        yield from _chance(name, stated_chance, metric.aggregate(_column(metric, figures, "chance")))


def _scores(names: Sequence[str], figures: Figures, clusters: Clusters, rule: ProtocolName) -> dict[str, Score]:
    """The scores that the rows give, without those that they cannot give.

    The official rank of a query that was not ranked depends on the length of a list that rows do not keep.
    """
    unranked = rule == "official" and not all(ranking.best for ranking in figures.rankings)
    metrics = [metric for metric in map(Metric.parse, names) if not (unranked and metric.is_rank)]
    columns = {metric: _column(metric, figures, rule) for metric in metrics}
    return {str(metric): score for metric, score in summaries(columns, figures.every_ranking, clusters, rule).items()}


def _column(metric: Metric, figures: Figures, rule: Rule) -> list[float]:
    """The value of a metric for each query. Equal rankings are computed once."""
    values = np.array([value(metric, ranking, rule) for ranking in figures.rankings])
    column: list[float] = values[figures.which].tolist()
    return column


def _differences(name: str, stated: Score, found: Score, *, with_interval: bool) -> Iterator[str]:
    if not _near(stated.value, found.value):
        yield f"{name} is stated as {fixed(stated.value, 6)}; its rows give {fixed(found.value, 6)}."
    elif with_interval and not (_near(stated.low, found.low, _BISECTED) and _near(stated.high, found.high, _BISECTED)):
        ours, theirs = (f"{fixed(each.low, 6)} to {fixed(each.high, 6)}" for each in (stated, found))
        yield f"The interval of {name} is stated as {ours}; its rows give {theirs}."


def _chance(name: str, stated: float, found: float) -> Iterator[str]:
    if not _near(found, stated):
        yield f"The chance of {name} is stated as {fixed(stated, 6)}; its rows give {fixed(found, 6)}."


def spec_of(result: Result) -> ModelSpec:
    """The spec of a result's model. Raises KeyError, TypeError or ValueError if the record lacks a part of it."""
    model = result.model
    return ModelSpec(
        name=str(model["name"]),
        revision=str(model["revision"]),
        adapter=str(model["adapter"]),
        dtype=str(model["dtype"]),
        options=cast("Mapping[str, Scalar]", model["options"]),
        modalities=tuple(cast("Sequence[str]", model["modalities"])),
        similarity=recorded_similarity(model),
    )


def rule_of(result: Result) -> ProtocolName:
    """The protocol of a result."""
    return "official" if result.protocol == "official" else "strict"


def _near(one: float, other: float, tolerance: float = EXACT) -> bool:
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


@lru_cache(maxsize=1 << 17)
def value(metric: Metric, ranking: Ranking, rule: Rule) -> float:
    """The value of a metric for one query under a protocol, or its chance level. Equal rankings are computed once."""
    if rule == "chance":
        return metric.chance(ranking)
    return metric.score(ranking) if rule == "strict" else metric.score_official(ranking)
