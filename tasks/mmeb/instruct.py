"""Joins the strings of the MMEB_Test_Instruct layout, which has separate columns for instructions.

The strings are joined as the public evaluator of MMEB-V2 joins them. Its results equal the strings of MMEB-eval.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.types import MEDIA_TOKEN
from tasks.mmeb.texts import IMAGE_TOKEN, check_tokens, place


class JoinedText(NamedTuple):
    """A full text and the leading part of it that is the instruction."""

    instruction: str
    text: str
    dropped_token: bool = False
    """Whether an image token was dropped because there is no image."""


def join_query(instruction: str, text: str, has_image: bool, ending: str) -> JoinedText:
    """Instruction + space + text + ending. If there is an image, its token and a newline come first.

    Raises ValueError for a text with other tokens than one image token.
    """
    if has_image:
        return _join(f"{MEDIA_TOKEN}\n{_without_token(instruction).strip()}", _without_token(text), ending)
    lead, body = place(instruction, False), place(text, False)
    return JoinedText(f"{lead.text} " if lead.text else "", body.text + ending, bool(lead.oddity or body.oddity))


def join_target(instruction: str, caption: str, has_image: bool, ending: str) -> JoinedText:
    """Instruction + space + caption + ending. If there is an image, its token and a space come first.

    Raises ValueError for a text with other tokens than one image token.
    """
    if has_image:
        return _join(f"{MEDIA_TOKEN} {_without_token(instruction)}", _without_token(caption), ending)
    return join_query(instruction, caption, has_image, ending)


def is_blank(caption: str) -> bool:
    """Whether a caption is empty. If the first caption of a row is, the row's targets are only images."""
    return not caption.replace(IMAGE_TOKEN, "").strip()


def _join(lead: str, body: str, ending: str) -> JoinedText:
    """Joins with a space, and drops every space before a newline. Without a body the whole text is instruction."""
    if not body:
        return JoinedText(lead.replace(" \n", "\n") + ending, "")
    whole = f"{lead} {body}".replace(" \n", "\n") + ending
    start = f"{lead} ".replace(" \n", "\n")
    if not whole.startswith(start):
        start = start[:-1]
    return JoinedText(start, whole[len(start) :])


def _without_token(text: str) -> str:
    check_tokens(text)
    return text.replace(IMAGE_TOKEN, "")
