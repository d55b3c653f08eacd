"""Datasets in MMEB-eval's layout, drawn by code, with as many rows, candidates and repeats as the real ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from harness.types import Task
from tasks.mmeb.datasets import ROWS

_TOKEN = "<|image_1|>\n"
_WORDS = ("red", "small", "old", "open", "bright", "round", "dog", "street", "table", "train", "window", "boat")
_SETTLED = 2.5
"""Seconds after which a file counts as old, so that its digest is remembered."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a dataset. `candidates` is the number for each query."""

    queries: int
    candidates: int
    pool: int
    """Number of distinct candidates from which lists are drawn, if lists differ from query to query."""


def write_images(root: Path, count: int, *, side: int, distinct: int | None = None) -> list[str]:
    """Writes JPEGs of gradients, edges and noise, which cost a decoder as much as photographs. Returns their names.

    Only `distinct` pictures are drawn; the others repeat them with a few bytes after their end, so that files differ.
    """
    root.mkdir(parents=True, exist_ok=True)
    drawn: list[bytes] = []
    names = [f"{number:06d}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        path = root / name
        if len(drawn) < (distinct or count):
            _picture(number, side).save(path, quality=90)
            drawn.append(path.read_bytes())
        else:
            path.write_bytes(drawn[number % len(drawn)] + f"{number}".encode())
    return names


def write_suite(data: Path, images: list[str], scale: Scale, names: list[str]) -> None:
    """Writes subsets under MMEB's names, with the number of candidates and the modalities of the real ones."""
    for row in ROWS:
        if row.name in names:
            _write_like(row, data / row.name, images, scale)


def write_subset(
    folder: Path, queries: list[tuple[str, str]], targets: list[tuple[str, str]], lists: NDArray[np.int64]
) -> None:
    """Writes one subset. Queries and targets are pairs (text, image).

    `lists` holds indexes of targets, `(queries, candidates)`, the right one first.
    """
    count, length = lists.shape
    flat = pa.array(lists.ravel())
    offsets = pa.array(np.arange(0, count * length + 1, length, dtype=np.int32))
    columns: dict[str, pa.Array] = {}
    for place, part in enumerate(("text", "img_path")):
        columns[f"qry_{part}"] = pa.array([query[place] for query in queries])
        values = pa.array([target[place] for target in targets])
        columns[f"tgt_{part}"] = pa.ListArray.from_arrays(offsets, values.take(flat))
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "test-00000-of-00001.parquet")


def candidate_lists(rng: np.random.Generator, scale: Scale) -> NDArray[np.int64]:
    """Returns indexes into a pool, `(queries, candidates)`, without repeats in a list.

    The first index of query i is its right one: i, modulo the size of the pool.
    """
    lists = np.empty((scale.queries, scale.candidates), dtype=np.int64)
    for query in range(scale.queries):
        right = query % scale.pool
        others = rng.permutation(scale.pool - 1)[: scale.candidates - 1]
        lists[query] = [right, *(others + (others >= right))]
    return lists


def sentences(kind: str, count: int) -> list[str]:
    """Returns distinct texts of about a dozen words."""
    rng = np.random.default_rng(count)
    return [f"{kind} {number}: {' '.join(rng.choice(_WORDS, 10))}." for number in range(count)]


def settle() -> None:
    """Waits until the files just written are old enough for their digests to be cached."""
    time.sleep(_SETTLED)


def _write_like(task: Task, folder: Path, images: list[str], scale: Scale) -> None:
    rng = np.random.default_rng(len(task.name))
    candidates = min(task.num_candidates or scale.candidates, scale.candidates)
    shared_labels = task.meta_task == "classification"
    pool = candidates if shared_labels else max(scale.pool, candidates)
    lists = candidate_lists(rng, Scale(scale.queries, candidates, pool))
    instruction = ((task.query_instruction or "").partition("{")[0], (task.target_instruction or "{").partition("{")[0])
    queries = _items(task.query_modality or "", instruction[0], sentences(f"{task.name} query", scale.queries), images)
    targets = _items(task.target_modality or "", instruction[1], sentences(f"{task.name} answer", pool), images[::-1])
    write_subset(folder, queries, targets, lists)


def _items(modality: str, instruction: str, texts: list[str], images: list[str]) -> list[tuple[str, str]]:
    items = []
    for number, text in enumerate(texts):
        image = images[number % len(images)] if "image" in modality else ""
        # A picture without a text of its own is known by its name alone: repeats of a name would be one item.
        own = text if "text" in modality or number >= len(images) else ""
        items.append((f"{_TOKEN if image else ''}{instruction}{own}\n", image))
    return items


def _picture(seed: int, side: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:side, 0:side] / side
    pixels = np.stack([down * a + across * b + c for a, b, c in rng.uniform(0, 85, (3, 3))], axis=-1)
    for _ in range(12):
        top, left, size = rng.integers(0, side, 3)
        pixels[top : top + size, left : left + size] += rng.uniform(-40, 40, 3)
    pixels += rng.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
