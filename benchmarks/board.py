"""Times a large board: reading results, computing intervals and ranks, opening its page. See README.md."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lib.common as common
import numpy as np
from numpy.typing import NDArray

from harness.results.files import FORMAT, Result, write_result
from harness.scoring.metrics import Score
from leaderboards.board.board import Board
from leaderboards.load import Outcomes, Record, load
from leaderboards.page.page import write_page
from tasks.suites import find_suite

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_SUITE = find_suite("mmeb")
_LONGEST_BOARD, _LONGEST_OPENING = 10.0, 2.0
_RESAMPLES = 1000
_OPENED = "return performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
_HEAT_MAP = """
    const start = performance.now();
    get("columns").value = "datasets";
    drawTable();
    document.body.offsetHeight;
    return (performance.now() - start) / 1000;
"""


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
        chance={"hit@1": 0.001},
        tied_queries=0,
        num_queries=len(hits),
        num_targets=1000,
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
    """Times reading records and the scores of their queries, with a check of every digest."""
    row = {
        "query": "0",
        "right": True,
        "hit@1": 1.0,
        "cluster": 0,
        "best_rank": [1],
        "worst_rank": [1],
        "top": [{"text": "a caption " * 40}],
    }
    for number in range(files):
        write_result(folder, _record(f"task-{number}", "m", np.ones(queries, dtype=np.bool_)).result, [row] * queries)
    seconds = common.in_turns(repeats, {"read": lambda: load([folder])})
    shutil.rmtree(folder)
    return {"seconds": common.medians(seconds)}


def page(folder: Path, models: int, repeats: int) -> dict[str, object]:
    """Times a page until its load event, and the switch from means to the heat map of all datasets."""
    folder.mkdir()
    path, start = folder / "board.html", time.perf_counter()
    write_page(path, Board.of_records(draw(models, 100), _SUITE))
    figures: dict[str, object] = {
        "seconds to write": round(time.perf_counter() - start, 2),
        "megabytes": round(path.stat().st_size / 1e6, 2),
    }
    try:
        browser = _browser()
    except (ImportError, FileNotFoundError) as error:
        return {**figures, "not opened": str(error)}
    opened, switched = [], []
    for _ in range(repeats):
        browser.get(path.as_uri())
        opened.append(float(browser.execute_script(_OPENED)))
        switched.append(float(browser.execute_script(_HEAT_MAP)))
    figures["browser"] = f"Chromium {browser.capabilities['browserVersion']}, headless"
    browser.quit()
    return {
        **figures,
        "seconds to open": common.aim(float(np.median(opened)), at_most=_LONGEST_OPENING),
        "seconds to show all datasets": round(float(np.median(switched)), 2),
    }


def _browser() -> Chrome:
    """Raises ImportError without selenium, FileNotFoundError without Debian's Chromium and its driver."""
    from selenium import webdriver

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        raise FileNotFoundError("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def main() -> None:
    """Runs the benchmarks and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--models", type=int, default=500, help="models of the board, each on MMEB's 36 datasets (500)")
    add("--queries", type=int, default=1000, help="queries of each dataset (1000)")
    add("--files", type=int, default=1000, help="results that are read (1000)")
    add("--page-models", type=int, default=100, help="models of the page (100)")
    add("--repeats", type=int, default=5, help="rounds whose median is taken (5)")
    add("--out", type=Path, default=common.RESULTS / "board.json", help="file for the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = {
            f"board, {options.models} models": board(options.models, options.queries, options.repeats),
            f"reading, {options.files} results": reading(Path(name, "read"), options.files, 100, options.repeats),
            f"page, {options.page_models} models": page(Path(name, "page"), options.page_models, options.repeats),
        }
    settings = {key: value for key, value in vars(options).items() if key != "out"}
    common.write_report(options.out, settings, figures)


if __name__ == "__main__":
    main()
