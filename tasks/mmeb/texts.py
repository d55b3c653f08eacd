"""What is done to a text on its way in: image tokens become the one canonical token, instructions are told apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from harness.types import MEDIA_TOKEN

IMAGE_TOKEN = "<|image_1|>"
"""Where MMEB's texts name their image."""

_ANY_IMAGE_TOKEN = re.compile(r"<\|image_\d+\|>")
_TOKEN_AND_GAP = re.compile(re.escape(IMAGE_TOKEN) + r"[ \n]?")


class PlacedText(NamedTuple):
    """A text in canonical form, and what was odd about its token."""

    text: str
    oddity: str = ""
    """`tokens_without_media`, `media_without_token`, or nothing."""


def check_tokens(text: str) -> int:
    """How many image tokens a text of MMEB holds: none or one. Raises ValueError for what no row should hold."""
    if "<|" not in text:
        return 0
    if MEDIA_TOKEN in text:
        raise ValueError(f"the text holds {MEDIA_TOKEN}, which is reserved")
    tokens = _ANY_IMAGE_TOKEN.findall(text)
    if tokens not in ([], [IMAGE_TOKEN]):
        raise ValueError(f"the text holds {' and '.join(tokens)}, but a row has one image at most, {IMAGE_TOKEN}")
    return len(tokens)


def place(text: str, has_image: bool) -> PlacedText:
    """Turns the image token into MEDIA_TOKEN, or drops it with the newline or space after it if there is no image.

    An image whose text has no token gets none: where it goes is the model's business. Raises ValueError.
    """
    if check_tokens(text):
        if has_image:
            return PlacedText(text.replace(IMAGE_TOKEN, MEDIA_TOKEN))
        return PlacedText(_TOKEN_AND_GAP.sub("", text), "tokens_without_media")
    return PlacedText(text, "media_without_token" if has_image else "")


def splitter(template: str | None) -> Callable[[str], str]:
    """A function from a canonical text to the leading part of it that is the instruction; empty if it is not there.

    A template's instruction is what stands before its first slot, without the quotation mark that opens the slot; a
    media token may come before it. A template without a slot must be the whole text, but for a period and white space.
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
