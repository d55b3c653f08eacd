"""A board as CSV and as JSON, for programs. Names of columns are one word: `overall_low`, `gpu_hours`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from leaderboards.board.board import Board
from leaderboards.board.tables import notes, title
from leaderboards.tables import csv_text

if TYPE_CHECKING:
    import pandas as pd


def board_csv(board: Board, *, by_step: bool = False, top: int | None = None) -> str:
    """All columns as CSV. Scores are fractions; text that a spreadsheet would evaluate as a formula is quoted."""
    return str(_frame(board, by_step)[:top].map(csv_text).rename(columns=csv_text).to_csv(index=False))


def board_json(board: Board, *, by_step: bool = False, top: int | None = None) -> str:
    """All columns and the notes as JSON. Scores are fractions; unknown values are null."""
    rows = [
        {str(key): _plain(value) for key, value in row.items()}
        for row in _frame(board, by_step)[:top].to_dict("records")
    ]
    record = {
        "suite": board.suite.name,
        "title": title(board),
        "ranked_by": board.rank_by,
        "rows": rows,
        "notes": notes(board, top=top),
    }
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _frame(board: Board, by_step: bool) -> pd.DataFrame:
    """The board's DataFrame, with columns of whole numbers as integers although some values are unknown."""
    frame = board.frame()
    if by_step:
        frame = frame[frame["step"].notna()].sort_values(["run", "step"])
    ranks = ["rank", "rank_best", "rank_worst", "group", "shared_rank"]
    whole = [*ranks, "step", "tasks", "tied_queries", "size", "width"]
    return frame.astype(dict.fromkeys(whole, "Int64"))


def _plain(value: object) -> object:
    import pandas as pd

    return None if value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value
