"""Small datasets in MMEB's layouts, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Row: TypeAlias = tuple[str, str, Sequence[tuple[str, str]]]
"""Query text, query image, and (text, image) of each candidate."""

LISTS = ("tgt_text", "tgt_img_path")
ONE_FILE = "test-00000-of-00001.parquet"


def columns(rows: Sequence[Row]) -> dict[str, list[object]]:
    """Turns rows into the columns of MMEB-eval."""
    return {
        "qry_text": [text for text, _, _ in rows],
        "qry_img_path": [image for _, image, _ in rows],
        "tgt_text": [[text for text, _ in targets] for _, _, targets in rows],
        "tgt_img_path": [[image for _, image in targets] for _, _, targets in rows],
    }


def table(values: Mapping[str, Sequence[object]]) -> pa.Table:
    """Columns as a table of the right types, even if a column is empty."""
    kinds = {name: pa.list_(pa.string()) if name in LISTS else pa.string() for name in values}
    return pa.table({name: pa.array(column, kinds[name]) for name, column in values.items()})


def write_subset(
    data: Path, subset: str, values: pa.Table | Mapping[str, Sequence[object]], name: str = ONE_FILE
) -> Path:
    """Writes one file of a subset."""
    path = data / subset / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(values if isinstance(values, pa.Table) else table(values), path, row_group_size=3)
    return path


def shared(*parts: str) -> Path:
    """A path in the folder of shared material beside the repository. The test is skipped if it is absent."""
    path = Path(__file__).resolve().parents[3].joinpath("shared", *parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not at hand")
    return path
