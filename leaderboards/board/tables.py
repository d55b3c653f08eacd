"""The leaderboard: one row a model, in every form."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import unknown_name
from leaderboards.board.board import Board, facts, official_effect
from leaderboards.board.entries import MEASURED, some
from leaderboards.board.remarks import remarks
from leaderboards.board.standings import RULE, MeanScore, Standing
from leaderboards.published.headline import headline_note
from leaderboards.tables import Cell, Table, csv_text, styles

if TYPE_CHECKING:
    import pandas as pd

FACTS = ("size", "width", "source", "date", "seconds", "items/s", "GPU-hours")
_WORDS = frozenset({"model", "source", "date", "protocol", "missing"})
_SIZES = ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1, ""))
_NO_EFFECT = 5e-5
"""Less than this would be printed as 0.0 points."""
_NAMED_MARKS, _NAMED_MISSING = 8, 3
"""Marks and missing tasks that are named; the others are counted."""


def board_grid(board: Board, asked: Sequence[str] = (), *, datasets: bool = False, intervals: bool = True) -> Table:
    """The board in percent, with what has to be said about it below.

    `asked` are the columns after rank, group and model: means, datasets and facts by name. If none are, it has all
    means, `datasets` too if wanted, and the facts that are known of some row.
    Raises UserError for a column that is not there.
    """
    standings = board.standings()
    recalls = [column for task in board.tasks for column in board.suite.recall_columns(task)]
    each = [column for task in board.tasks for column in board.suite.recall_columns(task) or (task,)]
    means = dict.fromkeys([*board.suite.columns, *standings[0].cells] if standings else [])
    known = [*means, "official", *each, "protocol", "missing", *FACTS]
    for name in asked:
        if name not in known:
            raise unknown_name("column", name, known, f"Columns: {', '.join(known)}.")
    usual = [*means, "official", *(each if datasets else recalls), "protocol", "missing", *FACTS]
    columns = {
        "rank": [_rank(standing) for standing in standings],
        "group": [Cell(str(standing.place.group) if standing.place else "") for standing in standings],
        "model": [Cell(_name(standing)) for standing in standings],
    }
    for name in asked or dict.fromkeys(usual):
        cells = _column(name, standings, board, intervals=intervals)
        if asked or any(cell.text for cell in cells):
            columns[name] = cells
    rows = tuple(zip(*columns.values(), strict=True))
    return Table(title(board), tuple(columns), rows, _WORDS, tuple(notes(board, intervals=intervals)))


def title(board: Board) -> str:
    """What the board is of: suite, metric, and under which rule whose rows were measured."""
    metrics = {entry.metric(task) for entry in board.entries for task in entry.scores if task in board.suite.tasks}
    rules: dict[str, set[str]] = {}
    for entry in board.entries:
        who = {MEASURED: "protocol", "imported": "imported rows"}.get(entry.kind, "published rows")
        rules[who] = rules.get(who, set()) | entry.protocols
    under = [f"{who} {', '.join(sorted(names))}" for who, names in rules.items()]
    what = f"{board.suite.summary}: {', '.join(sorted(metrics))} in percent" if metrics else board.suite.summary
    return "; ".join([what, *under])


def _rank(standing: Standing) -> Cell:
    place = standing.place
    if place is None:
        return Cell("–")
    return Cell(str(place.rank), "" if place.best == place.worst else f"[{place.best}–{place.worst}]")


def _name(standing: Standing) -> str:
    entry = standing.entry
    return entry.label if entry.kind == MEASURED else f"{entry.label} ({entry.kind})"


def _column(name: str, standings: Sequence[Standing], board: Board, *, intervals: bool) -> list[Cell]:
    if standings and name in standings[0].cells:
        figures = [standing.cells[name] for standing in standings]
        mixed = [board.is_mixed(standing.entry) for standing in standings]
        marked = styles([None if other else figure.comparable for figure, other in zip(figures, mixed, strict=True)])
        shown = [
            _figure(figure, intervals=intervals, mixed=other) for figure, other in zip(figures, mixed, strict=True)
        ]
        return [Cell(text, extra, style) for (text, extra), style in zip(shown, marked, strict=True)]
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


def _figure(figure: MeanScore, *, intervals: bool, mixed: bool) -> tuple[str, str]:
    mean = figure.mean
    if mean.value is None:
        return (f"{mean.present} of {mean.present + len(mean.missing)}" if mean.present else ""), ""
    text = f"{100 * mean.value:.1f}{'*' if figure.mark else ''}{'°' if figure.summed else ''}{'‡' if mixed else ''}"
    return text, _interval(*figure.interval) if intervals and figure.interval else ""


def _interval(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _dataset(name: str, standings: Sequence[Standing], board: Board, *, intervals: bool) -> list[Cell]:
    task, metric = next(
        ((task, more[name]) for task in board.tasks if name in (more := board.suite.recall_columns(task))), (name, "")
    )
    cells, values = [], []
    for standing in standings:
        entry = standing.entry
        value = entry.others(task).get(metric or (entry.metric(task) if task in entry.scores else ""))
        record = entry.records.get(task)
        score = record.result.metrics[metric or record.result.main_metric] if record else None
        mixed = record is not None and record.result.identity in board.mixed
        text = "" if value is None else f"{100 * value:.1f}{'‡' if mixed else ''}"
        cells.append((text, _interval(score.low, score.high) if intervals and score and text else ""))
        values.append(None if mixed else value)
    return [Cell(text, extra, style) for (text, extra), style in zip(cells, styles(values), strict=True)]


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
    """What has to be said about the board, a sentence or two each."""
    standings = board.standings()
    lines = [f"Ranked by {board.rank_by}. {RULE}"] if any(each.place for each in standings) else []
    if not lines:
        lines.append(f"No row has all that {board.rank_by} is a mean of, so none is ranked; each dataset can be shown.")
    if intervals:
        lines.append("Brackets: 95 %, bootstrap over queries within datasets; where only counts are known, Wilson's.")
    lines += board.notes
    if any(abs(official_effect(standing.entry, board.suite) or 0.0) >= _NO_EFFECT for standing in standings):
        lines.append(
            "official: points that the public rule, by which ties are won, adds to the datasets that are there."
        )
    lines += headline_note([entry.published for entry in board.entries if entry.published])
    lines += _marks(board, standings)
    if any(cell.summed for standing in standings for cell in standing.cells.values()):
        lines.append("° not printed; the mean of printed scores.")
    return [*lines, *remarks(board)]


def _marks(board: Board, standings: Sequence[Standing]) -> list[str]:
    """Printed means that their parts contradict, first those that decide ranks."""
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
    return [*lines, "Ranks go by what the parts give."] if lines else []


def board_csv(board: Board, *, by_step: bool = False) -> str:
    """All columns, fractions; text that a spreadsheet would take for a formula is quoted."""
    return str(_frame(board, by_step).map(csv_text).rename(columns=csv_text).to_csv(index=False))


def board_json(board: Board, *, by_step: bool = False) -> str:
    """All columns, fractions, null for what is not known; and what has to be said."""
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
    """With whole numbers whole, although some are not known."""
    frame = board.frame()
    if by_step:
        frame = frame[frame["step"].notna()].sort_values(["run", "step"])
    whole = ["rank", "rank_best", "rank_worst", "group", "step", "tasks", "tied queries", "size", "width"]
    return frame.astype(dict.fromkeys(whole, "Int64"))


def _plain(value: object) -> object:
    import pandas as pd

    return None if value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value
