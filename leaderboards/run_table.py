"""Boards and results for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.results.files import Result
from harness.scoring.metrics import Metric, QueryRow
from leaderboards.board.board import Board
from leaderboards.board.remarks import remarks
from tasks.suites import Mean

_UNBOUNDED = 10_000
_NAMED = 10
"""Missing tasks that are named; the others are counted."""


def board_table(board: Board, width: int = _UNBOUNDED) -> Table:
    """Main scores with their 95 % intervals, which go where the table would not fit into `width` characters.

    A dagger marks scores that depend on how ties are counted.
    """
    table = _board_table(board, intervals=True)
    fits = Console(width=_UNBOUNDED).measure(table).maximum <= width
    return table if fits else _board_table(board, intervals=False)


def _board_table(board: Board, *, intervals: bool) -> Table:
    caption = _caption(board, intervals=intervals)
    table = Table(title=_title(board), title_justify="left", caption=caption, caption_justify="left")
    table.add_column("task", overflow="fold")
    has_meta_tasks = any(result.meta_task for result in board.results)
    if has_meta_tasks:
        table.add_column("meta-task")
    for name in ("queries", "chance"):
        table.add_column(name, justify="right")
    for model in board.columns:
        table.add_column(Text(model), justify="right", overflow="fold")
    for task in board.tasks:
        cells = [column.get(task) for column in board.columns.values()]
        first = next(cell for cell in cells if cell is not None)
        name = f"{task} ({first.split})" if first.split else task
        meta = [Text(first.meta_task or "-")] if has_meta_tasks else []
        chance = _number(first.main_metric, first.chance[first.main_metric])
        scores = [_score(cell, interval=intervals) for cell in cells]
        table.add_row(Text(name), *meta, f"{first.num_queries:,}", chance, *scores)
    if not _ranks(board):
        table.add_section()
        blank = [""] * (3 if has_meta_tasks else 2)
        for rows in zip(*map(board.means, board.columns), strict=True):
            table.add_row(rows[0].name, *blank, *map(_mean, rows), style="bold")
    return table


def _title(board: Board) -> Text:
    metrics = ", ".join(dict.fromkeys(result.main_metric for result in board.results))
    protocols = ", ".join(dict.fromkeys(result.protocol for result in board.results))
    return Text(f"{board.suite.summary}: {metrics}{'' if _ranks(board) else ' in percent'}, protocol {protocols}")


def _ranks(board: Board) -> bool:
    """Whether a main metric is a rank, of which neither percent nor means over tasks say anything."""
    return any(Metric.parse(result.main_metric).is_rank for result in board.results)


def _caption(board: Board, *, intervals: bool) -> Text:
    lines = ["Brackets: 95 % interval (bootstrap over queries)."] if intervals else []
    lifted = [(_lift(result), model, result) for model, column in board.columns.items() for result in column.values()]
    lift, model, most = max(lifted, key=lambda each: each[0])
    if lift:
        strict, official = (
            _number(most.main_metric, rule[most.main_metric].value) for rule in (most.strict, most.official)
        )
        where = f"{model} on {most.task}"
        lines.append(
            f"† ties are won under this protocol: where they are neutral {where} has {strict}, not {official}."
            if most.protocol == "official"
            else f"† ties: the public rule would show more, such as {official} for {where}."
        )
    lines += remarks(board)
    lines += _gaps(board)
    return Text("\n".join(lines))


def _gaps(board: Board) -> list[str]:
    """What is missing for the mean over the whole suite, once for all models that lack the same."""
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
    """By how much the public rule shows more than neutral ties do; 0 where the difference is not in percent."""
    name = result.main_metric
    lift = result.official[name].value - result.strict[name].value
    return lift if lift > 1e-9 and not Metric.parse(name).is_rank else 0.0


def _score(result: Result | None, *, interval: bool) -> str:
    if result is None:
        return "-"
    score = result.main
    value, low, high = (_number(result.main_metric, each) for each in (score.value, score.low, score.high))
    return f"{value}{'†' if _lift(result) else ''}{f' [{low}, {high}]' if interval else ''}"


def _mean(mean: Mean) -> str:
    if mean.value is None:
        return f"incomplete: {mean.present} of {mean.present + len(mean.missing)}"
    return f"{100 * mean.value:.1f}"


def _number(metric: str, value: float) -> str:
    """A fraction in percent, a rank as it is."""
    return f"{value if Metric.parse(metric).is_rank else 100 * value:.1f}"


def result_table(result: Result) -> Table:
    """Every metric of one result, under both rules, with chance; and what it was measured on, with what."""
    title = Text(f"{result.model['name']} on {result.task}: percent, or ranks")
    table = Table("metric", title=title, title_justify="left", caption=_about(result), caption_justify="left")
    for name in ("strict", "official", f"95 % interval, {result.protocol}", "chance"):
        table.add_column(name, justify="right")
    for name, score in result.metrics.items():
        values = (result.strict[name].value, result.official[name].value, score.low, score.high, result.chance[name])
        strict, official, low, high, chance = (_number(name, each) for each in values)
        table.add_row(name, strict, official, f"{low} to {high}", chance)
    return table


def _about(result: Result) -> Text:
    limit = result.settings.get("limit")
    lines = [
        f"{result.num_queries:,} queries, {result.tied_queries:,} of them tied; {result.num_targets:,} targets"
        + (f"; --limit {limit}" if limit is not None else ""),
        f"model: revision {result.model['revision']}, {result.model.get('adapter')}, {result.model.get('dtype')}",
        f"data: {result.dataset['source']}, revision {result.dataset['revision']}, "
        f"digest {str(result.dataset['digest'])[:12]}",
        f"made: {result.created} by llave-bench {result.environment.get('llave-bench')} "
        f"on {result.environment.get('device')} in {result.cost.get('seconds')} s",
    ]
    notes = result.dataset.get("notes")
    if isinstance(notes, dict) and notes:
        lines.append("noted: " + ", ".join(f"{name} {count}" for name, count in notes.items()))
    return Text("\n".join(lines))


def query_table(rows: Sequence[QueryRow], count: int) -> Table:
    """The queries whose right answer came out last, with what came out first instead."""
    table = Table(title=f"The {min(count, len(rows))} worst queries", title_justify="left", show_lines=True)
    table.add_column("query", justify="right")
    table.add_column("rank", justify="right")
    for name in ("asked", "right", "came first"):
        table.add_column(name, overflow="fold", ratio=1)
    for row in sorted(rows, key=_badness, reverse=True)[:count]:
        top = _maps(row["top"])
        table.add_row(
            Text(str(row["query"])),
            _places(row),
            _content(row["content"]),
            Text("\n").join(_content(each) for each in _maps(row["positives"])[:3]),
            _content(top[0]) if top else Text(str(row.get("bad_media", "not ranked"))),
        )
    return table


def _badness(row: QueryRow) -> int:
    ranks = row["worst_rank"]
    assert isinstance(ranks, list)
    return int(min(ranks)) if ranks else 1 << 60


def _places(row: QueryRow) -> str:
    best, worst = row["best_rank"], row["worst_rank"]
    assert isinstance(best, list)
    assert isinstance(worst, list)
    if not best:
        return "none"
    first, last = min(zip(best, worst, strict=True))
    return f"{first} of {row['candidates']}" if first == last else f"{first} to {last} of {row['candidates']}"


def _maps(value: object) -> list[QueryRow]:
    assert isinstance(value, list)
    return value


def _content(item: object) -> Text:
    assert isinstance(item, dict)
    media = [f"[{name}]" for name in item.get("media", [])]
    return Text(" ".join([*media, str(item.get("text", "")).strip()])[:300])
