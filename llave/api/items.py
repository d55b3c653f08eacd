"""A user's items in Python's own forms: texts, dictionaries, tables, PIL images and images as bytes."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeAlias

from harness.data.items import parse_item, part_value, unknown_keys
from harness.errors import UserError
from harness.files.paths import cache_dir
from harness.files.writing import atomic_file
from harness.types import Item, Media

if TYPE_CHECKING:
    from PIL.Image import Image

Records: TypeAlias = Iterable[object]
"""A list of items, a pandas Series or DataFrame, a `datasets.Dataset` or its column, or a mapping by id."""

_MEDIA = ("image", "video")
_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
"""Modes of Pillow that PNG holds without loss."""
_TIFF = frozenset({"I", "F", "CMYK"})
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")


def records_of(given: Records, noun: str) -> Iterator[tuple[str, object]]:
    """Id, empty if there is none, and record of each item of a table or list, in order.

    A missing value of a table is an absent field. Images and videos of a `datasets.Dataset` are read as bytes, so that
    nothing is decoded and encoded again.

    Raises:
        UserError: for what is no list or table, for an id that is no string, and for an id that is given twice.
    """
    if isinstance(given, str | bytes | PurePath) or not isinstance(given, Iterable):
        raise UserError(f"{noun}: a list or a table of items is wanted, not {given!r:.80}.", "Put it into a list.")
    pairs = given.items() if isinstance(given, Mapping) else ((_id_in(record), record) for record in _rows_of(given))
    seen: set[str] = set()
    for number, (name, record) in enumerate(pairs):
        if not isinstance(name, str):
            raise UserError(f"{noun} {number}: an id must be a string, not {name!r:.80}.", "Write it as a string.")
        if name in seen:
            raise UserError(f"{noun}: the id {name!r} is given twice.", "Give each item an id of its own, or none.")
        seen |= {name} - {""}
        yield name, record


def to_item(record: object, folder: Path, known: tuple[str, ...], where: str, roots: tuple[Path, ...] = ()) -> Item:
    """The item that a record describes. Images that are in no file are written to the cache folder.

    Args:
        record: a text, a mapping, an `Item`, or an image: an opened PIL image, or a mapping with `bytes`.
        folder: what relative paths start from.
        known: keys that a mapping may have.
        where: the place in the user's data, for messages.
        roots: other folders that links may lead into.

    Raises:
        ValueError: that says what is wrong, as the end of a sentence.
    """
    if isinstance(record, Item):
        if not record.media and not record.full_text.strip():
            raise ValueError("it has no text, no image and no video")
        return record
    if _is_image(record) or (isinstance(record, Mapping) and "bytes" in record):
        record = {"image": record}
    if isinstance(record, Mapping):
        unknown_keys(record, known, "an item")
        record = {key: _on_disk(str(key), value, folder) for key, value in record.items()}
    item = parse_item(record, folder, where, roots)
    return replace(item, media=tuple(map(_placed, item.media)))


def _id_in(record: object) -> object:
    found = record.get("id") if isinstance(record, Mapping) else None
    return "" if found is None else found


def _rows_of(given: Iterable[object]) -> Iterable[object]:
    kind = f"{type(given).__module__.partition('.')[0]}.{type(given).__name__}"
    if kind == "pandas.DataFrame":
        return _of_frame(given)
    return _of_dataset(given) if kind == "datasets.Dataset" else given


def _of_frame(frame: object) -> Iterator[object]:
    import pandas as pd

    assert isinstance(frame, pd.DataFrame)
    kept = frame.astype(object).where(frame.notna(), None)
    return iter(kept.to_dict("records"))


def _of_dataset(dataset: object) -> Iterator[object]:
    import datasets

    for name, feature in dataset.features.items():  # type: ignore[attr-defined]  # the library has no types
        if isinstance(feature, datasets.Image | datasets.Video):
            dataset = dataset.cast_column(name, type(feature)(decode=False))  # type: ignore[attr-defined]
    return iter(dataset)  # type: ignore[call-overload,no-any-return]


def _on_disk(key: str, value: object, folder: Path) -> object:
    """The value of a field, with paths in place of images that are in no file."""
    if key in _MEDIA and value is not None:
        return _media_of(value, folder)
    if key == "content" and isinstance(value, list | tuple):
        return [_part_on_disk(part, folder) for part in value]
    return value


def _part_on_disk(part: object, folder: Path) -> object:
    kind, value = ("image", part) if _is_image(part) else part_value(part)
    return {kind: _path_of(value, folder) if kind in _MEDIA else value}


def _media_of(value: object, folder: Path) -> list[str]:
    """Paths, absolute where they lead out of the folder, of one medium or several."""
    several = list(value) if isinstance(value, list | tuple) else [value]
    return [_path_of(each, folder) for each in several]


def _path_of(value: object, folder: Path) -> str:
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
        if isinstance(data, bytes):
            return str(_write(data, hashlib.sha256(data).hexdigest(), PurePath(str(path or "")).suffix))
        value = path
    if _is_image(value):
        return str(_write_image(value))  # type: ignore[arg-type]  # it is one
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"an image or a video is a path, a PIL image, or has bytes or a path, not {value!r:.80}")
    path = Path(value)
    if path.is_absolute() or ".." in path.parts:
        return os.path.realpath(folder / path)
    return str(value)


def _placed(medium: Media) -> Media:
    """A medium with an absolute path as one of its own folder."""
    path = Path(medium.name)
    return replace(medium, name=path.name, root=path.parent) if path.is_absolute() else medium


def _is_image(value: object) -> bool:
    return any(f"{each.__module__}.{each.__qualname__}" == "PIL.Image.Image" for each in type(value).__mro__)


def _write_image(image: Image) -> Path:
    """The file in the cache that holds an image's pixels, written without loss if it is not there."""
    try:
        image = image if image.mode in _PNG | _TIFF else image.convert("RGB")
        pixels = f"{image.mode} {image.size} {image.getpalette('RGB')}".encode() + image.tobytes()
    except (OSError, SyntaxError) as error:  # a file that is read only now
        raise ValueError(f"the image cannot be read: {error}") from None
    key = f"pil-{hashlib.sha256(pixels).hexdigest()}"
    form = "PNG" if image.mode in _PNG else "TIFF"
    buffer = io.BytesIO()
    if not _place(key, f".{form.lower()}").is_file():
        image.save(buffer, form, icc_profile=None)
    return _write(buffer.getvalue(), key, f".{form.lower()}")


def _place(key: str, suffix: str) -> Path:
    return cache_dir() / "media" / key[-64:][:2] / f"{key}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


def _write(data: bytes, key: str, suffix: str) -> Path:
    """Writes a file of the cache, whole or not at all, unless it is there."""
    path = _place(key, suffix)
    if path.is_file():
        return path
    with atomic_file(path) as file:
        file.write(data)
    return path
