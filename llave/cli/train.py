"""`llave train`: from a recipe and pairs to a checkpoint that `llave run` opens."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.progress import NoProgress, Progress
from llave.cli.flags import DONE, console, say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from trainers.config import TrainingConfig
    from trainers.estimate import Estimate

ABOUT = "train a model by a recipe"
_QUIET_SECONDS = 10.0
_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="such as demo, demo-infonce, llave-2b, infonce-2b")
    add(
        "--data",
        metavar="DIR",
        help="a folder in the layout of MMEB-train, a .jsonl file of pairs, or a name on the hub",
    )
    add("--images", metavar="DIR", help="what image paths are relative to (found beside the data)")
    add("--out", type=Path, metavar="DIR", help="where checkpoints go (runs/RECIPE)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting, such as lr=2e-5 (repeatable)",
    )
    add("--resume", action="store_true", help="go on from the newest checkpoint in --out, if there is one")
    add("--dry-run", action="store_true", help="say what would be done, and check the data")


def run(options: argparse.Namespace) -> int:
    """Trains, or says what would be trained."""
    from trainers.config import override
    from trainers.recipes import find_recipe

    config = find_recipe(options.recipe)
    given = {name: value for name, value in (("data", options.data), ("images", options.images)) if value is not None}
    config = override(replace(config, **given), options.set)
    main = int(os.environ.get("RANK", "0")) == 0
    if options.dry_run:
        from trainers.estimate import estimate

        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if main:
            _show(config, estimate(config, processes), processes)
        return DONE
    from trainers.train import train

    screen = console(stderr=True, quiet=not main)
    with Screen(screen) as watcher:
        folder = train(config, options.out or Path("runs") / config.recipe, watcher, resume=options.resume)
    say(screen, f"Done: {folder}\n{_next(config, folder)}")
    return DONE


def _next(config: TrainingConfig, folder: Path) -> str:
    """What can be done with a checkpoint."""
    if config.lora_rank and not config.lora_merge:
        return "Its folder adapter holds what has learned, without merged weights: `llave run` cannot open it."
    if config.data.endswith(".jsonl"):
        return f"Evaluate it: llave run {folder} --tasks NAMES (`llave tasks` lists them)"
    return f"Evaluate it: llave run {folder} --suite {'demo' if config.data == 'demo' else 'mmeb'}"


def _show(config: TrainingConfig, found: Estimate, processes: int) -> None:
    from rich.table import Table

    screen = console()
    table = Table("dataset", "pairs")
    table.columns[1].justify = "right"
    for name, pairs in found.pairs.items():
        table.add_row(name, f"{pairs:,}{' (rounded)' if name in found.rounded else ''}")
    table.add_section()
    table.add_row("all", f"{sum(found.pairs.values()):,}")
    screen.print(table)
    held, passing = _size(found.state_bytes), _size(found.activation_bytes)
    lines = {
        "left out for bad media": f"{len(found.left_out):,} pairs" if found.left_out else "",
        "steps": f"{found.steps:,}",
        "global batch": f"{config.batch:,} pairs" + (f" in {config.accumulate} parts" if config.accumulate > 1 else ""),
        "negatives per query": f"{found.negatives:,}",
        "processes": f"{processes}, each {config.contrasted // processes} pairs at a time"
        + (f" in micro-batches of {config.micro_batch}" if config.micro_batch else ""),
        "trainable parameters": f"{found.trainable:,}",
        "frozen parameters": f"{found.frozen:,}",
        "memory per process": f"{held} of weights, gradients and moments (FSDP2 shares them out), "
        f"about {passing} of activations",
    }
    for name, value in lines.items():
        if value:
            say(screen, f"{name + ':':24}{value}")
    for line in found.left_out[:_SHOWN]:
        say(screen, f"Left out: {line}")
    for remark in found.remarks:
        say(screen, f"Note: {remark}")


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GB" if count >= 2**29 else f"{count / 2**20:,.0f} MB"


class Screen:
    """Shows a run: a moving line in a terminal, a line now and then elsewhere. Use as a context manager."""

    def __init__(self, screen: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._screen = screen
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self._bar: TaskID | None = None
        self._done = self._steps = 0
        self._began = self._spoke = time.monotonic()
        self._first = 0

    def begin(self, done: int, steps: int) -> None:
        self._bar = self._progress.add_task("", total=steps, completed=done, state="")
        self._first = self._done = done
        self._steps = steps
        self._began = self._spoke = time.monotonic()

    def step(self, loss: float, pairs_per_second: float) -> None:
        self._done += 1
        state = f"loss {loss:.3f}, {pairs_per_second:,.0f} pairs/s"
        if self._bar is not None:
            self._progress.update(self._bar, advance=1, state=state)
        now = time.monotonic()
        if not self._screen.is_terminal and now - self._spoke >= _QUIET_SECONDS:
            left = (self._steps - self._done) * (now - self._began) / (self._done - self._first)
            self.note(f"step {self._done:,} of {self._steps:,}, {state}, {left:,.0f} s left")
            self._spoke = now

    def note(self, text: str) -> None:
        self._screen.print(text, markup=False, highlight=False, soft_wrap=True)

    def evaluating(self) -> Progress:
        return NoProgress()

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
