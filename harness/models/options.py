"""How the values of `--model-option` are read for all models, and the refusal of options by models without any."""

from __future__ import annotations

from harness.errors import UserError
from harness.media.frame_policy import FramePolicy
from harness.settings import ReadAs
from harness.types import ModelSettings

FRAMES = ReadAs(lambda text: str(FramePolicy.parse(text)))
"""Reads a choice of frames, such as `fps:3:32`, and writes it in its one canonical form."""

TEXT = ReadAs(str)
"""Reads any text, `none` included, into a field that is None if it is not given."""


def no_options(name: str, settings: ModelSettings) -> None:
    """Raises UserError for every `--model-option`, for models that have no options."""
    for key in settings.options:
        raise UserError(f"{name} has no option {key!r}; it has no options.", "Leave --model-option out.")
