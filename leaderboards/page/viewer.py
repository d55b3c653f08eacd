"""The queries of the page: the most interesting ones of each task, with the top candidates of every model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.results.files import load_rows
from harness.scoring.metrics import QueryRow
from leaderboards.board.board import Board
from leaderboards.board.entries import Entry
from leaderboards.page.thumbnails import thumbnails
from leaderboards.tables import clean

TOP = 5
"""Number of candidates that are shown for each model."""
_BINS = 24
_LONGEST = 800
"""Most characters of a text."""

Found: TypeAlias = list[float]
"""A candidate: its target's index, its score, and 1 if it is right, else 0."""


class Content(TypedDict):
    """The content of a query or a target."""

    text: str
    media: list[str]


class Answer(TypedDict):
    """The answer of a model: the score of the query and the top candidates."""

    score: float
    ranks: list[int]
    """The best rank of each positive, from 1."""
    top: list[Found]


class ShownQuery(TypedDict):
    """A query, with answers in the order of the task's models."""

    id: str
    content: Content
    right: list[int]
    answers: list[Answer]


class Histogram(TypedDict):
    """Histograms of the highest right and the highest wrong similarity of each query."""

    low: float
    high: float
    right: list[int]
    wrong: list[int]
    unseen: int
    """Number of queries of which no positive is among the candidates that the rows keep."""


class TaskView(TypedDict):
    """The queries of a task. `models` are indexes of rows."""

    models: list[int]
    queries: list[ShownQuery]
    of: int
    targets: dict[str, Content]
    similarity: list[Histogram | None]


class Viewer(TypedDict):
    """Queries by task, and thumbnails by the media names of the contents."""

    tasks: dict[str, TaskView]
    media: dict[str, list[str]]


def viewer(board: Board, most: int, images: Path | None) -> Viewer:
    """The `most` most interesting queries of each task and model, with thumbnails of the media in `images`.

    Raises: UserError if there are no queries, if rows changed since they were loaded, and if `images` is no folder.
    """
    if images is not None and not images.is_dir():
        raise UserError(f"{images} is not a folder.", "--images is the folder that media names are relative to.")
    entries = [standing.entry for standing in board.standings()]
    tasks = {task: view for task in board.tasks if (view := _task(board, entries, task, most))}
    if not tasks:
        raise UserError("No result here has per-query rows to show.", "Leave out --html-queries, or give results.")
    return {"tasks": tasks, "media": _pictures(tasks.values(), images)}


def _task(board: Board, entries: Sequence[Entry], task: str, most: int) -> TaskView | None:
    """The queries of a task, for the models that have the same ones. None if there are no models."""
    records = {
        at: entry.records[task]
        for at, entry in enumerate(entries)
        if task in entry.records and task in entry.scores  # not for ranks, where lower is better
    }
    scores = {
        at: record.outcomes.scores
        for at, record in records.items()
        if record.outcomes is not None and record.result.identity not in board.mixed
    }
    if not scores:
        return None
    rows = [load_rows(records[at].path, records[at].result) for at in scores]
    scores_QM = np.stack(list(scores.values()), axis=1)
    chosen = interesting(scores_QM, most)
    queries = [_query([each[index] for each in rows], scores_QM[index].tolist()) for index in chosen]
    targets: dict[str, Content] = {}
    for index in chosen:
        for each in rows:
            _keep_targets(each[index], targets)
    return {
        "models": list(scores),
        "queries": queries,
        "of": len(rows[0]),
        "targets": targets,
        "similarity": [_histogram(each) for each in rows],
    }


def interesting(scores_QM: NDArray[np.float64], most: int) -> list[int]:
    """The sorted indexes of the queries that are among the first `most` of at least one model.

    `scores_QM` is (queries, models). For each model three kinds of queries take turns: those on which it is below the
    mean of the models, those on which it is above, and those that all get equally wrong. The first two are sorted by
    their distance from the mean. Queries that all models get right come last.
    """
    away_QM = (scores_QM - scores_QM.mean(axis=1, keepdims=True)).round(6)
    return sorted(
        {
            query
            for away_Q, scores_Q in zip(away_QM.T, scores_QM.T, strict=True)
            for query in _order(away_Q, scores_Q)[:most]
        }
    )


def _order(away_Q: NDArray[np.float64], scores_Q: NDArray[np.float32]) -> list[int]:
    kinds_Q = np.select([away_Q < 0, away_Q > 0, scores_Q < 1], [0, 1, 2], 3)
    turns_Q = np.zeros(len(kinds_Q))
    for kind in range(4):
        members = np.flatnonzero(kinds_Q == kind)
        members = members[np.argsort(-np.abs(away_Q[members]), kind="stable")]
        turns_Q[members] = np.arange(len(members)) + (kind == 3) * len(kinds_Q)
    order: list[int] = np.lexsort((kinds_Q, turns_Q)).tolist()
    return order


def _query(rows: Sequence[QueryRow], scores: Sequence[float]) -> ShownQuery:
    first = rows[0]
    return {
        "id": str(first.get("query")),
        "content": _content(first.get("content")),
        "right": [int(_number(each.get("target"))) for each in _objects(first.get("positives"))],
        "answers": [_answer(row, score) for row, score in zip(rows, scores, strict=True)],
    }


def _answer(row: QueryRow, score: float) -> Answer:
    ranks = row.get("best_rank")
    return {
        "score": round(score, 5),
        "ranks": [rank for rank in ranks if isinstance(rank, int)] if isinstance(ranks, list) else [],
        "top": [
            [_number(each.get("target")), round(_number(each.get("score")), 5), int(each.get("right") is True)]
            for each in _objects(row.get("top"))[:TOP]
        ],
    }


def _keep_targets(row: QueryRow, targets: dict[str, Content]) -> None:
    for each in (*_objects(row.get("positives")), *_objects(row.get("top"))[:TOP]):
        targets.setdefault(str(int(_number(each.get("target")))), _content(each))


def _histogram(rows: Sequence[QueryRow]) -> Histogram | None:
    """The histograms of a model. None if no row has a score."""
    best: dict[bool, list[float]] = defaultdict(list)
    for row in rows:
        for right in (True, False):
            found = [_number(each.get("score")) for each in _objects(row.get("top")) if each.get("right") is right]
            best[right] += [max(found)] if found else []
    every = best[True] + best[False]
    if not every:
        return None
    ends = (min(every), max(every))
    right, wrong = (np.histogram(best[kind], bins=_BINS, range=ends)[0].tolist() for kind in (True, False))
    low, high = (round(end, 5) for end in ends)
    return {"low": low, "high": high, "right": right, "wrong": wrong, "unseen": len(rows) - len(best[True])}


def _pictures(tasks: Iterable[TaskView], images: Path | None) -> dict[str, list[str]]:
    """The thumbnails of every medium that is shown. Missing media are left out."""
    if images is None:
        return {}
    contents = [
        content for task in tasks for content in (*(q["content"] for q in task["queries"]), *task["targets"].values())
    ]
    names = dict.fromkeys(name for content in contents for name in content["media"])
    return {name: found for name in names if (found := thumbnails(name, images))}


def _content(value: object) -> Content:
    fields = value if isinstance(value, Mapping) else {}
    text, media = fields.get("text"), fields.get("media")
    return {
        "text": _cut(clean(text)) if isinstance(text, str) else "",
        "media": [name for name in media if isinstance(name, str)] if isinstance(media, list) else [],
    }


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def _objects(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
