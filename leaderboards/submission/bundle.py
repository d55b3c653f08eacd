"""Packs results into one file that `llave board` and `llave validate` open anywhere."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from safetensors.numpy import save

from harness.errors import UserError
from harness.files.paths import safe_name
from harness.files.writing import atomic_file
from harness.results.rows import read_rows, row_bytes
from harness.results.verified import Record
from harness.types import FloatArray
from leaderboards.contents import Content, NamedMedium, Place, content_of, places_of
from leaderboards.exchange.bundle import ENDING, PICTURES, VECTORS
from leaderboards.exchange.files import imported_files
from leaderboards.load import load
from leaderboards.pictures import Pictures, webp
from tasks.names import parse_name

_SIDE, _QUALITY = 320, 60
_MOST_RATIO = 50
"""What shrinks more than this many times is stored as it is. Archives that shrink too much are refused as bombs."""
_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every entry, so that the same results give the same bytes."""
_NAME = re.compile(r"[^\\\x00-\x1f\x7f:\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Bundled:
    """What was packed, and what is to be said about it."""

    results: int
    imported: int
    pictures: int
    vectors: int
    """Number of results whose vectors were packed."""
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Packed:
    """The entries of a bundle by name, and the number of each place of media."""

    entries: dict[str, bytes] = field(default_factory=dict)
    vectors: dict[str, Record] = field(default_factory=dict)
    """The results whose vectors are to be packed, by the name of their entry."""
    places: dict[Place, int] = field(default_factory=dict)
    media: dict[tuple[int, NamedMedium], None] = field(default_factory=dict)


Vectors: TypeAlias = Callable[[Record], tuple[FloatArray, FloatArray]]
"""Gives the vectors of a result's queries `(queries, d)` and targets `(targets, d)`. Raises UserError."""


def write_bundle(
    path: Path,
    places: Sequence[Path],
    *,
    pictures: bool,
    images: Sequence[Path] = (),
    vectors: Vectors | None = None,
) -> Bundled:
    """Writes a bundle of all results and imported scores of some places. Equal results give equal bytes.

    Names of folders are not written into it.

    Args:
        path: the file, with the ending `.zip`.
        places: results, imported scores, and folders of them.
        pictures: whether to add small pictures of all queries, right answers and listed candidates.
        images: folders of media that are no longer where the results say.
        vectors: gives vectors, which are packed too. A result whose vectors cannot be had goes without, with a note.

    Raises:
        UserError: if nothing can be used, for another ending, and if the disk refuses.
    """
    if path.suffix.lower() != ENDING:
        raise UserError(f"{path} is no name of a bundle.", f"Give it the ending {ENDING}.")
    loaded = load(places)
    packed, album = _Packed(), Pictures.of(images)
    for record in loaded.records:
        name = _add_result(packed, record, pictures=pictures)
        if vectors and not parse_name(record.result.task).clustering:
            packed.vectors[f"{name}{VECTORS}"] = record
    imports = imported_files(places)
    for each in imports:
        packed.entries[f"imported/{each.name}"] = each.read_bytes()
    count = _add_pictures(packed, album) if pictures else 0
    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in sorted(packed.entries.items()):
            archive.writestr(_info(name, data), data)
        lacking = _write_vectors(archive, packed, vectors) if vectors else []
    kept = len(packed.vectors) - len(lacking)
    return Bundled(len(loaded.records), len(imports), count, kept, (*loaded.warnings, *album.notes(), *lacking))


def _write_vectors(archive: zipfile.ZipFile, packed: _Packed, vectors: Vectors) -> list[str]:
    """Writes vectors, one result after the other, since they are large. Returns why some cannot be had."""
    lacking = []
    for name, record in sorted(packed.vectors.items()):
        try:
            queries, targets = vectors(record)
        except UserError as error:
            lacking.append(f"{error.what} {error.hint}".rstrip())
            continue
        archive.writestr(_entry(name), save({"queries": queries, "targets": targets}))
    return lacking


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system, info.external_attr = 3, 0o100644 << 16
    return info


def _info(name: str, data: bytes) -> zipfile.ZipInfo:
    info = _entry(name)
    shrunk = len(zlib.compress(data))
    info.compress_type = zipfile.ZIP_DEFLATED if shrunk < len(data) < _MOST_RATIO * shrunk else zipfile.ZIP_STORED
    return info


def _add_result(packed: _Packed, record: Record, *, pictures: bool) -> str:
    """Adds a record and its rows, with numbers in place of the folders of its media. Returns their name."""
    result = record.result
    folder = f"results/{safe_name(str(result.model['name']))}/{safe_name(str(result.model['revision']))}"
    stem = safe_name(result.task)
    stem = f"{stem}.{safe_name(result.identity)[:12]}" if f"{folder}/{stem}.json" in packed.entries else stem
    own = places_of(result) if pictures else ()
    numbers = [packed.places.setdefault(place, len(packed.places)) for place in own]
    places = [{"kind": place.kind, "folder": str(number)} for place, number in zip(own, numbers, strict=True)]
    queries = {**result.queries, "file": f"{stem}.queries.jsonl"}
    written = replace(result, dataset={**result.dataset, "places": places}, queries=queries)
    text = json.dumps(asdict(written), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    packed.entries[f"{folder}/{stem}.json"] = text.encode("utf-8", "backslashreplace")
    packed.entries[f"{folder}/{stem}.queries.jsonl"] = row_bytes(record.path, result)
    if pictures:
        for content in _contents(record, own):
            for medium in content.media:
                packed.media.update({(packed.places[place], medium): None for place in medium.places})
    return f"{folder}/{stem}"


def _contents(record: Record, places: Sequence[Place]) -> Iterator[Content]:
    for row in read_rows(record.path, record.result):
        yield content_of(row["content"], [places])
        for kind in ("positives", "top"):
            listed = row[kind]
            yield from (content_of(each, [places]) for each in (listed if isinstance(listed, list) else []))


def _add_pictures(packed: _Packed, album: Pictures) -> int:
    """Adds the pictures of all media that are found, and returns their number. Frames of a video are a folder.

    They keep the names of their media, whatever these end with. Readers go by the content.
    """
    count = 0
    for number, medium in packed.media:
        parts = PurePosixPath(medium.name).parts
        if not _NAME.fullmatch(medium.name) or medium.name.startswith("/") or ".." in parts:
            continue
        frames = [webp(image, _SIDE, _QUALITY) for image in album.open(medium)]
        name = f"{PICTURES}/{number}/{PurePosixPath(medium.name)}"
        names = [f"{name}/{turn:03d}.png" for turn in range(len(frames))] if medium.is_video else [name]
        packed.entries.update(zip(names, frames, strict=False))
        count += bool(frames)
    return count
