"""The options of LLaVE. All of them are part of the model's identity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from harness.models.common import FRAMES, TEXT
from harness.settings import ReadAs, whole

_GRID = re.compile(r"([0-9]{1,9})x([0-9]{1,9})")


def read_grid(text: str) -> tuple[int, int]:
    """Reads columns and rows from a text such as `6x6`. Raises ValueError for another form and for zero."""
    match = _GRID.fullmatch(text)
    columns, rows = (int(match[1]), int(match[2])) if match else (0, 0)
    if not columns or not rows:
        raise ValueError("write columns and rows, such as 6x6")
    return columns, rows


@dataclass(frozen=True, slots=True)
class LlaveOptions:
    """Options that a user can set. None leaves a setting to the checkpoint or to the data."""

    max_length: Annotated[int | None, whole()] = None
    """Maximum number of tokens in a sequence, visual tokens included."""
    grid: Annotated[tuple[int, int] | None, ReadAs(read_grid)] = None
    """Columns and rows of the largest grid of crops."""
    frames: Annotated[str, FRAMES] = "fps:3:32"
    """The frames of a video that the model sees."""
    query_instruction: Annotated[str | None, TEXT] = None
    """Replaces the instruction that the data has for queries."""
    target_instruction: Annotated[str | None, TEXT] = None
    """Replaces the instruction that the data has for targets."""
    attention: Literal["sdpa", "flash_attention_2"] = "sdpa"
    """The attention kernels, by their name in transformers."""
