"""Times a large board: reading results, computing intervals and ranks. See README.md."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lib.common as common
import numpy as np
from numpy.typing import NDArray

from harness.results.files import write_result
from harness.results.result import FORMAT, Result
from harness.results.verified import Outcomes, Record
from harness.scoring.metrics import Metric, Score, summaries
from harness.scoring.ranking import Ranking
from leaderboards.board.board import Board
from leaderboards.load import load
from tasks.suites import find_suite

_SUITE = find_suite("mmeb")
_LONGEST_BOARD = 10.0
_RESAMPLES = 1000
_TARGETS = 1000


def draw(models: int, queries: int) -> list[Record]:
    """Random results of every dataset of MMEB. Neighbouring models differ by a thousandth, as real ones do."""
    random = np.random.default_rng(0)
    return [
        _record(task, f"model-{model:04d}", random.random(queries) < 0.3 + model / 1000)
        for model in range(models)
        for task in _SUITE.tasks
    ]


def _record(task: str, model: str, hits: NDArray[np.bool_]) -> Record:
    value = float(hits.mean())
    scores = {"hit@1": Score(value, value, value)}
    result = Result(
        format=FORMAT,
        status="done",
        identity=f"{task}/{model}",
        task=task,
        meta_task=None,
        split=None,
        scope="local",
        main_metric="hit@1",
        model={"name": model, "revision": "1", "fingerprint": model},
        protocol="strict",
        metrics=scores,
        strict=scores,
        official=scores,
        chance={"hit@1": 1 / _TARGETS},
        tied_queries=0,
        num_queries=len(hits),
        num_targets=_TARGETS,
        dataset={"source": "drawn", "revision": "1", "digest": task},
        settings={"limit": None},
        bad_media=[],
        environment={},
        cost={"seconds": 1.0},
        created="2026-01-01T00:00:00+00:00",
    )
    outcomes = Outcomes(hits.astype(np.float64), np.zeros(len(hits), dtype=np.bool_), None)
    return Record(result, Path(f"{model}/{task}.json"), outcomes)


def board(models: int, queries: int, repeats: int) -> dict[str, object]:
    """Times all that `llave board` computes: means with intervals, tests of all pairs, ranks and groups."""
    records = draw(models, queries)
    of_one = [record.outcomes.scores for record in records[: len(_SUITE.tasks)] if record.outcomes is not None]
    sides = {
        "board": lambda: Board.of_records(records, _SUITE).frame(),
        "scipy, intervals of one model": lambda: by_scipy(of_one),
    }
    seconds = common.in_turns(repeats, sides)
    return {
        "seconds": common.medians(seconds),
        "seconds of the board": common.aim(common.medians(seconds)["board"], at_most=_LONGEST_BOARD),
        "times as fast as scipy, for each model": round(
            models * common.ratio(seconds["scipy, intervals of one model"], seconds["board"]), 1
        ),
    }


def by_scipy(scores: Sequence[NDArray[np.float64]]) -> list[object]:
    """The intervals of one model's datasets by the percentile bootstrap of scipy."""
    from scipy.stats import bootstrap

    return [
        bootstrap((each,), np.mean, n_resamples=_RESAMPLES, method="percentile", batch=100, rng=0).confidence_interval
        for each in scores
    ]


def reading(folder: Path, files: int, queries: int, repeats: int) -> dict[str, object]:
    """Times reading records and their rows, with a check of every row, every digest and every figure."""
    rows = [_row(number) for number in range(queries)]
    hits = np.ones(queries, dtype=np.bool_)
    for number in range(files):
        write_result(folder, _counted(_record(f"task-{number}", "m", hits).result, hits), rows)
    seconds = common.in_turns(repeats, {"read": lambda: load([folder])})
    shutil.rmtree(folder)
    return {"seconds": common.medians(seconds)}


def _row(number: int) -> dict[str, object]:
    text = {"text": "a caption " * 40}
    return {
        "query": str(number),
        "right": True,
        "hit@1": 1.0,
        "cluster": number,
        "best_rank": [1],
        "worst_rank": [1],
        "official_rank": [1],
        "right_score": 0.5,
        "candidates": _TARGETS,
        "content": {"text": "which one?"},
        "positives": [{"target": 0, "text": "this one"}],
        "top": [{"target": 0, "score": 0.5, "right": True, **text}],
    }


def _counted(result: Result, hits: NDArray[np.bool_]) -> Result:
    """The record with the interval and the chance of these hits, each of a query of its own."""
    hit = Metric("hit", 1)
    rankings = [Ranking("", (1,), (1,), _TARGETS, 1, (1,), _TARGETS)] * len(hits)
    clusters = np.arange(len(hits), dtype=np.int32)
    found = summaries({hit: hits.astype(np.float64).tolist()}, rankings, clusters, "strict")
    scores = {str(hit): found[hit]}
    dataset = {**result.dataset, "clusters": len(hits)}
    return replace(result, metrics=scores, strict=scores, official=scores, dataset=dataset)


def main() -> None:
    """Runs the benchmarks and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--models", type=int, default=500, help="models of the board, each on MMEB's 36 datasets (500)")
    add("--queries", type=int, default=1000, help="queries of each dataset (1000)")
    add("--files", type=int, default=1000, help="results that are read (1000)")
    add("--repeats", type=int, default=5, help="rounds whose median is taken (5)")
    add("--out", type=Path, default=common.RESULTS / "board.json", help="file for the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = {
            f"board, {options.models} models": board(options.models, options.queries, options.repeats),
            f"reading, {options.files} results": reading(Path(name, "read"), options.files, 100, options.repeats),
        }
    settings = {key: value for key, value in vars(options).items() if key != "out"}
    common.write_report(options.out, settings, figures)


if __name__ == "__main__":
    main()
