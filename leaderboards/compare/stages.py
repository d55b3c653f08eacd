"""What a second stage changed: a paired comparison of its results with those of the first stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.files.paths import safe_name
from harness.results.files import files_for
from harness.results.result import Result
from harness.results.verified import Record, read_result
from harness.scoring.metrics import Metric
from leaderboards.board.entries import measured
from leaderboards.compare.compare import Comparison, compare
from tasks.suites import Suite


def change(out: Path, first: Sequence[Result], both: Sequence[Result], suite: Suite) -> Comparison | None:
    """Compares both stages with the first one, query by query, on the tasks that both have below `out`.

    Returns: None where there is no score to compare, such as where the main metric is a rank.

    Raises: UserError if a result cannot be read.
    """
    tasks = {each.task for each in first if not Metric.parse(each.main_metric).is_rank} & {each.task for each in both}
    stages = [measured([_record(out, each) for each in results if each.task in tasks]) for results in (first, both)]
    return compare(stages[0][0], stages[1][0], suite, {}) if tasks else None


def _record(out: Path, result: Result) -> Record:
    folder = out / safe_name(str(result.model["name"])) / safe_name(str(result.model["revision"]))
    return next(record for path in files_for(folder, result.task, result.identity) if (record := read_result(path)))
