"""A record against its rows: every number worked out again, by the engine's own code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from harness.results.files import Result
from harness.scoring.bootstrap import bootstrap
from harness.scoring.metrics import Metric, QueryRow, Score
from harness.types import ProtocolName, Ranking
from leaderboards.submission.rankings import ranking_of, value

EXACT = 1e-9
"""Scores are worked out by the same code, so that only the last digits of another processor may differ."""


def disagreements(result: Result, rows: Sequence[QueryRow], *, intervals: bool) -> Iterator[str]:
    """What a record says that its rows do not, a sentence each. Of the rows the first that is wrong is named."""
    if len(rows) != result.num_queries:
        yield f"It says {result.num_queries} queries, and has {len(rows)} rows."
        return
    rankings: list[Ranking] = []
    for number, row in enumerate(rows):
        try:
            rankings.append(ranking_of(row))
        except ValueError as error:
            yield f"Row {number} is impossible: {error}."
            return
    if len({str(row.get("query")) for row in rows}) < len(rows):
        yield "A query stands in its rows twice."
    ties = sum(ranking.tied for ranking in rankings)
    if ties != result.tied_queries:
        yield f"It says {result.tied_queries} tied queries; its rows have {ties}."
    yield from _row_values(result, rows, rankings)
    yield from _metrics(result, rankings, intervals=intervals)


def _row_values(result: Result, rows: Sequence[QueryRow], rankings: Sequence[Ranking]) -> Iterator[str]:
    """The main metric and `right` of each row, and the top of its list, against its ranks."""
    rule = rule_of(result)
    main, hit = Metric.parse(result.main_metric), Metric("hit", 1)
    for number, (row, ranking) in enumerate(zip(rows, rankings, strict=True)):
        stated, given = row.get(result.main_metric), value(main, ranking, rule)
        known = bool(ranking.best) or not main.is_rank
        if known and not (isinstance(stated, int | float) and _near(stated, given)):
            yield f"Row {number} says {result.main_metric} {stated}; its ranks give {given:g}."
            return
        if row.get("right") is not (value(hit, ranking, rule) == 1) or not _top_agrees(row, ranking):
            yield f"Row {number} has ranks that `right` or its top candidates contradict."
            return


def _top_agrees(row: QueryRow, ranking: Ranking) -> bool:
    """Whether the right ones among the top candidates stand where the ranks say, and all that must be there are."""
    top = row.get("top")
    listed = [each for each in top if isinstance(each, dict)] if isinstance(top, list) else []
    scores = [float(each["score"]) for each in listed if isinstance(each.get("score"), int | float)]
    right = [score for score, each in zip(scores, listed, strict=False) if each.get("right")]
    places = sorted(1 + sum(other > score for other in scores) for score in right)
    needed = sum(worst <= len(scores) for worst in ranking.worst)
    return needed <= len(places) and places == sorted(ranking.best)[: len(places)]


def _metrics(result: Result, rankings: Sequence[Ranking], *, intervals: bool) -> Iterator[str]:
    unranked = not all(ranking.best for ranking in rankings)
    seed = cast("int", result.settings.get("seed"))
    for rule, stated in _both(result):
        for name, score in stated.items():
            metric = Metric.parse(name)
            if rule == "official" and unranked and metric.is_rank:
                continue  # the length of a list with its repeats, which rows do not keep
            values = [value(metric, ranking, rule) for ranking in rankings]
            mean = metric.aggregate(values)
            if not _near(score.value, mean):
                yield f"{name} ({rule}) is stated as {score.value:.6f}; its rows give {mean:.6f}."
            elif intervals:
                (found,) = bootstrap([values], medians=[metric.kind == "median_rank"], seed=seed)
                if not (_near(score.low, found.low) and _near(score.high, found.high)):
                    ours, theirs = (f"{each.low:.6f} to {each.high:.6f}" for each in (score, found))
                    yield f"The interval of {name} ({rule}) is stated as {ours}; its rows give {theirs}."
    for name, stated_chance in result.chance.items():
        metric = Metric.parse(name)
        chance = metric.aggregate(value(metric, ranking, "chance") for ranking in rankings)
        if not _near(chance, stated_chance):
            yield f"The chance of {name} is stated as {stated_chance:.6f}; its rows give {chance:.6f}."


def _both(result: Result) -> tuple[tuple[ProtocolName, Mapping[str, Score]], ...]:
    return ("strict", result.strict), ("official", result.official)


def rule_of(result: Result) -> ProtocolName:
    """The protocol of a record."""
    return "official" if result.protocol == "official" else "strict"


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=EXACT, abs_tol=EXACT)
