"""Shards of a webdataset: tar files whose entries `KEY.EXTENSION` form one sample for each key.

One sample at a time is in memory. Nothing is unpacked by its name: images get names of their own in the cache.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.errors import shortened
from harness.files.folder_kinds import IMAGES
from harness.files.reading import UnreadableFile, explain_reading
from harness.files.strict_json import parse_json

_VIDEOS = ("mp4", "avi", "mkv", "webm", "mov", "m4v", "mpg")
_LARGEST = 1 << 30
_BLOCK = 512


def read_samples(path: Path) -> Iterator[dict[str, object]]:
    """Reads the samples of a shard as rows.

    A row has `id` (the key) and `image`, a list of {bytes, path}. `.cls` gives `label`, and each line of `.txt` one
    `caption`. The fields of `.json` join it, unless an entry of their name is there.

    Raises: UnreadableFile for a file that is cut off, an entry that is a link or no file, and a text that is not UTF-8.
    """
    sample: dict[str, object] = {}
    for name, data in _entries(path):
        pure = PurePosixPath(name)
        stem, _, extension = pure.name.partition(".")
        key = str(pure.with_name(stem)) if stem else ""
        if not key or stem.startswith("__"):  # notes of tools, which webdataset skips too
            continue
        if sample and sample["id"] != key:
            yield sample
            sample = {}
        sample.setdefault("id", key)
        _add(sample, extension.lower().rpartition(".")[2], data, f"{path}, {shortened(name)}")
    if sample:
        yield sample


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the files in a tar file, one at a time."""
    with explain_reading(path, "a tar archive"):
        archive = tarfile.open(path, "r:")  # noqa: SIM115 -- closed below
    with archive:
        while True:
            with explain_reading(path, "a whole tar archive"):
                entry = archive.next()
                data = _content(archive, entry, path) if entry is not None and not entry.isdir() else b""
            archive.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
            if entry is None:
                break
            if not entry.isdir():
                yield entry.name, data
    if path.stat().st_size < archive.offset + _BLOCK:
        raise UnreadableFile(f"{path} has no end: the archive is cut off.", "Fetch it again.")


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> bytes:
    opened = archive.extractfile(entry) if entry.isfile() else None
    if opened is None:
        what = f"{path}: the entry {shortened(entry.name)} is a link or a device, not a file."
        raise UnreadableFile(what, "A shard holds files only. Write it again, with links followed.")
    if entry.size > _LARGEST:
        raise UnreadableFile(f"{path}: the entry {shortened(entry.name)} has over 1 GiB.", "Split it.")
    return opened.read()


def _add(sample: dict[str, object], kind: str, data: bytes, place: str) -> None:
    """Adds an entry to its sample. Kinds that hold nothing to embed, such as `pyd`, are left out."""
    if f".{kind}" in IMAGES:
        images = sample.setdefault("image", [])
        assert isinstance(images, list)
        images.append({"bytes": data, "path": None})
    elif kind in _VIDEOS:
        raise UnreadableFile(f"{place}: videos inside of tar files are not read.", "Unpack them beside a captions.csv.")
    elif kind in ("txt", "caption"):
        sample["caption"] = [line for line in _text(data, place).splitlines() if line.strip()]
    elif kind == "cls":
        text = _text(data, place).strip()
        sample["label"] = int(text) if text.isdecimal() else text
    elif kind == "json":
        try:
            fields = parse_json(_text(data, place))
        except ValueError as error:
            raise UnreadableFile(f"{place} is not valid JSON: {error}.", "Write the shard again.") from None
        if isinstance(fields, dict):
            sample.update({key: value for key, value in fields.items() if key not in sample})


def _text(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableFile(f"{place} is not in UTF-8.", "Write the shard again, with texts in UTF-8.") from None
