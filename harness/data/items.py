"""An item as a user writes it, for evaluation, embedding and training alike.

An item has `text`, `image`, `video` and `instruction`, or some of them; a string is its text. `image` and `video` are a
path or a list of paths. Images come before videos. `<|media|>` in the text says where each medium belongs; without it
the model puts the media where it usually does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from harness.errors import counted
from harness.types import MEDIA_TOKEN, Item, Media, MediaKind, Role

ITEM_FIELDS = ("text", "image", "video", "instruction")

NUMBERED_TOKEN = re.compile(r"<\|image_\d+\|>")
"""An image token of MMEB's layouts, which has no meaning in a user's own item."""


def parse_item(given: object, root: Path, where: str = "", roots: tuple[Path, ...] = ()) -> Item:
    """The item that a text or a mapping with `ITEM_FIELDS` describes.

    Args:
        given: a string, or a mapping from field to value. None is an absent field. Other keys are ignored.
        root: the folder that media paths are relative to, and must stay inside.
        where: the place in the user's data, for messages about media.
        roots: other folders that media may lie in, behind links or by an absolute path.

    Raises:
        ValueError: that says what is wrong with the item, as the end of a sentence.
    """
    fields = {"text": given} if isinstance(given, str) else given
    if not isinstance(fields, Mapping):
        raise ValueError(f"an item is a text or has keys out of {', '.join(ITEM_FIELDS)}, not {given!r:.80}")
    media = tuple(
        Media(kind, path, root, where, roots) for kind in get_args(MediaKind) for path in _paths(fields, kind)
    )
    text, instruction = string_of(fields, "text"), string_of(fields, "instruction")
    if instruction and text and not instruction[-1].isspace():
        instruction += " "
    item = Item(text, media, instruction)
    if not item.full_text.replace(MEDIA_TOKEN, "").strip() and not media:
        raise ValueError("it has no text, no image and no video")
    if NUMBERED_TOKEN.search(item.full_text):
        raise ValueError(f"in this layout an image token is written {MEDIA_TOKEN}")
    tokens = item.full_text.count(MEDIA_TOKEN)
    if tokens not in (0, len(media)):
        raise ValueError(
            f"{MEDIA_TOKEN} stands {counted(tokens, 'time')} in the text, "
            f"but the item has {counted(len(media), 'image or video', 'images and videos')}"
        )
    return item


def parse_role(fields: Mapping[str, object]) -> Role:
    """The role of an item: a target unless it says `query`. Raises ValueError for another word."""
    match string_of(fields, "role"):
        case "query":
            return "query"
        case "target" | "":
            return "target"
        case other:
            raise ValueError(f"role must be query or target, not {other!r}")


def string_of(fields: Mapping[str, object], key: str) -> str:
    """A field that may be absent. Raises ValueError for anything but a string."""
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} must be a string, not {value!r:.80}")
    return value or ""


def unknown_keys(fields: Mapping[str, object], known: tuple[str, ...], noun: str) -> None:
    """Raises ValueError if there is a key that is not known, so that a misspelt one is not ignored."""
    unknown = [str(key) for key in fields if key not in known]
    if unknown:
        raise ValueError(f"{noun} has no key {', '.join(unknown)}; its keys are {', '.join(known)}")


def _paths(fields: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = fields.get(key) or []
    paths = [value] if isinstance(value, str | Path) else value
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str | Path) and str(path) for path in paths):
        raise ValueError(f"{key} must be a path or a list of paths, not {value!r:.80}")
    return tuple(map(str, paths))
