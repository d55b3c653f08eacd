"""A user's own items to embed, in a JSON Lines file.

A line is `{"id": ..., "text", "image", "video", "instruction", "role"}`; `image` and `video` are a path or a list of
paths. Without `role` an item is a target: what is looked for, and not what it is looked for with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.embed import OwnItem
from harness.errors import UserError, unknown_name
from harness.types import Media, MediaKind, Role
from tasks.jsonl import bad_line, make_item, read_lines, string_of

FIELDS = ("id", "text", "image", "video", "instruction", "role")
_MEDIA: tuple[MediaKind, ...] = ("image", "video")


def read_items(path: Path, root: Path | None = None) -> tuple[OwnItem, ...]:
    """The items of a file in its order. Media lie in `root`, the file's folder if None, and must stay inside it.

    Raises UserError naming the line for what is no item, and for an id that is missing or there twice.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file.", 'Write a JSON Lines file: {"id": "a", "text": "..."} on each line.')
    if root is not None and not root.is_dir():
        raise UserError(f"{root} is not a folder.", "Name the folder that media paths are relative to with --root.")
    lines: dict[str, int] = {}
    items = []
    for number, line in read_lines(path):
        for key in line:
            if key not in FIELDS:
                unknown = unknown_name("field", key, FIELDS, f"Fields are {', '.join(FIELDS)}.")
                raise UserError(f"{path}, line {number}: {unknown.what}", unknown.hint)
        try:
            own = _own(line, root or path.parent, f"{path}, line {number}")
        except ValueError as error:
            raise bad_line(path, number, error) from None
        if own.id in lines:
            raise bad_line(path, number, f"the id {own.id!r} stands on line {lines[own.id]} already")
        lines[own.id] = number
        items.append(own)
    if not items:
        raise UserError(f"{path} has no items.", 'Write lines such as {"id": "a", "text": "..."}.')
    return tuple(items)


def _own(line: Mapping[str, object], root: Path, place: str) -> OwnItem:
    name = string_of(line, "id")
    if not name:
        raise ValueError("it has no id")
    media = tuple(Media(kind, each, root) for kind in _MEDIA for each in _paths(line, kind))
    return OwnItem(name, make_item(string_of(line, "text"), media, string_of(line, "instruction")), _role(line), place)


def _role(line: Mapping[str, object]) -> Role:
    match string_of(line, "role"):
        case "query":
            return "query"
        case "target" | "":
            return "target"
        case other:
            raise ValueError(f"role must be query or target, not {other!r}")


def _paths(line: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = line.get(key) or []
    paths = value if isinstance(value, list) else [value]
    if not all(isinstance(path, str) and path for path in paths):
        raise ValueError(f"{key} must be a path or a list of paths, not {value!r}")
    return tuple(paths)
