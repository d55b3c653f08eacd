"""Tasks whose queries have no instruction, or the same instruction in other words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from harness.types import MEDIA_TOKEN, DataInfo, Item, Source, Task, TaskData

Wording: TypeAlias = Literal["off", "paraphrased"]
VERSION = 1
"""Raise when the same instruction gets other words, so that old results are not taken for new ones."""

_TOKEN = re.compile(re.escape(MEDIA_TOKEN) + r"[ \n]?")
_WORDS: Mapping[str, str] = {
    "represent": "encode",
    "identify": "determine",
    "find": "retrieve",
    "select": "choose",
    "classify": "categorize",
    "answer": "respond to",
    "describe": "explain",
    "given": "provided",
    "following": "subsequent",
    "image": "picture",
    "video": "clip",
    "caption": "description",
    "shown": "displayed",
    "which": "what",
    "category": "class",
}
"""Words of instructions, each with one that means the same."""
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)
_PREFIX = "Your task is this. "
"""What stands before an instruction that has none of the words."""


@dataclass(frozen=True, slots=True)
class Reworded:
    """The rows of another source, with other instructions of queries. Targets stay as they are."""

    source: Source
    wording: Wording

    def describe(self) -> str:
        """One line for a person: where the data comes from."""
        return f"{self.source.describe()}, instructions {self.wording}"

    def info(self, task: Task) -> DataInfo:
        """The files of the other source, told apart by the wording. Raises as that source does."""
        info = self.source.info(task)
        return replace(info, content=f"{info.content}instructions {self.wording}/{VERSION}")

    def load(self, task: Task) -> TaskData:
        """The rows with the other instructions. Raises as the other source does."""
        data = self.source.load(task)
        queries = tuple(replace(each, item=reworded(each.item, self.wording)) for each in data.queries)
        return replace(data, queries=queries)


def reworded(item: Item, wording: Wording) -> Item:
    """The item with its instruction in other words or without it. Places of media stay.

    An item that is nothing but an instruction keeps it.
    """
    if not item.instruction:
        return item
    if wording == "paraphrased":
        words, changed = _WORD.subn(_other, item.instruction)
        return replace(item, instruction=words if changed else _before(item.instruction))
    if not item.text.strip() and not item.media:
        return item
    return replace(item, instruction="".join(_TOKEN.findall(item.instruction)))


def _other(found: re.Match[str]) -> str:
    word = _WORDS[found[0].lower()]
    return word[:1].upper() + word[1:] if found[0][0].isupper() else word


def _before(instruction: str) -> str:
    """The instruction with a sentence before its first word, behind media that come first."""
    start = re.match(rf"(?:{_TOKEN.pattern})*", instruction)
    place = start.end() if start else 0
    return f"{instruction[:place]}{_PREFIX}{instruction[place:]}"
