"""Records with rows, on disk, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.results.files import Result, write_result
from leaderboards.load import Outcomes, Record
from tests.helpers.result_values import result


def write(folder: Path, task: str, model: str, hits: Sequence[float], **changes: object) -> Path:
    """A result of these per-query scores, and its rows. Returns the record's path."""
    value = sum(hits) / len(hits)
    made = result(task, model, value=value, num_queries=len(hits), **changes)
    where = folder / model.replace("/", "--") / str(made.model["revision"])
    write_result(where, made, [row(str(index), hit) for index, hit in enumerate(hits)])
    return where / f"{task}.json"


def row(query: str, hit: float) -> dict[str, object]:
    rank, last = ([1], [1]) if hit == 1 else ([2], [2]) if not hit else ([1], [max(2, round(1 / hit))])
    return {
        "query": query,
        "right": hit == 1,
        "hit@1": float(hit),
        "best_rank": rank,
        "worst_rank": last,
        "official_rank": rank,
        "candidates": 4,
        "content": {"text": f'asked {query} "hit@1": 9,', "media": ["a.png"]},
        "positives": [{"target": 0, "text": "yes"}],
        "top": [{"target": 0, "score": 0.5, "right": hit == 1, "text": "yes" if hit == 1 else "no"}],
    }


def in_memory(task: str, model: str, hits: Sequence[float], **changes: object) -> Record:
    """The same without a file."""
    scores = np.asarray(hits, dtype=np.float64)
    made: Result = result(task, model, value=sum(hits) / len(hits), num_queries=len(scores), **changes)
    return Record(made, Path(f"{model}/{task}.json"), Outcomes(scores, (scores > 0) & (scores < 1), None))
