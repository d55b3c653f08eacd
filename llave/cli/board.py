"""`llave board`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from llave.cli.flags import DONE, console, natural, say

if TYPE_CHECKING:
    from leaderboards.board.board import Board
    from leaderboards.load import Loaded
    from leaderboards.tables import Table

ABOUT = "rank models by their results, and say which ranks are real"
FORMATS = ("terminal", "markdown", "latex", "csv", "json")
_RESULTS = Path("runs/results")
_MOST_WARNINGS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "results",
        nargs="*",
        type=Path,
        metavar="RESULTS",
        help=f"results, imported scores, or folders of them ({_RESULTS})",
    )
    add(
        "--published", action="store_true", help="with the rows that others have published; without RESULTS these alone"
    )
    add("--suite", help="a group of tasks, such as mmeb (the smallest that has every task of the results)")
    add("--rank-by", metavar="MEAN", help="overall (default), IND, retrieval, ..., or a dataset")
    add("--columns", metavar="A,B", help="only these means, datasets and facts")
    add("--datasets", action="store_true", help="with a column for each dataset")
    add("--by", choices=("model", "step"), default="model", help="step: the curve of a training run's checkpoints")
    add("--mix", action="store_true", help="with results under another protocol or on other data, marked")
    add("--format", choices=FORMATS, default="terminal", help="of what is printed (terminal)")
    add("--html", type=Path, metavar="FILE", help="write a page to look through, with plots, instead of printing")
    add(
        "--html-queries", type=natural, default=0, metavar="N", help="in it: the N most telling queries of each dataset"
    )
    add("--images", type=Path, metavar="DIR", help="for pictures of these: the folder that media names are relative to")


def run(options: argparse.Namespace) -> int:
    from leaderboards.board.tables import board_csv, board_json
    from leaderboards.tables import latex, markdown

    if (options.html_queries or options.images) and not options.html:
        raise UserError("--html-queries and --images are about a page.", "Add --html FILE.")
    board = make_board(options)
    if options.html:
        _write_page(board, options)
    elif options.format == "csv":
        print(board_csv(board, by_step=options.by == "step"), end="")
    elif options.format == "json":
        print(board_json(board, by_step=options.by == "step"), end="")
    elif options.format == "terminal":
        _draw(board, options)
    else:
        print({"markdown": markdown, "latex": latex}[options.format](_grid(board, options)), end="")
    return DONE


def _write_page(board: Board, options: argparse.Namespace) -> None:
    from leaderboards.page.page import write_page

    write_page(options.html, board, queries=options.html_queries, images=options.images)
    say(console(stderr=True), f"Page: {options.html} ({options.html.stat().st_size / 1e6:.1f} MB)")


def make_board(options: argparse.Namespace) -> Board:
    """The board that the options ask for. Says on stderr what could not be used."""
    from leaderboards.board.board import Board
    from leaderboards.board.entries import some
    from leaderboards.board.scope import check_rank_by, every_published, rows_for, sizes_of, suite_for

    given = None if options.published and not options.results else load_and_warn(options.results or [_RESULTS])
    records, imported = (given.records, given.imported) if given else ((), ())
    suite = suite_for(options.suite, records)
    rows = rows_for(suite, imported)
    shown = {row.source.where for row in rows}
    if without := [row.model for row in imported if row.source.where not in shown]:
        _warn([f"Imported, but without a dataset of {suite.name}, so not shown: {some(without)}."])
    rows += rows_for(suite, every_published()) if options.published else []
    return Board.of_records(
        records,
        suite,
        rows,
        sizes=sizes_of(suite) if rows else {},
        rank_by=check_rank_by(options.rank_by, suite),
        mix=options.mix,
    )


def load_and_warn(places: Sequence[Path]) -> Loaded:
    """What was found, after a line on stderr for each file that cannot be used."""
    from leaderboards.load import load

    loaded = load(places)
    _warn(loaded.warnings)
    return loaded


def _warn(warnings: Sequence[str]) -> None:
    notes = console(stderr=True)
    for warning in warnings[:_MOST_WARNINGS]:
        say(notes, f"warning: {warning}")
    if len(warnings) > _MOST_WARNINGS:
        say(notes, f"warning: and {len(warnings) - _MOST_WARNINGS} more like these.")


def _grid(board: Board, options: argparse.Namespace, *, intervals: bool = True) -> Table:
    from leaderboards.board.tables import board_grid
    from leaderboards.board.training_curve import curve_grid

    if options.by == "step":
        return curve_grid(board)
    asked = [name.strip() for name in (options.columns or "").split(",") if name.strip()]
    return board_grid(board, asked, datasets=options.datasets, intervals=intervals)


def _draw(board: Board, options: argparse.Namespace) -> None:
    """Where the table would not fit, intervals go first and the last columns next."""
    from leaderboards.tables import narrowed, terminal, width

    screen = console(wide=True)
    grid = _grid(board, options)
    if width(grid) > screen.width:
        grid = _grid(board, options, intervals=False)
    screen.print(terminal(narrowed(grid, screen.width, first=len(grid.columns) if options.by == "step" else 4)))
