"""A board as a table with one row per model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.errors import unknown_name
from harness.results.numbers import fixed, grouped, percent, points, significant
from harness.results.result import Result
from harness.scoring.intervals import Interval
from leaderboards.board.board import Board, facts, official_effect
from leaderboards.board.entries import MEASURED
from leaderboards.board.standings import RULE, MeanScore, Standing
from leaderboards.published.headline import headline_note
from leaderboards.tables import Cell, Style, Table, picked, some
from tasks.suites import column_of

FACTS = ("size", "width", "source", "trained on", "date", "seconds", "items/s", "GPU-hours")
_WORDS = frozenset({"model", "source", "trained on", "date", "protocol", "missing"})
_SIZES = ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1, ""))
SHARED = "~"
"""The mark of the rank of an incomplete row."""
_LEAD = ("rank", "model")
"""Columns that every board has."""
_LAST = (*reversed(FACTS[1:]), "missing", "protocol", "official", "group", "size")
_MORE = "--columns chooses columns, and --format csv has all"
_NO_EFFECT = 5e-5
"""A smaller effect would print as 0.0 points."""
_NAMED_MARKS, _NAMED_MISSING = 8, 3
"""Number of marks and of missing tasks that are named; the others are counted."""


def leaderboard_table(
    board: Board,
    columns: Sequence[str] = (),
    *,
    datasets: bool = False,
    intervals: bool = True,
    top: int | None = None,
) -> Table:
    """The board as a table in percent, with notes.

    Args:
        board: the board.
        columns: names of means, datasets and facts: the columns after rank, group and model. If there are none, the
            table has all means, and the facts that at least one row has.
        datasets: whether to add a column for each dataset.
        intervals: whether scores have their 95 % CI.
        top: the number of first rows that are shown; None for all.

    Raises: UserError for an unknown column.
    """
    standings = board.standings()
    recalls = [column for task in board.tasks for column in board.suite.recall_columns(task)]
    each = [column for task in board.tasks for column in board.suite.recall_columns(task) or (task,)]
    means = dict.fromkeys([*board.suite.columns, *standings[0].cells] if standings else [])
    known = [*means, "official", *each, "protocol", "missing", *FACTS]
    for name in columns:
        if name not in known and column_of(name) is None:
            raise unknown_name("column", name, known, f"Choose from {', '.join(known)}.")
    usual = [*means, "official", *(each if datasets else recalls), "protocol", "missing", *FACTS]
    cells_of = {
        "rank": [_rank(standing) for standing in standings],
        "group": [Cell(str(standing.place.group) if standing.place else "") for standing in standings],
        "model": [Cell(_name(standing)) for standing in standings],
    }
    for name in columns or dict.fromkeys(usual):
        cells = _column(name, standings, board, intervals=intervals)
        if columns or any(cell.text for cell in cells[:top]):
            cells_of[name] = cells
    rows = tuple(zip(*cells_of.values(), strict=True))[:top]
    keep = (*_LEAD, *([] if columns else [board.rank_by]))
    said = tuple(notes(board, tuple(cells_of), intervals=intervals, top=top))
    return Table(title(board), tuple(cells_of), rows, _WORDS, said, keep=keep, last=_LAST, more=_MORE)


def paper_table(
    board: Board,
    columns: Sequence[str] = (),
    *,
    datasets: bool = False,
    intervals: bool = False,
    top: int | None = None,
) -> Table:
    """The board as papers print it: rank, model, and size and means, or the columns that are asked for.

    With `intervals` scores have their 95 % CI, and ranks their ranges.
    """
    table = leaderboard_table(board, columns, datasets=datasets, intervals=intervals, top=top)
    usual = ["size", *(name for name in table.columns if name not in (*_LEAD, *_LAST))]
    table = picked(table, [*_LEAD, *(columns or usual)])
    rows = table.rows if intervals else tuple((Cell(row[0].text), *row[1:]) for row in table.rows)
    said = tuple(notes(board, table.columns, intervals=intervals, top=top))
    return replace(table, rows=rows, notes=said, keep=(*_LEAD, "size", board.rank_by))


def title(board: Board) -> str:
    """The title of a board: suite, metric, and the protocol of each kind of row."""
    metrics = {entry.metric(task) for entry in board.entries for task in entry.scores if task in board.suite.tasks}
    rules: dict[str, set[str]] = {}
    for entry in board.entries:
        who = {MEASURED: "protocol", "imported": "imported rows"}.get(entry.kind, "published rows")
        rules[who] = rules.get(who, set()) | entry.protocols
    under = [f"{who} {', '.join(sorted(names))}" for who, names in rules.items()]
    what = f"{board.suite.summary}: {', '.join(sorted(metrics))} in percent" if metrics else board.suite.summary
    return "; ".join([what, *under])


def _rank(standing: Standing) -> Cell:
    place = standing.place or standing.shared
    if place is None:
        return Cell("–")
    text = f"{'' if standing.place else SHARED}{place.rank}"
    return Cell(text, "" if place.best == place.worst else f"[{place.best}–{place.worst}]")


def _name(standing: Standing) -> str:
    entry = standing.entry
    return entry.label if entry.kind == MEASURED else f"{entry.label} ({entry.kind})"


def _column(name: str, standings: Sequence[Standing], board: Board, *, intervals: bool) -> list[Cell]:
    if standings and name in standings[0].cells:
        return [
            mean_cell(
                standing.cells[name],
                "best" if name in standing.best else "",
                intervals=intervals,
                mixed=board.is_mixed(standing.entry),
            )
            for standing in standings
        ]
    if name == "official":
        return [Cell(_effect(official_effect(standing.entry, board.suite))) for standing in standings]
    if name == "missing":
        return [Cell(_missing(standing, board)) for standing in standings]
    if name in FACTS:
        return [Cell(_fact(name, facts(standing.entry, board.suite)[name])) for standing in standings]
    if name == "protocol":
        texts = [str(facts(standing.entry, board.suite)["protocol"]) for standing in standings]
        return [Cell(text if len(set(texts)) > 1 else "") for text in texts]
    return _dataset(name, standings, board, intervals=intervals)


def mean_cell(score: MeanScore, style: Style = "", *, intervals: bool = True, mixed: bool = False) -> Cell:
    """A mean in percent with its interval and marks, or the number of datasets of an incomplete mean."""
    mean = score.mean
    if mean.value is None:
        return Cell(f"{mean.present} of {mean.present + len(mean.missing)}" if mean.present else "")
    marks = f"{'*' if score.mark else ''}{'°' if score.summed else ''}{'‡' if mixed else ''}"
    extra = _interval(*score.interval) if intervals and score.interval else ""
    return Cell(f"{percent(mean.value)}{marks}", extra, style)


def _interval(low: float, high: float) -> str:
    return f"[{percent(low)}, {percent(high)}]"


def _dataset(name: str, standings: Sequence[Standing], board: Board, *, intervals: bool) -> list[Cell]:
    task, metric = next(
        ((task, more[name]) for task in board.tasks if name in (more := board.suite.recall_columns(task))),
        column_of(name) or (name, ""),
    )
    cells = []
    for standing in standings:
        entry = standing.entry
        value = entry.others(task).get(metric or (entry.metric(task) if task in entry.scores else ""))
        record = entry.records.get(task)
        ends = standing.intervals.get(task)
        if record and (metric or not ends):
            score = record.result.metrics[metric or record.result.main_metric]
            ends = Interval(score.low, score.high)
        mixed = record is not None and record.result.identity in board.mixed
        text = "" if value is None else f"{percent(value)}{'‡' if mixed else ''}"
        style: Style = "best" if not metric and task in standing.best else ""
        cells.append(Cell(text, _interval(*ends) if intervals and ends and text else "", style))
    return cells


def _effect(value: float | None) -> str:
    return "" if value is None or abs(value) < _NO_EFFECT else points(value)


def _missing(standing: Standing, board: Board) -> str:
    mean = standing.cells[board.rank_by].mean
    return "" if mean.value is not None else some(mean.missing, _NAMED_MISSING)


def _fact(name: str, value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, int | float):
        return str(value)
    if name == "size":
        unit, letter = next(each for each in _SIZES if value >= each[0] or each[0] == 1)
        return fixed(value / unit, int(letter == "B")) + letter
    return grouped(value) if value >= 10 or name == "width" else significant(value)


def left_out_note(board: Board, top: int | None) -> list[str]:
    """How many rows are not shown, if only the `top` first ones are."""
    rows = len(board.standings())
    return [f"The first {top:,} of {rows:,} rows (--top {top})."] if top is not None and top < rows else []


def notes(
    board: Board, columns: Sequence[str] = ("group", "official"), *, intervals: bool = True, top: int | None = None
) -> list[str]:
    """Notes on how to read these columns of a board, and on what makes its rows hard to compare."""
    standings = board.standings()[:top]
    lines = left_out_note(board, top)
    if any(each.place for each in standings):
        lines.append(f"Ranked by {board.rank_by}." + (f" {RULE}" if intervals or "group" in columns else ""))
    else:
        lines.append(f"No row has all datasets of {board.rank_by}, so no row is ranked. --datasets shows each dataset.")
    if any(each.shared for each in standings):
        lines.append(
            f"{SHARED}: an incomplete row. It is compared with each other row over the datasets that both have."
        )
    lines.append("Bold: not significantly worse than the best of its column (Holm, 5 %).")
    if intervals:
        lines.append("Brackets beside a score: its 95 % CI for other queries of the same datasets.")
    lines += board.notes
    effects = [official_effect(standing.entry, board.suite) or 0.0 for standing in standings]
    if "official" in columns and any(abs(effect) >= _NO_EFFECT for effect in effects):
        lines.append(
            "official: points that the official protocol, where ties count as won, adds to the datasets of a row."
        )
    lines += headline_note([entry.published for entry in board.entries if entry.published])
    lines += _marks(board, standings)
    if any(cell.summed for standing in standings for cell in standing.cells.values()):
        lines.append("° is not printed, but is the mean of printed scores.")
    return [*lines, *remarks(board)]


def _marks(board: Board, standings: Sequence[Standing]) -> list[str]:
    """Notes on printed means that their parts contradict, first those that decide ranks."""
    found = [
        (standing.entry.label, mark)
        for standing in standings
        for mark in (standing.entry.published.marks if standing.entry.published else ())
        if mark.cell in standing.cells
    ]
    found.sort(key=lambda each: each[1].cell != board.rank_by)
    lines = [
        f"* {label}: {mark.cell} is printed as {percent(mark.published)}, "
        f"its parts give {percent(mark.recomputed)} ({mark.why})."
        for label, mark in found[:_NAMED_MARKS]
    ]
    lines += [f"* and {len(found) - _NAMED_MARKS} more."] if len(found) > _NAMED_MARKS else []
    return [*lines, "Ranks follow from the parts."] if lines else []


def remarks(board: Board) -> list[str]:
    """Notes on what makes scores hard to compare: unsupported modalities, partial tasks, bad media."""
    blind = {
        f"{model} does not support {kind}"
        for model, column in board.columns.items()
        for kind in _not_seen(column.values())
    }
    lines = [f"{each}: its scores are from the rest of each item." for each in sorted(blind)]
    lines += clusters_note(board.results)
    if any(result.settings.get("limit") is not None for result in board.results):
        lines.append("--limit: only the first queries; not comparable with whole tasks.")
    if any(result.bad_media for result in board.results):
        lines.append("Bad media counted as wrong: see `llave show`.")
    return lines


def clusters_note(results: Iterable[Result]) -> list[str]:
    """A note on the tasks whose queries are not independent, with their numbers of queries and clusters."""
    found = {
        result.task: f"{result.task} {result.num_queries:,} in {clusters:,}"
        for result in results
        if isinstance(clusters := result.dataset.get("clusters"), int) and clusters < result.num_queries
    }
    if not found:
        return []
    why = "Queries that share a picture, a right target or a named group are one cluster in intervals and tests"
    return [f"{why}: {some(list(found.values()))}."]


def _not_seen(results: Iterable[Result]) -> set[str]:
    kinds = [result.model.get("not_seen") for result in results]
    return {str(kind) for each in kinds if isinstance(each, list) for kind in each}
