"""The queries on which two models differ, with their content."""

from __future__ import annotations

from typing import NamedTuple

from harness.results.rows import read_rows
from harness.scoring.metrics import QueryRow
from leaderboards.board.entries import Entry
from leaderboards.compare.compare import Comparison, certain_differences


class Flip(NamedTuple):
    """A query whose score certainly differs, with the rows of both models."""

    task: str
    change: float
    """B's score minus A's."""
    a: QueryRow
    b: QueryRow

    @property
    def gained(self) -> bool:
        """Whether B scores higher."""
        return self.change > 0


def flips(comparison: Comparison, most: int) -> list[Flip]:
    """The `most` queries gained, then the `most` queries lost.

    The largest changes come first; equal ones are in the order of tasks and data.

    Raises: UserError if rows changed since they were loaded.
    """
    a, b = comparison.a, comparison.b
    found = [
        (change, task, index)
        for task in (each.name for each in comparison.datasets if each.paired)
        for index, change in enumerate(_changes(a, b, task))
        if change
    ]
    found.sort(key=lambda each: -abs(each[0]))
    kept = [each for sign in (1, -1) for each in [one for one in found if one[0] * sign > 0][:most]]
    rows = {
        task: [read_rows(entry.records[task].path, entry.records[task].result) for entry in (a, b)]
        for task in {task for _, task, _ in kept}
    }
    return [Flip(task, change, rows[task][0][index], rows[task][1][index]) for change, task, index in kept]


def _changes(a: Entry, b: Entry, task: str) -> list[float]:
    found = certain_differences(a, b, task)
    return [] if found is None else found.tolist()
