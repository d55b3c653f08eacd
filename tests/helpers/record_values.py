"""Records with rows that bear them out, on disk, without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.results.files import write_result
from harness.results.result import Result
from harness.results.rows import ranking_of
from harness.results.verified import Outcomes, Record
from harness.scoring.metrics import Metric, summaries
from tests.helpers.result_values import result


def write(folder: Path, task: str, model: str, hits: Sequence[float], **changes: object) -> Path:
    """A result of these per-query scores, and its rows. Returns the record's path."""
    made = result(task, model, **changes)
    where = folder / model.replace("/", "--") / str(made.model["revision"])
    write_honest(where, made, [row(str(index), hit, index) for index, hit in enumerate(hits)])
    return where / f"{task}.json"


def write_honest(folder: Path, made: Result, rows: Sequence[Mapping[str, object]]) -> Result:
    """Writes a record whose figures are those of its rows, whatever figures it has now."""
    return write_result(folder, counted_from(made, rows), rows)


def counted_from(made: Result, rows: Sequence[Mapping[str, object]]) -> Result:
    """The record with every figure counted from rows, for the metrics that it has."""
    made = replace(made, num_targets=max(made.num_targets, *(int(str(row["candidates"])) for row in rows)))
    rankings = [ranking_of(row, made) for row in rows]
    clusters = np.array([row["cluster"] for row in rows], dtype=np.int32)
    metrics = [Metric.parse(name) for name in made.strict]
    strict = summaries({each: list(map(each.score, rankings)) for each in metrics}, rankings, clusters, "strict")
    official = summaries(
        {each: list(map(each.score_official, rankings)) for each in metrics}, rankings, clusters, "official"
    )
    rules = {
        rule: {str(metric): score for metric, score in scores.items()}
        for rule, scores in (("strict", strict), ("official", official))
    }
    return replace(
        made,
        **rules,
        metrics=rules[made.protocol],
        chance={str(each): each.aggregate(map(each.chance, rankings)) for each in metrics},
        tied_queries=sum(each.tied for each in rankings),
        num_queries=len(rows),
        dataset={**made.dataset, "clusters": len(set(clusters.tolist()))},
    )


def row(query: str, hit: float, cluster: int = 0) -> dict[str, object]:
    """A row whose right candidate is first, second, or tied for the first place so that its score is `hit`."""
    best, worst = (1, max(2, round(1 / hit))) if 0 < hit < 1 else (1, 1) if hit else (2, 2)
    return row_at(query, best, worst, cluster=cluster)


def row_at(query: str, best: int, worst: int, *, candidates: int = 4, cluster: int = 0) -> dict[str, object]:
    """A row whose right candidate has these ranks. It is named `yes`, and all others `no`."""
    right = {"target": 0, "score": 0.5, "right": True, "text": "yes"}
    wrong = [
        {"target": each, "score": 0.9 if each < best else 0.5, "right": False, "text": "no"}
        for each in range(1, max(worst, 2))
    ]
    after = [] if worst > 1 else [{**wrong.pop(), "score": 0.1}]
    return {
        "query": query,
        "right": worst == 1,
        "hit@1": 1 / worst if best == 1 else 0.0,
        "cluster": cluster,
        "best_rank": [best],
        "worst_rank": [worst],
        "official_rank": [best],
        "right_score": 0.5,
        "candidates": max(candidates, worst),
        "content": {"text": f'asked {query} "hit@1": 9,', "media": ["a.png"]},
        "positives": [{"target": 0, "text": "yes"}],
        "top": [*wrong[: best - 1], right, *wrong[best - 1 :], *after][:10],
    }


def in_memory(task: str, model: str, hits: Sequence[float], **changes: object) -> Record:
    """The same without a file."""
    scores = np.asarray(hits, dtype=np.float64)
    made: Result = result(task, model, value=sum(hits) / len(hits), num_queries=len(scores), **changes)
    return Record(made, Path(f"{model}/{task}.json"), Outcomes(scores, (scores > 0) & (scores < 1), None))
