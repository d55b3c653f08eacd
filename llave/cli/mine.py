"""`llave mine`: writes training pairs with hard negatives that a model finds."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.errors import UserError, counted
from harness.files.reading import is_json_lines
from llave.cli.flags import (
    DONE,
    MODEL_HELP,
    Number,
    add_engine_flags,
    add_model_flags,
    add_root_flag,
    console,
    model_settings,
    positive,
    say,
)

ABOUT = "write training pairs with hard negatives that a model finds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave mine`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    data = parser.add_argument_group("data")
    add = data.add_argument
    add(
        "-d",
        "--data",
        required=True,
        metavar="PAIRS",
        help="a .jsonl file of pairs, a folder in the layout of MMEB-train, demo, or a dataset on the hub",
    )
    add("--images", type=Path, metavar="DIR", help="folder that image paths are relative to (default: as in training)")
    add("--dataset", metavar="NAME", help="the dataset of a folder (default: the only one)")
    add("-o", "--output", type=Path, required=True, metavar="MINED.jsonl", help="the file to write")
    add_root_flag(data)
    add = parser.add_argument_group("negatives").add_argument
    add("--negatives", type=positive, default=4, metavar="N", help="largest number of negatives of a query")
    add(
        "--margin",
        type=Number(-2, 2, whole=False),
        default=0.05,
        metavar="M",
        help="leave out targets that are less than this below the right one, which may be right too",
    )
    add(
        "--group",
        type=positive,
        default=8,
        metavar="N",
        help="number of pairs that batches=similar keeps together",
    )
    add_engine_flags(parser)
    add_model_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Embeds what the store lacks, searches, and writes one file. Returns the exit status."""
    from harness.embed import EmbedSettings
    from harness.models import open_model
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import worker_count
    from trainers.config import SCRATCH, TrainingConfig
    from trainers.data.mining import MiningRule, mine, write_mined
    from trainers.data.training_data import load_training_data

    if not is_json_lines(options.output):
        raise UserError(f"-o {options.output} is not the name of a .jsonl file.", "For example: -o mined.jsonl.")
    pairs = TrainingConfig(
        recipe="mine",
        model=SCRATCH,
        data=options.data,
        images=str(options.images) if options.images else None,
        allow_roots=tuple(map(str, options.allow_root)),
        datasets=(options.dataset,) if options.dataset else (),
        batch=2,
    )
    subsets = load_training_data(pairs).subsets
    if len(subsets) > 1:
        names = ", ".join(each.name for each in subsets)
        raise UserError(f"{options.data} has several datasets: {names}.", "Name one with --dataset.")
    notes = console(stderr=True)
    workers = worker_count(options.workers)
    rule = MiningRule(options.negatives, options.margin, options.group)
    with ProgressBar(notes) as progress:
        handle = open_model(options.model, model_settings(options), progress.note)
        how = EmbedSettings(options.store, options.budget, workers)
        mined = mine(subsets[0], handle, rule, how, progress)
    write_mined(options.output, mined)
    found = sum(len(pair.negatives) for pair in mined.pairs)
    say(notes, f"{counted(found, 'negative')} of {counted(len(mined.pairs), 'pair')}; {mined.without:,} have none.")
    say(notes, f"{counted(mined.suspects, 'target')} left out, because they may be right too (--margin).")
    media = next(subsets[0].media(), None)
    images = f" --images {media.root}" if media else ""
    say(notes, f"Train on it: llave train RECIPE --data {options.output}{images} --set hard_negatives=true")
    say(console(), str(options.output))
    return DONE
