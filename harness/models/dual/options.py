"""What a user can change of the way dual encoders see items. All of it is part of the model's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from harness.errors import UserError, unknown_name
from harness.media.frame_policy import FramePolicy

_CHOICES: Mapping[str, tuple[str, ...]] = {"fusion": ("sum", "unit-sum"), "instructions": ("all", "queries", "none")}


@dataclass(frozen=True, slots=True)
class DualOptions:
    """The defaults are those of the MMEB paper's baselines, but for `media_token`."""

    fusion: str = "sum"
    """Image and text of one item: their vectors are added as they are (`sum`), or at length 1 each (`unit-sum`)."""
    instructions: str = "all"
    """Which items are read with their instruction: `all`, `queries`, or `none`."""
    media_token: str = ""
    """What is read where a text names the place of a medium; if nothing, its newline goes with it."""
    max_length: int | None = None
    """Tokens of a text, at most as many as the checkpoint has places for."""
    frames: str = "uniform:8"
    """Which frames of a video are seen; their vectors are averaged."""


def parse_options(given: Mapping[str, str], usual: DualOptions) -> DualOptions:
    """Options as a user writes them, such as `fusion=unit-sum`. Raises UserError for an unknown name and nonsense."""
    known = [each.name for each in fields(DualOptions)]
    for name, value in given.items():
        if name not in known:
            raise unknown_name("option of dual encoders", name, known, f"Choose from {', '.join(known)}.")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise UserError(f"The option {name} cannot be {value!r}.", f"Choose from {', '.join(_CHOICES[name])}.")
    return DualOptions(
        fusion=given.get("fusion", usual.fusion),
        instructions=given.get("instructions", usual.instructions),
        media_token=given.get("media_token", usual.media_token),
        max_length=_count("max_length", given["max_length"], least=3) if "max_length" in given else usual.max_length,
        frames=str(FramePolicy.parse(given.get("frames", usual.frames))),
    )


def _count(name: str, text: str, *, least: int) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not least <= number < 10**9:
        raise UserError(f"The option {name} cannot be {text!r}.", f"Write a whole number from {least}.")
    return number
