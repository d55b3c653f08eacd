"""Kinds of folders, by the names in them: checkpoints, caches, datasets of several layouts, results and stores."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from harness.errors import shortened
from harness.files.signatures import Kind

_MOST_NAMES, _MOST_FOLDERS, _MOST_BYTES = 1000, 20, 1 << 20
_READABLE = (
    "What is read: JSON Lines, tables with labels or captions, corpora, MMEB's folders, videos: docs/protocol.md"
)
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
"""Extensions of images, in lower case."""
_OF_MODEL = "Name it where a model is wanted."

EMPTY = Kind("an empty folder", "Fill it, or name another one.", "folder")
FOLDER = Kind("a folder", "Name what is wanted inside it.", "folder")
SHUT = Kind("a folder that may not be listed", "Check its permissions.", "folder")
BEIR = Kind(
    "a dataset in BEIR's layout (corpus.jsonl, queries.jsonl, qrels)",
    "Name its folder where data is wanted: --data FOLDER, see docs/protocol.md",
    "folder",
)
SAVED = Kind(
    "a dataset that `save_to_disk` of the library datasets wrote",
    "With a column of labels or captions it is read: --data FOLDER. "
    f"Others: load_from_disk(FOLDER)[SPLIT].to_parquet(FILE). {_READABLE}",
    "folder",
)
MMEB = Kind("data in MMEB's layout (<subset>/test-*.parquet)", "Name it where data is wanted: --data FOLDER", "folder")
RESULTS = Kind("a folder of results", "Name it where results are wanted, as in `llave board FOLDER`.", "folder")
STORE = Kind("an embedding store", "Name it with --store.", "folder")
_BY_ENDING: Mapping[str, tuple[tuple[str, ...], str]] = {
    "a webdataset (tar files)": (
        (".tar",),
        f"Shards named NAME-000000.tar with .cls or .txt entries are read. Unpack others. {_READABLE}",
    ),
    "a folder with GGUF weights, which are for llama.cpp": (
        (".gguf",),
        "Name the checkpoint that they were made from: a folder with config.json and safetensors.",
    ),
    "a folder with an ONNX model": (
        (".onnx",),
        "Name the checkpoint that it was made from, or write a class that runs it: docs/add-a-model.md",
    ),
    "a folder of weights without a config.json": (
        (".safetensors", ".bin", ".pt", ".pth"),
        "Name the folder of the whole checkpoint.",
    ),
    "a folder of Parquet files": ((".parquet",), _READABLE),
    "a folder of images": (IMAGES, f"Put them in a folder for each class, or name them in metadata.csv. {_READABLE}"),
    "a folder of videos": (
        (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg"),
        f"Put captions.csv in it. {_READABLE}",
    ),
    "a folder of JSON Lines files": ((".jsonl",), "Name one of the files."),
}
_CACHED = re.compile(r"(model|dataset|space)s--(.+)")
_STORED = re.compile(r".+-\d{3}\.db")
_RECORD = (b'"identity"', b'"main_metric"', b'"metrics"')


class _Listing(NamedTuple):
    """A bounded number of names in a folder, and one level below it."""

    folder: Path
    names: frozenset[str]
    below: tuple[Path, ...]


def kind_of_folder(folder: Path) -> Kind:
    """Returns the kind of a folder. It looks at a bounded number of names, and at the heads of a few small files."""
    try:
        entries = _entries(folder)
    except OSError:
        return SHUT
    if not entries:
        return EMPTY
    folders = sorted(name for name, is_folder in entries.items() if is_folder and not name.startswith("."))
    below = tuple(path for name in folders[:_MOST_FOLDERS] for path in _listed(folder / name))
    listing = _Listing(folder, frozenset(entries), below)
    return _cached(listing) or _checkpoint(listing) or _dataset(listing) or _ours(listing) or _by_endings(listing)


def _entries(folder: Path) -> dict[str, bool]:
    """The names in a folder, each with whether it is a folder itself."""
    with os.scandir(folder) as entries:
        return {entry.name: os.path.isdir(entry.path) for entry in islice(entries, _MOST_NAMES)}


def _cached(listing: _Listing) -> Kind | None:
    """The folder of a repository in the cache of the hub's library."""
    folder = listing.folder
    parts = _CACHED.fullmatch(Path(os.path.abspath(folder)).name)
    if not parts or "snapshots" not in listing.names:
        return None
    commits = sorted(path.name for path in _listed(folder / "snapshots"))
    main = _read(folder / "refs" / "main").decode("ascii", "replace").strip()
    commit = main if main in commits else next(iter(commits), None)
    repository = parts[2].replace("--", "/")
    remedy = f"Name its snapshot: {folder / 'snapshots' / commit}" if commit else f"Fetch it: hf download {repository}"
    return Kind(f"the hub's cache of the {parts[1]} {repository}", remedy, "folder")


def _checkpoint(listing: _Listing) -> Kind | None:
    if "modules.json" in listing.names:
        return Kind("a checkpoint of sentence-transformers", _OF_MODEL, "folder")
    if "adapter_config.json" in listing.names:
        return Kind("an adapter of a checkpoint (adapter_config.json)", _OF_MODEL, "folder")
    if "config.json" not in listing.names:
        return None
    try:
        config = json.loads(_read(listing.folder / "config.json"))
    except (ValueError, RecursionError):
        return None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str):
        return None
    return Kind(f"a checkpoint with model_type {shortened(kind)}", _OF_MODEL, "folder")


def _dataset(listing: _Listing) -> Kind | None:
    names = listing.names
    if "dataset_dict.json" in names or {"state.json", "dataset_info.json"} <= names:
        return SAVED
    if "corpus.jsonl" in names and ("queries.jsonl" in names or "qrels" in names):
        return BEIR
    return MMEB if any(path.match("test-*.parquet") for path in listing.below) else None


def _ours(listing: _Listing) -> Kind | None:
    """Results and stores. Records lie up to two folders deep."""
    if any(_STORED.fullmatch(path.name) for path in listing.below):
        return STORE
    inner = [path for place in listing.below[:_MOST_FOLDERS] for path in _listed(place)]
    places = [*(listing.folder / name for name in sorted(listing.names)), *listing.below, *inner]
    records = [path for path in places if path.suffix == ".json"][:_MOST_FOLDERS]
    return RESULTS if any(all(key in _read(path) for key in _RECORD) for path in records) else None


def _by_endings(listing: _Listing) -> Kind:
    """What most files are, in the folder itself and one level below it."""
    names = (*listing.names, *(path.name for path in listing.below))
    endings = Counter(os.path.splitext(name)[1].lower() for name in names)
    counts = {name: sum(endings[each] for each in known) for name, (known, _) in _BY_ENDING.items()}
    most = max(counts, key=counts.__getitem__)
    return Kind(most, _BY_ENDING[most][1], "folder") if counts[most] else FOLDER


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, by name, up to a bounded number. Nothing, if it cannot be listed."""
    try:
        return [folder / name for name in sorted(_entries(folder))]
    except OSError:
        return []


def _read(file: Path) -> bytes:
    """The first bytes of a regular file; none of anything else."""
    try:
        if not file.is_file():
            return b""
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES)
    except OSError:
        return b""
