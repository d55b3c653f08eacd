"""What a user can change of the way LLaVE sees items. All of it is part of the model's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from harness.errors import UserError, unknown_name


@dataclass(frozen=True, slots=True)
class LlaveOptions:
    """None leaves a setting to the checkpoint or to the data."""

    max_length: int | None = None
    """Tokens of a sequence, visual ones included."""
    grid: tuple[int, int] | None = None
    """Columns and rows of the largest grid of crops."""
    fps: float = 3.0
    frames: int = 32
    """Frames of a video at most."""
    query_instruction: str | None = None
    """Takes the place of the instruction that the data has for queries."""
    target_instruction: str | None = None


def parse_options(given: Mapping[str, str]) -> LlaveOptions:
    """Options as a user writes them, such as `grid=6x6`. Raises UserError for an unknown name and for nonsense."""
    known = [each.name for each in fields(LlaveOptions)]
    for name in given:
        if name not in known:
            raise unknown_name("option of LLaVE", name, known, f"Choose from {', '.join(known)}.")
    columns, _, rows = given.get("grid", "1x1").partition("x")
    usual = LlaveOptions()
    return LlaveOptions(
        max_length=_whole("max_length", given["max_length"]) if "max_length" in given else None,
        grid=(_whole("grid", columns), _whole("grid", rows)) if "grid" in given else None,
        fps=_positive("fps", given.get("fps", str(usual.fps))),
        frames=_whole("frames", given.get("frames", str(usual.frames))),
        query_instruction=given.get("query_instruction"),
        target_instruction=given.get("target_instruction"),
    )


def _whole(name: str, text: str) -> int:
    number = _positive(name, text)
    if number != int(number):
        raise _nonsense(name, text)
    return int(number)


def _positive(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise _nonsense(name, text) from None
    if not 0 < number < 1e9:
        raise _nonsense(name, text)
    return number


def _nonsense(name: str, text: str) -> UserError:
    return UserError(
        f"The option {name} cannot be {text!r}.",
        "Write positive numbers, as in max_length=8192, grid=6x6 (columns x rows), fps=3, frames=32.",
    )
