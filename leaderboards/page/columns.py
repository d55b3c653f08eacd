"""The columns of the page: text as every table of the board has it, and numbers for sorting and drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple, TypeAlias, TypedDict

from harness.results.numbers import percent
from harness.scoring.intervals import Interval
from harness.types import Task
from leaderboards.board.board import Board, facts, official_effect
from leaderboards.board.standings import MeanScore, Standing
from leaderboards.board.tables import FACTS, leaderboard_table
from leaderboards.tables import Cell, some
from tasks.catalog import all_tasks

Kind: TypeAlias = Literal["rank", "mean", "dataset", "fact"]
_DIGITS = 14
"""Significant digits of a number. The page never rounds one to print it."""
_NAMED = 3
"""Number of missing datasets that are named; the others are counted."""
_WORDS = {
    "overall": ("overall", "The mean over all datasets of the suite. Each dataset has the same weight."),
    "IND": ("in distribution", "IND: the mean over the datasets whose training data is part of MMEB."),
    "OOD": ("out of distribution", "OOD: the mean over the datasets without training data in MMEB."),
    "classification": ("classification", "The mean over the datasets that ask for the class of a picture."),
    "vqa": ("question answering", "VQA: the mean over the datasets of questions about pictures."),
    "retrieval": ("retrieval", "The mean over the datasets of retrieval."),
    "visual_grounding": ("visual grounding", "The mean over the datasets that ask for a part of a picture."),
    "mean-of-meta-tasks": ("mean of meta-tasks", "The mean of the means of the meta-tasks, each with the same weight."),
    "official": ("official", "Points that the official protocol adds to a row. There a tie counts as won."),
    "size": ("parameters", "The number of the model's parameters."),
    "width": ("vector width", "The number of dimensions of a vector."),
    "protocol": ("protocol", "The rule for ties under which the scores were measured."),
    "trained on": (
        "trained on",
        "The training data that the model declares, and for how many datasets of the suite it has the training split. "
        "Empty: unknown.",
    ),
    "date": ("date", "The date of the result, or of the paper or report."),
    "seconds": ("seconds", "Seconds of all the row's datasets. Vectors that were stored before cost nothing."),
    "items/s": ("items per second", "Items that were embedded in a second."),
    "GPU-hours": ("GPU-hours", "Seconds times processes on GPUs, in hours."),
    "source": ("source", "The table or the program that the scores are from."),
}
_TEXT = frozenset({"protocol", "date", "source", "trained on"})


class PageColumn(TypedDict):
    """A column. Each list has an item for each row of the page."""

    name: str
    kind: Kind
    head: str
    help: str
    text: bool
    """Whether the column holds text, which is aligned to the left."""
    chance: float
    """The score of a random order, where the shades of a dataset begin."""
    texts: list[str]
    extras: list[str]
    """Intervals, in brackets."""
    styles: list[str]
    """`best`, `second` or nothing."""
    notes: list[str]
    """What is unusual about a value."""
    values: list[float | str | None]
    """What rows are sorted by. For a printed mean that its parts contradict, it follows from the parts."""
    ends: list[list[float] | None]
    """The ends of the interval of `values`."""


class _Figure(NamedTuple):
    """A cell of the page."""

    cell: Cell
    value: float | str | None
    ends: Interval | None = None
    note: str = ""


def columns_of(board: Board, standings: Sequence[Standing]) -> list[PageColumn]:
    """All columns of a board except the model's name, for rows in the order of the standings."""
    if not standings:
        return []
    means = [name for name in dict.fromkeys((*board.suite.columns, *standings[0].cells)) if name in standings[0].cells]
    datasets = {name: place for task in board.tasks for name, place in _places(board, task).items()}
    known = [name for name in ("official", "protocol", *FACTS) if name not in datasets]
    table = leaderboard_table(board, list(dict.fromkeys((*means, *datasets, *known))))
    cells = dict(zip(table.columns, map(list, zip(*table.rows, strict=True)), strict=True))
    made = [_rank(cells["rank"], standings, board)]
    made += [_mean(name, cells[name], standings, board) for name in means]
    tasks = all_tasks()
    made += [_dataset(name, cells[name], standings, *place, tasks.get(place[0])) for name, place in datasets.items()]
    return made + [_fact(name, cells[name], standings, board) for name in known if any(map(str, cells[name]))]


def _places(board: Board, task: str) -> dict[str, tuple[str, str | None]]:
    """The columns of a task, each with the task and the metric. None: the main metric of each row."""
    recalls = board.suite.recall_columns(task)
    return {name: (task, metric) for name, metric in recalls.items()} if recalls else {task: (task, None)}


def _column(
    name: str, kind: Kind, figures: Sequence[_Figure], words: tuple[str, str] | None = None, chance: float = 0.0
) -> PageColumn:
    head, said = words or _WORDS.get(name) or (name, f"The mean over the datasets of {name}.")
    return {
        "name": name,
        "kind": kind,
        "head": head,
        "help": said,
        "text": name in _TEXT and kind == "fact",
        "chance": chance,
        "texts": [each.cell.text for each in figures],
        "extras": [each.cell.extra for each in figures],
        "styles": [each.cell.style for each in figures],
        "notes": [each.note for each in figures],
        "values": [_exact(each.value) for each in figures],
        "ends": [[float(f"{end:.{_DIGITS}g}") for end in each.ends] if each.ends else None for each in figures],
    }


def _exact(value: float | str | None) -> float | str | None:
    """The value with all digits that matter, and None for NaN and infinity, which JSON does not have."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _rank(cells: Sequence[Cell], standings: Sequence[Standing], board: Board) -> PageColumn:
    places = [each.place for each in standings]
    figures = [
        _Figure(cell, place.rank if place else None, note=f"group {place.group}" if place else "incomplete: not ranked")
        for cell, place in zip(cells, places, strict=True)
    ]
    said = f"The place of a row by {board.rank_by}, among all rows. Brackets: the places that the tests allow."
    return _column("rank", "rank", figures, ("rank", said))


def _mean(name: str, cells: Sequence[Cell], standings: Sequence[Standing], board: Board) -> PageColumn:
    figures = [
        _Figure(
            cell,
            score.comparable,
            None if score.mark else score.interval,
            _remark(score, board.is_mixed(standing.entry)),
        )
        for cell, standing in zip(cells, standings, strict=True)
        for score in [standing.cells[name]]
    ]
    return _column(name, "mean", figures)


def _remark(score: MeanScore, mixed: bool) -> str:
    """What is unusual about a mean."""
    if mixed:
        return "not comparable with the rest: another protocol or other data"
    if score.mark:
        return f"as printed; its parts give {percent(score.mark.recomputed)} ({score.mark.why})"
    if score.summed:
        return "not printed, but the mean of printed scores"
    mean = score.mean
    return f"without {some(mean.missing, _NAMED)}" if mean.value is None and mean.present else ""


def _dataset(
    name: str, cells: Sequence[Cell], standings: Sequence[Standing], task: str, metric: str | None, known: Task | None
) -> PageColumn:
    figures, chances = [], []
    for cell, standing in zip(cells, standings, strict=True):
        entry = standing.entry
        record = entry.records.get(task)
        measured = record.result if record else None
        main = metric or (measured.main_metric if measured else "")
        score = measured.metrics[main] if measured and cell.text else None
        value = score.value if score else entry.others(task).get(metric) if metric else entry.scores.get(task)
        chances += [measured.chance[main]] if measured and main in measured.chance else []
        ends = Interval(score.low, score.high) if score else None
        sets = declared.sets_of(task) if cell.text and (declared := entry.trained_on) else []
        note = f"trained on its training split, in {' and '.join(sets)}" if sets else ""
        figures.append(_Figure(cell, value, ends if metric else standing.intervals.get(task, ends), note))
    cut = int(metric.partition("@")[2]) if metric and "@" in metric else 1
    guess = min(1.0, cut / known.num_candidates) if known and known.num_candidates else 0.0
    chance = median(chances) if chances else guess
    return _column(name, "dataset", figures, (name, _about(name, known, chance)), chance)


def _about(name: str, task: Task | None, chance: float) -> str:
    """A dataset in a sentence: its meta-task, its split, its queries and its chance."""
    parts = [task.meta_task.replace("_", " ")] if task and task.meta_task else []
    parts += [{"IND": "in distribution", "OOD": "out of distribution"}[task.split]] if task and task.split else []
    parts += [f"{task.num_queries:,} queries"] if task and task.num_queries else []
    parts += [f"chance {percent(chance)} %"] if chance else []
    return f"{name}: {', '.join(parts)}." if parts else f"The dataset {name}."


def _fact(name: str, cells: Sequence[Cell], standings: Sequence[Standing], board: Board) -> PageColumn:
    def value(standing: Standing) -> float | str | None:
        entry, suite = standing.entry, board.suite
        found = official_effect(entry, suite) if name == "official" else facts(entry, suite)[name]
        return found if isinstance(found, int | float | str) else None

    return _column(name, "fact", [_Figure(cell, value(each)) for cell, each in zip(cells, standings, strict=True)])
