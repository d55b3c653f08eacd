"""The command `llave power`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from llave.cli.analysis.output import add_report_flags, measured_entries, print_report
from llave.cli.flags import DONE, percentage_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.results.verified import Outcomes
    from leaderboards.board.entries import Entry

ABOUT = "say how many queries, datasets or seeds a difference needs to be seen"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave power`."""
    add = parser.add_argument
    add("--baseline", type=Path, required=True, metavar="RESULT", help="results of one model, or a folder of them")
    add("--difference", type=percentage_points, default=1.0, metavar="POINTS", help="the difference to see")
    add("--power", type=percentage_points, default=80.0, metavar="PERCENT", help="the probability of seeing it")
    add(
        "--against",
        type=Path,
        metavar="RESULT",
        help="results of another model, from which the differences of queries are measured (default: assumed)",
    )
    add(
        "--runs",
        type=Path,
        nargs="+",
        default=[],
        metavar="RESULT",
        help="results of runs that differ only in their seed, each a folder or a file (default: none)",
    )
    add_report_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Prints what a difference needs to be seen."""
    from leaderboards.analysis.paired import is_shared, mean_score
    from leaderboards.analysis.power import check_power, plan_power, power_report

    difference, power = options.difference / 100, options.power / 100
    check_power(difference, power)
    baseline = _entry(options.baseline)
    others = [_entry(path) for path in ([options.against] if options.against else []) + options.runs]
    tasks = [task for task in baseline.records if is_shared(task, [baseline, *others])]
    if not tasks:
        raise UserError("These results share no dataset with the same data.", "Evaluate on the same tasks.")
    against = _outcomes(others[0], tasks) if options.against else None
    runs = [mean_score(_outcomes(each, tasks)) for each in others[bool(options.against) :]]
    plan = plan_power(_outcomes(baseline, tasks), against, runs, difference, power)
    print_report(power_report(plan, baseline.label), options)
    return DONE


def _entry(path: Path) -> Entry:
    """The one model of a place of results. Raises UserError for several."""
    entries = measured_entries([path])
    if len(entries) != 1:
        named = ", ".join(each.label for each in entries) or "no model"
        raise UserError(f"{path} holds results of {named}.", "Give the results of one model.")
    return entries[0]


def _outcomes(entry: Entry, tasks: Sequence[str]) -> list[Outcomes]:
    found = [entry.records[task].outcomes for task in tasks]
    return [each for each in found if each is not None]
