"""The baseline of `scoring.py`: the per-query loop with which public code scores MMEB, written from its description.

The evaluators of LLaVE and VLM2Vec read a dictionary from (text, image path) to vector from a pickle. They loop over
the rows of a Hugging Face dataset. For each row they collect the candidates' vectors one by one and stack them. They
multiply, divide by the lengths, and take the first maximum. The right candidate is the first.
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
    """Returns the place of the best candidate of every row. A row is right if it is 0."""
    best = []
    for row in rows:
        query = queries[row["qry_text"], row["qry_img_path"]]
        pairs = zip(row["tgt_text"], row["tgt_img_path"], strict=True)
        best.append(best_of(query, [targets[pair] for pair in pairs]))
    return best


def best_of(query: FloatArray, candidates: Sequence[FloatArray]) -> int:
    """Returns the place of the candidate with the highest cosine, the first one of equal ones."""
    matrix = np.stack(candidates)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
    return int(np.argmax(np.dot(matrix, query) / lengths))


def save_vectors(path: Path, pairs: Sequence[Pair], vectors: FloatArray) -> None:
    """Writes vectors and their pairs to a pickle, as the public code does."""
    with path.open("wb") as file:
        pickle.dump((vectors, list(pairs)), file)


def load_vectors(path: Path) -> dict[Pair, FloatArray]:
    """Reads the dictionary that `save_vectors` wrote in the same run."""
    with path.open("rb") as file:
        vectors, pairs = pickle.load(file)
    return dict(zip(pairs, vectors, strict=True))


def hugging_face_rows(folder: Path, cache: Path) -> Iterable[Row]:
    """Returns the rows as the public scripts read them. Only the first call converts the files."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return cast(
        "Iterable[Row]",
        Dataset.from_parquet([str(file) for file in sorted(folder.glob("*.parquet"))], cache_dir=str(cache)),
    )
