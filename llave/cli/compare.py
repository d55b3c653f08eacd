"""`llave compare`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from llave.cli.flags import DONE, FAILED, console, natural, say

if TYPE_CHECKING:
    from leaderboards.compare.compare import Comparison
    from leaderboards.compare.flips import Flip
    from leaderboards.tables import Table

ABOUT = "compare models: by how much, on what, and whether that is more than noise"
FORMATS = ("terminal", "markdown", "json", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a model's name, a checkpoint, a folder or file of results, or a published model; first A",
    )
    add(
        "--results",
        type=Path,
        default=Path("runs/results"),
        metavar="DIR",
        help="where results of models and checkpoints are looked for (runs/results)",
    )
    add("--suite", help="a group of tasks, such as mmeb (the smallest that has every task of the results)")
    add("--queries", type=natural, default=0, metavar="N", help="show N queries gained and N lost, with content")
    add(
        "--fail-on-regression",
        type=_points,
        metavar="POINTS",
        help="exit with 1 where a model is worse than the first by more than POINTS, by the interval",
    )
    add("--format", choices=FORMATS, default="terminal", help="of what is printed (terminal)")


def run(options: argparse.Namespace) -> int:
    from leaderboards.compare.flips import flips
    from leaderboards.compare.tables import comparison_json, page, verdict

    comparisons = _compare(options)
    found = {at: flips(each, options.queries) for at, each in enumerate(comparisons) if options.queries}
    failures = _regressions(comparisons, options.fail_on_regression)
    if options.format == "json":
        print(comparison_json(comparisons, found, bool(failures)), end="")
    elif options.format == "html":
        title = verdict(comparisons[0]) if len(comparisons) == 1 else "Comparison"
        print(page(title, _grids(comparisons, found)), end="")
    else:
        _print(comparisons, _grids(comparisons, found), options.format)
    for failure in failures:
        say(console(stderr=True), failure)
    return FAILED if failures else DONE


def _compare(options: argparse.Namespace) -> list[Comparison]:
    """Every pair, those with the first model first."""
    from leaderboards.board.scope import sizes_of, suite_for
    from leaderboards.compare.compare import compare
    from leaderboards.compare.resolve import sides

    given = sides(options.models, options.results)
    for warning in given.warnings:
        say(console(stderr=True), f"warning: {warning}")
    suite = suite_for(options.suite, given.records)
    sizes = sizes_of(suite) if any(entry.published for entry in given.entries) else {}
    return [compare(a, b, suite, sizes) for a, b in combinations(given.of(suite), 2)]


def _regressions(comparisons: Sequence[Comparison], points: float | None) -> list[str]:
    """A sentence for each. Raises UserError where nothing can say whether there is one."""
    if points is None:
        return []
    against_first = [each for each in comparisons if each.a is comparisons[0].a]
    for each in against_first:
        if each.headline.interval is None:
            raise UserError(f"{each.b.label}: the number of queries is not known.", "Compare runs of this harness.")
    return [
        f"regression: {each.b.label} is more than {points:g} points worse than {each.a.label} on {found.name}."
        for each in against_first
        for found in each.regressions(points)
    ]


def _grids(comparisons: Sequence[Comparison], found: dict[int, list[Flip]]) -> list[Table]:
    from leaderboards.compare.tables import difference_grid, flip_grid, matrix_grid, spec_grid, training_grid

    if len(comparisons) > 1:
        first = [matrix_grid(comparisons)]
        return first + [flip_grid(comparisons[at], flips) for at, flips in found.items()]
    one = comparisons[0]
    trained = training_grid(one)
    return [
        difference_grid(one),
        spec_grid(one),
        *([trained] if trained else []),
        *([flip_grid(one, found[0])] if found else []),
    ]


def _print(comparisons: Sequence[Comparison], grids: Sequence[Table], form: str) -> None:
    from leaderboards.compare.tables import verdict
    from leaderboards.tables import markdown, terminal

    screen = console(wide=True)
    for grid in grids:
        if form == "markdown":
            print(markdown(grid))
        else:
            screen.print(terminal(grid))
    if form == "terminal":
        for each in comparisons:
            say(screen, verdict(each))


def _points(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return value
