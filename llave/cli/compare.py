"""The command `llave compare`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.files.paths import RESULTS
from llave.cli.flags import DONE, FAILED, console, natural, percentage_points, say

if TYPE_CHECKING:
    from leaderboards.compare.compare import Comparison
    from leaderboards.compare.flips import Flip
    from leaderboards.pictures import Pictures
    from leaderboards.tables import Table

ABOUT = "compare models: the differences, and which of them are significant"
FORMATS = ("terminal", "markdown", "latex", "csv", "json", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave compare`."""
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a folder or file of results, a model or checkpoint with results, or a published model; the first is A",
    )
    add(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="folder with the results of models and checkpoints",
    )
    add(
        "-s",
        "--suite",
        metavar="SUITE",
        help="suite whose means are compared (default: the smallest with every task of the results)",
    )
    add("--queries", type=natural, default=0, metavar="N", help="show N queries gained and N queries lost")
    add(
        "--fail-on-regression",
        type=percentage_points,
        metavar="POINTS",
        help="exit with status 1 if a 95 %% CI shows that a model is more than POINTS worse than A (default: do not)",
    )
    add("-f", "--format", choices=FORMATS, default="terminal", help="format of the output")
    add(
        "--images",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of the queries' pictures, of --format html, if they were moved; may be repeated (default: none)",
    )


def run(options: argparse.Namespace) -> int:
    """Prints the comparisons. Returns 1 if there is a regression that the options ask for."""
    from leaderboards.compare.files import comparison_csv, comparison_json
    from leaderboards.compare.flips import flips
    from leaderboards.compare.tables import page, verdict
    from leaderboards.pictures import Pictures

    if options.queries and options.format == "csv":
        raise UserError("A CSV file has figures, not queries.", "--format json has both.")
    if options.images and not (options.format == "html" and options.queries):
        raise UserError("--images finds the pictures of a page.", "Add --format html and --queries N.")
    comparisons = _compare(options)
    found = {at: flips(each, options.queries) for at, each in enumerate(comparisons) if options.queries}
    failures = _regressions(comparisons, options.fail_on_regression)
    if options.format == "json":
        print(comparison_json(comparisons, found, bool(failures)), end="")
    elif options.format == "csv":
        print(comparison_csv(comparisons), end="")
    elif options.format == "html":
        title = verdict(comparisons[0]) if len(comparisons) == 1 else "Comparison"
        pictures = Pictures.of(options.images)
        print(page(title, _tables(comparisons, found, pictures)), end="")
        for note in pictures.notes():
            say(console(stderr=True), f"warning: {note}")
    else:
        _print(comparisons, _tables(comparisons, found), options.format)
    for failure in failures:
        say(console(stderr=True), failure)
    return FAILED if failures else DONE


def _compare(options: argparse.Namespace) -> list[Comparison]:
    """The comparisons of all pairs, those of the first model first."""
    from leaderboards.board.scope import sizes_of, suite_for
    from leaderboards.compare.compare import compare
    from leaderboards.compare.resolve import resolve_models

    given = resolve_models(options.models, options.results)
    for warning in given.warnings:
        say(console(stderr=True), f"warning: {warning}")
    suite = suite_for(options.suite, given.records)
    sizes = sizes_of(suite) if any(entry.published for entry in given.entries) else {}
    return [compare(a, b, suite, sizes) for a, b in combinations(given.of(suite), 2)]


def _regressions(comparisons: Sequence[Comparison], points: float | None) -> list[str]:
    """A sentence on each regression. Raises UserError if a number of queries is unknown, so that no test exists."""
    if points is None:
        return []
    against_first = [each for each in comparisons if each.a is comparisons[0].a]
    for each in against_first:
        if each.headline.interval is None:
            raise UserError(f"{each.b.label}: the number of queries is not known.", "Compare results of `llave run`.")
    return [
        f"regression: {each.b.label} is more than {points:g} points worse than {each.a.label} on {found.name}."
        for each in against_first
        for found in each.regressions(points)
    ]


def _tables(
    comparisons: Sequence[Comparison], found: dict[int, list[Flip]], pictures: Pictures | None = None
) -> list[Table]:
    from leaderboards.compare.tables import config_table, difference_table, flip_table, matrix_table, training_table

    if len(comparisons) > 1:
        first = [matrix_table(comparisons)]
        return first + [flip_table(comparisons[at], flips, pictures) for at, flips in found.items()]
    one = comparisons[0]
    trained = training_table(one)
    return [
        difference_table(one),
        config_table(one),
        *([trained] if trained else []),
        *([flip_table(one, found[0], pictures)] if found else []),
    ]


def _print(comparisons: Sequence[Comparison], tables: Sequence[Table], form: str) -> None:
    from leaderboards.compare.tables import verdict
    from leaderboards.latex import latex
    from leaderboards.tables import markdown

    screen = console(wide=True)
    written = {"markdown": markdown, "latex": latex}
    for table in tables:
        if form == "terminal":
            screen.print(table)
        elif form == "markdown" or table.rows:
            print(written[form](table))
    if form == "terminal":
        for each in comparisons:
            say(screen, verdict(each))
