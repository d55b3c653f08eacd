"""The tables of a run, of a single result and of its worst queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from harness.errors import counted
from harness.results.numbers import fixed, percent
from harness.results.result import Result
from harness.scoring.metrics import Metric, QueryRow
from leaderboards.board.board import Board
from leaderboards.board.tables import clusters_note, remarks
from leaderboards.contents import content_of, places_of, shared_lead
from leaderboards.tables import Cell, Table, some
from tasks.suites import Mean

_NAMED = 10
"""Number of missing tasks that are named; the others are counted."""


def board_table(board: Board, *, intervals: bool = True) -> Table:
    """One row per task with the main score of each model, and the suite's means.

    Scores have their 95 % CI, except on a terminal without room for them. A dagger marks scores that depend on how ties
    are counted.
    """
    has_meta_tasks = any(result.meta_task for result in board.results)
    names = ("task", "meta-task") if has_meta_tasks else ("task",)
    rows = []
    for task in board.tasks:
        cells = [column.get(task) for column in board.columns.values()]
        first = next(cell for cell in cells if cell is not None)
        meta = [Cell(first.meta_task or "-")] if has_meta_tasks else []
        chance = Cell(_number(first.main_metric, first.chance[first.main_metric]))
        scores = [_score(cell, interval=intervals) for cell in cells]
        name = Cell(f"{task} ({first.split})" if first.split else task)
        rows.append((name, *meta, Cell(f"{first.num_queries:,}"), chance, *scores))
    blank = [Cell("")] * (len(names) + 1)
    means = [] if _ranks(board) else zip(*map(board.means, board.columns), strict=True)
    return Table(
        _title(board),
        (*names, "queries", "chance", *board.columns),
        tuple(rows),
        frozenset(names),
        tuple(_notes(board, intervals=intervals)),
        tuple((Cell(each[0].name), *blank, *(_mean(mean, brief=not intervals) for mean in each)) for each in means),
        keep=("task", next(iter(board.columns))),
        last=("meta-task", "queries", "chance"),
        models=tuple(board.columns),
        brief=board_table(board, intervals=False) if intervals else None,
    )


def _title(board: Board) -> str:
    metrics = ", ".join(dict.fromkeys(result.main_metric for result in board.results))
    protocols = ", ".join(dict.fromkeys(result.protocol for result in board.results))
    return f"{board.suite.summary}: {metrics}{'' if _ranks(board) else ' in percent'}, protocol {protocols}"


def _ranks(board: Board) -> bool:
    """Whether a main metric is a rank, which has neither percent nor a mean over tasks."""
    return any(Metric.parse(result.main_metric).is_rank for result in board.results)


def _notes(board: Board, *, intervals: bool) -> list[str]:
    lines = ["Brackets: 95 % CI."] if intervals else []
    lifted = [(_lift(result), model, result) for model, column in board.columns.items() for result in column.values()]
    lift, model, most = max(lifted, key=lambda each: each[0])
    if lift:
        strict, official = (
            _number(most.main_metric, rule[most.main_metric].value) for rule in (most.strict, most.official)
        )
        lines.append(
            f"† depends on ties, which count as won here. With neutral ties {model} has {strict}, not {official}, "
            f"on {most.task}."
            if most.protocol == "official"
            else f"† depends on ties. The official protocol gives more, such as {official} for {model} on {most.task}."
        )
    return [*lines, *remarks(board), *_gaps(board)]


def _gaps(board: Board) -> list[str]:
    """The tasks that the mean over the whole suite lacks, once for all models that lack the same ones."""
    models: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for model in board.columns:
        models[board.means(model)[0].missing].append(model)
    return [
        f"Missing for {', '.join(lacking)}: {', '.join(tasks[:_NAMED])}"
        + (f" and {len(tasks) - _NAMED} more." if len(tasks) > _NAMED else ".")
        for tasks, lacking in models.items()
        if tasks
    ]


def _lift(result: Result) -> float:
    """The official minus the strict score; 0 where the difference is not in percent."""
    name = result.main_metric
    lift = result.official[name].value - result.strict[name].value
    return lift if lift > 1e-9 and not Metric.parse(name).is_rank else 0.0


def _score(result: Result | None, *, interval: bool) -> Cell:
    if result is None:
        return Cell("-")
    score = result.main
    value, low, high = (_number(result.main_metric, each) for each in (score.value, score.low, score.high))
    return Cell(f"{value}{'†' if _lift(result) else ''}", f"[{low}, {high}]" if interval else "")


def _mean(mean: Mean, *, brief: bool) -> Cell:
    if mean.value is None:
        return Cell(f"{'' if brief else 'incomplete: '}{mean.present} of {mean.present + len(mean.missing)}")
    return Cell(percent(mean.value))


def _number(metric: str, value: float) -> str:
    """A fraction in percent, or a rank as it is."""
    return fixed(value) if Metric.parse(metric).is_rank else percent(value)


def result_table(result: Result) -> Table:
    """Every metric of one result under both protocols, with its chance level; notes on the model and the data."""
    names = ("metric", "strict", "official", f"95 % CI, {result.protocol}", "chance")
    rows = []
    for name, score in result.metrics.items():
        values = (result.strict[name].value, result.official[name].value, score.low, score.high, result.chance[name])
        strict, official, low, high, chance = (_number(name, each) for each in values)
        rows.append(tuple(map(Cell, (name, strict, official, f"{low} to {high}", chance))))
    title = f"{result.model['name']} on {result.task}: percent, or ranks"
    return Table(title, names, tuple(rows), frozenset({"metric"}), tuple(_about(result)))


def _about(result: Result) -> list[str]:
    limit = result.settings.get("limit")
    lines = [
        f"{counted(result.num_queries, 'query')}, {result.tied_queries:,} of them tied; "
        f"{counted(result.num_targets, 'target')}" + (f"; --limit {limit}" if limit is not None else ""),
        *clusters_note([result]),
        f"model: revision {result.model['revision']}, {result.model.get('adapter')}, {result.model.get('dtype')}",
        f"data: {result.dataset['source']}, revision {result.dataset['revision']}, "
        f"digest {str(result.dataset['digest'])[:12]}",
        f"created: {result.created} by llave-bench {result.environment.get('llave-bench')} "
        f"on {result.environment.get('device')} in {result.cost.get('seconds')} s",
    ]
    if places := places_of(result):
        lines.append("media: " + some([str(place.folder) for place in places], 3))
    notes = result.dataset.get("notes")
    if isinstance(notes, dict) and notes:
        lines.append("data notes: " + ", ".join(f"{name} {count}" for name, count in notes.items()))
    return lines


def query_table(rows: Sequence[QueryRow], count: int) -> Table:
    """The `count` queries with the lowest ranks of their best positive, and what ranked first instead.

    Queries that could not be ranked come first.
    """
    lines = []
    lead = shared_lead(row["content"] for row in rows)
    for row in sorted(rows, key=_badness, reverse=True)[:count]:
        top, right = (cast("list[QueryRow]", row[name]) for name in ("top", "positives"))
        positives = "\n".join(content_of(each).line for each in right[:3])
        first = content_of(top[0]).line if top else str(row.get("bad_media", "not ranked"))
        asked = content_of(row["content"], lead=lead).line
        lines.append(tuple(map(Cell, (str(row["query"]), _places(row), asked, positives, first))))
    names = ("query", "rank", "content", "positives", "ranked first")
    title = f"The {min(count, len(rows))} worst queries"
    return Table(title, names, tuple(lines), frozenset(names[2:]), lines=True, longest=None)


def _badness(row: QueryRow) -> int:
    ranks = cast("list[int]", row["worst_rank"])
    return min(ranks, default=1 << 60)


def _places(row: QueryRow) -> str:
    best, worst = (cast("list[int]", row[name]) for name in ("best_rank", "worst_rank"))
    if not best:
        return "none"
    first, last = min(zip(best, worst, strict=True))
    return f"{first} of {row['candidates']}" if first == last else f"{first} to {last} of {row['candidates']}"
