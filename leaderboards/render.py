"""Boards and results for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.results import QueryRow, Result
from leaderboards.board import Board, metric_names
from tasks.suites import Mean


def board_table(board: Board) -> Table:
    """Main scores with their 95 % intervals. A dagger marks scores that the public rule would put higher."""
    table = Table(title=_title(board), title_justify="left", caption=_caption(board), caption_justify="left")
    table.add_column("task", overflow="fold")
    table.add_column("meta-task")
    table.add_column("queries", justify="right")
    table.add_column("chance", justify="right")
    for model in board.models:
        table.add_column(Text(model, overflow="fold"), justify="right")
    for task in dict.fromkeys(result.task for result in board.results):
        cells = [board.cell(model, task) for model in board.models]
        first = next(cell for cell in cells if cell is not None)
        chance = _percent(first.chance[first.main_metric])
        scores = [_score(cell) if cell else "-" for cell in cells]
        name = f"{task} ({first.split})" if first.split else task
        table.add_row(Text(name), first.meta_task or "", f"{first.num_queries:,}", chance, *scores)
    table.add_section()
    means = [board.means(model) for model in board.models]
    for rows in zip(*means, strict=True):
        table.add_row(rows[0].name, "", "", "", *[_mean(mean) for mean in rows], style="bold")
    return table


def _title(board: Board) -> str:
    metrics = ", ".join(metric_names(board.results))
    protocols = ", ".join(dict.fromkeys(result.protocol for result in board.results))
    return f"{board.suite.summary}: {metrics} in percent, protocol {protocols}"


def _caption(board: Board) -> str:
    lines = ["Brackets: 95 % interval (bootstrap over queries)."]
    lifted = [result for result in board.results if _lifted(result)]
    if lifted:
        most = max(lifted, key=_lift)
        lines.append(
            f"† ties: the public rule would show more, at most {_percent(most.official[most.main_metric].value)} "
            f"for {board.label(most)} on {most.task}."
        )
    blind = {f"{board.label(each)} sees no {kind}" for each in board.results for kind in _not_seen(each)}
    lines += [f"{each}: it is judged by the rest of each item." for each in sorted(blind)]
    if any(result.settings["limit"] is not None for result in board.results):
        lines.append("--limit: the first queries alone; not comparable with whole tasks.")
    if any(result.bad_media for result in board.results):
        lines.append("Bad media counted as wrong: see `llave show`.")
    return "\n".join(lines)


def _not_seen(result: Result) -> Sequence[str]:
    unseen = result.model.get("not_seen")
    return [str(kind) for kind in unseen] if isinstance(unseen, list) else []


def _lift(result: Result) -> float:
    return result.official[result.main_metric].value - result.main.value


def _lifted(result: Result) -> bool:
    return result.main_metric == "hit@1" and _lift(result) > 1e-9


def _score(result: Result) -> str:
    score = result.main
    if "rank" in result.main_metric:
        return f"{score.value:.1f} [{score.low:.1f}, {score.high:.1f}]"
    dagger = "†" if _lifted(result) else ""
    return f"{_percent(score.value)}{dagger} [{_percent(score.low)}, {_percent(score.high)}]"


def _mean(mean: Mean) -> str:
    if mean.value is None:
        return f"incomplete: {mean.present} of {mean.present + len(mean.missing)}"
    return _percent(mean.value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def result_table(result: Result) -> Table:
    """Every metric of one result, under both rules, with chance."""
    title = f"{result.model['name']} on {result.task}, protocol {result.protocol}"
    table = Table("metric", title=Text(title), title_justify="left")
    for name in ("value", "95 % interval", "public rule", "chance"):
        table.add_column(name, justify="right")
    for name, score in result.metrics.items():
        show = (lambda value: f"{value:.1f}") if "rank" in name else _percent
        interval = f"{show(score.low)} to {show(score.high)}"
        table.add_row(name, show(score.value), interval, show(result.official[name].value), show(result.chance[name]))
    return table


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
            _ranks(row),
            _content(row["content"]),
            Text("\n").join(_content(each) for each in _maps(row["positives"])[:3]),
            _content(top[0]) if top else Text(str(row.get("bad_media", "not ranked"))),
        )
    return table


def _badness(row: QueryRow) -> int:
    ranks = row["worst_rank"]
    assert isinstance(ranks, list)
    return int(min(ranks)) if ranks else 1 << 60


def _ranks(row: QueryRow) -> str:
    best, worst = row["best_rank"], row["worst_rank"]
    assert isinstance(best, list)
    assert isinstance(worst, list)
    if not best:
        return "wrong"
    first, last = min(zip(best, worst, strict=True))
    return f"{first} of {row['candidates']}" if first == last else f"{first} to {last} of {row['candidates']}"


def _maps(value: object) -> list[QueryRow]:
    assert isinstance(value, list)
    return value


def _content(item: object) -> Text:
    assert isinstance(item, dict)
    media = [f"[{name}]" for name in item.get("media", [])]
    return Text(" ".join([*media, str(item.get("text", "")).strip()])[:300])
