"""The queries of the page: the most interesting ones of each task, with the top candidates of every model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.results.numbers import fixed
from harness.results.rows import read_rows
from harness.results.verified import Record
from harness.scoring.intervals import Floats
from harness.scoring.metrics import QueryRow
from leaderboards.board.board import Board
from leaderboards.board.entries import Entry
from leaderboards.contents import Content, NamedMedium, Place, content_of, places_of, shared_lead
from leaderboards.page.similarity import Histogram, histogram
from leaderboards.page.thumbnails import Album, Shown
from leaderboards.page.verdicts import AnswerVerdict, verdict_of

_T = TypeVar("_T")

TOP = 5
"""Number of candidates that are shown for each model."""
_LONGEST = 800
"""Most characters of a text."""


class PageContent(TypedDict):
    """The content of a query or a target. `lead` is the index of its instruction, -1 without one."""

    text: str
    media: list[int]
    lead: int


class Found(TypedDict):
    """A candidate: the index of its target, its rank and score, and whether it is right."""

    target: int
    rank: int
    score: str
    right: bool


class Answer(AnswerVerdict):
    """The answer of a model: its verdict, and the top candidates. The best right one follows if it is not there."""

    top: list[Found]


class ShownQuery(TypedDict):
    """A query, with answers in the order of the task's models."""

    id: str
    content: PageContent
    right: list[int]
    answers: list[Answer]


class TaskHead(TypedDict):
    """A task. `models` are indexes of rows."""

    name: str
    models: list[int]
    of: int
    """The number of its queries."""
    address: NotRequired[str]
    """Where they are, if not in the page."""


class TaskView(TaskHead):
    """The queries of a task."""

    queries: list[ShownQuery]
    targets: list[PageContent]
    leads: list[str]
    similarity: list[Histogram | None]


class Viewer(TypedDict):
    """Queries by task, the media that their contents have, and what is to be said about the pictures."""

    tasks: Sequence[TaskHead]
    media: list[Shown]
    notes: list[str]


class Answered(NamedTuple):
    """A result, and the scores of its queries, `(queries,)`."""

    record: Record
    scores: Floats


def viewer(board: Board, most: int, album: Album) -> Viewer:
    """The `most` most interesting queries of each task and model, with the pictures of an album.

    Raises: UserError if there are no queries, and if rows changed since they were loaded.
    """
    entries = [standing.entry for standing in board.standings()]
    media = _Numbers[NamedMedium]()
    tasks = [_task(task, records, most, media) for task in board.tasks if (records := answered(board, entries, task))]
    if not tasks:
        raise UserError("No result here has per-query rows to show.", "Leave out --html-queries, or give results.")
    return {"tasks": tasks, "media": _pictures(tasks, media, album), "notes": album.notes}


def every_query(task: str, records: Mapping[int, Answered]) -> tuple[TaskView, list[NamedMedium]]:
    """All queries of a task, and the media that the numbers in their contents stand for."""
    media = _Numbers[NamedMedium]()
    return _task(task, records, len(next(iter(records.values())).scores), media), list(media)


def answered(board: Board, entries: Sequence[Entry], task: str) -> dict[int, Answered]:
    """The rows that have the same queries of a task, by index."""
    return {
        at: Answered(record, record.outcomes.scores)
        for at, entry in enumerate(entries)
        if task in entry.records and task in entry.scores  # not for ranks, where lower is better
        if (record := entry.records[task]).outcomes is not None and record.result.identity not in board.mixed
    }


def _task(task: str, records: Mapping[int, Answered], most: int, media: _Numbers[NamedMedium]) -> TaskView:
    """The queries of a task, for the models that have the same ones."""
    used = [each.record for each in records.values()]
    rows = [read_rows(record.path, record.result) for record in used]
    scores_QM = np.stack([each.scores for each in records.values()], axis=1)
    official = [record.result.protocol == "official" for record in used]
    made = _Contents([places_of(record.result) for record in used], media, *_leads(rows[0]))
    queries = [
        made.query([each[index] for each in rows], scores_QM[index].tolist(), official)
        for index in interesting(scores_QM, most)
    ]
    return {
        "name": task,
        "models": list(records),
        "queries": queries,
        "of": len(rows[0]),
        "targets": made.targets,
        "leads": list(made.leads),
        "similarity": [histogram(each) for each in rows],
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


class _Numbers(dict[_T, int]):
    """Numbers of distinct things, in the order in which they are met."""

    def __missing__(self, key: _T) -> int:
        self[key] = len(self)
        return self[key]


@dataclass(slots=True)
class _Contents:
    """Makes the queries of a task, and collects their targets and instructions, each once."""

    places: Sequence[Sequence[Place]]
    """The places of each model's record."""
    media: _Numbers[NamedMedium]
    query_lead: str
    target_lead: str
    leads: _Numbers[str] = field(default_factory=_Numbers)
    targets: list[PageContent] = field(default_factory=list)
    _at: dict[int, int] = field(default_factory=dict)

    def query(self, rows: Sequence[QueryRow], scores: Sequence[float], official: Sequence[bool]) -> ShownQuery:
        """A query from the rows of all models."""
        first = rows[0]
        answers = zip(rows, scores, official, strict=True)
        return {
            "id": _cut(str(first.get("query"))),
            "content": self._content(content_of(first.get("content"), self.places, self.query_lead)),
            "right": [self._target(each) for each in _objects(first.get("positives"))],
            "answers": [
                {**verdict_of(row, score, official=rule), "top": self._top(row)} for row, score, rule in answers
            ],
        }

    def _top(self, row: QueryRow) -> list[Found]:
        listed = _objects(row.get("top"))
        scores = [_number(each.get("score")) for each in listed]
        ranked = [(1 + sum(other > own for other in scores), own) for own in scores]
        found = [self._found(each, rank, fixed(own, 3)) for each, (rank, own) in zip(listed, ranked, strict=True)]
        shown = found[:TOP]
        return shown if any(each["right"] for each in shown) else [*shown, *self._best_right(row)]

    def _best_right(self, row: QueryRow) -> list[Found]:
        """The best right candidate of a row in which the shown ones are all wrong."""
        ranks = row.get("best_rank")
        positives = _objects(row.get("positives"))
        places = zip(ranks if isinstance(ranks, list) else (), positives, strict=False)
        pairs = [(rank, each) for rank, each in places if isinstance(rank, int)]
        if not pairs:
            return []
        rank, target = min(pairs, key=lambda pair: pair[0])
        score = row.get("right_score")
        return [self._found({**target, "right": True}, rank, fixed(score, 3) if isinstance(score, float) else "")]

    def _found(self, each: Mapping[str, object], rank: int, score: str) -> Found:
        return {"target": self._target(each), "rank": rank, "score": score, "right": each.get("right") is True}

    def _target(self, each: Mapping[str, object]) -> int:
        number = int(_number(each.get("target")))
        if number not in self._at:
            self._at[number] = len(self.targets)
            self.targets.append(self._content(content_of(each, self.places, self.target_lead)))
        return self._at[number]

    def _content(self, content: Content) -> PageContent:
        lead = _cut(content.instruction)
        return {
            "text": _cut(content.text),
            "media": [self.media[each] for each in content.media],
            "lead": self.leads[lead] if lead else -1,
        }


def _leads(rows: Sequence[QueryRow]) -> tuple[str, str]:
    """The instructions of queries and of targets of rows that do not mark them. Empty if they do, or have none."""
    targets = (each for row in rows for each in (*_objects(row.get("positives")), *_objects(row.get("top"))))
    return shared_lead(row.get("content") for row in rows), shared_lead(targets)


def _pictures(tasks: Sequence[TaskView], media: _Numbers[NamedMedium], album: Album) -> list[Shown]:
    """The media in their order. Pictures of closed queries are made first, since there may be no room for all."""
    first: dict[int, None] = {}
    for task in tasks:
        for query in task["queries"]:
            targets = [*query["right"][:1], *(each["top"][0]["target"] for each in query["answers"] if each["top"])]
            contents = [query["content"], *(task["targets"][target] for target in targets)]
            first.update(dict.fromkeys(number for content in contents for number in content["media"]))
    order = [*first, *(number for number in range(len(media)) if number not in first)]
    named = list(media)
    shown = dict(zip(order, album.shown([named[number] for number in order]), strict=True))
    return [shown[number] for number in range(len(named))]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def _objects(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
