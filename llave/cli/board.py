"""The command `llave board`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError, counted
from harness.files.paths import RESULTS
from llave.cli.flags import DONE, console, natural, positive, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results.verified import Record
    from leaderboards.board.board import Board
    from leaderboards.tables import Table

ABOUT = "rank models by their results, with confidence intervals and ranges of ranks"
FORMATS = ("terminal", "markdown", "latex", "csv", "json")
_MOST_WARNINGS = 10


def add_choice_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the arguments that choose the rows and the means. Returns their group."""
    parser.add_argument(
        "results",
        nargs="*",
        type=Path,
        metavar="RESULTS",
        help=f"results, imported scores, or folders of them (default: {RESULTS})",
    )
    group = parser.add_argument_group("rows and columns")
    add = group.add_argument
    add("--published", action="store_true", help="add published rows; without RESULTS, show only these")
    add(
        "-s",
        "--suite",
        metavar="SUITE",
        help="suite whose means are shown, such as mmeb (default: the smallest with every task of the results)",
    )
    add(
        "--rank-by",
        metavar="MEAN",
        help="mean or dataset that decides ranks, such as OOD (default: overall, or the widest mean that a row has)",
    )
    add("--mix", action="store_true", help="add results under another protocol or on other data, with a mark")
    return group


def add_images_flag(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the flag that says where pictures lie now."""
    group.add_argument(
        "--images",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of the queries' pictures, if they were moved since the run; may be repeated (default: none)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave board`."""
    add = add_choice_flags(parser).add_argument
    add("--columns", metavar="A,B", help="show only these means, datasets and facts (default: the means)")
    add("--datasets", action="store_true", help="add a column for each dataset")
    add(
        "--by",
        choices=("model", "step"),
        default="model",
        help="show a row for each model, or training runs by step",
    )
    _add_output_flags(parser)


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("-f", "--format", choices=FORMATS, default="terminal", help="format of the output")
    add("--top", type=positive, metavar="N", help="only the first N rows, and how many there are (default: all)")
    add(
        "--intervals",
        action=argparse.BooleanOptionalAction,
        help="show the 95 %% CI of scores (default: yes, if there is room; not in latex)",
    )
    add("--html", type=Path, metavar="FILE", help="write an interactive page with plots (default: print)")
    add(
        "--html-queries",
        type=natural,
        default=0,
        metavar="N",
        help="add N queries of each dataset to the page",
    )
    add(
        "--html-pictures",
        choices=("inside", "beside"),
        default="inside",
        help="hold small pictures inside the page, or put larger ones in a folder beside it",
    )
    add_images_flag(group)


def run(options: argparse.Namespace) -> int:
    """Prints or writes the board. Returns the exit status."""
    from leaderboards.board.files import board_csv, board_json
    from leaderboards.board.tables import left_out_note
    from leaderboards.latex import latex
    from leaderboards.tables import markdown

    _check(options)
    board, warnings = chosen_board(options, _asked(options))
    _warn(warnings)
    if options.html:
        _write_page(board, options)
    elif options.format == "csv":
        print(board_csv(board, by_step=options.by == "step", top=options.top), end="")
        for line in left_out_note(board, options.top):
            say(console(stderr=True), f"note: {line}")
    elif options.format == "json":
        print(board_json(board, by_step=options.by == "step", top=options.top), end="")
    elif options.format == "terminal":
        console(wide=True).print(_table(board, options))
    else:
        print({"markdown": markdown, "latex": latex}[options.format](_table(board, options)), end="")
    return DONE


def places_of(options: argparse.Namespace) -> list[Path]:
    """Where results are read. Published rows alone need none."""
    return options.results or ([] if options.published else [Path(RESULTS)])


def chosen_board(
    options: argparse.Namespace, columns: Sequence[str] = (), read: Callable[[Path], Record] | None = None
) -> tuple[Board, tuple[str, ...]]:
    """The board that the flags choose, with warnings. `read` reads a result. Raises as `make_board` does."""
    from harness.results.verified import read_result
    from leaderboards.board.scope import make_board

    return make_board(
        places_of(options) or None,
        published=options.published,
        suite=options.suite,
        rank_by=options.rank_by,
        mix=options.mix,
        columns=columns,
        read=read or read_result,
    )


def _check(options: argparse.Namespace) -> None:
    """Refuses flags that the chosen output has no use for."""
    if (options.html_queries or options.images) and not options.html:
        raise UserError("--html-queries and --images need a page.", "Add --html FILE.")
    if options.top and (options.html or options.by == "step"):
        raise UserError("--top is for tables with a row for each model.", "A page and --by step show all rows.")
    if options.intervals is not None and (options.html or options.format in ("csv", "json")):
        hint = "A page, CSV and JSON always have the intervals."
        raise UserError("--intervals and --no-intervals are for terminal, markdown and latex.", hint)


def _write_page(board: Board, options: argparse.Namespace) -> None:
    from harness.results.numbers import fixed
    from leaderboards.page.analyses import analyses_of
    from leaderboards.page.page import write_page

    analyses, warnings = analyses_of(board, places_of(options))
    _warn(warnings)
    notes = write_page(
        options.html,
        board,
        queries=options.html_queries,
        images=options.images,
        beside=options.html_pictures == "beside",
        analyses=analyses,
        command=shlex.join(["llave", *sys.argv[1:]]),
    )
    _warn(notes)
    say(console(stderr=True), f"Page: {options.html} ({fixed(options.html.stat().st_size / 1e6)} MB)")


def _warn(warnings: Sequence[str]) -> None:
    notes = console(stderr=True)
    for warning in warnings[:_MOST_WARNINGS]:
        say(notes, f"warning: {warning}")
    if len(warnings) > _MOST_WARNINGS:
        say(notes, f"warning: {counted(len(warnings) - _MOST_WARNINGS, 'more warning')} not shown.")


def _table(board: Board, options: argparse.Namespace) -> Table:
    """The table in the chosen format. On a terminal without room for intervals, they are the first to be left out."""
    from leaderboards.board.tables import leaderboard_table, paper_table
    from leaderboards.board.training_curve import training_curve

    paper = options.format == "latex"
    intervals = not paper if options.intervals is None else options.intervals
    if options.by == "step":
        return training_curve(board, intervals=intervals, drawn=not paper)
    made = partial(paper_table if paper else leaderboard_table, board, _asked(options), datasets=options.datasets)
    table = made(intervals=intervals, top=options.top)
    return replace(table, brief=made(intervals=False, top=options.top)) if options.intervals is None else table


def _asked(options: argparse.Namespace) -> list[str]:
    """The names of columns that are asked for."""
    return [name.strip() for name in (options.columns or "").split(",") if name.strip()]
