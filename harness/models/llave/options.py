"""What a user can change of the way LLaVE sees items. All of it is part of the model's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from harness.errors import UserError, unknown_name
from harness.media.frame_policy import FramePolicy

ATTENTION = ("sdpa", "flash_attention_2")


@dataclass(frozen=True, slots=True)
class LlaveOptions:
    """None leaves a setting to the checkpoint or to the data."""

    max_length: int | None = None
    """Tokens of a sequence, visual ones included."""
    grid: tuple[int, int] | None = None
    """Columns and rows of the largest grid of crops."""
    frames: str = "fps:3:32"
    """Which frames of a video are seen."""
    query_instruction: str | None = None
    """Takes the place of the instruction that the data has for queries."""
    target_instruction: str | None = None
    attention: str = "sdpa"
    """The name that transformers has for the kernels: one of ATTENTION."""


def parse_options(given: Mapping[str, str]) -> LlaveOptions:
    """Options as a user writes them, such as `grid=6x6`. Raises UserError for an unknown name and for nonsense."""
    known = [each.name for each in fields(LlaveOptions)]
    for name in given:
        if name not in known:
            raise unknown_name("option of LLaVE", name, known, f"Choose from {', '.join(known)}.")
    if given.get("attention", "sdpa") not in ATTENTION:
        what = f"The option attention cannot be {given['attention']!r}."
        raise UserError(what, f"Choose from {', '.join(ATTENTION)}.")
    columns, _, rows = given.get("grid", "1x1").partition("x")
    usual = LlaveOptions()
    return LlaveOptions(
        max_length=_whole("max_length", given["max_length"]) if "max_length" in given else None,
        grid=(_whole("grid", columns), _whole("grid", rows)) if "grid" in given else None,
        frames=str(FramePolicy.parse(given.get("frames", usual.frames))),
        query_instruction=given.get("query_instruction"),
        target_instruction=given.get("target_instruction"),
        attention=given.get("attention", usual.attention),
    )


def _whole(name: str, text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number < 10**9:
        hint = "Write whole numbers from 1, as in max_length=8192 and grid=6x6 (columns x rows)."
        raise UserError(f"The option {name} cannot be {text!r}.", hint)
    return number
