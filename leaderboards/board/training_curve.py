"""The scores of a training run's checkpoints, in the order of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.errors import UserError
from leaderboards.board.board import Board
from leaderboards.board.entries import TrainingPoint
from leaderboards.board.standings import MeanScore, Standing
from leaderboards.board.tables import mean_cell
from leaderboards.tables import Cell, Table

_WIDTH = 40
_BARS = "▁▂▃▄▅▆▇█"


def training_curve(board: Board) -> Table:
    """A table with one row per checkpoint: the score that the board ranks by, with its interval drawn to scale.

    The notes have a sparkline of each run.

    Raises: UserError if no model is a checkpoint.
    """
    points = checkpoints(board)
    if not points:
        hint = "A checkpoint has checkpoint-STEP in its name, or a `step` in its record."
        raise UserError("None of these models is a checkpoint of a training run.", hint)
    scores = [standing.cells[board.rank_by] for _, standing in points]
    low, high = _ends([score for score in scores if score.mean.value is not None])
    rows = [
        (Cell(at.run), Cell(str(at.step)), mean_cell(score), Cell(_drawn(score, low, high)))
        for (at, _), score in zip(points, scores, strict=True)
    ]
    plot = f"{100 * low:.1f} to {100 * high:.1f}"
    notes = [
        f"{run}: {_sparkline([score.mean.value for (at, _), score in group])}"
        for run, group in groupby(zip(points, scores, strict=True), key=lambda each: each[0][0].run)
    ]
    title = f"{board.suite.summary}: {board.rank_by} by step, in percent"
    return Table(title, ("run", "step", board.rank_by, plot), tuple(rows), frozenset({"run", plot}), tuple(notes))


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
    line = [" "] * start + ["─"] * (end - start + 1)
    line[place(score.mean.value)] = "●"
    return "".join(line)


def _sparkline(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(" " if value is None else _BARS[round((value - low) / step)] for value in values)
