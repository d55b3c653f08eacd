"""The options of generative embedders. All of them are part of the model's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from harness.errors import UserError
from harness.models.common import FRAMES, TEXT
from harness.settings import read_settings, whole


@dataclass(frozen=True, slots=True)
class VlmOptions:
    """Options that a user can set. None leaves a setting to the model's recipe, to the checkpoint or to the data."""

    max_length: Annotated[int | None, whole()] = None
    """Maximum number of tokens in a sequence, visual tokens included."""
    min_pixels: Annotated[int | None, whole()] = None
    """Minimum number of pixels of an image, and of a frame of a video."""
    max_pixels: Annotated[int | None, whole()] = None
    """Maximum number of pixels of an image, and of a frame of a video."""
    query_instruction: Annotated[str | None, TEXT] = None
    """Replaces the instruction that the data has for queries."""
    target_instruction: Annotated[str | None, TEXT] = None
    """Replaces the instruction that the data has for targets."""
    base: Annotated[str | None, TEXT] = None
    """The base model of an adapter (LoRA): a folder, or a name on the hub."""
    processor: Annotated[str | None, TEXT] = None
    """Where tokenizer and image processor come from: a folder, or a name on the hub."""
    frames: Annotated[str | None, FRAMES] = None
    """The frames of a video that the model sees, such as `uniform:8`."""


def parse_options(name: str, given: Mapping[str, str], *, resizes: bool, sees_video: bool) -> VlmOptions:
    """Reads the options of the model `name`.

    Args:
        name: the model's name, for messages.
        given: text by name of the option.
        resizes: whether the model has pixel limits.
        sees_video: whether the model sees videos.

    Raises:
        UserError: for an option that the model does not have, and for a value that cannot be used.
    """
    leave_out = [] if resizes else ["min_pixels", "max_pixels"]
    leave_out += [] if sees_video else ["frames"]
    options = read_settings(VlmOptions(), given, f"option of {name}", leave_out=leave_out)
    if options.min_pixels and options.max_pixels and options.min_pixels > options.max_pixels:
        raise UserError("min_pixels is above max_pixels.", "Give the smaller number as min_pixels.")
    return options
