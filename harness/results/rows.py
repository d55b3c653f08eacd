"""The rows of a result as they lie in their file: one per query, each checked when it is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from harness.errors import UserError
from harness.files.reading import explain_reading, parse_lines
from harness.files.strict_json import parse_json
from harness.results.files import DAMAGED, rows_path
from harness.results.result import Result
from harness.results.shape import COUNT, FLAG, NUMBER, RANK, TEXT, Shape, check_shape
from harness.scoring.metrics import QueryRow
from harness.scoring.ranking import Ranking

_CONTENT: dict[str, Shape] = {"text": TEXT, "instruction?": COUNT, "media?": [TEXT], "places?": [COUNT]}
_ROW: dict[str, Shape] = {
    "query": TEXT,
    "right": FLAG,
    "cluster?": COUNT,
    "best_rank": [RANK],
    "worst_rank": [RANK],
    "official_rank": [RANK],
    "grades?": [RANK],
    "official_grades?": [RANK],
    "right_score?": NUMBER,
    "candidates": COUNT,
    "content": _CONTENT,
    "positives": [{"target": COUNT, "group?": [COUNT], **_CONTENT}],
    "top": [{"target": COUNT, "score": NUMBER, "right": FLAG, **_CONTENT}],
    "bad_media?": TEXT,
    "assigned?": [COUNT],
    "assigned_official?": COUNT,
}
"""The fields of a row; docs/results.md explains them. One with the name of the main metric comes on top."""
_HIGHEST_GRADE = 1023
"""The highest whose exponential gain fp64 holds."""


def read_rows(path: Path, result: Result) -> list[QueryRow]:
    """Reads the rows of the record at `path`, in the order of the data.

    Raises: UserError if their file is missing or was changed, and for the first line that is no row.
    """
    return list(parse_rows(path, result, row_bytes(path, result)))


def chosen_rows(path: Path, result: Result, numbers: Iterable[int]) -> list[QueryRow]:
    """Some rows of a record that was read before, by their numbers. Only these are parsed, and not checked again.

    Raises: UserError if their file is missing or was changed.
    """
    lines = row_bytes(path, result).split(b"\n")
    return [cast("QueryRow", parse_json(lines[number].decode("utf-8-sig"))) for number in numbers]


def row_bytes(path: Path, result: Result) -> bytes:
    """The content of the file of rows. Raises: UserError unless it has the digest that the record at `path` holds."""
    place = rows_path(path, result)
    if not os.path.isfile(place):  # Path.is_file raises for a name that is too long
        what = f"{path} cannot be verified: its rows are missing, {place}."
        raise UserError(what, "Copy them there, or run the evaluation again.")
    with explain_reading(place):
        data = place.read_bytes()
    if hashlib.sha256(data).hexdigest() != result.queries["sha256"]:
        raise UserError(f"{place} does not hold the rows of {path.name}: one of the two was changed.", DAMAGED)
    return data


def parse_rows(path: Path, result: Result, data: bytes) -> Iterator[QueryRow]:
    """The rows that a file holds. Raises: UserError that names file and line of the first that is no row."""
    place = rows_path(path, result)
    for number, row in parse_lines(data.split(b"\n"), str(place), DAMAGED):
        try:
            check_shape(row, {**_ROW, result.main_metric: NUMBER})
            ranking_of(row, result)
        except ValueError as error:
            raise UserError(f"{place}, line {number:,} is no row of a result: {error}.", DAMAGED) from None
        yield row


def ranking_of(row: QueryRow, result: Result) -> Ranking:
    """The ranking of a query, from a row whose fields were checked. Raises ValueError if no query can have it."""
    best, worst, official = (tuple(cast("list[int]", row[f"{each}_rank"])) for each in ("best", "worst", "official"))
    grades, shuffled = (tuple(cast("list[int]", row.get(each) or [])) for each in ("grades", "official_grades"))
    candidates, positives = cast("int", row["candidates"]), cast("list[object]", row["positives"])
    return made_ranking(best, worst, official, grades, shuffled, candidates, len(positives), result)


def made_ranking(
    best: tuple[int, ...],
    worst: tuple[int, ...],
    official: tuple[int, ...],
    grades: tuple[int, ...],
    official_grades: tuple[int, ...],
    candidates: int,
    positives: int,
    result: Result,
) -> Ranking:
    """The ranking with these ranks of right candidates, of which there are `positives`.

    Rows do not keep the length of a list with repeats, so the list is taken to end at the last positive. That is exact
    for every metric except the rank of a query that could not be ranked.

    Raises: ValueError if no query of the result can have these ranks.
    """
    if not len(best) == len(worst) == len(official) <= positives or not positives:
        raise ValueError("its ranks are not one for each right candidate")
    for each in filter(None, (grades, official_grades)):
        if len(each) != positives or max(each) > _HIGHEST_GRADE:
            raise ValueError("its grades are not one for each right candidate, or one is too high")
    if candidates > result.num_targets:
        raise ValueError("it has more candidates than there are targets")
    if any(not 1 <= low <= high <= candidates for low, high in zip(best, worst, strict=True)):
        raise ValueError("a rank lies outside its candidates")
    size = max(candidates, *official, 0)
    return Ranking(
        "", best, worst, candidates, positives, official, size, grades=grades, official_grades=official_grades
    )
