"""The command line. Parses, calls the packages, draws. The only file that knows all four."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.encode import DEFAULT_BUDGET
from harness.environment import own_version
from harness.errors import RunFailed, UserError
from harness.types import Task

if TYPE_CHECKING:
    from rich.console import Console

    from harness.parallel import World
    from harness.results import Result
    from harness.run import Evaluation, Run
    from tasks.suites import Suite

DONE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0: done; 1: failed part-way, what is done is kept; 2: the user's input; 130: interrupted."""
    _set_up_streams()
    options = build_parser().parse_args(arguments)
    command = {"run": run, "tasks": list_tasks, "models": list_models, "show": show}[options.command]
    try:
        return command(options)
    except UserError as error:
        _complain(error)
        return FAILED if isinstance(error, RunFailed) else USER_ERROR
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept: the same command goes on from here.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _set_up_streams() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of downloads, and of transformers
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old encoding costs a character, not the table


def build_parser() -> argparse.ArgumentParser:
    """All commands and flags. Flags are written in full, so that a new one never changes what an old line means."""
    parser = argparse.ArgumentParser(
        prog="llave", description="Evaluate multimodal embedding models.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"llave-bench {own_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=f"{about.capitalize()}.", allow_abbrev=False)

    _run_parser(command("run", "evaluate models on tasks"))
    tasks = command("tasks", "list tasks, or show one")
    tasks.add_argument("name", nargs="?", help="show this task whole")
    tasks.add_argument("--suite", help="only those of a suite")
    tasks.add_argument("--meta-task", help="only those of a meta-task, such as vqa")
    tasks.add_argument("--split", choices=("IND", "OOD"), help="only in-distribution or out-of-distribution")
    tasks.add_argument("--modality", help="only those with this modality on either side: text, image or image+text")
    tasks.add_argument("--json", action="store_true", help="print JSON")
    models = command("models", "list models, and how far each is verified")
    models.add_argument("--json", action="store_true", help="print JSON")
    shown = command("show", "show a result and its worst queries")
    shown.add_argument("result", type=Path, help="a result file: OUT/<model>/<revision>/<task>.json")
    shown.add_argument("--worst", type=_natural, default=10, metavar="N", help="how many of the worst queries (10)")
    return parser


def _run_parser(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="a name from `llave models`, or package.module:Class")
    add("--suite", help="a group of tasks, such as demo or mmeb")
    add("--tasks", metavar="A,B", help="tasks by name; with --data, all: every subset there; NAME@global: whole pool")
    add("--data", type=Path, metavar="DIR", help="a folder in MMEB's layout, or a .jsonl file, instead of the hub")
    add("--images", type=Path, metavar="DIR", help="what image paths are relative to (images/ or eval_images/)")
    add("--out", type=Path, metavar="DIR", default=Path("runs/results"), help="results (runs/results)")
    add("--store", type=Path, metavar="DIR", default=Path("runs/store"), help="embedding store (runs/store)")
    add("--limit", type=_positive, metavar="N", help="the first N queries of each task alone")
    add("--protocol", choices=("strict", "official"), default="strict", help="strict: ties are neutral (default)")
    add("--on-bad-media", choices=("stop", "count-as-wrong"), default="stop", help="what to do with broken images")
    add("--device", default="auto", help="cpu, cuda, cuda:1 (auto)")
    add("--dtype", default="auto", help="float32, bfloat16, float16 (auto)")
    add("--budget", type=_positive, default=DEFAULT_BUDGET, metavar="N", help="most tokens (or pixels) in a batch")
    add("--workers", type=_natural, metavar="N", help="threads that prepare items (one for each processor, up to 8)")
    add("--seed", type=_natural, default=0, help="of intervals, and of models that draw at random (0)")
    add("--json", action="store_true", help="print results as JSON")


def run(options: argparse.Namespace) -> int:
    """`llave run`: every model on every task; then the table."""
    from harness.models import open_model
    from harness.parallel import join
    from harness.registry import ModelSettings
    from tasks.catalog import resolve_tasks

    tasks = resolve_tasks(options.tasks, options.suite, options.data, options.images)
    world = join(options.device)  # a model may be made as soon as it is opened, and then on this process's device
    settings = ModelSettings(options.device, options.dtype, options.seed)
    handles = [open_model(name, settings) for name in dict.fromkeys(options.models)]
    console = _console(stderr=True, quiet=not world.is_main)
    done: list[tuple[str, Evaluation]] = []
    failures: list[UserError] = []
    with ExitStack() as stack:
        runner = _runner(options, world, console, stack)
        for handle in handles:
            try:
                evaluation = runner.evaluate(handle, tasks)
            except UserError as error:
                if world.size > 1 or not done:
                    raise  # nothing is lost yet; and of several processes the launcher stops the others
                failures.append(error)
            else:
                done.append((handle.spec.name, evaluation))
                failures += [evaluation.failure] if evaluation.failure else []
    if world.is_main:
        _report(options, done, tasks, console)
    for failure in failures:
        _complain(failure)
    return FAILED if failures else DONE


def _runner(options: argparse.Namespace, world: World, console: Console, stack: ExitStack) -> Run:
    from harness.digests import Digests
    from harness.plan import Question, Shelf
    from harness.progress import Bar, Lines
    from harness.run import Run, RunSettings

    listener: Bar | Lines = Bar(console) if console.is_terminal else Lines(console)
    stack.enter_context(listener)
    workers = min(8, _processors()) if options.workers is None else options.workers
    return Run(
        Question(options.protocol, options.limit, options.seed, options.on_bad_media == "count-as-wrong"),
        RunSettings(options.out, options.store, options.budget, workers, options.device),
        Shelf(Digests(), listener, workers),
        world,
        listener,
    )


def _report(
    options: argparse.Namespace, done: Sequence[tuple[str, Evaluation]], tasks: Sequence[Task], notes: Console
) -> None:
    from leaderboards.board import Board
    from leaderboards.render import board_table

    results = [result for _, evaluation in done for result in evaluation.results]
    board = Board.of(results, _suite(options.suite, tasks))
    if options.json:
        means = {model: [asdict(mean) for mean in board.means(model)] for model in board.columns}
        print(json.dumps({"results": [asdict(result) for result in results], "means": means}, indent=2))
    elif results:
        console = _console(wide=True)
        console.print(board_table(board, console.width))
    for name, evaluation in done:
        _say(notes, f"{name}: {_receipt(evaluation, len(tasks))}")
    if results:
        _say(notes, f"Results: {options.out.resolve()}")


def _receipt(evaluation: Evaluation, asked: int) -> str:
    receipt, found = evaluation.receipt, evaluation.found
    parts = [f"{found} result{'s' if found != 1 else ''} stood already"] if found else []
    if evaluation.failure:
        parts.append(f"failed after {len(evaluation.results)} of {asked} task{'s' if asked != 1 else ''}")
    elif receipt.uses:
        repeats, embedded = receipt.uses - receipt.distinct, receipt.distinct - receipt.stored
        parts.append(
            f"{embedded:,} encodings for {receipt.uses:,} uses; {receipt.uses - embedded:,} saved "
            f"({repeats:,} repeats, {receipt.stored:,} in the store)"
        )
    return "; ".join(parts)


def _suite(name: str | None, tasks: Sequence[Task]) -> Suite:
    """The suite asked for, whose means count no other task; else the tasks at hand."""
    from tasks.suites import find_suite, suite_of

    return find_suite(name) if name else suite_of("these", f"{len(tasks)} task{'s' if len(tasks) != 1 else ''}", tasks)


def list_tasks(options: argparse.Namespace) -> int:
    """`llave tasks`."""
    from leaderboards.listings import select, task_fields, task_list, task_sheet
    from tasks.catalog import all_tasks, resolve_tasks
    from tasks.suites import find_suite

    every = resolve_tasks(options.name) if options.name else tuple(all_tasks().values())
    members = find_suite(options.suite).tasks if options.suite else [task.name for task in every]
    chosen = select(
        [task for task in every if task.name in members], options.meta_task, options.split, options.modality
    )
    if options.json:
        print(json.dumps([task_fields(task) for task in chosen], indent=2, ensure_ascii=False))
    else:
        _console().print(task_sheet(chosen[0]) if options.name and len(chosen) == 1 else task_list(chosen))
    return DONE


def list_models(options: argparse.Namespace) -> int:
    """`llave models`."""
    from harness.models import ROWS, installed_rows
    from leaderboards.listings import model_fields, model_list

    rows = [*ROWS, *installed_rows()]
    if options.json:
        print(json.dumps([model_fields(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        _console().print(model_list(rows))
    return DONE


def show(options: argparse.Namespace) -> int:
    """`llave show`."""
    from harness.results import load_result, load_rows
    from leaderboards.render import query_table, result_table

    result: Result = load_result(options.result)
    console = _console()
    console.print(result_table(result))
    if options.worst:
        console.print(query_table(load_rows(options.result, result), options.worst))
    for bad in result.bad_media:
        _say(console, f"Bad media, counted as wrong: {bad['why']}")
    return DONE


def _console(*, stderr: bool = False, quiet: bool = False, wide: bool = False) -> Console:
    from rich.console import Console

    # Away from a terminal nothing is cut to 80 columns, and a table is as wide as it needs.
    measured = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    width = None if measured else 10_000 if wide else 160
    return Console(stderr=stderr, quiet=quiet, width=width, highlight=False)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _complain(error: UserError) -> None:
    who = f" (process {os.environ.get('RANK')})" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    print(f"error{who}: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}".replace("\n", "\n  "), file=sys.stderr)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive(text: str) -> int:
    value = _natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
