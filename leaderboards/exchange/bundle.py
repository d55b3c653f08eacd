"""Opens a bundle: a zip of results, imported scores and small pictures, which `llave bundle` writes.

Records and rows are `results/MODEL/REVISION/TASK.json` and `TASK.queries.jsonl`. Imported scores are in `imported/`.
`TASK.vectors.safetensors`, if packed, has `queries` (queries, d) and `targets` (targets, d) in fp32. They are in the
order of the data. An item without a vector has a row of NaN. Media are `pictures/NUMBER/NAME`. There the number
stands for the folder that records name.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from harness.files.paths import cache_dir
from harness.files.reading import explain_reading
from harness.results.verified import Record
from tasks.mmeb.archive import unpack

ENDING = ".zip"
PICTURES = "pictures"
VECTORS = ".vectors.safetensors"
"""The end of the name of a file of vectors, in place of `.json` of its record."""


def is_bundle(place: Path) -> bool:
    """Whether a place is a bundle, by its name."""
    return place.suffix.lower() == ENDING and place.is_file()


def opened(place: Path) -> Path:
    """The folder of results that a place is. A bundle is unpacked once, into the cache folder.

    Raises: UserError for a zip that is damaged, or that holds names outside of its folder, links, or far more bytes
        than it has itself.
    """
    if not is_bundle(place):
        return place
    with explain_reading(place), place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_dir() / "bundles" / digest[:32]
    unpack(place, folder)
    return folder


def placed(record: Record, folder: Path) -> Record:
    """The record of a bundle that was unpacked to `folder`, with its media there and nowhere else."""
    places = record.result.dataset.get("places")
    own = [
        {**each, "folder": str(folder / PICTURES / Path(str(each["folder"])).name)}
        for each in (places if isinstance(places, list) else [])
    ]
    return replace(record, result=replace(record.result, dataset={**record.result.dataset, "places": own}))
