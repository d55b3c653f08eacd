"""Checks the vectors of a bundle against the rows: the similarities of rows must follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from harness.errors import UserError
from harness.files.tensors import read_arrays
from harness.results.numbers import fixed
from harness.results.result import Result
from harness.results.rows import read_rows
from harness.scoring.metrics import QueryRow
from harness.types import FloatArray
from leaderboards.exchange.bundle import VECTORS

_NEAR = 1e-5
"""Similarities may differ so much, as a share of the product of lengths. The largest in the demo was 2.4e-7."""


def vector_problems(path: Path, result: Result) -> Iterator[str]:
    """What the vectors beside a record contradict, in sentences; nothing if there are none.

    Checked are the similarities of all listed candidates and, for whole pools, that no other target is more similar
    than the last of them.
    """
    file = path.with_name(path.stem + VECTORS)
    if not file.exists():
        return
    try:
        arrays = read_arrays(file)
    except UserError as error:
        yield f"Its vectors cannot be read. {error.what}"
        return
    queries, targets = arrays.get("queries"), arrays.get("targets")
    shapes = [None if each is None or each.ndim != 2 else each.shape for each in (queries, targets)]
    if queries is None or targets is None or shapes[0] is None or shapes[1] is None or shapes[0][1] != shapes[1][1]:
        yield f"Its vectors are not two matrices `queries` and `targets` of one width: {shapes[0]}, {shapes[1]}."
        return
    rows = read_rows(path, result)
    if len(queries) != len(rows):
        yield f"It has {len(rows):,} queries, and vectors of {len(queries):,}."
        return
    if result.model.get("similarity") != "dot":
        queries, targets = _unit(queries), _unit(targets)
    whole = result.scope == "global"
    for row, query in zip(rows, queries, strict=True):
        if said := _problem(row, query, targets, whole=whole):
            yield said
            return  # one is enough


def _problem(row: QueryRow, query: FloatArray, targets: FloatArray, *, whole: bool) -> str:
    top = [each for each in _list(row.get("top")) if isinstance(each, Mapping)]
    if not top:
        return ""
    figure = partial(fixed, digits=4)
    name = f"query {row.get('query')}"
    numbers = [int(str(each["target"])) for each in top]
    if not np.isfinite(query).all() or max(numbers) >= len(targets):
        return f"Its vectors lack one of {name} or of its candidates."
    scale = float(np.linalg.norm(query) * np.linalg.norm(targets[numbers], axis=1).max(initial=0.0)) or 1.0
    found = targets[numbers] @ query
    said = np.array([float(str(each["score"])) for each in top])
    worst = int(np.argmax(np.abs(found - said)))
    if not abs(float(found[worst]) - said[worst]) <= _NEAR * scale:
        pair = f"{name} and target {numbers[worst]}"
        return f"Its vectors give {pair} the similarity {figure(found[worst])}; its rows say {figure(said[worst])}."
    if whole:
        others = np.delete(targets @ query, numbers)
        if np.nanmax(others, initial=-np.inf) > said.min() + _NEAR * scale:
            return f"By its vectors, a target that is not listed is more similar to {name} than those that are."
    return ""


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: FloatArray = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return found


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
