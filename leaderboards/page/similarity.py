"""How similar queries are to their right candidates and to the wrong ones, as two histograms on round steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

from harness.scoring.metrics import QueryRow

_MOST = 40
"""Most steps between the lowest and the highest score."""
_NEAR, _EQUAL = 1e-6, 0.01
"""Scores that differ by less than the first count as equal. The second is the step if all are equal."""


class Histogram(TypedDict):
    """Numbers of queries by their highest right and their highest wrong similarity, in bins from `low` by `step`."""

    low: float
    step: float
    right: list[int]
    wrong: list[int]
    unseen: int
    """Number of queries whose rows do not have the score of a right candidate."""


def histogram(rows: Sequence[QueryRow]) -> Histogram | None:
    """The histograms of a model. None if no row has a score."""
    right = [score for row in rows if (score := _right(row)) is not None]
    wrong = [max(scores) for row in rows if (scores := _scores(row, right=False))]
    if not right and not wrong:
        return None
    step = step_of(max([*right, *wrong]) - min([*right, *wrong]))
    bins = [Counter(math.floor(round(score / step, 6)) for score in scores) for scores in (right, wrong)]
    ends = [end for each in bins for end in each]
    span = range(min(ends), max(ends) + 1)
    return {
        "low": round(span.start * step, 9),
        "step": step,
        "right": [bins[0][number] for number in span],
        "wrong": [bins[1][number] for number in span],
        "unseen": len(rows) - len(right),
    }


def step_of(width: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten of which at most 40 make the width."""
    if width < _NEAR:
        return _EQUAL
    power = math.floor(math.log10(width / _MOST))
    steps = [float(f"{digit}e{power + more}") for more in (0, 1) for digit in (1, 2, 5)]
    return next(step for step in steps if width / step <= _MOST)


def _right(row: QueryRow) -> float | None:
    """The score of a row's best right candidate. Older rows have it only if it is in the top."""
    score = row.get("right_score")
    if isinstance(score, int | float) and math.isfinite(score):
        return float(score)
    return max(_scores(row, right=True), default=None)


def _scores(row: QueryRow, *, right: bool) -> list[float]:
    top = row.get("top")
    found = [each for each in top if isinstance(each, Mapping)] if isinstance(top, list) else []
    scores = [each.get("score") for each in found if (each.get("right") is True) is right]
    return [float(score) for score in scores if isinstance(score, int | float) and math.isfinite(score)]
