"""The figures that rows hold, as columns, read at the speed that a board of many results needs.

A row as `write_result` writes it is recognised by one pattern, which covers every field and every character. Other rows
may say the same in another order. They are parsed, and checked field by field.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from harness.results.result import Result
from harness.results.rows import made_ranking, parse_rows, row_bytes
from harness.scoring.clustering import Clustering, numbered
from harness.scoring.intervals import Floats
from harness.scoring.metrics import QueryRow
from harness.scoring.ranking import Ranking

_LEAST_RUNS = 3
"""Two seeds, whose spread can be known, and the official run."""


class _Ranks(NamedTuple):
    """What decides the ranking of a query."""

    best: tuple[int, ...]
    worst: tuple[int, ...]
    official: tuple[int, ...]
    grades: tuple[int, ...]
    official_grades: tuple[int, ...]
    candidates: int
    positives: int


class _Row(NamedTuple):
    """The figures of a row."""

    query: str
    right: bool
    value: float
    """The value of the main metric."""
    cluster: int | None
    ranks: _Ranks
    top: list[float]
    """The scores of the top candidates."""
    top_right: list[float]
    """The scores of the right ones among them."""
    label: int
    """The first right target."""
    assigned: tuple[int, ...]
    """The cluster in each run of a clustering, and the official one last. Empty for other tasks."""


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """The figures of all queries, in the order of the data."""

    values: Floats
    """The main metric as the rows state it, `(queries,)`."""
    right: NDArray[np.bool_]
    """Whether a row says that its query is right, `(queries,)`."""
    clusters: tuple[int | None, ...]
    rankings: tuple[Ranking, ...]
    """The distinct rankings."""
    which: NDArray[np.int32]
    """The number of each query's ranking among them, `(queries,)`."""
    repeats: bool
    """Whether two rows are of one query."""
    odd: int | None
    """The first query whose top candidates contradict its ranks."""
    clustering: Clustering | None
    """The labels and clusters of a clustering. None if a row has none, or if rows are of different numbers of runs."""

    @property
    def every_ranking(self) -> list[Ranking]:
        """The ranking of each query."""
        return [self.rankings[number] for number in self.which]


def read_figures(path: Path, result: Result) -> Figures:
    """Reads the figures of the record at `path` from its rows.

    Raises: UserError if their file is missing or was changed, and for the first line that is no row.
    """
    data = row_bytes(path, result)
    found = _recognised(data, result)
    return found or _columns([_row(row, result.main_metric) for row in parse_rows(path, result, data)], result)


def _columns(rows: list[_Row], result: Result) -> Figures:
    """The columns of the rows. Raises ValueError if a row has ranks that no query of the result can have."""
    numbers: dict[_Ranks, int] = {}
    which = [numbers.setdefault(row.ranks, len(numbers)) for row in rows]
    rankings = tuple(made_ranking(*ranks, result) for ranks in numbers)
    return Figures(
        np.array([row.value for row in rows], dtype=np.float64),
        np.array([row.right for row in rows], dtype=np.bool_),
        tuple(row.cluster for row in rows),
        rankings,
        np.array(which, dtype=np.int32),
        len({row.query for row in rows}) < len(rows),
        next((number for number, row in enumerate(rows) if not _agrees(row)), None),
        _clustering(rows),
    )


def _clustering(rows: list[_Row]) -> Clustering | None:
    runs = {len(row.assigned) for row in rows}
    if len(runs) != 1 or min(runs) < _LEAST_RUNS:
        return None
    columns = ([row.label for row in rows], *zip(*(row.assigned for row in rows), strict=True))
    labels_N, *strict_SN, official_N = (numbered(np.array(each, dtype=np.int32)) for each in columns)
    return Clustering(labels_N, np.stack(strict_SN), official_N)


def _agrees(row: _Row) -> bool:
    """Whether the right ones among the top candidates have the ranks of the row, and none is missing."""
    places = sorted(1 + sum(other > score for other in row.top) for score in row.top_right)
    needed = sum(worst <= len(row.top) for worst in row.ranks.worst)
    return needed <= len(places) and places == sorted(row.ranks.best)[: len(places)]


def _row(row: QueryRow, main_metric: str) -> _Row:
    """The figures of a row whose fields were checked."""
    best, worst, official = (tuple(cast("list[int]", row[f"{each}_rank"])) for each in ("best", "worst", "official"))
    grades, shuffled = (tuple(cast("list[int]", row.get(each) or [])) for each in ("grades", "official_grades"))
    positives, top = (cast("list[dict[str, float]]", row[name]) for name in ("positives", "top"))
    last = cast("int | None", row.get("assigned_official"))
    return _Row(
        cast("str", row["query"]),
        row["right"] is True,
        float(cast("float", row[main_metric])),
        cast("int | None", row.get("cluster")),
        _Ranks(best, worst, official, grades, shuffled, cast("int", row["candidates"]), len(positives)),
        [float(each["score"]) for each in top],
        [float(each["score"]) for each in top if each["right"]],
        int(positives[0]["target"]),
        () if last is None else (*cast("list[int]", row.get("assigned", [])), last),
    )


def _recognised(data: bytes, result: Result) -> Figures | None:
    """The figures of rows in the form in which they are written. None if one is in another, or has impossible ranks."""
    pattern = _pattern(result.main_metric)
    try:
        lines = data.decode("utf-8").split("\n")
        found = [pattern.fullmatch(line) for line in lines if line]
        return None if None in found else _columns(list(map(_matched, cast("list[re.Match[str]]", found))), result)
    except ValueError:
        return None


def _matched(found: re.Match[str]) -> _Row:
    query, right, value, cluster, best, worst, official, grades, shuffled, *others = found.groups("")
    candidates, positives, top, runs, last = others
    ranks = _Ranks(
        _list(best),
        _list(worst),
        _list(official),
        _list(grades or "[]"),
        _list(shuffled or "[]"),
        int(candidates),
        positives.count('{"target": '),
    )
    own = int(cluster) if cluster else None
    listed = [(float(score), flag == "t") for score, flag in _SCORES.findall(top)]
    top_right = [score for score, is_right in listed if is_right]
    label = int(positives.split('"target": ', 1)[1].split(",", 1)[0]) if ranks.positives else 0
    assigned = (*_list(runs), int(last)) if last else ()
    return _Row(
        query, right == "true", float(value), own, ranks, [score for score, _ in listed], top_right, label, assigned
    )


@lru_cache(maxsize=1 << 14)
def _list(text: str) -> tuple[int, ...]:
    return tuple(json.loads(text))


def _many(part: str) -> str:
    return rf"\[(?:{part}(?:, {part})*+)?\]"


_TEXT = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\bfnrt]|u00(?:0[1-9a-f]|1[0-9a-f])))*+"'
_COUNT = "(?:0|[1-9][0-9]{0,8})"
_RANK = "[1-9][0-9]{0,8}"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]++)?(?:e[-+][0-9]{2})?"
_FLAG = "(?:true|false)"
_CONTENT = (
    rf'"text": {_TEXT}(?:, "instruction": {_COUNT})?(?:, "media": {_many(_TEXT)})?(?:, "places": {_many(_COUNT)})?'
)
_POSITIVE = rf'\{{"target": {_COUNT}(?:, "group": {_many(_COUNT)})?, {_CONTENT}\}}'
_TOP = rf'\{{"target": {_COUNT}, "score": {_NUMBER}, "right": {_FLAG}, {_CONTENT}\}}'
_SCORES = re.compile(r'"score": ([^,]++), "right": ([tf])')
"""In the top candidates of a row that the pattern fits."""


@lru_cache
def _pattern(main_metric: str) -> re.Pattern[str]:
    """A row as `write_result` writes it. Each part matches in one way only, so that no text makes it slow."""
    return re.compile(
        rf'\{{"query": ({_TEXT}), "right": ({_FLAG}), {re.escape(json.dumps(main_metric))}: ({_NUMBER}), '
        rf'(?:"cluster": ({_COUNT}), )?'
        rf'"best_rank": ({_many(_RANK)}), "worst_rank": ({_many(_RANK)}), "official_rank": ({_many(_RANK)}), '
        rf'(?:"grades": ({_many(_RANK)}), )?(?:"official_grades": ({_many(_RANK)}), )?'
        rf'(?:"right_score": (?:{_NUMBER}|null), )?"candidates": ({_COUNT}), '
        rf'"content": \{{{_CONTENT}\}}, '
        rf'"positives": ({_many(_POSITIVE)}), "top": ({_many(_TOP)})(?:, "bad_media": {_TEXT})?'
        rf'(?:, "assigned": ({_many(_COUNT)}), "assigned_official": ({_COUNT}))?\}}'
    )
