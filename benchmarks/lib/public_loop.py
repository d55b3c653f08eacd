"""The baseline of `scoring.py`: the per-query loop with which public code scores MMEB, written from its description.

LLaVE's and VLM2Vec's evaluators keep a dictionary from (text, image path) to vector, read from a pickle, and go through
the rows of a Hugging Face dataset: they gather the candidates' vectors one by one, stack them, multiply, divide by the
lengths, and take the first maximum. The right candidate is the first.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

import numpy as np

from harness.types import FloatArray

Pair = tuple[str, str]
Vectors = Mapping[Pair, FloatArray]


class Row(TypedDict):
    """A row of MMEB-eval."""

    qry_text: str
    qry_img_path: str
    tgt_text: list[str]
    tgt_img_path: list[str]


def predictions(rows: Iterable[Row], queries: Vectors, targets: Vectors) -> list[int]:
    """Place of the best candidate of every row; a row counts as right where it is 0."""
    best = []
    for row in rows:
        query = queries[row["qry_text"], row["qry_img_path"]]
        pairs = zip(row["tgt_text"], row["tgt_img_path"], strict=True)
        best.append(best_of(query, [targets[pair] for pair in pairs]))
    return best


def best_of(query: FloatArray, candidates: Sequence[FloatArray]) -> int:
    """Place of the candidate with the highest cosine similarity, the first of equals."""
    matrix = np.stack(candidates)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
    return int(np.argmax(np.dot(matrix, query) / lengths))


def save_vectors(path: Path, pairs: Sequence[Pair], vectors: FloatArray) -> None:
    with path.open("wb") as file:
        pickle.dump((vectors, list(pairs)), file)


def load_vectors(path: Path) -> dict[Pair, FloatArray]:
    with path.open("rb") as file:
        vectors, pairs = pickle.load(file)  # as the public code keeps them; `save_vectors` wrote it in the same run
    return dict(zip(pairs, vectors, strict=True))


def hugging_face_rows(folder: Path, cache: Path) -> Iterable[Row]:
    """The rows as the public scripts get them; the first call converts the files, later ones find them converted."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return cast(
        "Iterable[Row]",
        Dataset.from_parquet([str(file) for file in sorted(folder.glob("*.parquet"))], cache_dir=str(cache)),
    )
