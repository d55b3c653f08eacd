"""The command `llave seeds`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.analysis.output import add_report_flags, print_report, warn
from llave.cli.flags import DONE, console, say

if TYPE_CHECKING:
    from leaderboards.analysis.seeds import SeedRuns

ABOUT = "compare two ways of training over several seeds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave seeds`."""
    for name, help in (("a", "folder with the runs of the first way, as `llave train --seeds` writes it, or results"),
                       ("b", "the same of the second way")):  # fmt: skip
        parser.add_argument(name, type=Path, metavar=name.upper(), help=help)
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the learning curves into a .pdf, .png or .svg file (default: none)",
    )
    add_report_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the difference at the last step that all runs share."""
    from leaderboards.analysis.curve_report import check_plot, plot
    from leaderboards.analysis.seeds import compare_seeds, seed_report

    if options.plot:
        check_plot(options.plot)
    report = seed_report(compare_seeds(*(_runs(place) for place in (options.a, options.b))))
    print_report(report, options)
    if options.plot:
        plot(report, options.plot)
        say(console(stderr=True), f"Plot: {options.plot.resolve()}")
    return DONE


def _runs(place: Path) -> SeedRuns:
    """The runs in a folder, from the results that they wrote while they trained, or else from all results there."""
    from leaderboards.analysis.seeds import SeedRuns
    from leaderboards.board.entries import comparable
    from leaderboards.load import load

    loaded = load(sorted(place.glob("*/results")) or [place])
    chosen = comparable(loaded.records, mix=False)
    warn([*loaded.warnings, *chosen.notes])
    return SeedRuns.of(str(place), chosen.records)
