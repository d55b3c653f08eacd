"""Normalises the texts of MMEB: replaces image tokens by the canonical token, and finds instructions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from harness.types import MEDIA_TOKEN

IMAGE_TOKEN = "<|image_1|>"
"""The image token of MMEB's texts."""

_ANY_IMAGE_TOKEN = re.compile(r"<\|image_\d+\|>")
_TOKEN_AND_GAP = re.compile(re.escape(IMAGE_TOKEN) + r"[ \n]?")


class PlacedText(NamedTuple):
    """A text with the canonical token, and what was irregular about its token."""

    text: str
    oddity: str = ""
    """`tokens_without_media`, `media_without_token`, or empty for a regular text."""


def check_tokens(text: str) -> int:
    """Number of image tokens in a text of MMEB: 0 or 1. Raises ValueError for any other tokens."""
    if "<|" not in text:
        return 0
    if MEDIA_TOKEN in text:
        raise ValueError(f"the text holds {MEDIA_TOKEN}, which is reserved")
    tokens = _ANY_IMAGE_TOKEN.findall(text)
    if tokens not in ([], [IMAGE_TOKEN]):
        raise ValueError(f"the text holds {' and '.join(tokens)}, but a row has one image at most, {IMAGE_TOKEN}")
    return len(tokens)


def place(text: str, has_image: bool) -> PlacedText:
    """Replaces the image token by MEDIA_TOKEN. Without an image, drops it and the newline or space after it.

    An image whose text has no token gets none, and the model decides where it goes.
    Raises ValueError for a text with other tokens than one image token.
    """
    if check_tokens(text):
        if has_image:
            return PlacedText(text.replace(IMAGE_TOKEN, MEDIA_TOKEN))
        return PlacedText(_TOKEN_AND_GAP.sub("", text), "tokens_without_media")
    return PlacedText(text, "media_without_token" if has_image else "")


def splitter(template: str | None) -> Callable[[str], str]:
    """Returns a function from a canonical text to its leading instruction, which is empty if it is not there.

    The instruction of a template is the part before its first slot, without the quotation mark that opens the slot.
    A media token may come before it. A template without a slot must match the whole text, except for periods and
    white space at the end.
    """
    if template is None:
        return lambda _: ""
    head, slot, _ = template.partition("{")
    pattern = re.compile(
        rf"(?:{re.escape(MEDIA_TOKEN)}\s*)?{re.escape(head.removesuffix(chr(34)))}" + ("" if slot else r"[.\s]*\Z")
    )

    def instruction(text: str) -> str:
        match = pattern.match(text)
        return match[0] if match else ""

    return instruction
