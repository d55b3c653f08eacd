"""The command `llave curves`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.files.paths import STORE
from llave.cli.analysis.output import add_report_flags, measured_entries, print_report
from llave.cli.flags import DONE, add_data_flags, console, positive, say, tasks_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.data.cache import DatasetCache
    from harness.progress import Progress
    from harness.types import Task
    from leaderboards.analysis.curves import Curve
    from leaderboards.board.entries import Entry

ABOUT = "score shorter and coarser vectors, from those that are stored"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave curves`."""
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="results, or folders of them")
    parser.add_argument(
        "--widths",
        type=positive,
        nargs="+",
        default=[],
        metavar="N",
        help="widths besides the full one (default: each half of the one before, down to 32)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the curves into a .pdf, .png or .svg file (default: none)"
    )
    add_report_flags(parser)
    add_data_flags(parser.add_argument_group("data"))
    parser.add_argument("--store", type=Path, metavar="DIR", default=STORE, help="folder of the embedding store")


def run(options: argparse.Namespace) -> int:
    """Prints the curves of each model. Nothing is embedded."""
    from harness.data.cache import DatasetCache
    from harness.media.digests import Digests
    from leaderboards.analysis.curve_report import check_plot, curve_report, plot
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import worker_count

    if options.plot:
        check_plot(options.plot)
    entries = measured_entries(options.results)
    if not entries:
        raise UserError("These are imported scores, which have no vectors.", "Give results of `llave run`.")
    tasks = tasks_of(options, [task for entry in entries for task in entry.records], options.images)
    with ProgressBar(console(stderr=True)) as progress:
        cache = DatasetCache(Digests(), progress, worker_count(None))
        curves = [_curve(entry, tasks, cache, options, progress) for entry in entries]
    report = curve_report(curves)
    print_report(report, options)
    if options.plot:
        plot(report, options.plot)
        say(console(stderr=True), f"Plot: {options.plot.resolve()}")
    return DONE


def _curve(
    entry: Entry, tasks: Mapping[str, Task], cache: DatasetCache, options: argparse.Namespace, progress: Progress
) -> Curve:
    from harness.encoding.store import Store
    from leaderboards.analysis.curves import curve, scopes_of, widths_of
    from leaderboards.analysis.stored import checked_spec, config_of, held, stored_plan

    results = entry.results
    first = next(iter(results.values()))
    spec, config = checked_spec(first), config_of(first)
    with Store(options.store, spec) as store:
        parts = {}
        for name, result in results.items():
            plan = stored_plan(result, tasks[name], spec, cache)
            parts[name] = plan, held(plan, store, spec), scopes_of(plan, config_of(result).limit)
        progress.phase(f"scoring {entry.label}", 0)
        return curve(entry.label, parts, spec, config.protocol, widths_of(store.width() or 0, options.widths))
