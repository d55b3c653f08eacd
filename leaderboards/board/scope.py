"""The scope of a board: its suite, its published rows, and the mean that decides its ranks. `make_board` makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError, counted, unknown_name
from harness.results.verified import Record, read_result
from leaderboards.board.board import Board
from leaderboards.board.standings import mean_weights
from leaderboards.load import is_separate, load
from leaderboards.published.mmeb_v2 import part_suites
from leaderboards.published.rows import TEXT_TO_VIDEO, PublishedRow
from leaderboards.tables import some
from tasks.suites import Suite, column_of, find_suite, smallest_suite, suite_of, suites
from tasks.video.retrieval import VIDEO_FOLDER

DEFAULT_SUITE = "mmeb"


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    meta_task: str | None
    split: str | None


def suite_for(name: str | None, records: Sequence[Record], imported: Sequence[PublishedRow] = ()) -> Suite:
    """The suite of that name. Without a name: the smallest suite with every task of the results, else these tasks.

    Results of parts of datasets and of other scopes do not count, unless there are no others. Imported scores decide
    only where there are no results, and none is of MMEB.

    Raises: UserError for an unknown name.
    """
    if name or not records:
        default = find_suite(name or DEFAULT_SUITE)
        scored = {task for row in imported for task in row.scores}
        if name or not scored or scored & set(default.tasks):
            return default
        return smallest_suite(scored) or default
    main = [record for record in records if not is_separate(record.result)] or records
    tasks = {record.result.task: record.result for record in main}
    if fitting := smallest_suite(tasks):
        return fitting
    members = [_Member(task, result.meta_task, result.split) for task, result in tasks.items()]
    recalls = [task for task, result in tasks.items() if result.dataset.get("source") == VIDEO_FOLDER]
    return suite_of("these", counted(len(members), "dataset"), members, recalls)


def rows_for(suite: Suite, rows: Iterable[PublishedRow]) -> list[PublishedRow]:
    """The rows that have a mean or a score of the suite. Means of other suites are removed."""
    fitted = (of_suite(row, suite) for row in rows)
    return [row for row in fitted if row.means or row.scores.keys() & set(suite.tasks)]


def of_suite(row: PublishedRow, suite: Suite) -> PublishedRow:
    """The row with only those of its means that are means of `suite`, by the names of that suite.

    Two means are the same if they are over the same tasks. So the printed mean of OOD is the `overall` of MMEB-OOD.
    """
    if row.suite == suite.name:
        return row
    printed = _tasks_of_means(row.suite)
    wanted = {"overall": suite.tasks, **dict(suite.groups)}
    same = {
        name: next((mean for mean in row.means if printed.get(mean) == set(tasks)), None)
        for name, tasks in wanted.items()
    }
    means = {name: row.means[mean] for name, mean in same.items() if mean is not None}
    marks = tuple(replace(mark, cell=name) for mark in row.marks for name, mean in same.items() if mark.cell == mean)
    return replace(row, suite=suite.name, means=means, marks=marks)


def _tasks_of_means(name: str) -> dict[str, set[str]]:
    """The tasks of each printed mean of rows of a suite. Rows of MMEB have means of MMEB-V2 too."""
    suite = suites().get(name)
    if suite is None:
        return {}
    found = {mean: set(tasks) for mean, tasks in suite.groups} | {"overall": set(suite.tasks)}
    for each in part_suites() if name == DEFAULT_SUITE else ():
        found |= {mean: set(tasks) for mean, tasks in each.groups if mean not in found}
        found[each.name] = set(each.tasks)
    return found


def every_published() -> list[PublishedRow]:
    """All published rows, with the names of datasets and metrics that the tasks use."""
    from leaderboards.published import published_rows

    return [_named_as_here(row) if row.suite == TEXT_TO_VIDEO else row for row in published_rows()]


def _named_as_here(row: PublishedRow) -> PublishedRow:
    """Papers give only the dataset's name. With one right video per caption, recall@k equals hit@k."""
    more = {_as_hit(metric): _text_to_video(scores) for metric, scores in row.more.items()}
    return replace(row, metric=_as_hit(row.metric), scores=_text_to_video(row.scores), more=more)


def _as_hit(metric: str) -> str:
    return metric.replace("recall@", "hit@")


def _text_to_video(scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{task}_t2v": score for task, score in scores.items()}


def sizes_of(suite: Suite) -> dict[str, int]:
    """The number of queries of each dataset of the suite, where it is known."""
    from tasks.catalog import all_tasks

    known = all_tasks()
    sizes = {task: known[task].num_queries for task in suite.tasks if task in known}
    return {task: size for task, size in sizes.items() if size is not None}


def check_rank_by(name: str | None, suite: Suite) -> str:
    """The mean or dataset that the board ranks by; `overall` without a name.

    Raises: UserError for a name that the suite does not have.
    """
    known = [*mean_weights(suite), *suite.tasks]
    if name and name not in known:
        raise unknown_name("mean or dataset", name, known, f"Choose from {', '.join(known)}.")
    return name or "overall"


def make_board(
    places: Sequence[Path] | None,
    *,
    published: bool,
    suite: str | None,
    rank_by: str | None,
    mix: bool,
    columns: Sequence[str] = (),
    read: Callable[[Path], Record] = read_result,
) -> tuple[Board, tuple[str, ...]]:
    """Loads results and makes a board of them. Returns it with a warning for each file that cannot be used.

    Args:
        places: files and folders of results and imported scores. None: only published rows.
        published: whether to add published rows.
        suite: the suite's name. None: the smallest with every task of the results, or with the columns asked for.
        rank_by: the mean or dataset that decides ranks. None: `overall`, or the widest mean that some row has.
        mix: whether to keep results that are not comparable with the rest, marked.
        columns: names of columns that are asked for.
        read: reads a result.

    Raises: UserError if no result can be used, if nothing is published, and for an unknown suite or mean.
    """
    loaded = None if places is None else load(places, read)
    records, imported = (loaded.records, loaded.imported) if loaded else ((), ())
    warnings = list(loaded.warnings) if loaded else []
    chosen = suite_for(suite, records) if suite else _with_columns(suite_for(None, records, imported), columns)
    rows = rows_for(chosen, imported)
    shown = {row.source.where for row in rows}
    if without := [row.model for row in imported if row.source.where not in shown]:
        warnings.append(
            f"These imported scores have no dataset of {chosen.name}, so they are not shown: {some(without)}."
        )
    if loaded and not records and not rows and not published:
        raise UserError(f"{warnings[-1]} There is nothing else to show.", "Choose another --suite.")
    printed = rows_for(chosen, every_published()) if published else []
    if published and not printed:
        error = _nothing_published(chosen)
        if not records and not rows:
            raise error
        warnings.append(f"{error.what} {error.hint}")
    rows += printed
    sizes = sizes_of(chosen) if rows else {}
    made = Board.of_records(records, chosen, rows, sizes=sizes, rank_by=check_rank_by(rank_by, chosen), mix=mix)
    return made if rank_by else _ranked_by_widest(made), tuple(warnings)


def _with_columns(suite: Suite, columns: Sequence[str]) -> Suite:
    """The suite, or else the smallest that has the datasets whose columns are asked for."""
    asked = {found[0] for name in columns if (found := column_of(name))}
    return suite if asked <= set(suite.tasks) else smallest_suite(asked) or suite


def _nothing_published(suite: Suite) -> UserError:
    rows = every_published()
    counts = {name: len(rows_for(each, rows)) for name, each in suites().items()}
    named = ", ".join(f"{name} ({counted(count, 'row')})" for name, count in counts.items() if count)
    what = suite.summary if suite.name == "these" else f"the suite {suite.name}"
    return UserError(f"Nothing is published for {what}.", f"Published rows are for {named}.")


def _ranked_by_widest(board: Board) -> Board:
    """The board. If it ranks no row, it is ranked by the widest mean that a row has, with a note."""
    standings = board.standings()
    if any(each.place for each in standings):
        return board
    weights = mean_weights(board.suite)
    complete = [name for name in weights if any(each.cells[name].comparable is not None for each in standings)]
    if not complete:
        return board
    widest = max(complete, key=lambda name: len(weights[name]))
    note = f"No row has all datasets of {board.rank_by}. {widest} is the widest mean that a row has."
    return replace(board, rank_by=widest, notes=(note, *board.notes))
