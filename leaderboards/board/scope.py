"""What a board is about: its suite, the published rows that belong to it, and what it ranks by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import unknown_name
from leaderboards.board.standings import mean_weights
from leaderboards.load import Record
from leaderboards.published.rows import PublishedRow
from tasks.suites import Suite, find_suite, suite_of, suites
from tasks.video.retrieval import VIDEO_FOLDER

DEFAULT_SUITE = "mmeb"
_TEXT_TO_VIDEO = "text-to-video"


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    meta_task: str | None
    split: str | None


def suite_for(name: str | None, records: Sequence[Record]) -> Suite:
    """The suite of that name; else the smallest that has every task of the results; else these tasks.

    Raises UserError for an unknown name.
    """
    if name or not records:
        return find_suite(name or DEFAULT_SUITE)
    tasks = {record.result.task: record.result for record in records}
    fitting = [suite for suite in suites().values() if tasks.keys() <= set(suite.tasks)]
    if fitting:
        return min(fitting, key=lambda suite: len(suite.tasks))
    members = [_Member(task, result.meta_task, result.split) for task, result in tasks.items()]
    recalls = [task for task, result in tasks.items() if result.dataset.get("source") == VIDEO_FOLDER]
    return suite_of("these", f"{len(members)} dataset{'s' if len(members) != 1 else ''}", members, recalls)


def rows_for(suite: Suite, rows: Iterable[PublishedRow]) -> list[PublishedRow]:
    """The rows that have a mean or a score of the suite, with its means alone."""
    fitted = (of_suite(row, suite) for row in rows)
    return [row for row in fitted if row.means or row.scores.keys() & set(suite.tasks)]


def of_suite(row: PublishedRow, suite: Suite) -> PublishedRow:
    """With those of its means that are the suite's: `overall` over other datasets is another mean.

    What a row has of a group of its own suite, such as OOD, is `overall` where the suite is that group.
    """
    if row.suite == suite.name:
        return row
    own = suites().get(row.suite)
    same = next((name for name, tasks in own.groups if set(tasks) == set(suite.tasks)), None) if own else None
    means = {"overall": row.means[same]} if same and same in row.means else {}
    marks = tuple(replace(mark, cell="overall") for mark in row.marks if mark.cell == same)
    return replace(row, suite=suite.name, means=means, marks=marks)


def every_published() -> list[PublishedRow]:
    """All published rows, under our names of datasets and metrics."""
    from leaderboards.published import published_rows

    return [_named_as_here(row) if row.suite == _TEXT_TO_VIDEO else row for row in published_rows()]


def _named_as_here(row: PublishedRow) -> PublishedRow:
    """Papers name the dataset alone; and with one right video to a caption, recall@k is hit@k."""
    more = {_as_hit(metric): _text_to_video(scores) for metric, scores in row.more.items()}
    return replace(row, metric=_as_hit(row.metric), scores=_text_to_video(row.scores), more=more)


def _as_hit(metric: str) -> str:
    return metric.replace("recall@", "hit@")


def _text_to_video(scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{task}_t2v": score for task, score in scores.items()}


def sizes_of(suite: Suite) -> dict[str, int]:
    """The numbers of queries that the suite's datasets must have, where these are known."""
    from tasks.catalog import all_tasks

    known = all_tasks()
    sizes = {task: known[task].num_queries for task in suite.tasks if task in known}
    return {task: size for task, size in sizes.items() if size is not None}


def check_rank_by(name: str | None, suite: Suite) -> str:
    """A mean or a dataset of the suite. Raises UserError for anything else."""
    known = [*mean_weights(suite), *suite.tasks]
    if name and name not in known:
        raise unknown_name("mean or dataset", name, known, f"This suite has {', '.join(known)}.")
    return name or "overall"
