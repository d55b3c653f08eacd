"""The command `llave sensitivity`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.analysis.output import add_report_flags, print_report
from llave.cli.flags import (
    DONE,
    MODEL_HELP,
    add_engine_flags,
    add_model_flags,
    add_task_flags,
    columns_of,
    console,
    model_settings,
    positive,
)

if TYPE_CHECKING:
    from leaderboards.analysis.sensitivity import Switch

ABOUT = "show how far a score depends on each choice of the protocol"
SWITCHES: tuple[Switch, ...] = ("instruction", "frames", "pixels", "dtype", "scope", "rule")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave sensitivity`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_task_flags(parser)
    add = parser.add_argument_group("evaluation").add_argument
    add("--limit", type=positive, metavar="N", help="only the first N queries of each task (default: all)")
    add(
        "--switch",
        choices=SWITCHES,
        action="append",
        default=[],
        help="try only this switch; may be repeated (default: all that the tasks depend on)",
    )
    add("-o", "--out", type=Path, metavar="DIR", default=Path("runs/sensitivity"), help="folder of the results")
    add_report_flags(parser)
    add_engine_flags(parser)
    add_model_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluates the model with one switch at a time, and prints the changes."""
    from harness.data.cache import DatasetCache
    from harness.encoding.distributed import World
    from harness.evaluate import RunSettings
    from harness.media.digests import Digests
    from harness.types import EvalConfig
    from leaderboards.analysis.sensitivity import Lab, Setup, sensitivity, sensitivity_report
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import worker_count
    from tasks.catalog import resolve_tasks

    roots, columns = tuple(options.allow_root), columns_of(options)
    tasks = resolve_tasks(options.tasks, options.suite, options.data, options.images, roots, columns)
    workers = worker_count(options.workers)
    where = RunSettings(options.out, options.store, options.budget, workers, options.device)
    with ProgressBar(console(stderr=True)) as progress:
        lab = Lab(where, DatasetCache(Digests(), progress, workers), World(0, 1), progress)
        setup = Setup(options.model, model_settings(options), tasks, EvalConfig(limit=options.limit))
        found = sensitivity(setup, options.switch or SWITCHES, lab, progress.note)
    print_report(sensitivity_report(found), options)
    return DONE
