"""The scores of a training run's checkpoints, in the order of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.errors import UserError
from harness.results.numbers import percent
from leaderboards.board.board import Board
from leaderboards.board.entries import TrainingPoint
from leaderboards.board.standings import MeanScore, Standing
from leaderboards.board.tables import mean_cell
from leaderboards.tables import Cell, Table, picked

_WIDTH = 40
_BARS = "▁▂▃▄▅▆▇█"


def training_curve(board: Board, *, intervals: bool = True, drawn: bool = True) -> Table:
    """A table with one row per checkpoint: the score that the board ranks by, with its interval.

    If `drawn`, score and interval are drawn to scale too, and the notes have a sparkline of each run.

    Raises: UserError if no model is a checkpoint.
    """
    points = checkpoints(board)
    if not points:
        hint = "A checkpoint has checkpoint-STEP in its name, or a `step` in its record."
        raise UserError("None of these models is a checkpoint of a training run.", hint)
    scores = [standing.cells[board.rank_by] for _, standing in points]
    low, high = _ends([score for score in scores if score.mean.value is not None])
    rows = [
        (Cell(at.run), Cell(str(at.step)), mean_cell(score, intervals=intervals), Cell(_drawn(score, low, high)))
        for (at, _), score in zip(points, scores, strict=True)
    ]
    plot = f"{percent(low)} to {percent(high)}"
    notes = [
        f"{run}: {_sparkline([score.mean.value for (at, _), score in group])}"
        for run, group in groupby(zip(points, scores, strict=True), key=lambda each: each[0][0].run)
    ]
    title = f"{board.suite.summary}: {board.rank_by} by step, in percent"
    names = ("run", "step", board.rank_by, plot)
    table = Table(title, names, tuple(rows), frozenset({"run"}), tuple(notes) if drawn else (), keep=names[:3])
    return table if drawn else picked(table, names[:3])


def checkpoints(board: Board) -> list[tuple[TrainingPoint, Standing]]:
    """The checkpoints of a board, sorted by run and step."""
    found = [(at, standing) for standing in board.standings() if (at := standing.entry.checkpoint)]
    return sorted(found, key=lambda each: each[0])


def _ends(scores: Sequence[MeanScore]) -> tuple[float, float]:
    every = [each for score in scores for each in (score.mean.value, *(score.interval or ())) if each is not None]
    return (min(every), max(every)) if every else (0.0, 1.0)


def _drawn(score: MeanScore, low: float, high: float) -> str:
    """The score as a point on a line that spans its interval."""

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (_WIDTH - 1)) if high > low else 0

    if score.mean.value is None:
        return ""
    start, end = map(place, score.interval or (score.mean.value, score.mean.value))
    line = ["·"] * _WIDTH
    line[start : end + 1] = ["─"] * (end - start + 1)
    line[place(score.mean.value)] = "●"
    return "".join(line)


def _sparkline(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(" " if value is None else _BARS[round((value - low) / step)] for value in values)
