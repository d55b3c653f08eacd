"""`llave run`: every model on every task; then the table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import counted
from harness.paths import RESULTS
from harness.types import Task
from llave.cli.flags import (
    DONE,
    FAILED,
    MODEL_HELP,
    add_engine_flags,
    add_model_flags,
    add_root_flag,
    complain,
    console,
    model_settings,
    positive,
    say,
)

if TYPE_CHECKING:
    from rich.console import Console

    from harness.evaluate import Evaluation
    from harness.results.files import Result
    from tasks.suites import Suite

ABOUT = "evaluate models on tasks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave run`."""
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    add("--suite", help="evaluate the tasks of a suite, such as demo or mmeb")
    add(
        "--tasks",
        metavar="A,B",
        help="evaluate these tasks; NAME@global ranks the whole pool; with --data, `all` is every subset (the default)",
    )
    add("--data", type=Path, metavar="DIR", help="read a folder in MMEB's layout or a .jsonl file, not the hub")
    add(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder that image paths are relative to (default: found beside the data)",
    )
    add("--out", type=Path, metavar="DIR", default=RESULTS, help=f"folder of the results (default: {RESULTS})")
    add("--limit", type=positive, metavar="N", help="evaluate only the first N queries of each task")
    add(
        "--protocol",
        choices=("strict", "official"),
        default="strict",
        help="strict: ties are neutral; official: ties are won, as in the public code (default: strict)",
    )
    add(
        "--on-bad-media",
        choices=("stop", "count-as-wrong"),
        default="stop",
        help="what to do with images and videos that cannot be used (default: stop)",
    )
    add("--json", action="store_true", help="print JSON instead of a table")
    add_root_flag(parser)
    add_engine_flags(parser)
    add_model_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluates every model on every task and prints the table. Returns the exit status."""
    from harness.encoding.distributed import join
    from harness.evaluate import RunSettings
    from harness.models import open_model
    from harness.types import EvalConfig
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import evaluate_models, worker_count
    from tasks.catalog import resolve_tasks

    tasks = resolve_tasks(options.tasks, options.suite, options.data, options.images, tuple(options.allow_root))
    world = join(options.device)  # a model may be made as soon as it is opened, and then on this process's device
    settings = model_settings(options)
    handles = [open_model(name, settings) for name in dict.fromkeys(options.models)]
    config = EvalConfig(options.protocol, options.limit, options.on_bad_media == "count-as-wrong")
    where = RunSettings(options.out, options.store, options.budget, worker_count(options.workers), options.device)
    notes = console(stderr=True, quiet=not world.is_main)
    with ProgressBar(notes) as progress:
        outcome = evaluate_models(handles, tasks, config, where, world, progress)
    if world.is_main:
        _report(options, [(handle.spec.name, evaluation) for handle, evaluation in outcome.done], tasks, notes)
    for failure in outcome.failures:
        complain(failure)
    return FAILED if outcome.failures else DONE


def _report(
    options: argparse.Namespace, done: Sequence[tuple[str, Evaluation]], tasks: Sequence[Task], notes: Console
) -> None:
    from leaderboards.board.board import Board
    from leaderboards.run_table import board_table

    results = [result for _, evaluation in done for result in evaluation.results]
    board = Board.of(results, _suite(options.suite, tasks))
    if options.json:
        means = {model: [asdict(mean) for mean in board.means(model)] for model in board.columns}
        print(json.dumps({"results": [asdict(result) for result in results], "means": means}, indent=2))
    elif results:
        console(wide=True).print(board_table(board))
    for name, evaluation in done:
        say(notes, f"{name}: {_counts(evaluation, len(tasks))}")
        for warning in _warnings(name, evaluation.results):
            say(notes, f"{name}: {warning}")
    if results:
        say(notes, f"Results: {options.out.resolve()}")


def _counts(evaluation: Evaluation, asked: int) -> str:
    counts, found = evaluation.counts, evaluation.found
    parts = [f"{counted(found, 'result')} skipped because finished"] if found else []
    if evaluation.failure:
        parts.append(f"failed after {len(evaluation.results)} of {counted(asked, 'task')}")
    elif counts.uses:
        repeats, embedded = counts.uses - counts.distinct, counts.distinct - counts.stored
        parts.append(
            f"{counted(embedded, 'encoding')} for {counted(counts.uses, 'use')}; {counts.uses - embedded:,} saved "
            f"({counted(repeats, 'repeat')}, {counts.stored:,} in the store)"
        )
    return "; ".join(parts)


def _warnings(name: str, results: Sequence[Result]) -> Iterator[str]:
    """Reasons to trust the scores less."""
    cut = sum(int(str(result.cost.get("items_truncated") or 0)) for result in results)
    if cut:
        yield f"longer than the model's limit, so that it did not see the end: {counted(cut, 'item')}."
    at_chance = [each.task for each in results if each.main.low <= each.chance[each.main_metric]]
    if at_chance and not name.startswith("null/"):
        shown = ", ".join(at_chance[:6]) + (", ..." if len(at_chance) > 6 else "")
        of = f"{len(at_chance)} of {counted(len(results), 'task')}"
        yield f"not above chance on {of} ({shown}): `llave doctor` looks for the reason."


def _suite(name: str | None, tasks: Sequence[Task]) -> Suite:
    """The suite asked for, whose means count no other task; else the tasks at hand."""
    from tasks.suites import find_suite, suite_of

    return find_suite(name) if name else suite_of("these", f"{counted(len(tasks), 'task')}", tasks)
