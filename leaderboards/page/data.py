"""The data of the page: columns, rows, models and comparisons. Text is ready to be shown; numbers are fractions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypedDict

from harness.results.environment import own_version
from leaderboards.board.board import Board
from leaderboards.board.standings import Standing
from leaderboards.board.tables import notes, title
from leaderboards.latex import latex_text
from leaderboards.page.analyses import PageAnalysis
from leaderboards.page.columns import PageColumn, columns_of
from leaderboards.page.models import RULE, Link, links_of, models_of
from leaderboards.page.pairs import PagePairs, pairs_of
from leaderboards.page.viewer import Viewer
from leaderboards.tables import markdown_text


class PageRow(TypedDict):
    """A row of the table. Its scores are in the columns."""

    label: str
    kind: str
    group: int | None
    links: list[Link]
    where: str
    notes: list[str]
    missing: list[str]
    """Datasets that the mean which decides ranks lacks."""
    step: int | None


class Origin(TypedDict):
    """How the page was made."""

    version: str
    date: str
    command: str


class Escapes(TypedDict):
    """The characters that Markdown and LaTeX would interpret, each with what stands for it."""

    markdown: list[tuple[str, str]]
    latex: list[tuple[str, str]]


class DatasetView(TypedDict):
    """Datasets that are shown together: of a meta-task, of a split, or all of them."""

    name: str
    text: str
    columns: list[str]


class PageData(TypedDict):
    """All data of the page."""

    title: str
    suite: str
    ranked_by: str
    rule: str
    columns: list[PageColumn]
    views: list[DatasetView]
    rows: list[PageRow]
    models: list[list[int]]
    """The rows of each model, the best documented first."""
    pairs: PagePairs
    notes: list[str]
    viewer: Viewer | None
    analyses: Sequence[PageAnalysis]
    """What else is shown, each as a part of its own."""
    escapes: Escapes
    made: Origin
    live: str | None
    """Of a page that `llave serve` shows, what stands for the results that it was made from."""


def page_data(
    board: Board,
    viewer: Viewer | None = None,
    *,
    analyses: Sequence[PageAnalysis] = (),
    command: str = "",
    live: str | None = None,
) -> PageData:
    """The data of a board, with its rows in the order of the standings. `command` is the one that makes the page."""
    standings = board.standings()
    columns = columns_of(board, standings)
    used = [*(each.entry.label for each in standings), *(text for column in columns for text in _texts(column))]
    return {
        "title": title(board).removeprefix(f"{board.suite.summary}: "),
        "suite": board.suite.summary,
        "ranked_by": board.rank_by,
        "rule": RULE,
        "columns": columns,
        "views": _views(board, [each["name"] for each in columns if each["kind"] == "dataset"]),
        "rows": [_row(each, board) for each in standings],
        "models": models_of(standings),
        "pairs": pairs_of(board, [each.entry for each in standings]),
        "notes": notes(board),
        "viewer": viewer,
        "analyses": list(analyses),
        "escapes": {"markdown": _escapes(markdown_text, used), "latex": _escapes(latex_text, used)},
        "made": {"version": own_version(), "date": _today(), "command": command},
        "live": live,
    }


def _texts(column: PageColumn) -> Iterable[str]:
    return (column["name"], *column["texts"], *column["extras"])


def _escapes(escape: Callable[[str], str], texts: Iterable[str]) -> list[tuple[str, str]]:
    characters = sorted({*map(chr, range(33, 127)), *(each for text in texts for each in text if not each.isspace())})
    return [(each, escape(each)) for each in characters if escape(each) != each]


def _today() -> str:
    """The date, or that of SOURCE_DATE_EPOCH, by which builds are repeated (reproducible-builds.org)."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    when = datetime.fromtimestamp(int(given), UTC) if given.isdecimal() else datetime.now(UTC)
    return when.date().isoformat()


def _views(board: Board, names: Sequence[str]) -> list[DatasetView]:
    """The views of all datasets and of each group of the suite that has some of them."""

    def of(tasks: Sequence[str]) -> list[str]:
        wanted = {name for task in tasks for name in (task, *board.suite.recall_columns(task))}
        return [name for name in names if name in wanted]

    views: list[DatasetView] = [
        {"name": group, "text": f"datasets of {group}", "columns": found}
        for group, tasks in board.suite.groups
        if (found := of(tasks))
    ]
    more = [name for name in names if name not in of(board.suite.tasks)]
    if more and len(more) < len(names):
        suite = of(board.suite.tasks)
        views.insert(0, {"name": "suite", "text": f"the suite's {len(suite)} datasets", "columns": suite})
        views.append({"name": "beyond", "text": f"{len(more)} datasets beyond the suite", "columns": more})
    elif names:
        views.insert(0, {"name": "suite", "text": f"all {len(names)} datasets", "columns": list(names)})
    return views


def _row(standing: Standing, board: Board) -> PageRow:
    entry, place, checkpoint = standing.entry, standing.place, standing.entry.checkpoint
    printed = entry.published
    mean = standing.cells[board.rank_by].mean
    return {
        "label": entry.label,
        "kind": entry.kind,
        "group": place.group if place else None,
        "links": links_of(entry),
        "where": printed.source.where if printed else "",
        "notes": list(printed.notes) if printed else [],
        "missing": list(mean.missing) if mean.value is None else [],
        "step": checkpoint.step if checkpoint else None,
    }
