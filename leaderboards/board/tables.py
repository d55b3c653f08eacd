"""A board as a table with one row per model, as CSV and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.errors import unknown_name
from harness.results.files import Result
from harness.scoring.intervals import Interval
from leaderboards.board.board import Board, facts, official_effect
from leaderboards.board.entries import MEASURED
from leaderboards.board.standings import RULE, MeanScore, Standing
from leaderboards.published.headline import headline_note
from leaderboards.tables import Cell, Style, Table, csv_text, some

if TYPE_CHECKING:
    import pandas as pd

FACTS = ("size", "width", "source", "date", "seconds", "items/s", "GPU-hours")
_WORDS = frozenset({"model", "source", "date", "protocol", "missing"})
_SIZES = ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1, ""))
SHARED = "~"
"""The mark of the rank of an incomplete row."""
_MORE = "--columns chooses columns, and --format csv has all"
_NO_EFFECT = 5e-5
"""A smaller effect would print as 0.0 points."""
_NAMED_MARKS, _NAMED_MISSING = 8, 3
"""Number of marks and of missing tasks that are named; the others are counted."""


def leaderboard_table(
    board: Board, columns: Sequence[str] = (), *, datasets: bool = False, intervals: bool = True
) -> Table:
    """The board as a table in percent, with notes.

    Args:
        board: the board.
        columns: names of means, datasets and facts: the columns after rank, group and model. If there are none, the
            table has all means, and the facts that at least one row has.
        datasets: whether to add a column for each dataset.
        intervals: whether scores have their 95 % CI.

    Raises: UserError for an unknown column.
    """
    standings = board.standings()
    recalls = [column for task in board.tasks for column in board.suite.recall_columns(task)]
    each = [column for task in board.tasks for column in board.suite.recall_columns(task) or (task,)]
    means = dict.fromkeys([*board.suite.columns, *standings[0].cells] if standings else [])
    known = [*means, "official", *each, "protocol", "missing", *FACTS]
    for name in columns:
        if name not in known:
            raise unknown_name("column", name, known, f"Choose from {', '.join(known)}.")
    usual = [*means, "official", *(each if datasets else recalls), "protocol", "missing", *FACTS]
    cells_of = {
        "rank": [_rank(standing) for standing in standings],
        "group": [Cell(str(standing.place.group) if standing.place else "") for standing in standings],
        "model": [Cell(_name(standing)) for standing in standings],
    }
    for name in columns or dict.fromkeys(usual):
        cells = _column(name, standings, board, intervals=intervals)
        if columns or any(cell.text for cell in cells):
            cells_of[name] = cells
    rows = tuple(zip(*cells_of.values(), strict=True))
    said = tuple(notes(board, intervals=intervals))
    return Table(title(board), tuple(cells_of), rows, _WORDS, said, keep=4, more=_MORE)


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
        return [Cell(_fact(name, facts(standing.entry)[name])) for standing in standings]
    if name == "protocol":
        texts = [str(facts(standing.entry)["protocol"]) for standing in standings]
        return [Cell(text if len(set(texts)) > 1 else "") for text in texts]
    return _dataset(name, standings, board, intervals=intervals)


def mean_cell(score: MeanScore, style: Style = "", *, intervals: bool = True, mixed: bool = False) -> Cell:
    """A mean in percent with its interval and marks, or the number of datasets of an incomplete mean."""
    mean = score.mean
    if mean.value is None:
        return Cell(f"{mean.present} of {mean.present + len(mean.missing)}" if mean.present else "")
    text = f"{100 * mean.value:.1f}{'*' if score.mark else ''}{'°' if score.summed else ''}{'‡' if mixed else ''}"
    return Cell(text, _interval(*score.interval) if intervals and score.interval else "", style)


def _interval(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _dataset(name: str, standings: Sequence[Standing], board: Board, *, intervals: bool) -> list[Cell]:
    task, metric = next(
        ((task, more[name]) for task in board.tasks if name in (more := board.suite.recall_columns(task))), (name, "")
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
        text = "" if value is None else f"{100 * value:.1f}{'‡' if mixed else ''}"
        style: Style = "best" if not metric and task in standing.best else ""
        cells.append(Cell(text, _interval(*ends) if intervals and ends and text else "", style))
    return cells


def _effect(value: float | None) -> str:
    return "" if value is None or abs(value) < _NO_EFFECT else f"{100 * value:+.1f}"


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
        return f"{value / unit:.{int(letter == 'B')}f}{letter}"
    return f"{value:,.0f}" if value >= 10 or name == "width" else f"{value:.2g}"


def notes(board: Board, *, intervals: bool = True) -> list[str]:
    """Notes on how to read the board, and on what makes its rows hard to compare."""
    standings = board.standings()
    lines = [f"Ranked by {board.rank_by}. {RULE}"] if any(each.place for each in standings) else []
    if not lines:
        lines.append(f"No row has all datasets of {board.rank_by}, so no row is ranked. --datasets shows each dataset.")
    if any(each.shared for each in standings):
        lines.append(
            f"{SHARED}: an incomplete row. It is compared with each other row over the datasets that both have."
        )
    lines.append("Bold: not significantly worse than the best of its column (Holm, 5 %).")
    if intervals:
        lines.append("Brackets beside a score: its 95 % CI for other queries of the same datasets.")
    lines += board.notes
    if any(abs(official_effect(standing.entry, board.suite) or 0.0) >= _NO_EFFECT for standing in standings):
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
        f"* {label}: {mark.cell} is printed as {100 * mark.published:.1f}, "
        f"its parts give {100 * mark.recomputed:.1f} ({mark.why})."
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


def board_csv(board: Board, *, by_step: bool = False) -> str:
    """All columns as CSV. Scores are fractions; text that a spreadsheet would evaluate as a formula is quoted."""
    return str(_frame(board, by_step).map(csv_text).rename(columns=csv_text).to_csv(index=False))


def board_json(board: Board, *, by_step: bool = False) -> str:
    """All columns and the notes as JSON. Scores are fractions; unknown values are null."""
    rows = [
        {str(key): _plain(value) for key, value in row.items()} for row in _frame(board, by_step).to_dict("records")
    ]
    record = {
        "suite": board.suite.name,
        "title": title(board),
        "ranked_by": board.rank_by,
        "rows": rows,
        "notes": notes(board),
    }
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _frame(board: Board, by_step: bool) -> pd.DataFrame:
    """The board's DataFrame, with columns of whole numbers as integers although some values are unknown."""
    frame = board.frame()
    if by_step:
        frame = frame[frame["step"].notna()].sort_values(["run", "step"])
    ranks = ["rank", "rank_best", "rank_worst", "group", "shared_rank"]
    whole = [*ranks, "step", "tasks", "tied queries", "size", "width"]
    return frame.astype(dict.fromkeys(whole, "Int64"))


def _plain(value: object) -> object:
    import pandas as pd

    return None if value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value
