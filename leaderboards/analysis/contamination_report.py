"""Overlap with training data as tables: of each task, the hits, and scores with and without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import counted
from harness.results.numbers import percent
from harness.results.verified import Outcomes
from harness.types import Item
from leaderboards.analysis.contamination import Occurrence, TaskOverlap, split
from leaderboards.analysis.curve_report import change_cell, change_figures
from leaderboards.analysis.paired import Change, mean_score, without_queries
from leaderboards.analysis.report import Report
from leaderboards.board.entries import Entry
from leaderboards.tables import Cell, Table


@dataclass(frozen=True, slots=True)
class CleanScore:
    """The mean score of a model over datasets, with all queries and without those that are hit."""

    model: str
    datasets: int
    score: float
    clean: float
    change: Change


def clean_scores(entries: Sequence[Entry], found: Sequence[TaskOverlap]) -> tuple[list[CleanScore], list[str]]:
    """The scores of models with and without the queries that are hit, and notes on results that are left out.

    A result counts if it is on the same data. A dataset of which every query is hit has no score without them.
    """
    scores, notes = [], []
    for entry in entries:
        parts: list[tuple[Outcomes, Outcomes]] = []
        whole: list[Outcomes] = []
        for each in found:
            record = entry.records.get(each.dataset.task.name)
            if record is None or record.outcomes is None:
                continue
            if record.result.dataset["digest"] != each.dataset.digest:
                notes.append(f"{entry.label}: {record.result.task} is on other data, so it is left out.")
                continue
            if each.hit.all():
                notes.append(f"{entry.label}: every query of {record.result.task} is hit, so it is left out.")
                continue
            whole.append(record.outcomes)
            parts.append(split(record.outcomes, each.hit))
        if parts:
            if declared := entry.trained_on:
                tasks = [each.dataset.task.name for each in found]
                notes.append(f"{entry.label} declares {declared.line(tasks)} ({declared.source}).")
            clean = mean_score([stay for _, stay in parts])
            scores.append(CleanScore(entry.label, len(parts), mean_score(whole), clean, without_queries(parts)))
    return scores, notes


def contamination_report(
    train: str, found: Sequence[TaskOverlap], scores: Sequence[CleanScore], notes: Sequence[str], most: int
) -> Report:
    """The report: hits by task, scores, and the first `most` hits."""
    hit, of = sum(int(each.hit.sum()) for each in found), sum(len(each.hit) for each in found)
    sentence = f"{counted(hit, 'query')} of {of:,} are hit by {train}: {percent(hit / of)} %."
    tables = [_task_table(train, found)]
    if scores:
        tables.append(_score_table(scores, notes))
    hits = [(each, *one) for each in found for one in _hits(each)]
    if hits and most:
        tables.append(_hit_table(hits, most))
    figures = {
        "train": train,
        "tasks": [
            {
                "task": task.dataset.task.name,
                "queries": len(task.hit),
                "hit": np.flatnonzero(task.hit).tolist(),
                "found": [
                    {"role": role, "content": text, "how": how, "where": where} for role, text, how, where in own
                ],
            }
            for task, own in ((task, _hits(task)) for task in found)
        ],
        "models": [
            {"model": each.model, "score": each.score, "without": each.clean, **change_figures(each.change)}
            for each in scores
        ],
    }
    return Report("contamination", tuple(tables), (sentence,), figures)


def _task_table(train: str, found: Sequence[TaskOverlap]) -> Table:
    columns = ("dataset", "queries", "hit", "share", "in the query", "by a right target", "targets found", "targets")
    rows = []
    for each in found:
        hit, own = int(each.hit.sum()), len(each.queries)
        numbers = (hit, None, own, hit - own, len(each.targets), len(each.dataset.data.targets))
        texts = [percent(hit / len(each.hit)) + "%" if number is None else f"{number:,}" for number in numbers]
        rows.append(tuple(map(Cell, (each.dataset.task.name, f"{len(each.hit):,}", *texts))))
    notes = ("A query is hit if it is in the training data, or one of its right targets is.",)
    return Table(f"Overlap with {train}", columns, tuple(rows), frozenset(columns[:1]), notes, keep=columns[:4])


def _score_table(scores: Sequence[CleanScore], notes: Sequence[str]) -> Table:
    columns = ("model", "datasets", "all queries", "without hits", "change")
    rows = tuple(
        (
            *(Cell(each.model), Cell(str(each.datasets)), Cell(percent(each.score)), Cell(percent(each.clean))),
            change_cell(each.change),
        )
        for each in scores
    )
    own = ("Change: in points of the mean over datasets, with its 95 % CI within the one sample.", *notes)
    return Table("Scores with and without the queries that are hit", columns, rows, frozenset(columns[:1]), own)


def _hit_table(hits: Sequence[tuple[TaskOverlap, str, str, str, str]], most: int) -> Table:
    columns = ("dataset", "role", "content", "how", "in the training data")
    rows = tuple(tuple(map(Cell, (each.dataset.task.name, *texts))) for each, *texts in hits[:most])
    more = (f"And {len(hits) - most:,} more; --format json has all.",) if len(hits) > most else ()
    return Table("What was found", columns, rows, frozenset(columns), more)


def _hits(found: TaskOverlap) -> list[tuple[str, str, str, str]]:
    """Role, content, likeness and place in the training data of everything that was found."""
    data = found.dataset.data
    sides: tuple[tuple[str, Mapping[int, Occurrence], Sequence[Item]], ...] = (
        ("query", found.queries, [query.item for query in data.queries]),
        ("target", found.targets, data.targets),
    )
    return [
        (role, _content(items[number]), hit.how, hit.where)
        for role, hits, items in sides
        for number, hit in hits.items()
    ]


def _content(item: Item) -> str:
    return " ".join([*(medium.name for medium in item.media), item.text or item.full_text])[:200]
