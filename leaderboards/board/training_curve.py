"""The curve of a training run: one row a checkpoint, in the order of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.errors import UserError
from leaderboards.board.board import Board
from leaderboards.board.entries import TrainingPoint
from leaderboards.board.standings import MeanScore, Standing
from leaderboards.tables import Cell, Table

_WIDTH = 40
_BARS = "▁▂▃▄▅▆▇█"


def curve_grid(board: Board) -> Table:
    """Each checkpoint's score by what the board ranks by, drawn with its interval; a sparkline of each run below.

    Raises UserError if no model is a checkpoint.
    """
    points = checkpoints(board)
    if not points:
        hint = "Names that hold checkpoint-STEP are, and records whose model has a `step`."
        raise UserError("None of these models is a checkpoint of a training run.", hint)
    figures = [standing.cells[board.rank_by] for _, standing in points]
    known = [figure for figure in figures if figure.mean.value is not None]
    low, high = _ends(known)
    rows = [
        (Cell(at.run), Cell(str(at.step)), _score(figure), Cell(_drawn(figure, low, high)))
        for (at, _), figure in zip(points, figures, strict=True)
    ]
    plot = f"{100 * low:.1f} to {100 * high:.1f}"
    notes = [
        f"{run}: {_sparkline([figure.mean.value for (at, _), figure in group])}"
        for run, group in groupby(zip(points, figures, strict=True), key=lambda each: each[0][0].run)
    ]
    title = f"{board.suite.summary}: {board.rank_by} by step, in percent"
    return Table(title, ("run", "step", board.rank_by, plot), tuple(rows), frozenset({"run", plot}), tuple(notes))


def checkpoints(board: Board) -> list[tuple[TrainingPoint, Standing]]:
    """The board's checkpoints by run and step."""
    found = [(at, standing) for standing in board.standings() if (at := standing.entry.checkpoint)]
    return sorted(found, key=lambda each: each[0])


def _ends(figures: Sequence[MeanScore]) -> tuple[float, float]:
    every = [each for figure in figures for each in (figure.mean.value, *(figure.interval or ())) if each is not None]
    return (min(every), max(every)) if every else (0.0, 1.0)


def _score(figure: MeanScore) -> Cell:
    mean = figure.mean
    if mean.value is None:
        return Cell(f"{mean.present} of {mean.present + len(mean.missing)}")
    extra = "[{:.1f}, {:.1f}]".format(*(100 * end for end in figure.interval)) if figure.interval else ""
    return Cell(f"{100 * mean.value:.1f}", extra)


def _drawn(figure: MeanScore, low: float, high: float) -> str:
    """The score as a point on a line as long as its interval."""

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (_WIDTH - 1)) if high > low else 0

    if figure.mean.value is None:
        return ""
    start, end = map(place, figure.interval or (figure.mean.value, figure.mean.value))
    line = [" "] * start + ["─"] * (end - start + 1)
    line[place(figure.mean.value)] = "●"
    return "".join(line)


def _sparkline(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(" " if value is None else _BARS[round((value - low) / step)] for value in values)
