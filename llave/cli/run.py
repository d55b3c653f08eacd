"""`llave run`: every model on every task; then the table."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UnknownName, UserError, counted
from harness.files.paths import RESULTS
from harness.types import Task
from llave.cli.flags import (
    DONE,
    FAILED,
    MODEL_HELP,
    add_engine_flags,
    add_model_flags,
    add_patience_flag,
    add_task_flags,
    columns_of,
    complain,
    console,
    is_verbose,
    model_settings,
    positive,
    say,
)
from llave.cli.front import run_file
from llave.cli.front.parser import CommandParser
from llave.words.answer import suite_names, task_names

if TYPE_CHECKING:
    from rich.console import Console

    from harness.evaluate import Evaluation
    from harness.plan import Forecast
    from harness.results.result import Result
    from harness.types import ModelHandle
    from tasks.suites import Suite

ABOUT = "evaluate models on tasks"


def add_arguments(parser: CommandParser) -> None:
    """Adds the arguments of `llave run`."""
    parser.expand = run_file.expand
    parser.add_argument("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    add_task_flags(parser)
    add = parser.add_argument_group("evaluation").add_argument
    add("--limit", type=positive, metavar="N", help="only the first N queries of each task (default: all)")
    add(
        "--protocol",
        choices=("strict", "official"),
        default="strict",
        help="strict: ties are neutral; official: ties are won, as in the public code",
    )
    add(
        "--on-bad-media",
        choices=("stop", "count-as-wrong"),
        default="stop",
        help="what to do with images and videos that cannot be used",
    )
    add(
        "--rerank",
        metavar="MODEL",
        help="a cross-encoder or ColBERT that orders the best candidates anew (default: none)",
    )
    add("--top", type=positive, default=100, metavar="N", help="number of candidates that --rerank orders")
    add = parser.add_argument_group("output").add_argument
    add("-o", "--out", type=Path, metavar="DIR", default=Path(RESULTS), help="folder of the results")
    add("--json", action="store_true", help="print JSON instead of a table")
    add(
        run_file.FLAG,
        type=Path,
        metavar="FILE",
        help="a .toml file with models and flags; flags given here win (default: none)",
    )
    add_model_flags(parser)
    add_patience_flag(engine := add_engine_flags(parser))
    engine.add_argument("--dry-run", action="store_true", help="check the data, and say what would be embedded")


def run(options: argparse.Namespace) -> int:
    """Evaluates every model on every task and prints the table. Returns the exit status."""
    from harness.encoding.distributed import join
    from harness.evaluate import RunSettings
    from harness.models import open_model
    from harness.types import EvalConfig
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import evaluate_models, forecast_models, worker_count
    from llave.api.evaluate import second_stage
    from tasks.catalog import resolve_tasks

    _check_words(options)
    if options.rerank and options.dry_run:
        raise UserError("--dry-run does not foresee what --rerank would score.", "Leave --rerank out.")
    if "top" in options.set_here and not options.rerank:
        raise UserError("--top is for --rerank.", "Name a reranker with --rerank, or leave --top out.")
    roots, columns = tuple(options.allow_root), columns_of(options)
    tasks = resolve_tasks(options.tasks, options.suite, options.data, options.images, roots, columns)
    # before a model is opened, since it may be made then, and on this process's device
    world = join(options.device, options.patience)
    settings = run_file.settings_by_model(options)
    config = EvalConfig(options.protocol, options.limit, options.on_bad_media == "count-as-wrong")
    where = RunSettings(options.out, options.store, options.budget, worker_count(options.workers), options.device)
    notes = console(stderr=True, quiet=not world.is_main)
    with ProgressBar(notes) as progress:
        handles = {name: open_model(name, own, progress.note) for name, own in settings.items()}
        second = second_stage(options.rerank, options.top, model_settings(options)) if options.rerank else None
        _say_choices(options, tasks, handles.values(), progress.note)
        if options.dry_run:
            forecasts = forecast_models([*handles.values()], tasks, config, where, world, progress)
        else:
            outcome = evaluate_models([*handles.values()], tasks, config, where, world, progress, second)
    if options.dry_run:
        if world.is_main:
            names = (handle.spec.name for handle in handles.values())
            _say_forecasts(list(zip(names, forecasts, strict=True)), as_json=options.json)
        return DONE
    if world.is_main:
        run_file.write(options, handles)
        _report(options, [(handle.spec.name, evaluation) for handle, evaluation in outcome.done], tasks, notes)
    for failure in outcome.failures:
        complain(failure)
    return FAILED if outcome.failures else DONE


def _check_words(options: argparse.Namespace) -> None:
    """Refuses a suite or a task in the place of a model, if no task is chosen otherwise."""
    if options.suite or options.tasks or options.data:
        return
    for word in options.models:
        if word in suite_names() or word in task_names():
            raise UnknownName("model", word, f"There is no model named {word!r}.", "")


def _say_choices(
    options: argparse.Namespace, tasks: Sequence[Task], handles: Iterable[ModelHandle], note: Callable[[str], None]
) -> None:
    """Says that a suite is narrowed, and with `--verbose` which tasks and models were chosen."""
    from tasks.suites import find_suite

    if options.suite and options.tasks:
        of = len(find_suite(options.suite).tasks)
        note(f"suite {options.suite}, narrowed to {len(tasks)} of {of} tasks: its means are incomplete.")
    if is_verbose():
        for task in tasks:
            note(f"task {task.name}: {task.source.describe()}")
        for spec in (handle.spec for handle in handles):
            set_options = ", ".join(f"{key}={value}" for key, value in spec.options.items())
            note(f"model {spec.name}: revision {spec.revision}, {spec.dtype}, adapter {spec.adapter}; {set_options}")


def _say_forecasts(forecasts: Sequence[tuple[str, Forecast]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"model": name, **asdict(each)} for name, each in forecasts], indent=2))
        return
    for name, each in forecasts:
        parts = [f"to be embedded: {each.load}" if each.load.items else "nothing to be embedded"]
        parts += [f"{each.counts.stored:,} in the store"] if each.counts.stored else []
        parts += [f"{each.found:,} of {counted(each.tasks, 'result')} finished"] if each.found else []
        say(console(), f"{name}: {'; '.join(parts)}.")


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
        if options.rerank:
            _say_changes(options, done, board.suite)
    for name, evaluation in done:
        say(notes, f"{name}: {_counts(evaluation, len(tasks))}")
        for warning in _warnings(name, evaluation.results):
            say(notes, f"{name}: {warning}")
    for sentence in _altered(results):
        say(notes, sentence)
    if is_verbose():
        for result in results:
            say(notes, f"{result.model['name']} on {result.task}: identity {result.identity}")
    if results:
        say(notes, f"Results: {options.out.resolve()}")


def _say_changes(options: argparse.Namespace, done: Sequence[tuple[str, Evaluation]], suite: Suite) -> None:
    """Prints what the second stage changed for each model, which its model of both stages follows."""
    from leaderboards.compare.stages import change
    from leaderboards.compare.tables import difference_table, verdict

    for (one, first), (two, both) in pairwise(done):
        found = change(options.out, first.results, both.results, suite) if two.startswith(f"{one}+") else None
        if found is not None:
            console(wide=True).print(difference_table(found))
            say(console(wide=True), verdict(found))


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


def _altered(results: Sequence[Result]) -> Iterator[str]:
    """What is noted of the pictures of all tasks. A picture of two tasks counts twice."""
    from harness.media.pixels import say_notes

    by_task = {result.task: result.dataset["notes"] for result in results}
    return say_notes(sum((Counter(notes) for notes in by_task.values() if isinstance(notes, Mapping)), Counter()))


def _suite(name: str | None, tasks: Sequence[Task]) -> Suite:
    """The suite asked for, whose means count no other task; else the tasks at hand."""
    from tasks.suites import find_suite, suite_of

    return find_suite(name) if name else suite_of("these", f"{counted(len(tasks), 'task')}", tasks)
