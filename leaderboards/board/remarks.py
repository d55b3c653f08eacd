"""What makes scores on a board hard to compare, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

from harness.results.files import Result
from leaderboards.board.board import Board


def remarks(board: Board) -> list[str]:
    """Models that see less than the others, partial tasks, bad media."""
    blind = {
        f"{model} sees no {kind}" for model, column in board.columns.items() for kind in _not_seen(column.values())
    }
    lines = [f"{each}: it is judged by the rest of each item." for each in sorted(blind)]
    if any(result.settings.get("limit") is not None for result in board.results):
        lines.append("--limit: the first queries alone; not comparable with whole tasks.")
    if any(result.bad_media for result in board.results):
        lines.append("Bad media counted as wrong: see `llave show`.")
    return lines


def _not_seen(results: Iterable[Result]) -> set[str]:
    kinds = [result.model.get("not_seen") for result in results]
    return {str(kind) for each in kinds if isinstance(each, list) for kind in each}
