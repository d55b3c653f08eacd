"""An item as a user writes it, for evaluation, embedding and training alike.

An item has `text`, `image`, `video` and `instruction`, or some of them; a string is its text. `image` and `video` are a
path or a list of paths. Images come before videos. `<|media|>` in the text says where each medium belongs; without it
the model puts the media where it usually does.

Texts and media in any order are a list, `content`, as in messages of a chat. A part is a text, `{"text": ...}`,
`{"image": PATH}` or `{"video": PATH}`, and may have its kind as `type`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from harness.errors import counted
from harness.types import MEDIA_TOKEN, Item, Media, MediaKind, Role

ITEM_FIELDS = ("text", "image", "video", "instruction", "content")
PART_KINDS = ("text", "image", "video")

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
    if fields.get("content") is not None:
        if text or media:
            raise ValueError("content holds all texts and media, so text, image and video must be left out beside it")
        parts = [_part(part, root, where, roots) for part in _parts(fields["content"])]
        text, media = in_order(parts)
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


def in_order(parts: Sequence[str | Media]) -> tuple[str, tuple[Media, ...]]:
    """The text and the media of texts and media in order. Each part is a line, and `MEDIA_TOKEN` that of a medium."""
    lines = [MEDIA_TOKEN if isinstance(part, Media) else part for part in parts]
    return "\n".join(lines), tuple(part for part in parts if isinstance(part, Media))


def part_value(part: object) -> tuple[str, object]:
    """The kind of a part of `content`, out of `PART_KINDS`, and its value. Raises ValueError for what is none."""
    if isinstance(part, str):
        return "text", part
    known = part if isinstance(part, Mapping) else {}
    kinds = [kind for kind in PART_KINDS if known.get(kind) is not None]
    if len(kinds) != 1 or known.keys() - {*PART_KINDS, "type"} or known.get("type", kinds[0]) != kinds[0]:
        form = 'a text, {"text": ...}, {"image": PATH} or {"video": PATH}'
        raise ValueError(f"a part of content is {form}, and may name this kind as type, not {part!r:.80}")
    return kinds[0], known[kinds[0]]


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


def _parts(given: object) -> Sequence[object]:
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"content must be a list of texts and media that is not empty, not {given!r:.80}")
    return given


def _part(part: object, root: Path, where: str, roots: tuple[Path, ...]) -> str | Media:
    kind, value = part_value(part)
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"a part of content has a {kind} that is neither text nor path: {value!r:.80}")
    if kind != "text":
        return Media("image" if kind == "image" else "video", str(value), root, where, roots)
    if MEDIA_TOKEN in str(value):
        raise ValueError(f"a text in content holds {MEDIA_TOKEN}, but the list itself says where media belong")
    return str(value)


def _paths(fields: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = fields.get(key) or []
    paths = [value] if isinstance(value, str | Path) else value
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str | Path) and str(path) for path in paths):
        raise ValueError(f"{key} must be a path or a list of paths, not {value!r:.80}")
    return tuple(map(str, paths))
