"""A table of labels in every format, images in a folder for each class, and shards of a webdataset."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from tests.helpers.corpus_files import picture

NAMES = ("cat", "dog", "owl")
LABELS = (0, 2, 1, 0)
ROWS = [{"image": f"{number}.png", "label": NAMES[label]} for number, label in enumerate(LABELS)]
CLASSES = ("bird", "cat")


def draw(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(len(LABELS)):
        (folder / f"{number}.png").write_bytes(picture(number))
    return folder


def embedded() -> list[dict[str, object]]:
    return [{"bytes": picture(number), "path": None} for number in range(len(LABELS))]


def as_parquet(folder: Path) -> Path:
    """As the hub stores it: embedded images, and numbers with the names of the classes in the schema."""
    features = {"image": {"_type": "Image"}, "label": {"names": list(NAMES), "_type": "ClassLabel"}}
    table = pa.table({"image": embedded(), "label": list(LABELS)})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (folder / "data").mkdir(parents=True)
    pq.write_table(table, folder / "data/test-00000-of-00001.parquet")
    (folder / "README.md").write_text("---\n")
    return folder


def as_saved(folder: Path) -> Path:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))})
    rows = {"image": embedded(), "label": list(LABELS)}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(folder))
    return folder


def as_csv(folder: Path) -> Path:
    with (draw(folder) / "animals.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    return folder / "animals.csv"


def as_array(folder: Path) -> Path:
    (draw(folder) / "animals.json").write_text(json.dumps(ROWS))
    return folder / "animals.json"


def as_metadata(folder: Path) -> Path:
    """As `imagefolder` of the library `datasets`: images, and JSON Lines that name them."""
    lines = [{"file_name": row["image"], "label": row["label"]} for row in ROWS]
    (draw(folder) / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_evidence(folder: Path) -> Path:
    """MRAG-Bench: questions about an image, whose evidence is a list of images."""
    images = [{"bytes": picture(number), "path": None} for number in range(5)]
    none = dict.fromkeys("ABCD", "a bird") | {"answer_choice": "A", "answer": "a bird", "aspect": "perspective"}
    rows = [
        {"id": "7", "image": images[0], "gt_images": images[2:4], "question": "Which bird is it?", **none},
        {"id": "8", "image": images[1], "gt_images": images[3:4], "question": "And this?", **none},
    ]
    (folder / "data").mkdir(parents=True)
    table = pa.Table.from_pylist([{**row, "retrieved_images": images[4:]} for row in rows])
    pq.write_table(table, folder / "data/test-00000-of-000028.parquet")
    return folder


FORMATS = [as_parquet, as_saved, as_csv, as_array, as_metadata]


def write_classes(folder: Path) -> None:
    for turn, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(2):
            (folder / name / f"{number}.png").write_bytes(picture(2 * turn + number))


def write_shard(path: Path, entries: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
