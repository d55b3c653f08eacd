"""What a user can change of the way a generative model sees items. All of it is part of the model's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from harness.errors import UserError, unknown_name
from harness.media.frame_policy import FramePolicy


@dataclass(frozen=True, slots=True)
class VlmOptions:
    """None leaves a setting to the model's recipe, to the checkpoint or to the data."""

    max_length: int | None = None
    """Tokens of a sequence, visual ones included."""
    min_pixels: int | None = None
    max_pixels: int | None = None
    query_instruction: str | None = None
    """Takes the place of the instruction that the data has for queries."""
    target_instruction: str | None = None
    base: str | None = None
    """The model that an adapter (LoRA) is for: a folder, or a name on the hub."""
    processor: str | None = None
    """Where tokenizer and image processor come from."""
    frames: str | None = None
    """Which frames of a video are seen, as in `uniform:8`."""


_NUMBERS = ("max_length", "min_pixels", "max_pixels")


def parse_options(name: str, given: Mapping[str, str], *, resizes: bool, films: bool) -> VlmOptions:
    """Options as a user writes them, of a model with pixel limits or without (`resizes`), that sees videos or not.

    Raises UserError for what it has not.
    """
    lacking = (*(() if resizes else ("min_pixels", "max_pixels")), *(() if films else ("frames",)))
    known = [each.name for each in fields(VlmOptions) if each.name not in lacking]
    for key in given:
        if key not in known:
            raise unknown_name(f"option of {name}", key, known, f"Choose from {', '.join(known)}.")
    numbers = {key: _whole(key, given[key]) for key in _NUMBERS if key in given}
    if (fewest := numbers.get("min_pixels")) and fewest > numbers.get("max_pixels", fewest):
        raise UserError("min_pixels is above max_pixels.", "Give the smaller one as min_pixels.")
    return VlmOptions(
        max_length=numbers.get("max_length"),
        min_pixels=numbers.get("min_pixels"),
        max_pixels=numbers.get("max_pixels"),
        query_instruction=given.get("query_instruction"),
        target_instruction=given.get("target_instruction"),
        base=given.get("base"),
        processor=given.get("processor"),
        frames=str(FramePolicy.parse(given["frames"])) if "frames" in given else None,
    )


def _whole(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise UserError(f"The option {name} cannot be {text!r}.", f"Write a positive whole number: {name}=1024.")
    return int(text)
