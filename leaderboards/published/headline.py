"""The claim of a paper's main table about its own model, recomputed from the rows of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.results.numbers import percent
from leaderboards.published.rows import PublishedRow

TABLE = "LLaVE Table 2"
SEVEN_BILLION = (7e9, 8.5e9)
"""The range of parameters of models that papers call 7B, including image encoders."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The row of a paper's own model, compared with earlier work in the same table."""

    row: PublishedRow
    best_before: PublishedRow
    """The best earlier row of the same size class."""
    margin: float
    """The score of `row` minus that of `best_before`, as a fraction."""


def headline(rows: Sequence[PublishedRow], model: str, table: str, sizes: tuple[float, float]) -> Headline:
    """Compares `model` in `table` with the best earlier row whose number of parameters is in `sizes`.

    Earlier rows are those that the table's authors neither made nor ran again themselves.
    """
    inside = [row for row in rows if row.source.name == table and "overall" in row.means]
    own = next(row for row in inside if row.model == model)
    before = [
        row
        for row in inside
        if row.group != "ours" and "re-implemented" not in row.group and sizes[0] <= (row.size or 0) < sizes[1]
    ]
    best = max(before, key=lambda row: row.means["overall"])
    return Headline(own, best, own.means["overall"] - best.means["overall"])


def headline_note(rows: Sequence[PublishedRow]) -> list[str]:
    """A sentence on LLaVE's models in the paper's main table; empty if the table is not among these rows."""
    inside = [row for row in rows if row.source.name == TABLE and row.suite == "mmeb" and "overall" in row.means]
    if not {"LLaVE-7B", "LLaVE-2B"} <= {row.model for row in inside}:
        return []
    large, middle = (headline(inside, model, TABLE, SEVEN_BILLION) for model in ("LLaVE-7B", "LLaVE-2B"))
    before = large.best_before
    return [
        f"{TABLE}: LLaVE-7B has {percent(large.row.means['overall'])}, {_away(large.margin)} the best earlier 7B row "
        f"({before.model}, {percent(before.means['overall'])}); LLaVE-2B is {_away(middle.margin)} it."
    ]


def _away(margin: float) -> str:
    return f"{percent(abs(margin))} points {'above' if margin >= 0 else 'below'}"
