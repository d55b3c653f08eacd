"""`llave train`: trains by a recipe, and writes checkpoints that `llave run` opens."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.encoding.distributed import launched
from harness.errors import counted
from harness.files.reading import is_json_lines
from llave.cli.flags import DONE, add_patience_flag, add_root_flag, console, positive, say

if TYPE_CHECKING:
    from leaderboards.tables import Table
    from trainers.config import TrainingConfig
    from trainers.estimate import Estimate

ABOUT = "train a model by a recipe"
_SHOWN = 5
_COMPARE = "Compare with another way of training over the same seeds: llave seeds {} OTHER"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `llave train`."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe, such as demo, demo-infonce, llave-2b or infonce-2b")
    data = parser.add_argument_group("data")
    add = data.add_argument
    add(
        "-d",
        "--data",
        metavar="DIR",
        help="a folder in the layout of MMEB-train, a .jsonl file of pairs, or a dataset on the hub "
        "(default: the recipe's)",
    )
    add("--images", metavar="DIR", help="folder that image paths are relative to (default: found beside the data)")
    add_root_flag(data)
    group = parser.add_argument_group("run")
    add = group.add_argument
    add("-o", "--out", type=Path, metavar="DIR", help="folder of the run, with checkpoints (default: runs/RECIPE)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting, such as learning_rate=2e-5; may be repeated (default: the recipe's)",
    )
    add(
        "--seeds",
        type=positive,
        metavar="N",
        help="train N times, with the seed and those after it, each in a folder seed-N of --out (default: once)",
    )
    add("--resume", action="store_true", help="continue from the newest checkpoint in --out, if there is one")
    add("--dry-run", action="store_true", help="check the data, and print the size of the run without training")
    add_patience_flag(group)


def run(options: argparse.Namespace) -> int:
    """Trains, or prints what would be trained."""
    from trainers.config import override
    from trainers.recipes import find_recipe

    config = find_recipe(options.recipe)
    given = {name: value for name, value in (("data", options.data), ("images", options.images)) if value is not None}
    if options.allow_root:
        config = replace(config, allow_roots=tuple(map(str, options.allow_root)))
    world = launched()
    notes = console(stderr=True, quiet=not world.is_main)
    config = override(replace(config, **given), options.set, lambda text: say(notes, f"note: {text}"))
    if options.dry_run:
        from trainers.estimate import estimate

        if world.is_main:
            _show(config, estimate(config, world.size), world.size, options.seeds)
        return DONE
    from llave.api.console_progress import ProgressBar
    from trainers.train import train

    out = options.out or Path("runs") / config.recipe
    runs = {out: config} if options.seeds is None else _seeds(config, out, options.seeds)
    for place, each in runs.items():
        with ProgressBar(notes) as progress:
            folder = train(each, place, progress, resume=options.resume, patience=options.patience)
        say(notes, f"Done: {folder}")
    say(notes, _next(config, folder) if options.seeds is None else _COMPARE.format(out))
    return DONE


def _seeds(config: TrainingConfig, out: Path, count: int) -> dict[Path, TrainingConfig]:
    """The runs of several seeds, by their folders. Raises UserError for a seed that is too large."""
    return {out / f"seed-{seed}": replace(config, seed=seed) for seed in range(config.seed, config.seed + count)}


def _next(config: TrainingConfig, folder: Path) -> str:
    """A sentence about what can be done with a checkpoint."""
    if config.eval_tasks:
        data = f" --data {config.eval_data}" if config.eval_data else ""
        return f"Evaluate it: llave run {folder} --tasks {' '.join(config.eval_tasks)}{data}"
    if is_json_lines(Path(config.data)):
        return f"Evaluate it: llave run {folder} --tasks NAMES (`llave tasks` lists them)"
    return f"Evaluate it: llave run {folder} --suite {'demo' if config.data == 'demo' else 'mmeb'}"


def _show(config: TrainingConfig, found: Estimate, processes: int, seeds: int | None) -> None:
    screen = console()
    screen.print(_pairs_table(found))
    state, activations = _size(found.state_bytes), _size(found.activation_bytes)
    lines = {
        "runs": f"{seeds:,}, each with another seed" if seeds else "",
        "left out for bad media": f"{counted(len(found.left_out), 'pair')}" if found.left_out else "",
        "steps": f"{found.steps:,}",
        "global batch": f"{counted(config.batch, 'pair')}"
        + (
            f" in {counted(config.gradient_accumulation_steps, 'part')}"
            if config.gradient_accumulation_steps > 1
            else ""
        ),
        "negatives per query": f"{found.negatives:,}",
        "processes": f"{processes}, each {counted(config.contrasted // processes, 'pair')} at a time"
        + (f" in micro-batches of {config.micro_batch}" if config.micro_batch else ""),
        "trainable parameters": f"{found.trainable:,}",
        "frozen parameters": f"{found.frozen:,}",
        "memory per process": f"{state} of weights, gradients and moments,\n"
        f"{'':24}which FSDP2 divides, and about {activations} of activations",
    }
    for name, value in lines.items():
        if value:
            say(screen, f"{name + ':':24}{value}")
    for line in found.left_out[:_SHOWN]:
        say(screen, f"Left out: {line}")
    for remark in found.remarks:
        say(screen, f"Note: {remark}")


def _pairs_table(found: Estimate) -> Table:
    """The number of pairs of each dataset, and their sum."""
    from leaderboards.tables import Cell, Table

    rows = tuple(
        (Cell(name), Cell(f"{pairs:,}", "(rounded)" if name in found.rounded else ""))
        for name, pairs in found.pairs.items()
    )
    total = (Cell("all"), Cell(f"{sum(found.pairs.values()):,}"))
    return Table("", ("dataset", "pairs"), rows, frozenset({"dataset"}), foot=(total,))


def _size(count: int) -> str:
    from harness.results.numbers import grouped

    return f"{grouped(count / 2**30, 1)} GB" if count >= 2**29 else f"{grouped(count / 2**20)} MB"
